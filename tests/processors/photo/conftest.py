"""Fixtures: what reads pictures. Its child is started once for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.processors.photo.makers import Reading, reading


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    """Reads pictures, one child, with the usual limits."""
    yield from reading(tmp_path_factory.mktemp("pictures"))
