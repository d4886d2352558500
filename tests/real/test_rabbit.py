"""The RabbitMQ that other tests stand on: it keeps what it has over kill -9, and leaves nothing behind."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests import rabbit

pytestmark = pytest.mark.real


def test_killed_it_comes_back_with_what_it_had_and_ends_whole(tmp_path: Path) -> None:
    """A vhost survives kill -9; after stop() neither the server nor its epmd is there, and nobody listens."""
    before = _children_named("epmd")  # of the server that other tests share
    try:
        with rabbit.serve(tmp_path / "rabbit") as server:
            server.control("add_vhost", "kept")
            server.kill()
            assert not server.answers()
            server.start()
            assert "kept" in server.control("list_vhosts").split()
            children = {server.pid, *_children_named("epmd") - before}
            assert len(children) > 1
    except rabbit.Unavailable as error:
        pytest.skip(str(error))
    assert not server.answers()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def _children_named(name: str) -> set[int]:
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in listed if _name_of(pid) == name}


def _name_of(pid: str) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
