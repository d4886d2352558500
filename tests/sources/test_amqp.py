"""Items from RabbitMQ, worked on by real processes: delivered whatever is killed, and told of as they ended."""

import asyncio
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jollyae.sources.amqp import AmqpSource
from jollyae.sources.source import Message
from jollyae.spool.outcomes import Temporary
from tests.real.support import PATIENCE, until
from tests.sources.conftest import Store
from tests.sources.scene import Queue, Taking, event, message

BODIES = [f"body {number}".encode() for number in range(50)]


def test_what_messages_name_is_worked_on(queue: Queue, store: Store, workers: Taking) -> None:
    """Each object once, the messages acknowledged, and nothing left in the spool; SIGTERM ends it with 0."""
    queue.send(*(store.put(f"2026/a {number}.txt", body) for number, body in enumerate(BODIES)))
    worker = workers.start()
    until(lambda: len(workers.came()) == len(BODIES), lambda: worker.tail())
    assert sorted(workers.came()) == sorted(BODIES)
    until(lambda: not workers.lying(), "an empty spool")
    assert worker.end().code == 0, worker.tail()
    assert queue.waiting() == 0
    assert queue.waiting(f"{queue.name}.dead") == -1
    receipts = [
        json.loads(line)
        for path in (workers.directory / "work" / "receipts").glob("*.jsonl")
        for line in path.read_text().split("\n")[:-1]
    ]
    assert {one["name"] for one in receipts} == {f"2026/a {number}.txt" for number in range(len(BODIES))}


def test_a_worker_killed_at_any_time_costs_no_item(queue: Queue, store: Store, workers: Taking) -> None:
    """Killed again and again, the next takes over; at the end all was worked on and the queue is empty."""
    queue.send(*(store.put(f"{number}.txt", body) for number, body in enumerate(BODIES)))
    for lived in (0.9, 1.1, 1.3, 1.5):
        worker = workers.start()
        time.sleep(lived)
        worker.kill()
    worker = workers.start("--idle-exit", "3")
    assert worker.wait().code == 0, worker.tail()
    assert set(workers.came()) == set(BODIES)
    assert not workers.lying()
    assert queue.waiting() == 0


def test_removed_objects_and_test_events_are_acknowledged(queue: Queue, store: Store, workers: Taking) -> None:
    """They are told apart in the log; an object that is gone when it is wanted is no error."""
    queue.send(
        message(event(store.bucket, "gone.txt", b"gone")),
        message(event(store.bucket, "removed.txt", name="ObjectRemoved:Delete")),
        b'{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}',
        store.put("there.txt", b"there"),
    )
    worker = workers.start("-v")
    until(lambda: workers.came() == [b"there"], lambda: worker.tail())
    worker.until_says("nothing to fetch: it is gone", "gone.txt")
    worker.until_says("nothing to fetch: removed", "removed.txt")
    worker.until_says("nothing to fetch: test")
    assert worker.end().code == 0
    assert queue.waiting() == 0


def test_poison_and_failures_are_dead_letters_with_the_reason(queue: Queue, store: Store, workers: Taking) -> None:
    """What nobody can read, and what the command failed for, is in failed/ and in QUEUE.dead, both telling why. What
    was no item is not retried, whatever it is called."""
    queue.send(b"\x00 poison", store.put("bad.txt", b"bad"), store.put("message-x.json", b"bad"))
    command = f"{shlex.quote(sys.executable)} -c 'raise SystemExit(\"out of luck\")' {{}}"
    worker = workers.start("--exec", command, copying=False)
    until(lambda: queue.waiting(f"{queue.name}.dead") == 3, lambda: worker.tail())
    assert worker.end().code == 0
    dead = dict(queue.dead())
    assert queue.waiting() == 0
    assert "cannot be read as an event" in dead[b"\x00 poison"]["x-jollyae-error"]
    failed = [headers for body, headers in dead.items() if body != b"\x00 poison"]
    assert len(failed) == 2 and all("out of luck" in headers["x-jollyae-error"] for headers in failed)
    places = workers.directory / "work" / "failed"
    assert (places / "bad.txt").read_bytes() == b"bad"
    (poison,) = set(places.glob("message-*.json")) - {places / "message-x.json"}
    assert poison.read_bytes() == b"\x00 poison"
    assert "cannot be read" in json.loads((places / f".{poison.name}.note").read_text())["error"]
    said = retry(workers, poison.name)
    assert said.returncode == 1 and "no item" in said.stderr and said.stdout == "0 retried, 1 skipped\n"
    said = retry(workers, "--all")
    assert said.returncode == 0 and said.stdout == "2 retried, 0 skipped\n"
    assert "1 message that nobody could read is left: look at it, remove it" in said.stderr
    assert sorted(places.glob("[!.]*")) == [poison]


def retry(workers: Taking, *words: str) -> "subprocess.CompletedProcess[str]":
    """What ``jollyae retry`` of the workdir says."""
    command = [sys.executable, "-m", "jollyae", "retry", str(workers.directory / "work"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_one_key_in_two_buckets(queue: Queue, store: Store, workers: Taking) -> None:
    """The same bytes under the same key: each is worked on, one after the other."""
    other = Store(f"{store.bucket}-2", store.environment, store.client)
    store.client.create_bucket(Bucket=other.bucket)
    queue.send(*(place.put(f"{number}.txt", b"same") for place in (store, other) for number in range(10)))
    worker = workers.start()
    until(lambda: len(workers.came()) == 20, lambda: worker.tail())
    until(lambda: not workers.lying(), "an empty spool")
    assert worker.end().code == 0, worker.tail()
    assert queue.waiting() == 0


def test_what_no_bucket_can_be_called_stops_nobody(queue: Queue, store: Store, workers: Taking) -> None:
    """Its message is a dead letter with the reason, and the others are worked on."""
    names = ["Bad Bucket", "../up", "..", ""]
    queue.send(*(message(event(name, "x.txt", b"x")) for name in names), store.put("good.txt", b"good"))
    worker = workers.start()
    until(lambda: workers.came() == [b"good"], lambda: worker.tail())
    until(lambda: queue.waiting(f"{queue.name}.dead") == len(names), lambda: worker.tail())
    assert worker.end().code == 0
    assert all("no bucket has such a name" in headers["x-jollyae-error"] for _, headers in queue.dead())


def test_a_bucket_that_is_missing_is_told_and_stops_nobody(queue: Queue, store: Store, workers: Taking) -> None:
    """Its objects wait, which the status says while nothing else is here; others are worked on; at the end the message
    is given back."""
    queue.send(message(event(f"{store.bucket}-gone", "x.txt", b"x")))
    worker = workers.start()
    worker.until_says("fetched again", "there is no such bucket")
    assert "Who announced it?" in worker.err() and "--to" not in worker.err()
    working, said = workers.directory / "work" / "working", "1 object cannot be had now"
    until(lambda: any(said in path.read_text() for path in working.glob("*/.state.json")), lambda: worker.tail())
    queue.send(store.put("good.txt", b"good"))
    until(lambda: workers.came() == [b"good"], lambda: worker.tail())
    assert worker.end().code == 0
    until(lambda: queue.waiting() == 1, "the message in the queue")
    assert worker.lines("1 fetched"), worker.tail()  # what came is summed up at the end


def test_a_missing_bucket_that_takes_all_places_is_told_until_it_is_there(
    queue: Queue, store: Store, workers: Taking
) -> None:
    """The others wait behind, which status says with its reason; all is worked on when the bucket has come."""
    late = Store(f"{store.bucket}-late", store.environment, store.client)
    queue.send(*(message(event(late.bucket, f"{name}.txt", name.encode())) for name in "ab"))
    worker = workers.start("--concurrency", "1", "--prefetch", "2")
    working, said = workers.directory / "work" / "working", "2 objects cannot be had now"
    until(lambda: any(said in path.read_text() for path in working.glob("*/.state.json")), lambda: worker.tail())
    queue.send(store.put("good.txt", b"good"))
    until(lambda: queue.waiting() == 1, "the message behind them")
    assert not workers.came()
    store.client.create_bucket(Bucket=late.bucket)
    for name in "ab":
        late.put(f"{name}.txt", name.encode())
    until(lambda: sorted(workers.came()) == [b"a", b"b", b"good"], lambda: worker.tail())
    assert worker.end().code == 0
    assert queue.waiting() == 0


def test_what_is_left_out_is_told(queue: Queue, store: Store, workers: Taking) -> None:
    """--include: messages about all others are done, which the log has with -v, and the sum at the end."""
    queue.send(store.put("a.txt", b"a"), store.put("z.txt", b"z"))
    worker = workers.start("-v", "--include", "z*")
    until(lambda: workers.came() == [b"z"], lambda: worker.tail())
    worker.until_says("left out", "a.txt")
    assert worker.end().code == 0
    assert worker.lines("1 left out by --include or --exclude") and queue.waiting() == 0


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("amqps://guest:guest@127.0.0.1:{port}/q", "no secure connection"),
        ("amqps://guest:guest@127.0.0.1:{port}/q?cafile=/not/there.pem", "a file that its URL names cannot be read"),
    ],
)
def test_tls_that_does_not_work_is_told_as_such(workers: Taking, queue: Queue, url: str, says: str) -> None:
    """And not as what the number of OpenSSL's error would mean to the kernel."""
    worker = workers.start(JOLLYAE_FROM=url.format(port=queue.rabbit.port))
    worker.until_says("paused", says)
    assert worker.end().code == 0 and "guest:guest" not in worker.err()


def test_a_stopped_worker_gives_back_what_it_had_not_begun(queue: Queue, store: Store, workers: Taking) -> None:
    """SIGTERM: what is in flight is finished, the rest is the queue's again and gone from the disk."""
    queue.send(*(store.put(f"{number}.txt", body) for number, body in enumerate(BODIES)))
    worker = workers.start("--concurrency", "1", "--exec", "sh -c 'sleep 1' {}", copying=False)
    until(lambda: len(workers.lying()) > 10, lambda: worker.tail())
    assert worker.end(signal.SIGTERM).code == 0, worker.tail()
    assert not workers.lying()
    until(lambda: queue.waiting() >= len(BODIES) - 5, "the messages in the queue")


def test_a_broker_that_is_away_is_waited_for(queue: Queue, store: Store, workers: Taking, tmp_path: Path) -> None:
    """No such queue: told once with a hint and in the status, and taken from as soon as it is there."""
    missing = f"{queue.name}-later"
    worker = workers.start(JOLLYAE_FROM=f"{queue.rabbit.url}/{missing}")
    worker.until_says("paused", "no such queue")
    made = Queue(queue.rabbit, missing)
    made.send(store.put("a.txt", b"late"))
    until(lambda: workers.came() == [b"late"], lambda: worker.tail())
    assert len(worker.lines("paused", "no such queue")) == 1
    assert worker.lines("resumed")
    assert worker.end().code == 0
    assert "guest:guest" not in worker.err()


def test_acknowledgements_to_a_broker_that_is_gone_hold_nobody_up(queue: Queue) -> None:
    """Killed with more acknowledgements under way than a connection takes: on the next connection they go on, and the
    end comes. (They waited for ever for the dead connection.)"""
    queue.send(*(str(number).encode() for number in range(64)))
    queue.rabbit.settle()

    async def go() -> None:
        source = AmqpSource(queue.url, prefetch=64)
        await source.open()
        held = await _all(source, 64)
        queue.rabbit.kill()
        source.done(held[1::2])  # a frame for each, since none is the oldest
        with pytest.raises(Temporary):
            while True:
                await source.receive()
        queue.rabbit.start()
        await source.open()
        source.done(await _all(source, 64))
        await source.close()

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await go()

    asyncio.run(bounded())
    assert queue.waiting() == 0


async def _all(source: AmqpSource, count: int) -> list[Message]:
    held: list[Message] = []
    while len(held) < count:
        held += await source.receive()
    return held
