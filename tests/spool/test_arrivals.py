"""What to look at next: fair, bounded, and nothing is ever dropped for good."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from jollyae.spool import arrivals, notes
from jollyae.spool.arrivals import Arrivals, Deferred
from jollyae.spool.names import is_ignored
from jollyae.spool.watch import Hint, Kind, Poll
from tests.helpers import until


class Told(Poll):
    """A watch that tells what the test wants."""

    def __init__(self) -> None:
        super().__init__("test", interval=3600.0)
        self.hints: list[Hint] = []

    def read(self) -> list[Hint]:
        """What was put there since."""
        hints, self.hints = self.hints, []
        return hints


@pytest.fixture
def told() -> Told:
    """A watch that tells what the test wants."""
    return Told()


@pytest.fixture
def found(tmp_path: Path, told: Told) -> Arrivals:
    """What arrives in tmp_path."""
    return Arrivals(str(tmp_path), told, lambda name: not is_ignored(name))


def _all(found: Arrivals) -> list[str]:
    names = []
    while candidate := found.next():
        names.append(candidate.name)
    return names


def test_a_scan_finds_all_items_once(tmp_path: Path, found: Arrivals) -> None:
    """Files at every depth are found; dotfiles, dot directories and unfinished files are not; then there is rest."""
    for name in ("a", "b/c", "d.part/e", "f/g/h", ".x", ".y/z", "i.part"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(_all(found)) == ["a", "b/c", "d.part/e", "f/g/h"]
    assert not found.waiting() and _all(found) == []
    assert found.next_due() > time.monotonic() + 3000


def test_a_tree_deeper_than_the_stack(tmp_path: Path, found: Arrivals, request: pytest.FixtureRequest) -> None:
    """A producer's deep tree does not stop the scan, and few files are open for it."""
    request.addfinalizer(lambda: subprocess.run(["rm", "-rf", tmp_path / "d"], check=True))  # shutil would recurse
    directory = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(os.open("item", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    os.close(directory)
    open_files = len(os.listdir("/proc/self/fd"))
    candidate = found.next()
    assert candidate and candidate.name == "d/" * 1100 + "item"
    assert len(os.listdir("/proc/self/fd")) <= open_files + 1
    assert found.next() is None


def test_hints_and_the_scan_take_turns(tmp_path: Path, found: Arrivals, told: Told) -> None:
    """Neither many hints nor a long scan make the other starve."""
    for number in range(50):
        (tmp_path / f"scanned{number}").touch()
    told.hints = [Hint(Kind.RENAMED, f"hinted{number}") for number in range(50)]
    found.wake()
    first = [candidate.name[:6] for candidate in (found.next() for _ in range(20)) if candidate]
    assert first.count("hinted") >= 5 and first.count("scanne") >= 5


def test_lost_hints_cost_a_scan(tmp_path: Path, found: Arrivals, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an overflow, the kernel's or our own, everything is looked at again."""
    assert _all(found) == []
    (tmp_path / "a").touch()
    assert _all(found) == []
    told.hints = [Hint(Kind.OVERFLOW)]
    found.wake()
    assert found.waiting() and _all(found) == ["a"]
    monkeypatch.setattr(arrivals, "MAX_HINTS", 2)
    told.hints = [Hint(Kind.CHANGED, name) for name in "xyz"]
    found.wake()
    assert sorted(_all(found)) == ["a", "x", "y"]


def test_a_directory_hint_scans_it(tmp_path: Path, found: Arrivals, told: Told) -> None:
    """A directory that was moved in is scanned with all below; a hidden or vanished one is passed over."""
    assert _all(found) == []
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f").touch()
    told.hints = [Hint(Kind.DIRECTORY, name) for name in ("d", ".git", "gone")]
    found.wake()
    assert _all(found) == ["d/e/f"]
    assert found.problem == ""


def test_names_that_are_not_ready(found: Arrivals) -> None:
    """A name comes again when its time has come, once, and remembers that it was renamed in."""
    assert found.next() is None
    found.again("a", 0.0)
    found.again("a", 0.0, renamed=True)
    found.again("later", 3600.0)
    assert found.unready == 2
    candidate = until(found.next)
    assert (candidate.name, candidate.renamed) == ("a", True)
    assert found.next() is None and found.waiting()


def test_more_names_than_can_be_remembered(tmp_path: Path, found: Arrivals, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is not forgotten: it is waited for, and a scan that is due soon finds it."""
    monkeypatch.setattr(arrivals, "MAX_UNREADY", 1)
    (tmp_path / "b").touch()
    assert _all(found) == ["b"]
    found.again("a", 0.0)
    found.again("b", 0.0)
    assert until(found.next).name == "a"
    assert found.waiting()
    assert found.next_due() < time.monotonic() + 2
    assert until(found.next).name == "b"


def test_incoming_is_not_there(tmp_path: Path, told: Told) -> None:
    """While incoming/ cannot be read that is told, and it is looked for soon; when it is back it is read."""
    found = Arrivals(str(tmp_path / "incoming"), told, lambda name: True)
    assert found.next() is None and "No such file" in found.problem
    assert found.next_due() < time.monotonic() + 2
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "a").touch()
    assert until(found.next).name == "a"
    assert found.problem == ""


# --- siblings


def _odd(name: str) -> bool:
    """Whose own the names with an odd number are."""
    return int(name.rpartition("-")[2]) % 2 == 1


@pytest.fixture
def shared(tmp_path: Path, told: Told) -> Arrivals:
    """What arrives in tmp_path, of which odd numbers are this worker's own."""
    return Arrivals(str(tmp_path), told, lambda name: not is_ignored(name), _odd)


def test_own_names_first(tmp_path: Path, shared: Arrivals) -> None:
    """A scan gives the worker's own names, then, having no more, the siblings' that still lie there: none is left."""
    for number in range(100):
        (tmp_path / f"n-{number}").touch()
    (tmp_path / "d").mkdir()
    for number in range(100, 120):
        (tmp_path / "d" / f"n-{number}").touch()
    first = [candidate.name for candidate in (shared.next() for _ in range(60)) if candidate]
    assert all(map(_odd, first)) and len(set(first)) == 60
    for name in first:
        (tmp_path / name).unlink()
    for number in range(0, 50, 2):  # a sibling took them
        (tmp_path / f"n-{number}").unlink()
    rest = _all(shared)
    assert len(rest) == 35 and not any(map(_odd, rest))
    assert not shared.waiting() and _all(shared) == []


def test_a_sibling_is_far_behind(tmp_path: Path, shared: Arrivals) -> None:
    """Where a long stretch has no name of one's own, its names are given: the loop is not held by passing over all."""
    for number in range(0, 4 * arrivals.PASSED_IN_A_ROW, 2):
        (tmp_path / f"n-{number}").touch()
    asked: list[str] = []

    def nobodys(name: str) -> bool:
        asked.append(name)
        return False

    shared._own = nobodys
    assert shared.next() is not None
    assert len(asked) == arrivals.PASSED_IN_A_ROW + 1
    found = {candidate.name for candidate in iter(shared.next, None)}
    assert len(found) == 2 * arrivals.PASSED_IN_A_ROW, "the passed ones come in the second round"


def test_hints_of_siblings_names(shared: Arrivals, told: Told) -> None:
    """One's own names are given at once; the others' a moment later, with what was known of them, after all else."""
    assert _all(shared) == []
    told.hints = [Hint(Kind.RENAMED, f"n-{number}") for number in range(6)]
    shared.wake()
    assert _all(shared) == ["n-1", "n-3", "n-5"]
    assert shared.waiting() and shared.next_due() <= time.monotonic() + arrivals.LEAVE
    assert shared.unready == 0, "they are not unready: status does not count them"
    late = [until(shared.next) for _ in range(3)]
    assert late == [arrivals.Candidate(name, renamed=True) for name in ("n-0", "n-2", "n-4")]
    assert not shared.waiting()


def test_more_siblings_names_than_can_be_remembered(
    tmp_path: Path, shared: Arrivals, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is found by a scan that is due soon."""
    monkeypatch.setattr(arrivals, "MAX_UNREADY", 1)
    assert _all(shared) == []
    for number in (0, 2):
        (tmp_path / f"n-{number}").touch()
    told.hints = [Hint(Kind.RENAMED, f"n-{number}") for number in (0, 2)]
    shared.wake()
    assert until(shared.next).name == "n-0"
    assert shared.waiting() and shared.next_due() < time.monotonic() + 2
    assert {until(shared.next).name, until(shared.next).name} == {"n-0", "n-2"}


def test_a_siblings_name_that_is_not_ready(shared: Arrivals) -> None:
    """It is looked at again a moment later than its own worker looks."""
    assert _all(shared) == []
    shared.again("n-2", 0.0)
    shared.again("n-3", 0.0)
    assert [until(shared.next).name for _ in range(2)] == ["n-3", "n-2"]


# --- deferred


def _defer(directory: Path, name: str, due: float | None) -> None:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    if due is not None:
        notes.write(str(path), notes.about(name, path.stat()), due=due)


def test_due_items(tmp_path: Path) -> None:
    """Those whose time has come, or whose note is lost, are given; the others are looked for when the first is due."""
    _defer(tmp_path, "a/past", time.time() - 1)
    _defer(tmp_path, "lost", None)
    _defer(tmp_path, "future", time.time() + 5)
    deferred = Deferred(str(tmp_path))
    assert {deferred.next(), deferred.next()} == {"a/past", "lost"}
    assert deferred.next() is None
    assert 0 < deferred.next_due() - time.monotonic() <= 5.1
    deferred.note(time.time() + 1)
    assert deferred.next_due() - time.monotonic() <= 1.1


def test_one_round(tmp_path: Path) -> None:
    """For --once only what was due when it began."""
    began = time.time()
    _defer(tmp_path, "a", began - 1)
    _defer(tmp_path, "b", began + 0.001)
    deferred = Deferred(str(tmp_path))
    assert not deferred.looked
    assert (deferred.next(began), deferred.looked, deferred.next(began)) == ("a", False, None)
    deferred.note(began)  # whatever is due next, this round is over
    assert deferred.looked


def test_a_wake_looks_at_once(tmp_path: Path) -> None:
    """After a retry by hand nothing is waited for."""
    deferred = Deferred(str(tmp_path))
    assert deferred.next() is None
    _defer(tmp_path, "a", None)
    assert deferred.next() is None
    deferred.wake()
    assert deferred.next() == "a"


def test_what_is_due_for_a_sibling(tmp_path: Path) -> None:
    """It is left to it for a moment, though never for good; a round of --once takes all that was due."""
    now = time.time()
    for number, due in ((1, now - 0.1), (2, now - 0.1), (4, now - 5)):
        _defer(tmp_path, f"n-{number}", due)
    deferred = Deferred(str(tmp_path), _odd)
    assert {deferred.next(), deferred.next()} == {"n-1", "n-4"}
    (tmp_path / "n-1").unlink()
    (tmp_path / "n-4").unlink()
    assert deferred.next() is None
    assert deferred.next_due() - time.monotonic() <= arrivals.LEAVE_DEFERRED
    assert until(deferred.next) == "n-2"
    round_ = Deferred(str(tmp_path), _odd)
    assert round_.next(now) == "n-2"


def test_a_watch_that_is_refused_in_the_middle_of_a_scan(tmp_path: Path, found: Arrivals, told: Told) -> None:
    """Where the kernel's limit of watches is met, polling begins now, not after the long time until the next scan."""
    (tmp_path / "sub").mkdir()

    def refuse(directory: str) -> None:
        told.interval = 1.0 if directory else told.interval

    told.add = refuse  # type: ignore[method-assign]
    assert _all(found) == []
    assert found.next_due() <= time.monotonic() + 1.0


@pytest.mark.parametrize("put_back", [86_400, 10 * 365 * 86_400])
def test_what_was_deferred_before_the_clock_was_put_back(tmp_path: Path, put_back: float) -> None:
    """It is not late by as much: no deferral is so long."""
    deferred = Deferred(str(tmp_path))
    (tmp_path / "f").touch()
    (tmp_path / "later").touch()
    for name, due in (("f", time.time() + put_back + 5), ("later", time.time() + 3600)):
        note = tmp_path / f".{name}.note"
        note.touch()
        os.utime(note, (due, due))
    assert [deferred.next(), deferred.next()] == ["f", None]
