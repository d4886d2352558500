"""A worker killed at each step between a message and its acknowledgement, secrets, strange keys, several processes."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.corpus import NAMES
from tests.real.conftest import Rgw
from tests.real.support import until
from tests.sources.conftest import Store
from tests.sources.scene import Queue, Taking, event, message, taking

BODY = b"the only one" * 1000


@contextmanager
def hanging(answer: bytes = b"") -> Iterator[tuple[str, threading.Event]]:
    """A store that takes a request, sends so much of an answer, and then nothing more: its URL, and whether it was
    asked."""
    asked, held = threading.Event(), []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                held.append(connection)
                if connection.recv(65536):
                    connection.sendall(answer)
                    asked.set()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()


def drained(queue: Queue, workers: Taking, workdir: str = "work") -> list[bytes]:
    """Have one more worker do what is left; what came in all."""
    worker = workers.start("--idle-exit", "2", workdir=workdir)
    assert worker.wait().code == 0, worker.tail()
    assert not workers.lying(workdir)
    assert queue.waiting() == 0
    return workers.came()


@pytest.mark.parametrize("sent", [0, len(BODY) // 2])
def test_killed_before_it_is_fetched_and_halfway(queue: Queue, store: Store, workers: Taking, sent: int) -> None:
    """The message comes again to whoever is next; nothing of the half is ever taken for the object."""
    queue.send(store.put("a.txt", BODY))
    head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nETag: "x"\r\n\r\n'.encode()
    with hanging(head + BODY[:sent] if sent else b"") as (endpoint, asked):
        worker = workers.start(AWS_ENDPOINT_URL_S3=endpoint)
        assert asked.wait(60), worker.tail()
        worker.kill()
    assert drained(queue, workers) == [BODY]


@pytest.mark.parametrize("workdir", ["work", "elsewhere"])
def test_killed_while_it_is_worked_on(queue: Queue, store: Store, workers: Taking, workdir: str) -> None:
    """The next one on this directory takes the file over and is told by the message when it comes; another host
    fetches it itself."""
    queue.send(store.put("a.txt", BODY))
    worker = workers.start("--exec", "sh -c 'exec sleep 300' {}", copying=False)
    until(lambda: [one for one in workers.lying() if "working/" in one], lambda: worker.tail())
    (child,) = Path(f"/proc/{worker.popen.pid}/task/{worker.popen.pid}/children").read_text().split()
    worker.kill()
    os.kill(int(child), signal.SIGKILL)  # it holds the claim's lock as long as it runs
    assert drained(queue, workers, workdir) == [BODY]


def test_killed_between_the_retirement_and_the_acknowledgement(queue: Queue, store: Store, workers: Taking) -> None:
    """It is worked on a second time, or not: the message never stays behind, and no item is lost."""
    (workers.directory / "deadly.py").write_text(
        "import os, shutil, signal, threading, uuid\n"
        "def process(item):\n"
        f"    shutil.copy(item.path, os.path.join({str(workers.out)!r}, uuid.uuid4().hex))\n"
        "    def watch(path):\n"
        "        while os.path.lexists(path):\n"
        "            pass\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    threading.Thread(target=watch, args=(str(item.path),), daemon=True).start()\n"
    )
    queue.send(store.put("a.txt", BODY))
    paths = f"{workers.directory}:{os.environ.get('PYTHONPATH', '')}:{Path(__file__).parents[2] / 'src'}"
    worker = workers.start("--call", "deadly:process", copying=False, PYTHONPATH=paths)
    assert worker.wait().code == -signal.SIGKILL, worker.tail()
    assert set(drained(queue, workers)) == {BODY}
    assert len(workers.came()) <= 2


def test_a_failure_that_was_not_told_of_is_known_again(queue: Queue, store: Store, workers: Taking) -> None:
    """Killed when the item was in failed/ and its message not among the dead letters: it is not worked on again."""
    (workers.directory / "runs").touch()
    command = f"sh -c 'echo x >> {workers.directory}/runs; exit 1' {{}}"
    queue.send(store.put("bad.txt", BODY))
    worker = workers.start("--exec", command, copying=False)
    until(lambda: queue.waiting(f"{queue.name}.dead") == 1, lambda: worker.tail())
    worker.kill()
    queue.send(message(event(store.bucket, "bad.txt", BODY)))
    # What a crash leaves: the message is the broker's, delivered once before.
    holder = workers.start("--exec", "sh -c 'exec sleep 300' {}", workdir="other", copying=False)
    until(lambda: [one for one in workers.lying("other") if "working/" in one], lambda: holder.tail())
    holder.kill()
    again = workers.start("--exec", command, copying=False)
    until(lambda: queue.waiting(f"{queue.name}.dead") == 2, lambda: again.tail())
    assert again.end().code == 0
    assert (workers.directory / "runs").read_text().split() == ["x"]
    assert queue.waiting() == 0


def test_what_is_deferred_for_longer_than_the_broker_waits_is_given_back(
    queue: Queue, store: Store, workers: Taking
) -> None:
    """Before RabbitMQ would close the channel: the message goes back, the copy here goes, and it comes anew."""
    queue.send(store.put("later.txt", BODY))
    worker = workers.start(
        *("--exec", "sh -c 'exit 75' {}"), copying=False, JOLLYAE_FROM=f"{queue.url}?consumer-timeout=12"
    )
    until(lambda: len(worker.lines("deferred for", "attempts=1")) == 2, lambda: worker.tail())
    worker.end()
    assert not workers.lying()
    until(lambda: queue.waiting() == 1, "the message")


def test_a_broker_that_is_killed_loses_nothing(queue: Queue, store: Store, workers: Taking) -> None:
    """kill -9 of RabbitMQ while items are in work: the worker waits for it, and all is worked on."""
    bodies = [f"body {number}".encode() for number in range(60)]
    queue.send(*(store.put(f"{number}.txt", body) for number, body in enumerate(bodies)))
    worker = workers.start("--concurrency", "2")
    until(lambda: len(workers.came()) >= 5, lambda: worker.tail())
    queue.rabbit.settle()
    queue.rabbit.kill()
    worker.until_says("paused")
    queue.rabbit.start()
    until(lambda: set(workers.came()) == set(bodies), lambda: worker.tail())
    worker.until_says("resumed")
    worker.end()
    assert set(drained(queue, workers)) == set(bodies)


def test_several_processes_have_a_spool_each(queue: Queue, store: Store, workers: Taking) -> None:
    """--processes 2: both work, everything comes once, and a killed one is replaced."""
    bodies = [f"body {number}".encode() for number in range(100)]
    queue.send(*(store.put(f"{number}.txt", body) for number, body in enumerate(bodies)))
    worker = workers.start("--processes", "2", "--prefetch", "8", "--idle-exit", "3")
    assert worker.wait().code == 0, worker.tail()
    assert sorted(workers.came()) == sorted(bodies)
    for index in ("0", "1"):
        assert list((workers.directory / "work" / index / "receipts").glob("*.jsonl"))
    assert queue.waiting() == 0


def test_the_password_is_nowhere(queue: Queue, store: Store, workers: Taking) -> None:
    """Not in the log, the notes, receipts and states, nor in a command's environment; also where the login fails."""
    secret = "s3cr3t-of-the-broker"
    queue.send(store.put("a.txt", BODY), b"poison")
    refused = workers.start("-vv", JOLLYAE_FROM=queue.url.replace("guest:guest", f"guest:{secret}"))
    refused.until_says("paused", "login refused")
    refused.end()
    environment = workers.directory / "environment"
    worker = workers.start("-vv", "--exec", f"sh -c 'env > {environment}; exit 1' {{}}", copying=False)
    until(lambda: queue.waiting(f"{queue.name}.dead") == 2, lambda: worker.tail())
    until(lambda: list((workers.directory / "work" / "failed").glob("*.txt")), lambda: worker.tail())
    worker.end()
    assert "JOLLYAE_FROM" not in environment.read_text()
    for path in workers.directory.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
            assert b"guest:guest" not in path.read_bytes(), path


def test_every_key_of_a_real_store_comes_through(queue: Queue, rgw: Rgw, tmp_path: Path) -> None:
    """Keys that no file can have, that a worker would ignore, and in both readings of Ceph's: each object's bytes are
    worked on under its key."""
    keys = [name.decode() for name, _ in NAMES.values() if _is_text(name)]
    keys += ["folder/", "a//b", ".hidden", "film.part", "a+b", "a b", "a%20b", "a%2Bb", "../up", "x" * 700, "a", "a/b"]
    bucket, client = rgw.bucket(), rgw.client()
    wanted = {}
    for number, key in enumerate(dict.fromkeys(keys)):
        body = f"{number} {key}".encode(errors="surrogateescape")
        client.put_object(Bucket=bucket, Key=key, Body=body)
        wanted[key] = body
        told = event(bucket, key, body)
        if number % 2:
            told["eventSource"], told["s3"]["object"]["key"] = "ceph:s3", key if number % 4 == 1 else quote(key)
        queue.send(message(told))
    environment = rgw.environment | {"AWS_ENDPOINT_URL_S3": rgw.endpoint}
    with taking(queue.url, environment, tmp_path) as workers:
        worker = workers.start("--idle-exit", "3")
        assert worker.wait().code == 0, worker.tail()
        assert sorted(workers.came()) == sorted(wanted.values())
        assert queue.waiting() == 0
        assert queue.waiting(f"{queue.name}.dead") == -1
        receipts = [
            json.loads(line)
            for path in (tmp_path / "work" / "receipts").glob("*.jsonl")
            for line in path.read_text().split("\n")[:-1]
        ]
        assert len(receipts) == len(wanted)


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
