"""Who is next."""

import time
from collections.abc import Iterator

import pytest

from jollyae import Item, Spool
from jollyae.spool import notes
from jollyae.spool.arrivals import Arrivals, Deferred
from jollyae.spool.claims import Claims
from jollyae.spool.readiness import Readiness, ignore_lease_signal
from jollyae.spool.watch import Poll
from jollyae.worker.line import LARGE, Line
from tests.helpers import drop


@pytest.fixture
def claims(spool: Spool) -> Iterator[Claims]:
    """What one worker has in hand."""
    ignore_lease_signal()
    made = Claims(spool.places, Readiness(0))
    yield made
    made.stop()


@pytest.fixture
def deferred(spool: Spool) -> Deferred:
    """What is due."""
    return Deferred(str(spool.places.deferred))


@pytest.fixture
def line(spool: Spool, claims: Claims, deferred: Deferred) -> Line:
    """A line for one round."""
    arrivals = Arrivals(str(spool.places.incoming), Poll("test", 3600), lambda name: True)
    return Line(claims, arrivals, deferred, once=True)


def _names(line: Line, *, room_for_large: bool = True) -> list[str]:
    found: list[Item] = []
    while item := line.next(room_for_large=room_for_large):
        found.append(item)
    return [item.name for item in found]


def test_a_round_is_over_though_something_is_due_again(line: Line, deferred: Deferred) -> None:
    """What was deferred in this round is not waited for, whenever it is due."""
    assert not line.is_over()
    assert line.next(room_for_large=True) is None
    deferred.note(time.time() - 1)
    assert line.is_over()


def test_what_was_just_tried_lets_others_go_first(spool: Spool, line: Line) -> None:
    """An item that waits in hand for its destination is never the probe twice running while there is another."""
    drop(spool, "a")
    first = line.next(room_for_large=True)
    assert first
    line.hold(first)
    drop(spool, "b")
    line._arrivals.again("b", 0.0)
    second = line.next(room_for_large=True)
    assert second and second.name == "b"
    line.hold(second)
    assert line.next(room_for_large=True) is first
    line.hold(first)
    assert line.next(room_for_large=True) is second
    line.hold(second)
    assert not line.is_over()


def test_large_ones_wait_for_room_and_take_little(spool: Spool, line: Line, claims: Claims) -> None:
    """Without room for large items small ones pass, few large ones are claimed, and none is forgotten."""
    for number in range(10):
        with drop(spool, f"large{number}").open("r+b") as file:
            file.truncate(LARGE)
        due = spool.places.deferred / f"later{number}"
        with due.open("wb") as file:
            file.truncate(LARGE)
        notes.write(str(due), notes.about(due.name, due.stat()), due=0)
        drop(spool, f"small{number}")
    assert sorted(_names(line, room_for_large=False)) == [f"small{number}" for number in range(10)]
    assert len(claims) == 14 and not line.is_over()
    assert sorted(_names(line)) == sorted(f"{kind}{number}" for kind in ("large", "later") for number in range(10))
    assert line.is_over()


def test_an_error_loses_no_name(spool: Spool, line: Line, claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the spool cannot be worked on, the name that met it is looked at again, in incoming and in deferred."""
    from jollyae.spool import fs

    drop(spool, "a")
    (spool.places.deferred / "d").touch()

    def observer(operation: str, path: str) -> None:
        if operation == "rename":
            raise OSError(5, "I/O error")

    monkeypatch.setattr(fs, "observer", observer)
    for _ in range(4):
        with pytest.raises(OSError, match="I/O"):
            line.next(room_for_large=True)
        assert not line.is_over()
    monkeypatch.setattr(fs, "observer", None)
    assert sorted(_names(line)) == ["a", "d"]
    assert line.is_over() and len(claims) == 2
