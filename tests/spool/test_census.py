"""The census: right when it is quiet, about right while there is traffic, and free of cost when nothing changes."""

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import pytest

from jollyae.spool import census, notes, survey
from jollyae.spool.census import BUSY_PAUSE, EVERY, FIRST_PAUSE, SOON, Census
from jollyae.spool.places import Place, Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """The places of an empty spool."""
    made = Places.under(tmp_path)
    for place in made.all():
        place.mkdir(parents=True, exist_ok=True)
    return made


def _put(path: Path, size: int, age: float = 0.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def _settle(root: Path) -> None:
    """As if the directories had not been changed for a while."""
    for path in (root, *root.rglob("*")):
        if path.is_dir():
            os.utime(path, (1e9, 1e9))


class Reads:
    """Which directories are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        scandir = os.scandir

        def spied(path: Any) -> Any:
            self.paths.append(os.path.basename(path))
            return scandir(path)

        monkeypatch.setattr("jollyae.spool.census.os.scandir", spied)

    def taken(self) -> list[str]:
        """Those since the last time."""
        paths, self.paths = self.paths, []
        return paths


def test_each_place_is_counted(places: Places) -> None:
    """Items with their bytes, below subdirectories too; since when the oldest is there; no notes or states."""
    assert Census(places).held() == {}, "nothing was counted yet, which is not the same as nothing being there"
    before = time.time() - 1
    _put(places.incoming / "a", 10)
    _put(places.incoming / ".a.note", 1)  # as beside an item that was put back
    _put(places.incoming / "sub/b", 5)
    _put(places.incoming / ".hidden", 1000)
    _put(places.incoming / "c.part", 1000)
    _put(places.working / "host-1-abc/d", 7)
    _put(places.working / "host-1-abc/.state.json", 1000)
    _put(places.failed / "e", 1)
    _put(places.failed / ".e.note", 1000)
    counting = Census(places)
    counting.count()
    held = counting.held()
    assert held["incoming"].ignored == survey.count(places)["incoming"].ignored == 2, "a note of ours is no litter"
    assert {place: one[:2] for place, one in held.items()} == {
        "incoming": (2, 15),
        "working": (1, 7),
        "deferred": (0, 0),
        "finished": (0, 0),
        "failed": (1, 1),
    }
    for place, one in held.items():
        assert before < one.at <= time.time()
        assert (one.oldest is None) == (place in ("deferred", "finished"))
    assert before < (held["incoming"].oldest or 0) <= (places.incoming / "a").stat().st_ctime


def _defer(path: Path, arrived: float) -> None:
    """An item that was tried, last a moment ago."""
    _put(path, 1)
    os.utime(path, (arrived - 1, arrived - 1))
    _note(path, arrived)


def _note(path: Path, arrived: float) -> None:
    note = notes.about(path.name, path.stat())
    note.arrived = arrived
    notes.write(str(path), note)


def test_a_deferred_item_is_as_old_as_its_note_says(places: Places) -> None:
    """An attempt makes it no younger, wherever it lies undelivered; in failed/ it counts since when it is there."""
    now = time.time()
    for directory in (places.deferred, places.working / "host-1-abc", places.failed):
        for name, age in (("young", 100), ("old", 5000), ("middle", 2000)):
            _defer(directory / name, now - age)
        _put(directory / "without-a-note", 1)
    counting = Census(places)
    counting.count()
    held, seen = counting.held(), survey.count(places)
    for place in ("deferred", "working"):
        assert held[place].oldest == pytest.approx(now - 5000, abs=1) and held[place].items == 4
        assert seen[place].oldest == pytest.approx(time.time() - (now - 5000), abs=60)
    assert (held["failed"].oldest or 0) > now - 60 and (seen["failed"].oldest or 0) < 60
    (places.deferred / "old").unlink()
    counting.count()
    assert counting.held()["deferred"].oldest == pytest.approx(now - 2000, abs=1)


def test_few_notes_are_read_for_the_age(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was last written to after the oldest arrived is not older; and there is an end to it."""
    now, read = time.time(), list[str]()
    arrived_at = notes.arrived_at

    def spied(path: str, found: os.stat_result) -> float:
        read.append(path)
        return arrived_at(path, found)

    monkeypatch.setattr("jollyae.spool.census.notes.arrived_at", spied)
    for number in range(50):
        _defer(places.deferred / f"{number}", now - 1000)
        os.utime(places.deferred / f"{number}", (now - 1000, now - 1000))
        _note(places.deferred / f"{number}", now - 1000)
    counting = Census(places)
    counting.count()
    assert len(read) == 1 and counting.held()["deferred"].oldest == pytest.approx(now - 1000, abs=1)
    for path in places.deferred.glob("[0-9]*"):
        os.utime(path, (now - 9000, now - 9000))  # as cp -p leaves it
        _note(path, now - 1000)
    read.clear()
    monkeypatch.setattr(census, "MOST_NOTES", 20)
    (places.deferred / "more").touch()
    counting.count()
    assert len(read) == 20 and counting.held()["deferred"].oldest == pytest.approx(now - 1000, abs=1)


def test_only_what_is_wanted_counts_in_incoming(places: Places) -> None:
    """What is excluded is never taken: it must not look like a backlog that grows old."""
    for name in ("a.jpg", "sub/b.txt"):
        _put(places.incoming / name, 1)
        _put(places.finished / name, 1)
    counting = Census(places, wanted=lambda name: name != "sub/b.txt")
    counting.count()
    assert (counting.held()["incoming"].items, counting.held()["finished"].items) == (1, 2)


def test_moves_since_the_walk_are_added(places: Places) -> None:
    """And no place has less than nothing; what is empty has no oldest."""
    for name in "abc":
        _put(places.incoming / name, 10)
    moves = {"incoming": (-100, -1000), "failed": (5, 50)}
    counting = Census(places, lambda: moves)
    counting.count()
    assert counting.held()["incoming"][:2] == (3, 30), "what was moved before the walk is not there for it"
    moves = {"incoming": (-102, -1020), "failed": (6, 57)}
    held = counting.held()
    assert (held["incoming"][:2], held["failed"][:2]) == ((1, 10), (1, 7))
    assert held["incoming"].oldest and not held["failed"].oldest
    moves = {"incoming": (-110, -2000)}
    assert counting.held()["incoming"][:3] == (0, 0, None)


def test_a_directory_that_did_not_change_is_not_read_again(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the changed one is; one that changed just before it was read is read again, since its time may not tell."""
    for number in range(3):
        _put(places.finished / f"d{number}/x", 1)
    _settle(places.control)
    reads = Reads(monkeypatch)
    counting = Census(places)
    counting.count()
    assert {"incoming", "finished", "d0", "d1", "d2"} <= set(reads.taken())
    counting.count()
    assert reads.taken() == []
    _put(places.finished / "d1/y", 1)
    for _ in range(2):
        counting.count()
        assert reads.taken() == ["d1"]
        assert counting.held()["finished"].items == 4
    _settle(places.control)
    counting.count()
    counting.count()
    reads.taken()
    counting.count()
    assert reads.taken() == []
    assert counting.held()["finished"].items == 4


def test_what_cannot_be_read_keeps_its_last_count(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other places are counted all the same; a place that is gone is empty."""
    _put(places.incoming / "a", 1)
    _put(places.failed / "b", 1)
    counting = Census(places)
    counting.count()
    first = counting.held()["incoming"]
    _put(places.incoming / "a2", 1)
    places.failed.joinpath("b").unlink()
    places.failed.rmdir()
    scandir = os.scandir

    def refused(path: Any) -> Any:
        if path == str(places.incoming):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("jollyae.spool.census.os.scandir", refused)
    counting.count()
    assert counting.held()["incoming"] == first
    assert counting.held()["failed"].items == 0


def test_it_walks_in_slices_and_rests_long(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice ends after its time; between them it pauses a hundred times as long, and after the walk each place rests
    as long as its walk took times a hundred."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.001
        return now

    for number in range(5000):
        (places.finished / f"f{number}").touch()
    counting = Census(places)
    monkeypatch.setattr("jollyae.spool.census.time.thread_time", clock)
    slices = 1
    while not counting.step():
        slices += 1
        assert counting.pause(busy=True) == FIRST_PAUSE
        assert "finished" not in counting.held(), "a place is told when it is counted whole"
    assert slices > 5
    assert counting.held()["finished"].items == 5000
    assert counting._rest(Place.FINISHED) >= max(SOON, 100 * counting._walked[Place.FINISHED].worked)
    (places.finished / "more").touch()
    counting._walked.clear()
    counting.step()
    assert counting.pause(busy=True) == BUSY_PAUSE == 100 * census.SLICE
    assert counting.pause() < FIRST_PAUSE, "while there is nothing else to do"


def test_small_places_are_walked_again_soon(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed and deferred items always: others take them out, and each matters. The others where nothing else is to
    do. Large ones each minute at most."""
    counting = Census(places)
    counting.count()
    monkeypatch.setattr("jollyae.spool.census.REST", 0)  # whatever this machine takes for it
    assert SOON / 2 < counting.pause() <= SOON
    assert {place: counting._rest(place) for place in Place} == dict.fromkeys(Place, SOON)
    assert SOON / 2 < counting.pause(busy=True) <= SOON
    often = {Place.FAILED, Place.DEFERRED}
    assert {place: counting._rest(place) for place in Place} == {
        place: SOON if place in often else EVERY for place in Place
    }
    monkeypatch.setattr("jollyae.spool.census.SMALL", 0)
    assert EVERY / 2 < counting.pause() <= EVERY


def test_what_others_take_out_of_failed_is_gone_soon(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry by another program is no move of a worker's: the next walk of this place sees it, and has not to read the
    others."""
    _put(places.failed / "a", 7)
    moves = {"failed": (1, 7)}
    counting = Census(places, lambda: moves)
    counting.count()
    counting.pause(busy=True)
    (places.failed / "a").rename(places.incoming / "a")
    (places.incoming / "a").rename(places.failed / "a")
    moves = {"failed": (2, 14)}
    assert counting.held()["failed"][:2] == (2, 14)
    reads = Reads(monkeypatch)
    counting._walked = {
        place: dataclasses.replace(one, at=one.at - EVERY / 2, worked=0.0) for place, one in counting._walked.items()
    }
    while not counting.step():
        pass
    assert counting.held()["failed"][:2] == (1, 7)
    assert "finished" not in reads.taken()


def test_what_others_told_late_is_mended_soon(places: Places) -> None:
    """A sibling's moves come up to two seconds after it made them, so a walk may have counted the items already: where
    nothing else is to do, the next one comes at once, and costs nothing, since nothing changed."""
    _put(places.finished / "a", 1)
    moves: dict[str, tuple[int, int]] = {}
    counting = Census(places, lambda: moves)
    counting.count()
    moves = {"finished": (1, 1)}
    assert counting.held()["finished"].items == 2
    counting.step()
    assert counting.held()["finished"].items == 1


def test_what_comes_during_a_walk_is_counted_once(places: Places) -> None:
    """By its move, and not by the walk, in whatever order the directory tells its names; the next walk is not misled by
    a directory that it knows."""
    for number in range(300):
        _put(places.finished / f"old{number}", 10)
    moved = (0, 0)
    counting = Census(places, lambda: {"finished": moved})
    walk = counting._all()
    while "deferred" not in counting.held():
        next(walk)  # finished is next
    time.sleep(0.05)  # the clock of files ticks coarsely
    next(walk)
    for number in range(100):
        _put(places.finished / f"new{number}", 1)
        moved = (moved[0] + 1, moved[1] + 1)
    for _ in walk:
        pass
    assert counting.held()["finished"][:2] == (400, 3100)
    counting.count()
    assert counting.held()["finished"][:2] == (400, 3100)


def test_of_what_goes_during_a_walk_half_was_seen(places: Places) -> None:
    """As far as anybody knows."""
    moved = (0, 0)
    for number in range(100):
        _put(places.incoming / f"{number}", 1)
    counting = Census(places, lambda: {"incoming": moved})
    walk = counting._all()
    next(walk)
    moved = (-40, -40)
    for _ in walk:
        pass
    assert counting.held()["incoming"].items == 80, "those 40 are still there: each of the 100 was seen"
