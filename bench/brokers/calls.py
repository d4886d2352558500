"""The processor that does nothing: ``--call bench.brokers.calls:nothing``."""

from typing import Any


async def nothing(item: Any) -> None:
    """Done."""
