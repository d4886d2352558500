"""What of finished/ is kept: the oldest go first, only items go, and what is too young is not even looked at."""

import os
import threading
import time
from pathlib import Path

import pytest

from jollyae import Spool
from jollyae.spool import fs, keeping
from jollyae.spool.claims import Claims
from jollyae.spool.item import Item
from jollyae.spool.keeping import Finished, Limit, day_of
from jollyae.spool.owner import items_below
from jollyae.spool.readiness import Readiness, ignore_lease_signal
from tests.helpers import as_nobody, drop, needs_root, whereabouts

DAY = 86400.0


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """An empty finished/."""
    path = tmp_path / "finished"
    path.mkdir()
    return path


def _fill(finished: Path, *names: str, size: int = 10) -> None:
    """Files in the order of their ages, told apart by their change times."""
    for name in names:
        path = finished / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        now = path.stat().st_ctime_ns
        while True:  # until the kernel's clock for files has moved on
            (finished.parent / "clock").write_text("")
            if (finished.parent / "clock").stat().st_ctime_ns > now:
                break


def _left(finished: Path) -> list[str]:
    return sorted(items_below(str(finished)))


def test_what_is_older_goes(finished: Path) -> None:
    """By age; what was removed is told."""
    _fill(finished, "a", "b/c")
    assert Finished(str(finished)).prune(Limit(age=DAY)) == keeping.Pruned(0, 0)
    later = Finished(str(finished), now=lambda: time.time() + 2 * DAY)
    assert later.prune(Limit(age=DAY)) == keeping.Pruned(2, 20)
    assert list(finished.iterdir()) == []


def test_the_oldest_go_first(finished: Path) -> None:
    """By bytes: as many of the oldest as are too much, and no more, wherever they lie."""
    _fill(finished, "5", "d/4", "d/e/3", "2", "1")
    assert Finished(str(finished)).prune(Limit(bytes=30)) == keeping.Pruned(2, 20)
    assert _left(finished) == ["1", "2", "d/e/3"]
    assert Finished(str(finished)).prune(Limit(bytes=29)).items == 1
    assert Finished(str(finished)).prune(Limit(bytes=20)).items == 0
    assert sorted(path.name for path in finished.iterdir()) == ["1", "2"]


def test_only_so_many_are_sorted_at_a_time(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files of one age a pass orders a bounded number; the next ones go on, and the oldest still go first."""
    monkeypatch.setattr(keeping, "MOST_SORTED", 3)
    names = [f"{number:02}" for number in range(10)]
    _fill(finished, *names)
    kept = Finished(str(finished))
    for _ in range(4):
        kept.prune(Limit(bytes=20))
    assert _left(finished) == names[-2:]


def test_many_ages_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many, two become one; nothing is lost in the sum."""
    monkeypatch.setattr(keeping, "_MOST_AGES", 4)
    ages = keeping._Ages()
    for second in range(100):
        ages.add(float(second), 1)
    assert len(ages._weights) <= 4 and sum(ages._weights.values()) == 100
    assert ages.of(0.0) <= ages.up_to(10) == ages.of(9.0) or ages.up_to(10) == 0


def test_only_items_go(finished: Path) -> None:
    """Dotfiles, links and what is in hidden directories stay, and directories that we did not empty."""
    _fill(finished, ".note", ".git/x", "a")
    (finished / "link").symlink_to("/etc/passwd")
    (finished / "empty").mkdir()
    os.mkfifo(finished / "pipe")
    Finished(str(finished), now=lambda: time.time() + 9 * DAY).prune(Limit(age=DAY, bytes=0))
    assert sorted(path.name for path in finished.iterdir()) == [".git", ".note", "empty", "link", "pipe"]


def test_a_link_is_not_followed(finished: Path, tmp_path: Path) -> None:
    """A symbolic link to a directory leads nowhere."""
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "precious").write_text("x")
    (finished / "link").symlink_to(tmp_path / "others")
    Finished(str(finished), now=lambda: time.time() + 9 * DAY).prune(Limit(age=0, bytes=0))
    assert (tmp_path / "others" / "precious").exists()


def test_days_that_are_too_young_are_not_looked_at(finished: Path) -> None:
    """With directories by date, a pass by age reads only those that can hold something old enough."""
    now = time.time() // DAY * DAY + DAY / 2
    days = [day_of(now + number * DAY) for number in range(10)]
    _fill(finished, *(f"{day}/f" for day in days))
    seen = []
    kept = Finished(str(finished), by_date=True, pace=lambda: seen.append(1), now=lambda: now + 9 * DAY)
    assert kept.prune(Limit(age=8 * DAY)).items == 2
    assert _left(finished) == [f"{day}/f" for day in days[2:]]
    assert len(seen) < 20  # the root's ten and the two; the others were not opened
    assert not (finished / days[0]).exists()


def test_by_size_whole_days_go_first(finished: Path) -> None:
    """The oldest days go, the one on the edge in part; a day that is still to come is no day's directory of ours."""
    now = time.time()
    days = [day_of(now - number * DAY) for number in (3, 2, 1, 0)]
    _fill(finished, *(f"{day}/{name}" for day in days for name in ("a", "b")))
    kept = Finished(str(finished), by_date=True)
    assert kept.prune(Limit(bytes=50)).items == 3
    assert _left(finished) == [f"{days[1]}/b", *sorted(f"{day}/{name}" for day in days[2:] for name in ("a", "b"))]
    assert not (finished / days[0]).exists()
    _fill(finished, "9999-01-01/x", "2026-13-45/x")
    assert kept.prune(Limit(bytes=20)).items == 5
    assert _left(finished) == ["2026-13-45/x", "9999-01-01/x"]


def test_what_somebody_else_removed_is_not_counted(finished: Path) -> None:
    """What a pass remembers of settled days is forgotten before anything is removed for it."""
    old = day_of(time.time() - 5 * DAY)
    _fill(finished, f"{old}/a", f"{old}/b", "now")
    kept = Finished(str(finished), by_date=True)
    kept.prune(Limit(bytes=30))
    assert kept._weights == {old: 20}
    (finished / old / "a").unlink()
    _fill(finished, "more")
    assert kept.prune(Limit(bytes=30)).items == 0
    assert _left(finished) == [f"{old}/b", "more", "now"]


def test_room_is_freed_by_what_gives_room(finished: Path, tmp_path: Path) -> None:
    """Of what is below the floor nothing goes that has another name: it would free nothing."""
    _fill(finished, "linked", "a", "b", size=8192)
    os.link(finished / "linked", tmp_path / "second")
    assert Finished(str(finished)).free(8192).items == 1
    assert _left(finished) == ["b", "linked"]
    assert Finished(str(finished)).free(5, keeping.inode_of).items == 1
    assert Finished(str(finished)).free(0).items == 0
    assert _left(finished) == ["linked"]


def test_a_pass_can_be_ended(finished: Path) -> None:
    """What the pace raises ends it; what is left goes next time."""
    _fill(finished, *"abcdef")
    seen: list[int] = []

    def pace() -> None:
        seen.append(1)
        if len(seen) > 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        Finished(str(finished), pace=pace, now=lambda: time.time() + 2 * DAY).prune(Limit(age=DAY))
    assert 0 < len(_left(finished)) < 6


def test_two_that_prune_at_once_remove_the_same(finished: Path) -> None:
    """Several workers keep one finished/: together they leave what one would."""
    names = [f"{number:03}" for number in range(100)]
    _fill(finished, *names)
    threads = [threading.Thread(target=Finished(str(finished)).prune, args=(Limit(bytes=300),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _left(finished) == names[-30:]


def test_killed_at_any_removal(finished: Path) -> None:
    """Whatever was not removed yet is still there, and the next pass leaves what the first would have."""

    class Killed(BaseException):
        pass

    for number in range(12):
        names = [f"d/{letter}" for letter in "abcdef"]
        _fill(finished, *names)
        calls = iter(range(number))

        def observer(operation: str, path: str, calls: object = calls) -> None:
            if next(calls, None) is None:  # type: ignore[call-overload]
                raise Killed

        fs.observer = observer
        try:
            Finished(str(finished)).prune(Limit(bytes=20))
        except Killed:
            assert set(names[-2:]) <= set(_left(finished))
        finally:
            fs.observer = None
        Finished(str(finished)).prune(Limit(bytes=20))
        assert _left(finished) == names[-2:]
        Finished(str(finished)).prune(Limit(bytes=0))


# --- by date


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool."""
    return Spool(tmp_path / "spool")


def _deliver(spool: Spool, name: str, *, by_date: bool = True) -> str:
    ignore_lease_signal()
    claims = Claims(spool.places, Readiness(0), by_date=by_date)
    try:
        item = claims.take(name, renamed=True)
        assert isinstance(item, Item)
        return os.path.relpath(claims.finish(item), spool.places.finished)
    finally:
        claims.stop()


def test_finished_by_date(spool: Spool) -> None:
    """An item is finished under the day in UTC, its subdirectories below; a second of its name has a suffix."""
    today = {day_of(time.time())}
    for name in ("f", "a/b/f"):
        drop(spool, name, "x")
        assert _deliver(spool, name) in {f"{day}/{name}" for day in today | {day_of(time.time())}}
    drop(spool, "f", "other")
    found = _deliver(spool, "f")
    assert os.path.basename(found).startswith("f~") and os.path.dirname(found) in today | {day_of(time.time())}


def test_a_file_in_the_days_place(spool: Spool) -> None:
    """Where a file is called like the day, its directory gets the suffix: nothing is in the way of finishing."""
    for day in (day_of(time.time()), day_of(time.time() + DAY)):
        (spool.places.finished / day).write_text("mine")
    drop(spool, "f", "x")
    directory, _, name = _deliver(spool, "f").partition("/")
    assert name == "f" and directory.partition("~")[0] in (day_of(time.time()), day_of(time.time() - DAY))


def test_sent_again_by_a_hard_link(spool: Spool) -> None:
    """finished/DAY/f linked into incoming/ is delivered again; on the same day it is one name in finished/."""
    drop(spool, "f", "x")
    found = _deliver(spool, "f")
    os.link(spool.places.finished / found, spool.places.incoming / "f")
    again = _deliver(spool, "f")
    assert (spool.places.finished / again).read_text() == "x"
    assert set(whereabouts(spool)) == {found, again}


@needs_root
def test_what_is_not_ours_to_remove_keeps_nothing_else(finished: Path) -> None:
    """A directory that somebody else closed is told, and all others are pruned."""
    _fill(finished, "closed/a", "hidden/b", "open/c", "d")
    for directory, mode in ((finished, 0o777), (finished / "open", 0o777), (finished / "closed", 0o755)):
        directory.chmod(mode)
    (finished / "hidden").chmod(0o700)
    for parent in finished.parents:
        if parent != Path("/tmp") and parent.is_relative_to("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    kept = Finished(str(finished), now=lambda: time.time() + 9 * DAY)
    with as_nobody():
        pruned = kept.prune(Limit(age=DAY))
    assert (pruned.items, pruned.refused, type(pruned.error)) == (2, 2, PermissionError)
    assert _left(finished) == ["closed/a", "hidden/b"]
