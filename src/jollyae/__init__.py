"""jollyae: from a queue directory to S3, an album or any command, with nothing lost.

>>> from jollyae import Spool, Worker, Temporary, Permanent

The names are loaded when they are first used, so that ``jollyae --help`` need not wait for what it does not need.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .spool.item import Item
    from .spool.outcomes import Permanent, Scope, Temporary
    from .spool.spool import Spool, SpoolError
    from .worker.rules import Rules
    from .worker.summary import Summary
    from .worker.worker import Worker

__version__ = "0.1.0"

__all__ = ["Item", "Permanent", "Rules", "Scope", "Spool", "SpoolError", "Summary", "Temporary", "Worker"]

_HOMES = {
    "Item": ".spool.item",
    "Permanent": ".spool.outcomes",
    "Rules": ".worker.rules",
    "Scope": ".spool.outcomes",
    "Spool": ".spool.spool",
    "SpoolError": ".spool.spool",
    "Summary": ".worker.summary",
    "Temporary": ".spool.outcomes",
    "Worker": ".worker.worker",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
