"""What the dashboard does: by the spool's own moves, beside workers that do the same things, and told truly."""

import io
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jollyae import Spool
from jollyae.spool import floor
from jollyae.spool.floor import Amount, Floor
from jollyae.spool.owner import items_below
from jollyae.spool.places import Place
from jollyae.web import actions
from jollyae.web.failures import Failures, Filter
from tests.children import Forks
from tests.helpers import until, whereabouts
from tests.web.spools import queue, trouble


@pytest.mark.parametrize("name", ["a.txt", "sub/a b.txt", "caf\udce9", "x" * 255, "<b>"])
def test_an_upload_is_an_item_of_its_name(spool: Spool, name: str) -> None:
    """Whole, on the disk, and nothing is left in tmp/."""
    done = actions.upload(queue(spool), name, io.BytesIO(b"content"))
    assert (done.done, done.status) == (True, 201) and done.sentence.isprintable()
    assert (spool.places.incoming / name).read_bytes() == b"content" and os.listdir(spool.places.tmp) == []


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("taken", 409, "incoming/ has an item named taken already"),
        (".hidden", 400, "would be ignored"),
        ("film.part", 400, "would be ignored"),
        ("../../etc/passwd", 400, "cannot be an item's name"),
        ("/etc/passwd", 400, "cannot be an item's name"),
        ("", 400, "cannot be an item's name"),
        ("a\0b", 400, "cannot be an item's name"),
        ("y" * 256, 400, "longer than 255 bytes"),
        ("taken/x", 500, "is not queued"),
    ],
)
def test_an_upload_that_cannot_be_is_refused_with_the_reason(spool: Spool, name: str, status: int, said: str) -> None:
    """And nothing is written anywhere."""
    (spool.places.incoming / "taken").write_bytes(b"first")
    done = actions.upload(queue(spool), name, io.BytesIO(b"second"))
    assert not done.done and done.status == status and said in done.sentence and done.sentence.isprintable()
    assert list(items_below(str(spool.places.incoming))) == ["taken"] and os.listdir(spool.places.tmp) == []
    assert (spool.places.incoming / "taken").read_bytes() == b"first"


def test_an_upload_below_the_floor_is_refused(spool: Spool) -> None:
    """With how much is missing."""
    floor.write(spool.places, Floor(free=Amount(1 << 60)))
    done = actions.upload(queue(spool), "a", io.BytesIO(b"x"))
    assert (done.done, done.status) == (False, 507) and not list(items_below(str(spool.places.incoming)))


def test_an_upload_that_breaks_off_leaves_nothing(spool: Spool) -> None:
    """The browser was closed in the middle."""

    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise ConnectionResetError("gone")

    assert not actions.upload(queue(spool), "a", Broken()).done  # type: ignore[arg-type]
    assert os.listdir(spool.places.tmp) == os.listdir(spool.places.incoming) == []


def test_pause_and_resume(spool: Spool) -> None:
    """By hand; a reason is one line."""
    assert actions.pause(queue(spool), " the bucket\n moves ").sentence == "photos is paused"
    assert spool.paused() == "the bucket moves"
    assert actions.resume(queue(spool)).sentence == "photos goes on"
    assert actions.resume(queue(spool)).sentence == "photos was not paused"
    assert actions.pause(queue(spool), "").done and spool.paused() == "no reason given"
    shutil.rmtree(spool.places.control)
    for done in (actions.pause(queue(spool), "x"), actions.upload(queue(spool), "a", io.BytesIO(b""))):
        assert not done.done and "No such file" in done.sentence


@pytest.mark.parametrize("how", [actions.retry_matching, lambda queue, failures, wanted: by_name(queue, failures)])
def test_retries_beside_a_worker_and_another_retry_lose_nothing(
    spool: Spool, forks: Forks, to: Path, how: Callable[..., actions.Retried]
) -> None:
    """A thousand failures, two people, one worker: each item is delivered once, and the numbers add up."""
    for number in range(1000):
        trouble(spool, f"m{number}", "no")
    pid = forks.start(spool.places.control, to)
    looked, done = Failures(queue(spool)), []
    people = [threading.Thread(target=lambda: done.append(how(queue(spool), looked, Filter()))) for _ in range(2)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    assert sum(one.retried for one in done) == 1000 and all(one.over for one in done)
    assert all(why == "no such item in failed/" for one in done for _, why in one.reasons)
    until(lambda: [*whereabouts(spool).values()] == [["finished"]] * 1000)
    assert len(list(items_below(str(to)))) == 1000
    forks.kill(pid, signal.SIGTERM)


def by_name(queue: object, failures: Failures) -> actions.Retried:
    """All, as somebody who selected them."""
    page = failures.page(size=2000)
    return actions.retry(queue, [one.id for one in page.failures])  # type: ignore[arg-type]


def test_what_fails_again_is_not_retried_for_ever(spool: Spool, forks: Forks, to: Path) -> None:
    """Items that fail at once come back while the retry still goes on: it retries what was there when it began."""
    for number in range(3000):
        trouble(spool, f"bad{number}", "no")
    pid = forks.start(spool.places.control, to)
    done = actions.retry_matching(queue(spool), Failures(queue(spool)), Filter())
    assert done.retried + done.skipped == 3000
    until(lambda: len(list(items_below(str(spool.places.failed)))) == 3000)
    forks.kill(pid, signal.SIGTERM)


def test_messages_that_nobody_could_read_are_left(spool: Spool) -> None:
    """They are no items: told apart by their notes, not by what they are called, and left where they lie."""
    message = trouble(spool, "message-1.json", "cannot be read as an event", is_message=True)
    trouble(spool, "message-2.json", "no")
    failures = Failures(queue(spool))
    assert {one.name: one.is_message for one in failures.page().failures} == {
        "message-1.json": True,
        "message-2.json": False,
    }
    done = actions.retry_matching(queue(spool), failures, Filter())
    assert done.sentence == "1 retried, 0 skipped; 1 message that nobody could read is left: look at it, remove it"
    assert list(items_below(str(spool.places.failed))) == [message.name]
    assert by_name(queue(spool), Failures(queue(spool))).messages == 1


def test_deferred_ones_are_made_due(spool: Spool, forks: Forks, to: Path) -> None:
    """And a worker that sleeps until then is woken."""
    pid = forks.start(spool.places.control, to)
    until(lambda: any(name.startswith(os.uname().nodename[:3]) for name in os.listdir(spool.places.working)))
    path = trouble(spool, "waits", "busy", place=Place.DEFERRED, due=9e9)
    looked = Failures(queue(spool))
    assert looked.page().failures[0].due == 9e9
    assert actions.retry_matching(queue(spool), looked, Filter(place="deferred")).retried == 1
    until(lambda: (to / "waits").exists() and not path.exists())
    forks.kill(pid, signal.SIGTERM)
