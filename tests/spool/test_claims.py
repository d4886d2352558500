"""Taking, giving back, adopting, handing on: each a move, and none over another file."""

import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from jollyae.spool import fs, notes, owner
from jollyae.spool.claims import Claims, Later
from jollyae.spool.item import Item
from jollyae.spool.places import Place
from jollyae.spool.readiness import Readiness, ignore_lease_signal
from tests.helpers import drop, whereabouts


@pytest.fixture
def claims(spool: Spool) -> Iterator[Claims]:
    """What one worker has in hand."""
    ignore_lease_signal()
    made = Claims(spool.places, Readiness(0))
    yield made
    made.stop()


def _take(claims: Claims, name: str) -> Item:
    item = claims.take(name, renamed=True)
    assert isinstance(item, Item)
    return item


def test_claim_and_finish(spool: Spool, claims: Claims) -> None:
    """An item goes from incoming through the worker's directory to finished, with its subdirectories and no litter."""
    drop(spool, "a/b/f", "x")
    item = _take(claims, "a/b/f")
    assert item.where == f"{claims.directory}/a/b/f"
    assert os.pread(item.fd, 10, 0) == b"x"
    claims.finish(item)
    assert whereabouts(spool) == {"a/b/f": ["finished"]}
    assert (spool.places.incoming / "a" / "b").is_dir()
    claims.tidy()
    assert os.listdir(claims.directory) == [".lock"]


def test_another_worker_was_faster(spool: Spool, claims: Claims) -> None:
    """A name that is gone is no error; nor is one whose directory became a file."""
    assert claims.take("gone", renamed=True) is None
    drop(spool, "a", "x")
    assert claims.take("a/b", renamed=True) is None
    assert claims.take_deferred("gone") is None


def test_a_name_is_in_work_once(spool: Spool, claims: Claims) -> None:
    """The second of a name waits in incoming until the first is out of work, and while it is deferred."""
    drop(spool, "f", "first")
    first = _take(claims, "f")
    drop(spool, "f", "second")
    assert claims.take("f", renamed=True) is None
    claims.defer(first, 0, "not now", "")
    assert list(claims.unblocked()) == []
    assert claims.take("f", renamed=True) is None
    again = claims.take_deferred("f")
    assert isinstance(again, Item) and again.attempt == 2
    claims.finish(again)
    assert list(claims.unblocked()) == ["f"]
    second = _take(claims, "f")
    target = claims.finish(second)
    assert (spool.places.finished / "f").read_text() == "first"
    assert Path(target).read_text() == "second" and Path(target).name.startswith("f~")


def test_a_taken_name_gets_a_suffix(spool: Spool, claims: Claims) -> None:
    """In finished and failed nothing is overwritten; the reason lies beside the one that failed."""
    for place in (spool.places.finished, spool.places.failed):
        (place / "f.tar.gz").write_text("old")
    drop(spool, "f.tar.gz", "new")
    target = Path(claims.finish(_take(claims, "f.tar.gz")))
    assert target.read_text() == "new" and target.name.startswith("f.tar~") and target.suffix == ".gz"
    drop(spool, "f.tar.gz", "bad")
    target = Path(claims.fail(_take(claims, "f.tar.gz"), "too bad", "do this"))
    note = notes.read(str(target))
    assert note and (note.name, note.error, note.hint) == ("f.tar.gz", "too bad", "do this")
    assert (spool.places.failed / "f.tar.gz").read_text() == "old"


@pytest.mark.parametrize("place", [Place.FINISHED, Place.FAILED])
def test_a_file_where_a_directory_must_be(spool: Spool, claims: Claims, place: Place) -> None:
    """After `a` came `a/b`, and the other way round: the component in the way gets the suffix."""

    def retire(item: Item) -> Path:
        return Path(claims.finish(item) if place is Place.FINISHED else claims.fail(item, "no", ""))

    (spool.places.of(place) / "a").write_text("a file")
    (spool.places.of(place) / "d" / "x").mkdir(parents=True)
    drop(spool, "a/b", "below")
    target = retire(_take(claims, "a/b"))
    assert target.read_text() == "below" and target.parent.name.startswith("a~") and target.name == "b"
    drop(spool, "d", "flat")
    target = retire(_take(claims, "d"))
    assert target.read_text() == "flat" and target.name.startswith("d~")


def test_a_and_below_a(spool: Spool, claims: Claims) -> None:
    """`a/b` waits while `a` is in work, and `a` while `a/b` is; a directory that `a/b` left behind is no obstacle."""
    drop(spool, "a", "1")
    first = _take(claims, "a")
    drop(spool, "a/b", "2")
    assert claims.take("a/b", renamed=True) == Later(0.3, full=True)
    claims.finish(first)
    second = _take(claims, "a/b")
    (spool.places.incoming / "a").rmdir()
    drop(spool, "a", "3")
    assert claims.take("a", renamed=True) == Later(0.3, full=True)
    claims.finish(second)
    assert claims.take("a", renamed=True) == Later(0.3, full=True)
    claims.finish(_take(claims, "a"))
    assert len(whereabouts(spool)) == 3 and all(places == ["finished"] for places in whereabouts(spool).values())


def test_a_half_done_claim_is_healed(spool: Spool, claims: Claims) -> None:
    """After a power cut one inode may have both names: it is adopted once, and retired to one place."""
    dead = Claims(spool.places, Readiness(0))
    path = drop(spool, "f", "x")
    item = _take(dead, "f")
    os.link(item.where, path)
    dead.stop()
    (adopted,) = claims.adopt()
    assert claims.take("f", renamed=True) is None
    claims.finish(adopted)
    claims.finish(_take(claims, "f"))
    assert whereabouts(spool) == {"f": ["finished"]}


@pytest.mark.parametrize("where", ["incoming", "deferred", "working"])
def test_a_half_done_retry_is_healed(spool: Spool, claims: Claims, where: str) -> None:
    """After a power cut a retried item may be in failed/ too, wherever it got to since: once it is taken, it is not."""
    dead = Claims(spool.places, Readiness(0))
    drop(spool, "f", "x")
    claims.fail(_take(claims, "f"), "bad", "")
    before = [(path, spool.places.control / path.name) for path in spool.places.failed.iterdir()]
    for path, kept in before:
        os.link(path, kept)
    assert [how for _, how in spool.retry()] == ["retried"]
    if where != "incoming":
        item = _take(dead, "f")
        if where == "deferred":
            dead.defer(item, 0.0, "later", "")
    for path, kept in before:
        kept.rename(path)
    dead.stop()
    taken = next(iter(claims.adopt()), None) or claims.take_deferred("f") or claims.take("f", renamed=True)
    assert isinstance(taken, Item)
    assert whereabouts(spool) == {"f": ["working"]} and os.listdir(spool.places.failed) == []
    claims.finish(taken)
    assert whereabouts(spool) == {"f": ["finished"]}


def test_another_of_the_name_stays_in_failed(spool: Spool, claims: Claims) -> None:
    """A hard link is taken while another file of its name is in failed/: that one stays, with its note."""
    drop(spool, "f", "x")
    claims.fail(_take(claims, "f"), "bad", "")
    (spool.places.control / "mine").write_text("y")
    os.link(spool.places.control / "mine", spool.places.incoming / "f")
    claims.finish(_take(claims, "f"))
    assert whereabouts(spool) == {"f": ["finished", "failed"]}
    assert sorted(os.listdir(spool.places.failed)) == [".f.note", "f"]


def test_hard_links_are_items(spool: Spool, claims: Claims) -> None:
    """finished/x linked into incoming/ is sent again and ends as one file; so is ln of a file elsewhere."""
    drop(spool, "x", "1")
    claims.finish(_take(claims, "x"))
    os.link(spool.places.finished / "x", spool.places.incoming / "x")
    item = claims.take("x", renamed=False)
    assert isinstance(item, Item)
    claims.finish(item)
    assert whereabouts(spool) == {"x": ["finished"]}
    (spool.places.control / "mine").write_text("2")
    os.link(spool.places.control / "mine", spool.places.incoming / "y")
    claims.finish(_take(claims, "y"))
    assert (spool.places.control / "mine").read_text() == "2"


def test_a_writer_keeps_its_file(spool: Spool, claims: Claims) -> None:
    """A file renamed in while still open for writing is not taken until it is closed."""
    file = (spool.places.tmp / "f").open("w")
    (spool.places.tmp / "f").rename(spool.places.incoming / "f")
    assert isinstance(claims.take("f", renamed=True), Later)
    file.write("all")
    file.close()
    assert _take(claims, "f").size == 3


class Writer(threading.Thread):
    """A producer that opens ``path`` to append to it, and has it open until told to close it. Its open(2) waits while
    somebody holds a lease on the file; when this is made, it is open or waits."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._inode = path.stat().st_ino
        self.open = threading.Event()
        self._close = threading.Event()
        self.start()
        deadline = time.monotonic() + 20
        while not self.open.is_set() and not self._waits():
            assert time.monotonic() < deadline

    def _waits(self) -> bool:
        locks = Path("/proc/locks").read_text().splitlines()
        return any("BREAKING" in lock and f":{self._inode} " in lock for lock in locks)

    def run(self) -> None:
        """Open, wait, close."""
        with self._path.open("a"):
            self.open.set()
            self._close.wait(60)

    def close(self) -> None:
        """Return when it is closed."""
        self._close.set()
        self.join(60)
        assert not self.is_alive()


def test_a_writer_between_look_and_claim(spool: Spool, claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened in between, the file goes back and its writer goes on; where its name was taken meanwhile, it waits in
    working."""
    writers: list[Writer] = []

    def observer(operation: str, path: str) -> None:
        if operation == "rename" and path == str(spool.places.incoming / "f"):
            writers.append(Writer(Path(path)))

    monkeypatch.setattr(fs, "observer", observer)
    drop(spool, "f", "x")
    assert claims.take("f", renamed=True) is None
    assert whereabouts(spool) == {"f": ["incoming"]} and list(claims.unblocked()) == ["f"]
    assert writers[0].open.wait(20)  # the lease was given back
    writers[0].close()

    def taken(operation: str, path: str) -> None:
        observer(operation, path)
        if operation == "rename" and path.startswith(claims.directory):
            (spool.places.incoming / "f").write_text("newer")

    monkeypatch.setattr(fs, "observer", taken)
    assert claims.take("f", renamed=True) is None
    monkeypatch.setattr(fs, "observer", None)
    assert sorted(whereabouts(spool)["f"]) == ["incoming", "working"] and len(claims) == 1
    assert claims.take("f", renamed=True) is None
    assert writers[-1].open.wait(20)
    writers[-1].close()
    deadline = time.monotonic() + 20
    while (item := claims.next_parked()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    claims.finish(item)
    assert (spool.places.finished / "f").read_text() == "x"


def test_the_file_changed_hands_between_look_and_claim(
    spool: Spool, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is the file that was renamed, not the one that was looked at."""
    drop(spool, "f", "looked at")

    def observer(operation: str, path: str) -> None:
        monkeypatch.setattr(fs, "observer", None)
        os.unlink(spool.places.incoming / "f")
        drop(spool, "f", "other")

    monkeypatch.setattr(fs, "observer", observer)
    item = _take(claims, "f")
    assert os.pread(item.fd, 20, 0) == b"other" and item.size == 5


def test_what_is_no_file_is_claimed_without_opening_it(spool: Spool, claims: Claims) -> None:
    """Symbolic links, pipes and sockets can be taken away from incoming, and nothing hangs or is followed."""
    os.mkfifo(spool.places.incoming / "pipe")
    (spool.places.incoming / "link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(spool.places.incoming / "socket"))
    for name in ("pipe", "link", "socket"):
        item = _take(claims, name)
        assert item.fd == -1
        claims.fail(item, "no file", "")
    assert all(places == ["failed"] for places in whereabouts(spool).values())


def test_a_directory_that_became_a_link(spool: Spool, claims: Claims, tmp_path: Path) -> None:
    """A producer's directory is a link to somewhere else when its item is looked at: what lies there is no item, and
    is neither read nor moved."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    for path in (elsewhere / "f", elsewhere / "deep/f"):
        path.write_text("a secret")
    (spool.places.incoming / "d").mkdir()
    (spool.places.incoming / "d/e").symlink_to(elsewhere)
    (spool.places.incoming / "l").symlink_to(elsewhere)
    for name in ("l/f", "l/deep/f", "d/e/f", "d/e/deep/f"):
        assert claims.take(name, renamed=True) is None
        assert claims.take(name, renamed=False, regular=True) is None
    assert len(claims) == 0 and (elsewhere / "f").exists() and (elsewhere / "deep/f").exists()


def test_an_item_taken_away_by_hand(spool: Spool, claims: Claims) -> None:
    """Whoever removes an item from working ends it; the worker goes on, and nothing is left of it."""
    for name, retire in (
        ("a", claims.finish),
        ("b", claims.delete),
        ("c", lambda item: claims.fail(item, "", "")),
        ("d", lambda item: claims.defer(item, 1, "", "")),
    ):
        drop(spool, name)
        item = _take(claims, name)
        os.unlink(item.where)
        retire(item)
    assert whereabouts(spool) == {} and len(claims) == 0
    assert not [path for path in spool.places.control.rglob(".*") if path.name != ".lock"]


def test_a_rename_that_happened_and_says_enoent(spool: Spool, claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NFS a rename may say ENOENT although it happened: the file in our directory is ours."""
    drop(spool, "f", "x")
    real = fs.move

    def lost_answer(source: str, target: str, **more: Any) -> None:
        real(source, target, **more)
        raise FileNotFoundError(2, "No such file or directory", source)

    monkeypatch.setattr(fs, "move", lost_answer)
    claims.finish(_take(claims, "f"))
    assert whereabouts(spool) == {"f": ["finished"]}


def test_a_deferral_that_meets_a_taken_name_waits_in_working(spool: Spool, claims: Claims) -> None:
    """deferred/ is never written over either."""
    drop(spool, "f", "mine")
    item = _take(claims, "f")
    (spool.places.deferred / "f").write_text("other")
    claims.defer(item, 0.0, "not now", "")
    assert sorted(whereabouts(spool)["f"]) == ["deferred", "working"]
    assert claims.next_parked() is item
    note = notes.read(item.where)
    assert note and note.error == "not now" and note.attempts == 1


def test_no_descriptor_is_lost(spool: Spool, claims: Claims, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails on the way, and however often, no file stays open."""
    item_path = drop(spool, "f", "x")
    (spool.places.deferred / "d").write_text("x")
    notes.write(str(spool.places.deferred / "d"), notes.about("d", (spool.places.deferred / "d").stat()))
    for operation in ("rename", "create", "write", "replace"):

        def observer(name: str, path: str, operation: str = operation) -> None:
            if name == operation:
                raise OSError(5, "I/O error")

        monkeypatch.setattr(fs, "observer", observer)
        before = len(os.listdir("/proc/self/fd"))
        for place in ("incoming", "deferred"):
            try:
                taken = claims.take("f", renamed=True) if place == "incoming" else claims.take_deferred("d")
            except OSError:
                continue
            if isinstance(taken, Item):
                monkeypatch.setattr(fs, "observer", None)
                os.rename(taken.where, spool.places.incoming / "f")
                claims.finish(taken)
                monkeypatch.setattr(fs, "observer", observer)
        assert len(os.listdir("/proc/self/fd")) == before
    monkeypatch.setattr(fs, "observer", None)
    assert item_path.exists() and whereabouts(spool) == {"f": ["incoming"], "d": ["deferred"]}


# --- adoption


def test_adoption_moves_nothing_and_counts_deaths(spool: Spool, claims: Claims) -> None:
    """Each death while a worker was on an item is counted; an orderly stop is not; the lock goes last."""
    drop(spool, "f", "x")
    where = ""
    for deaths in (1, 2, 3):
        pid = os.fork()
        if pid == 0:
            dying = Claims(spool.places, Readiness(0))
            item = dying.adopt()[0] if where else _take(dying, "f")
            dying.begin(item)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        orderly = Claims(spool.places, Readiness(0))
        (item,) = orderly.adopt()
        assert item.noted().adoptions == deaths
        assert where in ("", item.where)
        where = item.where
        orderly.begin(item)
        assert orderly.stop() == 1
    (item,) = claims.adopt()
    assert item.noted().adoptions == 3 and item.where == where
    claims.finish(item)
    assert [path.name for path in spool.places.working.iterdir()] == [claims.worker]


def test_the_living_are_left_alone(spool: Spool, claims: Claims) -> None:
    """The directory of a live worker, files of somebody's script, and directories that are not ours stay."""
    alive = Claims(spool.places, Readiness(0))
    drop(spool, "f", "x")
    _take(alive, "f")
    (spool.places.working / "theirs").touch()
    (spool.places.working / "script").mkdir()
    (spool.places.working / "script" / "file").touch()
    assert claims.adopt() == []
    assert owner.holder(alive.directory) == alive.worker and not owner.holder(str(spool.places.working / "script"))
    assert (spool.places.working / "theirs").exists() and (spool.places.working / "script" / "file").exists()
    alive.stop()
    assert not owner.holder(alive.directory)
    assert [item.name for item in claims.adopt()] == ["f"]
    assert owner.holder(alive.directory) == claims.worker


def test_no_more_is_adopted_than_there_may_be_files_open_for(spool: Spool, claims: Claims) -> None:
    """Of two dead workers' items so many are taken at a time; neither items nor directories are held before their
    turn."""
    working = spool.places.working
    for holder in "ab":
        directory = working / f"host-1-0000000{holder}"
        directory.mkdir()
        (directory / ".lock").touch()
        for number in range(3):
            (directory / f"{holder}{number}").write_text("x")
    seen = []
    while items := claims.adopt(2):
        assert len(items) <= 2 >= len(claims.items())
        seen += [item.name for item in items]
        for item in items:
            claims.finish(item)
    assert sorted(seen) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert not claims.has_more and os.listdir(working) == [claims.worker]


def test_who_was_taken_for_dead_works_on(spool: Spool, claims: Claims) -> None:
    """A server of NFS may forget a living worker's lock: another takes over its items, finishes them and removes its
    directory. What was in hand is done then; the directory is made again, under its name, and locked."""
    drop(spool, "f", "x")
    mine = _take(claims, "f")
    fcntl.flock(claims._own.lock, fcntl.LOCK_UN)
    other = Claims(spool.places, Readiness(0))
    (taken,) = other.adopt()
    other.finish(taken)
    assert os.listdir(spool.places.working) == [other.worker]
    assert claims.adopt() == []
    claims.finish(mine)
    assert whereabouts(spool) == {"f": ["finished"]}
    drop(spool, "g", "x")
    claims.finish(_take(claims, "g"))
    assert whereabouts(spool) == {"f": ["finished"], "g": ["finished"]}
    assert owner.holder(claims.directory) == claims.worker and other.adopt() == []
    other.stop()
    claims.stop()
    assert os.listdir(spool.places.working) == []


def test_a_spool_that_was_moved_away_is_not_made_again(spool: Spool, claims: Claims) -> None:
    """What was in hand is not retired into new directories at the old place; it is adopted where it lies."""
    away = spool.places.control.with_name("away")
    for name in ("f", "sub/g", "h"):
        drop(spool, name, "x")
    item, below, deferred = (_take(claims, name) for name in ("f", "sub/g", "h"))
    os.rename(spool.places.control, away)
    claims.finish(item)
    claims.finish(below)
    with pytest.raises(FileNotFoundError):
        claims.defer(deferred, 5.0, "not now", "")
    assert not spool.places.control.exists()
    os.rename(away, spool.places.control)
    assert sorted(item.name for item in claims.adopt()) == ["f", "sub/g"]


def test_what_starting_and_ending_workers_leave(spool: Spool, claims: Claims) -> None:
    """Half made and half removed directories of dead workers vanish; items without a lock beside them are adopted."""
    working = spool.places.working
    (working / ".new-00000001").mkdir()
    (working / ".new-00000002").mkdir()
    (working / ".new-00000002" / ".lock").touch()
    (working / "host-1-0000000a").mkdir()
    (working / "host-1-0000000b" / "sub").mkdir(parents=True)
    (working / "host-1-0000000b" / "sub" / "f").write_text("x")
    (item,) = claims.adopt()
    assert item.name == "sub/f"
    claims.finish(item)
    assert os.listdir(working) == [claims.worker]


def test_an_adopted_namesake_waits(spool: Spool, claims: Claims) -> None:
    """Two dead workers may have left one name: one after the other, and both end in finished."""
    for content in ("1", "2"):
        dead = Claims(spool.places, Readiness(0))
        drop(spool, "f", content)
        _take(dead, "f")
        dead.stop()
    (first,) = claims.adopt()
    assert len(claims.items()) == 2 and claims.adopt() == []
    claims.finish(first)
    deadline = time.monotonic() + 20
    while (second := claims.next_parked()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    claims.finish(second)
    contents = {path.read_text() for path in spool.places.finished.iterdir()}
    assert contents == {"1", "2"}
    assert os.listdir(spool.places.working) == [claims.worker]


def test_what_could_not_be_opened_is_taken_up_later(
    spool: Spool, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An item that was claimed or adopted but could not be taken in hand is found at the next look."""
    dead = Claims(spool.places, Readiness(0))
    drop(spool, "f", "x")
    _take(dead, "f")
    dead.stop()
    real = os.open

    def no_more_files(path: str, *rest: int, **more: int) -> int:
        if str(path).endswith("/f"):
            raise OSError(24, "Too many open files")
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", no_more_files)
    assert claims.adopt() == []
    monkeypatch.setattr(os, "open", real)
    (item,) = claims.adopt()
    os.rename(item.where, f"{claims.directory}/stray")  # claimed, and then an error before it was in hand
    (stray,) = claims.adopt()
    assert stray.name == "stray"
    claims.finish(stray)
    claims.finish(item)
    assert os.listdir(spool.places.working) == [claims.worker]


def test_stop_keeps_what_a_thread_still_reads(spool: Spool) -> None:
    """The file of an item in a busy thread stays open; the others are closed, and all stay to be adopted."""
    claims = Claims(spool.places, Readiness(0))
    for name in ("busy", "idle"):
        drop(spool, name, "x")
    busy, idle = _take(claims, "busy"), _take(claims, "idle")
    assert claims.stop(busy={busy}) == 2
    assert os.pread(busy.fd, 1, 0) == b"x" and idle.fd == -1
    os.close(busy.fd)
    assert whereabouts(spool) == {"busy": ["working"], "idle": ["working"]}


def test_what_is_remembered_survives(spool: Spool, claims: Claims) -> None:
    """What a processor remembers is there for the next worker, unless the file changed."""
    dead = Claims(spool.places, Readiness(0))
    for name in ("same", "changed"):
        drop(spool, name, "x")
        _take(dead, name).remember(upload="7")
    dead.stop()
    (Path(dead.directory) / "changed").write_text("xy")
    memory = {item.name: item.memory for item in claims.adopt()}
    assert memory == {"same": {"upload": "7"}, "changed": {}}
