"""What the S3 tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .fake import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Items, a fake store, deliveries."""
    with Bench(tmp_path) as bench:
        yield bench
