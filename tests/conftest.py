"""Fixtures for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from jollyae import Spool
from tests.children import Forks

# How long an example takes is the machine's affair: no test is timed.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A new spool."""
    return Spool(tmp_path / "spool")


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    """A fork server for workers."""
    with Forks(tmp_path / "workers.log") as server:
        yield server


@pytest.fixture
def to(tmp_path: Path) -> Path:
    """A directory to deliver into."""
    directory = tmp_path / "delivered"
    directory.mkdir()
    return directory
