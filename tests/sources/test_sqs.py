"""Items from SQS, worked on by real processes, with a server that keeps its times: who died is replaced after the
visibility timeout and not before, and who is slow is not doubled."""

import json
import time
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest

from tests.real.support import until
from tests.sources.conftest import Store
from tests.sources.scene import Taking, event, message, taking
from tests.sources.sqs_server import Queue, SqsServer

VISIBILITY = 4.0
LARGE = 200 << 20


@pytest.fixture
def sqs() -> Iterator[SqsServer]:
    """A server with the queues ``q`` and ``q-dead``."""
    with SqsServer() as server:
        server.make("q-dead")
        server.make("q", VISIBILITY, dead="q-dead")
        yield server


@pytest.fixture
def queue(sqs: SqsServer) -> Queue:
    """The queue ``q``."""
    return sqs.queues["q"]


@pytest.fixture
def workers(sqs: SqsServer, store: Store, tmp_path: Path) -> Iterator[Taking]:
    """Workers that take from the queue what is in the store."""
    environment = store.environment | {"AWS_ENDPOINT_URL_SQS": sqs.endpoint}
    with taking("sqs://q", environment, tmp_path) as made:
        yield made


def test_what_messages_name_is_worked_on(sqs: SqsServer, queue: Queue, store: Store, workers: Taking) -> None:
    """Each object once, although each message is delivered twice at once; the queue is empty at the end."""
    sqs.twice = True
    bodies = [f"body {number}".encode() for number in range(40)]
    for number, body in enumerate(bodies):
        sqs.send("q", store.put(f"{number}.txt", body).decode())
    worker = workers.start("--idle-exit", "2")
    assert worker.wait().code == 0, worker.tail()
    assert set(workers.came()) == set(bodies)
    assert not queue.messages
    assert not workers.lying()


def test_one_killed_in_the_middle_of_200_mb_is_replaced_after_the_visibility_timeout(
    sqs: SqsServer, queue: Queue, store: Store, workers: Taking
) -> None:
    """Killed while it is fetched: another host's worker has it after that time, whole; and not before."""
    path = workers.directory / "large"
    with path.open("wb") as file:
        file.truncate(LARGE)
        file.write(b"its beginning")
    store.client.upload_file(str(path), store.bucket, "large.bin")
    size = path.stat().st_size
    told = event(store.bucket, "large.bin")
    told["s3"]["object"]["size"] = size
    sqs.send("q", message(told).decode())
    first = workers.start(workdir="a")
    temporary = workers.directory / "a" / "tmp"
    until(lambda: any(one.stat().st_size > 1 << 20 for one in temporary.glob(".jollyae-*")), lambda: first.tail())
    first.kill()
    killed = time.monotonic()
    half = max(one.stat().st_size for one in temporary.glob(".jollyae-*"))
    assert half < size, "it was killed too late"
    second = workers.start(workdir="b")
    (came,) = until(workers.came, lambda: second.tail())
    assert md5(came).digest() == md5(path.read_bytes()).digest()
    until(lambda: not queue.messages, "an empty queue")
    received = queue.received[1][0]
    assert received - queue.received[0][0] >= VISIBILITY
    assert received - killed >= VISIBILITY / 2, "the heartbeat renews it three times in that time"


def test_one_slower_than_the_visibility_timeout_is_not_doubled(
    sqs: SqsServer, queue: Queue, store: Store, workers: Taking
) -> None:
    """While its command runs for three times as long, another worker that waits gets nothing."""
    sqs.send("q", store.put("slow.txt", b"slow").decode())
    command = f"sh -c 'sleep {3 * VISIBILITY}; cp \"$1\" {workers.out}/done' sh {{}}"
    slow = workers.start("--exec", command, workdir="a", copying=False)
    until(lambda: queue.received, lambda: slow.tail())
    other = workers.start(workdir="b")
    until(lambda: not queue.messages, lambda: slow.tail())
    assert workers.came() == [b"slow"]
    assert len(queue.received) == 1
    assert not other.lines("deferred")


def test_what_is_deferred_stays_ours(sqs: SqsServer, queue: Queue, store: Store, workers: Taking) -> None:
    """Exit code 75: the message is kept, longer than the visibility timeout, and the item is tried again here."""
    sqs.send("q", store.put("later.txt", b"later").decode())
    flag = workers.directory / "flag"
    command = f"sh -c 'test -e {flag} || {{ touch {flag}; exit 75; }}; cp \"$1\" {workers.out}/done' sh {{}}"
    worker = workers.start("--exec", command, copying=False)
    worker.until_says("deferred for")
    assert until(workers.came, lambda: worker.tail()) == [b"later"]
    until(lambda: not queue.messages, "an empty queue")
    assert len(queue.received) == 1


def test_poison_is_a_dead_letter_of_the_redrive_policy(
    sqs: SqsServer, queue: Queue, store: Store, workers: Taking
) -> None:
    """With the reason in its attributes, and a copy in failed/."""
    sqs.send("q", "no event")
    worker = workers.start()
    (dead,) = until(lambda: sqs.queues["q-dead"].messages, lambda: worker.tail())
    assert dead.body == "no event"
    assert "cannot be read as an event" in dead.attributes["jollyaeError"]["StringValue"]
    until(lambda: not queue.messages, "an empty queue")
    (kept,) = (workers.directory / "work" / "failed").glob("message-*.json")
    assert kept.read_bytes() == b"no event"


def _paused_by(spool: Path) -> set[str]:
    """Who has paused, as the workers there tell."""
    states = [json.loads(path.read_text()) for path in (spool / "working").glob("*/.state.json")]
    return {state["paused"]["by"] for state in states if state["paused"]}


def test_a_queue_that_is_unwell_pauses_and_is_tried_again(
    sqs: SqsServer, queue: Queue, store: Store, workers: Taking
) -> None:
    """Told in the log and in the status, with no crash loop; then all goes on."""
    sqs.unwell = True
    worker = workers.start()
    worker.until_says("paused", "unwell")
    until(lambda: "source" in _paused_by(workers.directory / "work"), "the state")
    sqs.unwell = False
    sqs.send("q", store.put("a.txt", b"a").decode())
    until(lambda: workers.came() == [b"a"], lambda: worker.tail())
    assert len(worker.lines("paused")) == 1
    assert worker.end().code == 0
