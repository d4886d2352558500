"""The state file: written seldom, only when it says something new, and no trouble when it cannot be."""

import errno
from pathlib import Path

import pytest

from jollyae.spool import fs
from jollyae.worker import state
from jollyae.worker.state import Snapshot, StateFile


def _snapshot(delivered: int) -> Snapshot:
    return Snapshot(
        worker="w",
        pid=1,
        started=0.0,
        destination="d",
        watch="inotify",
        delivered=delivered,
        delivered_bytes=0,
        failed=0,
        deferred=0,
        unready=0,
        limit=1,
        in_flight=[],
        held=0,
        paused=None,
    )


def test_seldom_and_only_when_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most once a second, and not at all while nothing changes."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    file = StateFile(str(tmp_path))
    written: list[int] = []

    def show(delivered: int) -> int:
        file.show(_snapshot(delivered))
        found = state.read(str(tmp_path))
        assert found
        written.append((tmp_path / state.FILE).stat().st_ino)
        return found.delivered

    assert show(1) == 1
    now += 0.5
    assert show(2) == 1
    now += 0.5
    assert show(2) == 2
    now += 5
    assert show(2) == 2 and written[-1] == written[-2]


def test_what_cannot_be_written_is_not_tried_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk, too, it is tried once a second at most."""
    now, tries = 100.0, []
    monkeypatch.setattr("time.monotonic", lambda: now)

    def observer(operation: str, path: str) -> None:
        tries.append(operation)
        raise OSError(errno.ENOSPC, "full", path)

    monkeypatch.setattr(fs, "observer", observer)
    file = StateFile(str(tmp_path))
    for number in range(12):
        file.show(_snapshot(number))
        now += 0.25
    assert tries == ["create"] * 3


def test_it_is_no_trouble(tmp_path: Path) -> None:
    """A state that cannot be written or read costs only the view."""
    StateFile(str(tmp_path / "gone")).show(_snapshot(1))
    assert state.read(str(tmp_path)) is None
    (tmp_path / state.FILE).write_text("{")
    assert state.read(str(tmp_path)) is None
