"""The loop, with real files and real signals."""

import asyncio
import errno
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jollyae import Item, Permanent, Rules, Scope, Spool, SpoolError, Summary, Temporary, Worker
from jollyae.service.observing.status import look
from jollyae.spool import fs, notes
from jollyae.worker import receipts, state
from jollyae.worker import worker as worker_module
from jollyae.worker.line import LARGE
from jollyae.worker.news import NEWS_FOR
from jollyae.worker.rules import OnDone, OnFail
from tests.children import Forks
from tests.helpers import as_nobody, drop, eventually, mount_namespace, needs_root, once, until, whereabouts, working

HARD_NAMES = ["line\nbreak", "esc\x1b[2J", "bad\udcff.jpg", "x" * 255, "é" * 127, "-rf", "100%41", "🎉", "a+b c"]


def _nothing(item: Item) -> None:
    """A processor that is content with everything."""


def _refuse(item: Item) -> None:
    raise Permanent("never", hint="leave it")


class Seen:
    """A processor that remembers what it was given."""

    def __init__(self) -> None:
        self.items: list[tuple[str, bytes]] = []

    def __call__(self, item: Item) -> None:
        """Read it whole."""
        self.items.append((item.name, os.pread(item.fd, item.size + 1, 0)))


# --- once


def test_a_place_that_cannot_be_read_does_not_keep_it_from_ending(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end the deferred items are counted; where that fails (too many open files), it still ends in order."""
    drop(spool, "f", "x")

    def refused(directory: str) -> Iterator[str]:
        raise OSError(errno.EMFILE, "Too many open files", directory)

    monkeypatch.setattr(worker_module, "items_below", refused)
    assert once(spool, _nothing).exit_code == 0
    assert whereabouts(spool) == {"f": ["finished"]}
    assert list(spool.places.working.iterdir()) == []


def test_once_drains_and_ends(spool: Spool) -> None:
    """All that is there is processed, with its bytes, and the exit code is 0; nothing is left in working."""
    for name in (*HARD_NAMES, *(f"sub/{name}" for name in HARD_NAMES), "empty"):
        drop(spool, name, b"" if name == "empty" else os.fsencode(name))
    seen = Seen()
    summary = once(spool, seen)
    assert summary.exit_code == 0 and summary.delivered == 2 * len(HARD_NAMES) + 1
    assert {name: data for name, data in seen.items if name != "empty"} == {
        name: os.fsencode(name) for name in (*HARD_NAMES, *(f"sub/{name}" for name in HARD_NAMES))
    }
    assert all(places == ["finished"] for places in whereabouts(spool).values())
    assert list(spool.places.working.iterdir()) == []


def test_once_of_nothing(spool: Spool) -> None:
    """An empty spool ends at once with 0."""
    assert once(spool, _nothing).exit_code == 0


def test_a_thousand_items(spool: Spool) -> None:
    """Many small files, by a coroutine, each once, each with its receipt."""
    for number in range(1000):
        (spool.places.incoming / str(number)).touch()
    seen: list[str] = []

    async def process(item: Item) -> dict[str, Any]:
        seen.append(item.name)
        await asyncio.sleep(0)
        return {"url": f"null:{item.name}", "sha256": "0"}

    assert once(spool, process).delivered == 1000
    assert len(seen) == len(set(seen)) == 1000
    written = list(receipts.read(spool.places.receipts))
    assert len({one["id"] for one in written}) == len(written) == 1000


def test_exit_code_1_for_failed_with_the_reason_beside(spool: Spool) -> None:
    """What will never work is in failed/, with the reason."""
    drop(spool, "a/f", "x")
    assert once(spool, _refuse).exit_code == 1
    note = notes.read(str(spool.places.failed / "a" / "f"))
    assert note and (note.error, note.hint, note.attempts) == ("never", "leave it", 1)


def test_exit_code_75_for_deferred_and_1_wins(spool: Spool) -> None:
    """One round per item: what is deferred waits for the next run; failed items win over waiting ones."""
    calls: list[str] = []

    def process(item: Item) -> None:
        calls.append(item.name)
        if item.name == "bad":
            raise Permanent("bad")
        raise Temporary("busy", after=0.001)

    drop(spool, "f")
    assert once(spool, process).exit_code == 75
    assert calls == ["f"] and whereabouts(spool) == {"f": ["deferred"]}
    drop(spool, "f", "second")
    drop(spool, "bad")
    until(lambda: time.time() > (spool.places.deferred / ".f.note").stat().st_mtime)
    assert once(spool, process).exit_code == 1
    assert sorted(calls) == ["bad", "f", "f"]
    assert whereabouts(spool) == {"f": ["incoming", "deferred"], "bad": ["failed"]}
    note = notes.read(str(spool.places.deferred / "f"))
    assert note and note.attempts == 2


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (Summary(1, 0, 0, 0, 0, once=True), 0),
        (Summary(1, 1, 1, 0, 1, once=True), 1),
        (Summary(1, 0, 1, 0, 1, once=True), 75),
        (Summary(1, 0, 0, 0, 0, once=True, signal=2), 130),
        (Summary(1, 1, 1, 0, 1, once=False), 0),
        (Summary(1, 0, 0, 0, 3, once=False, signal=15), 0),
        (Summary(1, 0, 0, 2, 2, once=False, signal=15), 143),
    ],
)
def test_exit_codes(summary: Summary, code: int) -> None:
    """A daemon that was told to end and has nothing in flight ends with 0; the others say what is left."""
    assert summary.exit_code == code


def test_once_counts_all_that_waits(spool: Spool) -> None:
    """The summary's number is that of the items: all that are deferred, and all that a pause by hand left."""

    def process(item: Item) -> None:
        raise Temporary("busy")

    for number in range(8):
        drop(spool, f"f{number}")
    assert once(spool, process).waiting == 8
    spool.pause("not today")
    for number in range(3):
        drop(spool, f"g{number}")
    assert once(spool, process).waiting == 11


def test_once_waits_for_young_files_and_not_for_growing_ones(spool: Spool) -> None:
    """A file younger than settle is waited for; one that is held open counts as waiting."""
    drop(spool, "young", "x")
    with (spool.places.incoming / "growing").open("w") as file:
        file.write("half")
        file.flush()
        assert once(spool, _nothing, settle=0.3).exit_code == 75
        assert whereabouts(spool) == {"young": ["finished"], "growing": ["incoming"]}
    assert once(spool, _nothing, settle=0.3).exit_code == 0


def test_once_takes_what_its_writer_finishes_in_time(spool: Spool) -> None:
    """A writer that closes its file while it is waited for still has it delivered, and the exit code says so."""
    file = (spool.places.incoming / "f").open("w")
    closer = threading.Timer(0.4, file.close)
    closer.start()
    assert once(spool, _nothing, settle=0.8).exit_code == 0
    closer.join()
    assert whereabouts(spool) == {"f": ["finished"]}


def test_once_with_the_second_of_a_name(spool: Spool) -> None:
    """An item of the same name that comes while the first is in work is delivered after it, in order."""
    seen: list[bytes] = []

    def process(item: Item) -> None:
        if not seen:
            drop(spool, "f", "second")
        seen.append(os.pread(item.fd, 10, 0))

    drop(spool, "f", "first")
    assert once(spool, process).exit_code == 0
    assert seen == [b"first", b"second"]
    assert len(list(spool.places.finished.iterdir())) == 2


def test_once_finds_what_is_below_a_finished_name(spool: Spool) -> None:
    """After `a` was finished as a file, `a/b` is delivered too, and the other way round."""
    drop(spool, "a", "1")
    assert once(spool, _nothing).exit_code == 0
    drop(spool, "a/b", "2")
    assert once(spool, _nothing).exit_code == 0
    assert sorted(path.read_text() for path in spool.places.finished.rglob("*") if path.is_file()) == ["1", "2"]


def test_once_on_a_paused_spool(spool: Spool) -> None:
    """A pause by hand leaves the items where they are, and the exit code says that some wait."""
    spool.pause("not today")
    assert once(spool, _nothing).exit_code == 0
    drop(spool, "f")
    assert once(spool, _nothing).exit_code == 75
    assert whereabouts(spool) == {"f": ["incoming"]}


def test_once_with_the_destination_away(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many seconds of pause it ends with 75; nothing went to failed/, and the reason is in the note."""
    monkeypatch.setattr("jollyae.worker.worker.ONCE_PATIENCE", 1.5)
    tried: list[str] = []

    def process(item: Item) -> None:
        tried.append(item.name)
        raise Temporary("no route", scope=Scope.DESTINATION, hint="plug it in")

    for name in "abcdef":
        drop(spool, name)
    assert once(spool, process, concurrency=2).exit_code == 75
    assert not list(spool.places.failed.iterdir())
    assert len(tried) < 8
    assert whereabouts(spool).keys() == set("abcdef")
    held = [path for path in spool.places.working.glob("*/.*.note") if b"no route" in path.read_bytes()]
    assert held
    assert once(spool, _nothing).exit_code == 0


def test_what_is_no_file_fails_with_a_reason(spool: Spool) -> None:
    """Symbolic links, pipes and sockets are refused by what they are, and never followed or opened."""
    os.mkfifo(spool.places.incoming / "pipe")
    (spool.places.incoming / "link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(spool.places.incoming / "socket"))
    assert once(spool, _nothing).exit_code == 1
    for name, what in (("pipe", "a named pipe"), ("link", "a symbolic link"), ("socket", "a socket")):
        note = notes.read(str(spool.places.failed / name))
        assert note and note.error == f"it is not a regular file but {what}" and "the file itself" in note.hint


@needs_root
def test_an_unreadable_file_fails_with_a_reason(tmp_path: Path, forks: Forks) -> None:
    """What the worker's user may not read is no fault of the world's: owner and mode are told."""
    nobody = 65534
    root, to = Path("/tmp") / f"jollyae-test-{os.getpid()}", Path("/tmp") / f"jollyae-test-to-{os.getpid()}"
    try:
        spool = Spool(root)
        to.mkdir()
        for directory in (*spool.places.all(), to):
            os.chown(directory, nobody, nobody)
        drop(spool, "secret", "x").chmod(0o600)
        os.chown(drop(spool, "open", "y"), nobody, nobody)
        (spool.places.incoming / "theirs").mkdir(mode=0o755)
        drop(spool, "theirs/f", "z")
        os.chmod(tmp_path.parent, 0o711)
        assert forks.run(root, to, rules={"once": True, "settle": 0}, uid=nobody) == 1, forks.log.read_text()
        assert whereabouts(spool) == {"secret": ["failed"], "open": ["finished"], "theirs/f": ["incoming"]}
        note = notes.read(str(spool.places.failed / "secret"))
        assert note and note.error == "it cannot be read: it belongs to user root (0) and its mode is -rw-------"
        assert "chmod" in note.hint and "(65534)" in note.hint
        assert "cannot be taken: Permission denied" in forks.log.read_text()
        assert "left waiting 1 (cannot be taken: theirs/f)" in forks.log.read_text()
        root.chmod(0o755)
        with as_nobody():
            (trouble,) = [one for one in look(Spool(root, make=False))["troubles"] if one["place"] == "incoming"]
        assert trouble["name"] == "theirs/" and "cannot be taken" in trouble["error"] and trouble["hint"]
    finally:
        subprocess.run(["rm", "-rf", root, to], check=True)


def test_a_path_that_is_too_long_on_our_side(spool: Spool) -> None:
    """An item whose path would be too long in working/ stays in incoming/ and stops nobody else."""
    room = 4090 - len(os.fsencode(spool.places.incoming)) - 1
    name = ("d" * 100 + "/") * (room // 101) + "f" * (room % 101 or 1)
    os.makedirs(os.path.dirname(f"{spool.places.incoming}/{name}"))
    Path(f"{spool.places.incoming}/{name}").touch()
    drop(spool, "other")
    summary = once(spool, _nothing)
    assert summary.exit_code == 75 and summary.stuck == (name,) and not summary.growing
    assert whereabouts(spool) == {name: ["incoming"], "other": ["finished"]}

    async def play() -> None:
        async with working(spool, _nothing):
            (trouble,) = await eventually(lambda: look(spool)["troubles"], "what status says of it")
            assert trouble["place"] == "incoming"
            assert trouble["error"].startswith("cannot be taken: File name too long")

    asyncio.run(play())


# --- what a processor may do


@pytest.mark.parametrize("result", [True, "done", [1]])
def test_a_processor_that_returns_nonsense(spool: Spool, result: Any) -> None:
    """What is no dict is a fault in the processor: the item is deferred, not lost."""
    drop(spool, "f")
    assert once(spool, lambda item: result).exit_code == 75
    note = notes.read(str(spool.places.deferred / "f"))
    assert note and "not a dict" in note.error


def test_a_receipt_of_odd_things(spool: Spool) -> None:
    """Whatever a processor puts into its dict, the delivery is a fact and has a receipt."""
    odd: list[dict[Any, Any]] = [{"path": Path("/x")}, {"text": "\udcff"}, {1: object()}, {"bytes": b"\xff"}]
    for number, _ in enumerate(odd):
        drop(spool, str(number))
    assert once(spool, lambda item: odd[int(item.name)]).exit_code == 0
    assert {one["name"] for one in receipts.read(spool.places.receipts)} == {"0", "1", "2", "3"}


def test_an_unknown_error_defers_that_item_alone(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    """A fault in the processor is not the item's and not the destination's. Where it was raised is in the log, for who
    asks for all."""
    caplog.set_level(logging.DEBUG, "jollyae")

    def process(item: Item) -> None:
        if item.name == "f":
            raise ZeroDivisionError("oops")

    for name in "abcdefgh":
        drop(spool, name)
    assert once(spool, process).exit_code == 75
    assert whereabouts(spool) == {name: ["deferred" if name == "f" else "finished"] for name in "abcdefgh"}
    [raised] = [record for record in caplog.records if record.exc_info]
    assert raised.levelno == logging.DEBUG and "test_worker.py" in logging.Formatter().format(raised)


def test_a_file_that_changes_while_it_is_sent(spool: Spool) -> None:
    """It is sent again, and the receipt is of the last; one that never rests is deferred."""
    rounds: list[bytes] = []

    def process(item: Item) -> dict[str, Any]:
        data = os.pread(item.fd, 100, 0)
        rounds.append(data)
        if item.name == "restless" or len(rounds) == 1:
            with open(item.path, "a") as file:
                file.write("more")
        return {"sent": len(data)}

    drop(spool, "f", "x")
    assert once(spool, process).exit_code == 0
    assert rounds == [b"x", b"xmore"]
    (one,) = receipts.read(spool.places.receipts)
    assert (one["sent"], one["size"]) == (5, 5)
    drop(spool, "restless", "x")
    assert once(spool, process).exit_code == 75


@pytest.mark.parametrize("rules", [{"on_done": OnDone.DELETE}, {"on_fail": OnFail.DELETE}, {"on_fail": OnFail.DEFER}])
def test_what_becomes_of_items(spool: Spool, rules: dict[str, Any]) -> None:
    """Done can be deleted, failed can be deleted or deferred, if the user said so."""
    drop(spool, "good")
    drop(spool, "bad")

    def process(item: Item) -> None:
        if item.name == "bad":
            raise Permanent("no")

    once(spool, process, **rules)
    left = {"good": ["finished"], "bad": ["failed"]}
    if "on_done" in rules:
        del left["good"]
    elif rules["on_fail"] is OnFail.DELETE:
        del left["bad"]
    else:
        left["bad"] = ["deferred"]
    assert whereabouts(spool) == left


def test_include_and_exclude(spool: Spool) -> None:
    """What is not wanted stays in incoming, and is not waited for."""
    for name in ("a.jpg", "b.txt", "c/d.jpg", "c/e.jpg"):
        drop(spool, name)
    assert once(spool, _nothing, include=("*.jpg",), exclude=("c/e*",)).exit_code == 0
    finished = {name for name, places in whereabouts(spool).items() if places == ["finished"]}
    assert finished == {"a.jpg", "c/d.jpg"}


# --- live


def test_as_soon_as_it_is_renamed_in(spool: Spool) -> None:
    """While the worker rests, items that are renamed in, copied, linked or in a moved-in tree are all taken."""

    async def life() -> None:
        async with working(spool, _nothing, settle=0.1):
            drop(spool, "renamed")
            await eventually(lambda: whereabouts(spool) == {"renamed": ["finished"]})
            (spool.places.incoming / "copied").write_text("x")
            os.link(spool.places.finished / "renamed", spool.places.incoming / "linked")
            tree = spool.places.tmp / "tree"
            (tree / "deep" / "er").mkdir(parents=True)
            for name in ("a", "deep/b", "deep/er/c"):
                (tree / name).touch()
            tree.rename(spool.places.incoming / "tree")
            names = {"renamed", "copied", "linked", "tree/a", "tree/deep/b", "tree/deep/er/c"}
            await eventually(lambda: whereabouts(spool) == {name: ["finished"] for name in names})
            drop(spool, "tree/deep/er/d")
            await eventually(lambda: whereabouts(spool)["tree/deep/er/d"] == ["finished"])

    asyncio.run(life())


def test_a_slow_writer_is_left_in_peace(spool: Spool) -> None:
    """A program that holds its file open, with pauses longer than settle, has it delivered once and whole."""
    seen = Seen()

    async def life() -> None:
        async with working(spool, seen, settle=0.05):
            with (spool.places.incoming / "f").open("w") as file:
                for _ in range(4):
                    file.write("chunk")
                    file.flush()
                    await asyncio.sleep(0.15)
                assert seen.items == []
            await eventually(lambda: whereabouts(spool) == {"f": ["finished"]})

    asyncio.run(life())
    assert seen.items == [("f", b"chunk" * 4)]


def test_incoming_removed_and_made_again(spool: Spool) -> None:
    """The worker goes on with the new directory."""

    async def life() -> None:
        async with working(spool, _nothing):
            spool.places.incoming.rmdir()
            await asyncio.sleep(0.1)
            spool.places.incoming.mkdir()
            drop(spool, "f")
            await eventually(lambda: whereabouts(spool) == {"f": ["finished"]})
            drop(spool, "g")
            await eventually(lambda: whereabouts(spool)["g"] == ["finished"])

    asyncio.run(life())


def test_a_burst_that_overflows_the_events(spool: Spool) -> None:
    """More files than the kernel's queue of events holds, made while the worker's loop stands still: none is missed."""
    count = 10_000

    async def life() -> None:
        async with working(spool, _quick, settle=0):
            for number in range(count):  # the loop stands still meanwhile
                os.close(os.open(spool.places.incoming / str(number), os.O_WRONLY | os.O_CREAT))
            await eventually(lambda: len(os.listdir(spool.places.incoming)) == 0)

    async def _quick(item: Item) -> None:
        pass

    asyncio.run(life())
    assert len(os.listdir(spool.places.finished)) == count


def test_polling_where_there_are_no_events(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network file system a new file is found by looking, and seen unchanged twice before it is taken."""
    monkeypatch.setattr("jollyae.spool.mount.kind", lambda path: "nfs4")
    monkeypatch.setattr("jollyae.spool.watch.POLL", 0.05)

    async def life() -> None:
        async with working(spool, _nothing, settle=0.05):
            drop(spool, "f")
            await eventually(lambda: whereabouts(spool) == {"f": ["finished"]})
            spool.pause("wait")
            await asyncio.sleep(0.6)
            drop(spool, "g")
            await asyncio.sleep(0.3)
            assert whereabouts(spool)["g"] == ["incoming"]
            spool.resume()
            await eventually(lambda: whereabouts(spool)["g"] == ["finished"])

    asyncio.run(life())


def test_pause_and_resume_by_file(spool: Spool) -> None:
    """While the file is there nothing is taken; when it goes, also by rm, work goes on."""

    async def life() -> None:
        async with working(spool, _nothing, settle=0) as worker:
            spool.pause("moving")
            await eventually(lambda: _paused_by(spool) == "hand")
            drop(spool, "f")
            await asyncio.sleep(0.2)
            assert whereabouts(spool) == {"f": ["incoming"]}
            os.unlink(spool.places.control / ".paused")
            await eventually(lambda: whereabouts(spool) == {"f": ["finished"]})
            assert worker

    asyncio.run(life())


def _state(spool: Spool) -> state.Snapshot | None:
    for path in spool.places.working.iterdir():
        if found := state.read(str(path)):
            return found
    return None


def _paused_by(spool: Spool) -> str:
    found = _state(spool)
    return found.paused.by if found and found.paused else ""


def test_the_state_file(spool: Spool) -> None:
    """What a dashboard may read: counters, what is in flight, why nothing is taken; gone with the worker."""
    go = asyncio.Event()

    async def process(item: Item) -> None:
        item.progress(1)
        await go.wait()

    async def life() -> None:
        async with working(spool, process, settle=0):
            drop(spool, "a\nb", "xyz")
            found = await eventually(lambda: (found := _state(spool)) and found.in_flight and found)
            (flight,) = found.in_flight
            assert (flight.name, flight.size, flight.sent) == ("a%0Ab", 3, 1)
            assert found.pid == os.getpid() and found.watch == "inotify"
            go.set()
            found = await eventually(lambda: (found := _state(spool)) and found.delivered == 1 and found)
            assert found.delivered_bytes == 3 and found.paused is None

    asyncio.run(life())
    assert list(spool.places.working.iterdir()) == []


def test_an_outage_is_a_pause(spool: Spool) -> None:
    """While the destination is away items wait, few tries are made, and all are delivered when it is back."""
    away = True
    tries = 0

    def process(item: Item) -> None:
        nonlocal tries
        tries += 1
        if away:
            raise Temporary("away", scope=Scope.DESTINATION)

    async def life() -> None:
        nonlocal away
        async with working(spool, process, settle=0, concurrency=4):
            for number in range(50):
                drop(spool, str(number))
            await eventually(lambda: _paused_by(spool) == "destination")
            await asyncio.sleep(1.0)
            assert tries < 10
            assert not list(spool.places.failed.iterdir()) and not list(spool.places.deferred.iterdir())
            away = False
            await eventually(lambda: len(list(spool.places.finished.iterdir())) == 50)

    asyncio.run(life())


def test_a_doubtful_error_of_three_items_pauses(spool: Spool) -> None:
    """One item with a doubtful error is deferred alone; three different in a row make it the destination's."""

    def process(item: Item) -> None:
        if item.name.startswith("no"):
            raise Temporary("403", scope=Scope.UNSURE)

    async def life() -> None:
        async with working(spool, process, settle=0, concurrency=1):
            drop(spool, "no1")
            await eventually(lambda: whereabouts(spool) == {"no1": ["deferred"]})
            drop(spool, "yes")
            await eventually(lambda: whereabouts(spool)["yes"] == ["finished"])
            assert _paused_by(spool) == ""
            for name in ("no2", "no3", "no4"):
                drop(spool, name)
            await eventually(lambda: _paused_by(spool) == "destination")

    asyncio.run(life())
    assert not list(spool.places.failed.iterdir())


def test_deferred_items_come_back_and_retry_by_hand_is_at_once(spool: Spool) -> None:
    """A deferred item is tried again when it is due, or when somebody says so."""
    tries: list[str] = []

    def process(item: Item) -> None:
        tries.append(item.name)
        if item.attempt == 1:
            raise Temporary("later", after=0.1 if item.name == "soon" else 3000.0)

    async def life() -> None:
        async with working(spool, process, settle=0):
            drop(spool, "soon")
            drop(spool, "by hand")
            await eventually(lambda: whereabouts(spool) == {"soon": ["finished"], "by hand": ["deferred"]})
            assert dict(spool.retry(["by hand"])) == {"by hand": "retried"}
            await eventually(lambda: whereabouts(spool)["by hand"] == ["finished"])

    asyncio.run(life())
    assert sorted(tries) == ["by hand", "by hand", "soon", "soon"]


def test_large_files_do_not_starve_small_ones(spool: Spool) -> None:
    """With many large items waiting, small ones still have room."""
    go = asyncio.Event()

    async def process(item: Item) -> None:
        if item.size >= LARGE:
            await go.wait()

    async def life() -> None:
        for number in range(12):
            with (spool.places.incoming / f"large{number}").open("wb") as file:
                file.truncate(LARGE)
        async with working(spool, process, settle=0, concurrency=4):
            await eventually(lambda: (found := _state(spool)) and found.in_flight)
            for number in range(20):
                drop(spool, f"small{number}")
            await eventually(lambda: len(list(spool.places.finished.glob("small*"))) == 20)
            assert not list(spool.places.finished.glob("large*"))
            go.set()
            await eventually(lambda: len(list(spool.places.finished.glob("large*"))) == 12)

    asyncio.run(life())


def test_an_idle_worker_does_nothing(spool: Spool) -> None:
    """Without anything to do the loop sleeps: hardly any CPU, and nothing opened or written."""
    operations: list[str] = []

    async def life() -> None:
        async with working(spool, _nothing):
            await eventually(lambda: (seen := _state(spool)) and seen.places)
            await asyncio.sleep(NEWS_FOR + 1)  # the state file says the last that is new
            fs.observer = lambda operation, path: operations.append(operation)
            before = time.process_time()
            await asyncio.sleep(2)
            assert time.process_time() - before < 0.5
            assert operations == []

    try:
        asyncio.run(life())
    finally:
        fs.observer = None


def test_an_idle_worker_with_an_unready_file_does_not_spin(spool: Spool) -> None:
    """A file that is held open, and one that is blocked by its namesake, are looked at some times a second."""
    (spool.places.deferred / "blocked").touch()
    note = notes.about("blocked", (spool.places.deferred / "blocked").stat())
    notes.write(str(spool.places.deferred / "blocked"), note, due=time.time() + 3600)

    async def life() -> float:
        with (spool.places.incoming / "held").open("w"):
            drop(spool, "blocked")
            async with working(spool, _nothing, settle=0):
                before = time.process_time()
                await asyncio.sleep(2)
                return time.process_time() - before

    assert asyncio.run(life()) < 0.7


def test_no_descriptor_is_left_open(spool: Spool) -> None:
    """A worker that has ended leaves no open file."""
    once(spool, _nothing)
    before = len(os.listdir("/proc/self/fd"))
    for name in ("a", "b/c"):
        drop(spool, name)
    once(spool, _nothing)
    drop(spool, "d")
    once(spool, _refuse)
    assert len(os.listdir("/proc/self/fd")) == before


# --- the spool's own troubles


def test_places_that_cannot_be_used(spool: Spool) -> None:
    """A spool that cannot work is told before anything is taken."""
    spool.places.finished.rmdir()
    with pytest.raises(SpoolError, match="finished"):
        once(spool, _nothing)


@pytest.mark.parametrize("operation", ["rename", "create", "write", "unlink"])
def test_a_disk_error_loses_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    """While an operation fails the spool is paused and tried again; when it works again everything is delivered."""
    broken = False

    def observer(name: str, path: str) -> None:
        if broken and name == operation:
            raise OSError(28, "No space left on device", path)

    async def life() -> None:
        nonlocal broken
        async with working(
            spool, _sometimes, settle=0, on_done=OnDone.DELETE if operation == "unlink" else OnDone.KEEP
        ):
            broken = True
            for name in ("a", "b/c", "bad", "later"):
                target = spool.places.incoming / name
                target.parent.mkdir(exist_ok=True)
                target.touch()
            await asyncio.sleep(0.5)
            broken = False
            done = {"bad": ["failed"]}
            if operation != "unlink":
                done |= {"a": ["finished"], "b/c": ["finished"], "later": ["finished"]}
            await eventually(lambda: whereabouts(spool) == done)

    def _sometimes(item: Item) -> None:
        if item.name == "bad":
            raise Permanent("no")
        if item.name == "later" and item.attempt == 1:
            raise Temporary("later", after=0.05)

    monkeypatch.setattr(fs, "observer", observer)
    asyncio.run(life())
    assert {one["name"] for one in receipts.read(spool.places.receipts)} == {"a", "b/c", "later"}


@needs_root
def test_a_full_disk(tmp_path: Path) -> None:
    """On a really full disk nothing is lost, and work goes on when there is room again."""
    program = Path(__file__).with_name("full_disk.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(fs.__file__).parents[2])}
    shell = f"mount -t tmpfs -o size=1m none '{tmp_path}' && exec '{sys.executable}' '{program}' '{tmp_path}'"
    done = subprocess.run([*mount_namespace(), "sh", "-c", shell], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"finished": 20, "receipts": 20}


# --- signals, deaths, and others


def test_sigterm_drains(spool: Spool, to: Path, forks: Forks) -> None:
    """Told to end, the worker takes nothing more, finishes what is in flight, and ends with 0."""
    for number in range(200):
        drop(spool, str(number))
    pid = forks.start(spool.places.control, to, rules={"settle": 0, "concurrency": 2}, delay=0.02)
    until(lambda: len(os.listdir(to)) > 5)
    assert forks.kill(pid, signal.SIGTERM) == 0
    found = whereabouts(spool)
    assert set(map(tuple, found.values())) == {("finished",), ("incoming",)}
    assert list(spool.places.working.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_grace_time_ends(spool: Spool, to: Path, forks: Forks, number: int, code: int) -> None:
    """What is not finished in time stays in working, unlocked, and does not count as a death."""
    drop(spool, "slow")
    pid = forks.start(spool.places.control, to, rules={"settle": 0, "grace": 0.2})
    until(lambda: (to / ".begun").exists())
    assert forks.kill(pid, number) == code
    (path,) = spool.places.working.glob("*/slow")
    note = notes.read(str(path))
    assert note and (note.adoptions, note.started) == (0, False)


def test_a_second_signal_leaves_at_once(spool: Spool, to: Path, forks: Forks) -> None:
    """The second one does not wait for the grace time; that is an order and no death."""
    drop(spool, "slow")
    pid = forks.start(spool.places.control, to, rules={"settle": 0, "grace": 3600})
    until(lambda: (to / ".begun").exists())
    os.kill(pid, signal.SIGTERM)
    until(lambda: "stopping" in forks.log.read_text())
    assert forks.kill(pid, signal.SIGTERM) == 143
    (path,) = spool.places.working.glob("*/slow")
    note = notes.read(str(path))
    assert note and note.adoptions == 0


def test_kill_9_and_adoption_by_a_live_worker(
    spool: Spool, to: Path, forks: Forks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed worker had is taken over by another that runs already."""
    monkeypatch.setattr("jollyae.worker.worker.ADOPT_EVERY", 0.2)
    drop(spool, "slow")
    pid = forks.start(spool.places.control, to, rules={"settle": 0})
    until(lambda: (to / ".begun").exists())

    async def life() -> None:
        async with working(spool, _nothing, settle=0):
            await asyncio.sleep(0.6)
            assert whereabouts(spool) == {"slow": ["working"]}
            forks.kill(pid)
            await eventually(lambda: whereabouts(spool) == {"slow": ["finished"]})

    asyncio.run(life())
    assert list(spool.places.working.iterdir()) == []


def test_what_a_processor_writes_beside_its_item_is_said(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It becomes an item, as all that lies there; the log says whose doing that is, and not that a worker left it."""
    monkeypatch.setattr("jollyae.worker.worker.ADOPT_EVERY", 0.1)

    def process(item: Item) -> None:
        if item.name == "f":
            Path(f"{item.where}.gz").write_text("packed")

    async def life() -> None:
        async with working(spool, process, settle=0):
            drop(spool, "f")
            await eventually(lambda: whereabouts(spool) == {"f": ["finished"], "f.gz": ["finished"]})

    asyncio.run(life())
    (told,) = [record for record in caplog.records if "is taken for an item" in record.getMessage()]
    assert vars(told)["item"] == "f.gz" and "--exec" in vars(told)["hint"]
    assert "took over" not in caplog.text


def test_three_deaths(spool: Spool, to: Path, forks: Forks) -> None:
    """The item with which the worker died three times goes to failed/ with the reason; its neighbours are delivered."""
    for name in ("deadly", *(f"n{number}" for number in range(30))):
        drop(spool, name)
    codes = [forks.run(spool.places.control, to, rules={"once": True, "settle": 0}, delay=0.005) for _ in range(4)]
    assert codes == [-9, -9, -9, 1]
    found = whereabouts(spool)
    assert found.pop("deadly") == ["failed"]
    assert set(map(tuple, found.values())) == {("finished",)}
    note = notes.read(str(spool.places.failed / "deadly"))
    assert note and note.error == "the worker died three times with this"
    begun = (to / ".begun").read_text().split()
    assert begun[-1] != "deadly"
    assert [name for name in begun if name == "deadly"] == ["deadly"] * 3


def test_from_the_second_death_on_it_runs_alone(spool: Spool) -> None:
    """While a suspect is processed nothing else is, whichever way it came into hand."""
    working_now: set[str] = set()
    together: list[set[str]] = []

    async def process(item: Item) -> None:
        working_now.add(item.name)
        await asyncio.sleep(0.02)
        together.append(set(working_now))
        working_now.discard(item.name)
        if item.name.startswith("suspect") and item.attempt == 1:
            raise Temporary("once more", after=0.01)

    for number in range(2):
        suspect = spool.places.deferred / f"suspect{number}"
        suspect.touch()
        note = notes.about(suspect.name, suspect.stat())
        note.adoptions = 2
        notes.write(str(suspect), note, due=time.time())

    async def life() -> None:
        for number in range(40):
            drop(spool, str(number))
        async with working(spool, process, settle=0):
            await eventually(lambda: len(os.listdir(spool.places.finished)) == 42)

    asyncio.run(life())
    assert all(len(group) == 1 for group in together if any(name.startswith("suspect") for name in group))
    assert max(map(len, together)) > 1


def test_two_workers_and_a_script(spool: Spool, to: Path, forks: Forks) -> None:
    """Two workers and somebody's five lines of shell take from one incoming: each item is taken by exactly one."""
    for number in range(400):
        drop(spool, f"{number % 3}/{number}", str(number))
    script = (
        'cd "$1"/incoming; mkdir ../theirs; for i in 1 2 3 4 5 6; do '
        'for f in */*; do mv -n "$f" ../theirs/ 2>/dev/null; done; done; true'
    )
    with subprocess.Popen(["sh", "-c", script, "sh", str(spool.places.control)]) as theirs:
        rules = {"once": True, "settle": 0}
        workers = [forks.start(spool.places.control, to, rules=rules, delay=0.001) for _ in range(2)]
        assert [forks.wait(pid) for pid in workers] == [0, 0]
        assert theirs.wait() == 0
    assert forks.run(spool.places.control, to, rules=rules) == 0
    taken = {path.name for path in (spool.places.control / "theirs").iterdir()}
    delivered = {path.name: path.read_text() for path in to.rglob("*") if path.is_file() and path.name != ".begun"}
    assert taken | delivered.keys() == {str(number) for number in range(400)} and not taken & delivered.keys()
    assert all(name == text for name, text in delivered.items())
    begun = (to / ".begun").read_text().split()
    assert len(begun) == len(set(begun)) == len(delivered)
    assert len({one["worker"] for one in receipts.read(spool.places.receipts)}) >= 1


def test_the_copy_mode(spool: Spool, to: Path, forks: Forks) -> None:
    """With places on two file systems, where copying is allowed, every move works and two workers share the items."""
    elsewhere = Path("/dev/shm") / f"jollyae-test-worker-{os.getpid()}"
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == to.stat().st_dev:
        pytest.skip("no second file system at hand")
    try:
        elsewhere.mkdir()
        names = ["a", "b/c", "later", "bad", *map(str, range(100))]
        for name in names:
            (elsewhere / name).parent.mkdir(exist_ok=True)
            (elsewhere / name).write_text(name)
        order = {"places": {"incoming": str(elsewhere)}, "copy": True, "rules": {"once": True, "settle": 0}}
        pids = [forks.start(spool.places.control, to, **order) for _ in range(2)]
        codes = {forks.wait(pid) for pid in pids}
        assert codes <= {0, 1, 75}, forks.log.read_text()
        until(lambda: forks.run(spool.places.control, to, **order) == 0)
        assert not [path for path in elsewhere.rglob("*") if path.is_file()]
        assert whereabouts(spool) == {name: ["failed" if name == "bad" else "finished"] for name in names}
        for name in names:
            if name != "bad":
                assert (to / name).read_text() == name
    finally:
        subprocess.run(["rm", "-rf", elsewhere], check=True)


def test_empty_directories_are_pruned_only_when_asked(spool: Spool) -> None:
    """Producers' directories stay, unless they have been empty for the time that was asked for."""
    drop(spool, "a/b/f")
    once(spool, _nothing)
    assert (spool.places.incoming / "a" / "b").is_dir()
    once(spool, _nothing, prune_empty=3600.0)
    assert (spool.places.incoming / "a" / "b").is_dir()
    once(spool, _nothing, prune_empty=-1.0)
    assert list(spool.places.incoming.iterdir()) == []


def test_in_a_thread(spool: Spool) -> None:
    """A worker need not be in the main thread; it is ended by stop(), and without the safe signal uses no lease."""
    worker = Worker(spool, _nothing, Rules(settle=0))
    summaries: list[Summary] = []
    thread = threading.Thread(target=lambda: summaries.append(worker.run()))
    thread.start()
    drop(spool, "f")
    until(lambda: whereabouts(spool) == {"f": ["finished"]})
    worker._loop.call_soon_threadsafe(worker.stop)
    thread.join()
    assert summaries[0].exit_code == 0


def test_a_pause_does_not_lengthen_an_items_own_delays(spool: Spool) -> None:
    """What an item met as a probe does not count when it is deferred for the first time."""
    drop(spool, "probe")
    answers = [Temporary("down", scope=Scope.DESTINATION, after=0.01)] * 3 + [Temporary("403", scope=Scope.UNSURE)]

    async def process(item: Item) -> None:
        raise answers.pop(0)

    assert once(spool, process).exit_code == 75
    due = (spool.places.deferred / ".probe.note").stat().st_mtime
    assert due - time.time() < 7  # 5 s and a fifth; the fourth attempt's would be 40
