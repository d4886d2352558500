"""The function for Lambda against a real store: what it does with each kind of message, and what it leaves."""

import asyncio
import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jollyae import Item, Permanent, Temporary
from jollyae.aws import Handler, fetching
from jollyae.spool import owner
from tests.aws import events
from tests.helpers import until

from .conftest import Rgw
from .faultproxy import Mode, before

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = pytest.mark.real

HOSTILE = [
    "plain.txt",
    "a b+c%41.txt",
    "../../etc/passwd",
    "/absolute",
    "a//b/./c",
    "folder/",
    ".hidden",
    "-rf *;$(touch x)`id`.sh",
    "ümläut/日本語 🙂.jpg",
    "line\nbreak\ttab.csv",
    "x" * 1000 + ".bin",
    "%key/a%2Fb",
]


class Stage:
    """A bucket, and a function that notes what it was given."""

    def __init__(self, rgw: Rgw) -> None:
        self.bucket = rgw.bucket()
        self.client: S3Client = rgw.client()
        self.seen: list[tuple[str, bytes, int]] = []
        self.error: dict[str, Exception] = {}
        self.handler = Handler(self.process)

    def process(self, item: Item) -> dict[str, Any]:
        """Read it by its descriptor and its path, and raise what was ordered for it."""
        body = os.pread(item.fd, item.size + 1, 0)
        assert body == item.path.read_bytes() and len(body) == item.size
        (item.temporary_directory() / "scratch").write_bytes(body)
        self.seen.append((item.key, body, item.attempt))  # type: ignore[attr-defined]
        if error := self.error.get(item.key):  # type: ignore[attr-defined]
            raise error
        return {"bytes": item.size}

    def put(self, key: str, body: bytes = b"some bytes", **more: Any) -> dict[str, Any]:
        """An object, and the event about it."""
        etag = self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **more)["ETag"].strip('"')
        return events.s3(self.bucket, key, size=len(body), eTag=etag)

    @property
    def keys(self) -> list[str]:
        """What was processed."""
        return [key for key, _, _ in self.seen]

    def left(self) -> list[str]:
        """What lies in the storage between two calls, beside the lock."""
        assert self.handler._fetcher._owner is not None
        return sorted(set(os.listdir(self.handler._fetcher._owner.path)) - {owner.LOCK})


@pytest.fixture
def stage(rgw: Rgw, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    """A bucket, the environment that a function has, and the function."""
    for name, value in {**rgw.environment, "AWS_ENDPOINT_URL_S3": rgw.endpoint}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "storage").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "storage"))
    made = Stage(rgw)
    yield made
    made.handler.close()


def test_hostile_keys(stage: Stage) -> None:
    """Whatever a key is, its object comes whole, to a file whose name it does not decide."""
    bodies = {key: hashlib.sha256(key.encode()).digest() for key in HOSTILE}
    batch = [events.record(stage.put(key, body), f"m{at}", at + 1) for at, (key, body) in enumerate(bodies.items())]
    assert stage.handler(events.sqs(*batch), events.context()) == events.failures()
    assert stage.seen == [(key, body, at + 1) for at, (key, body) in enumerate(bodies.items())]
    assert stage.left() == []


@pytest.mark.parametrize("size", [0, 1, fetching.BLOCK, 3 * fetching.BLOCK + 17])
def test_any_size(stage: Stage, size: int) -> None:
    """Empty, of a block, and of several."""
    body = os.urandom(size)
    assert stage.handler(stage.put("some.bin", body), events.context()) == {"done": 1}
    assert stage.seen == [("some.bin", body, 1)]


def test_every_way_to_be_called(stage: Stage) -> None:
    """S3, SNS and EventBridge directly; and each of them through a queue."""
    told = stage.put("a b.txt")
    bridged = events.eventbridge(stage.bucket, "a b.txt", size=10, etag=told["Records"][0]["s3"]["object"]["eTag"])
    for event in (told, bridged, events.sns(told)):
        assert stage.handler(event, events.context()) == {"done": 1}
    for body in (told, bridged, events.by_sns(told), events.by_sns(bridged)):
        assert stage.handler(events.sqs(events.record(body)), events.context()) == events.failures()
    assert stage.keys == ["a b.txt"] * 7


def test_only_what_failed_is_told(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Temporary, Permanent and an error nobody foresaw come back; the others of the batch are done."""
    stage.error = {"t": Temporary("not now", hint="Wait."), "p": Permanent("not an image"), "k": KeyError("x")}
    batch = [events.record(stage.put(key), key) for key in ("a", "t", "p", "k", "b")]
    assert stage.handler(events.sqs(*batch), events.context()) == events.failures("t", "p", "k")
    assert stage.keys == ["a", "t", "p", "k", "b"] and stage.left() == []
    levels = {record.getMessage().split("/")[-1]: record.levelname for record in caplog.records}
    assert levels["t: not now. Wait."] == "WARNING"
    assert levels["p: not an image (for ever). "] == "ERROR"
    assert "KeyError" in caplog.text and "Traceback" in caplog.text


def test_without_a_queue_the_call_fails(stage: Stage) -> None:
    """There is no part of it that could come back."""
    stage.error = {"t": Temporary("not now")}
    with pytest.raises(Exception, match="not now"):
        stage.handler(stage.put("t"), events.context())


def test_nothing_to_do(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A test event, a removal, an object that is gone, and what is neither: told apart, and done."""
    caplog.set_level(logging.INFO)
    gone = stage.put("gone")
    stage.client.delete_object(Bucket=stage.bucket, Key="gone")
    bodies = [
        events.s3_test(stage.bucket),
        events.s3(stage.bucket, "x", "ObjectRemoved:Delete"),
        events.eventbridge(stage.bucket, "x", "Object Deleted"),
        events.s3(stage.bucket, "x", "ObjectRestore:Post"),
        gone,
    ]
    batch = [events.record(body, str(at)) for at, body in enumerate(bodies)]
    assert stage.handler(events.sqs(*batch), events.context()) == events.failures()
    assert stage.seen == []
    told = [record.getMessage() for record in caplog.records if "nothing to do" in record.getMessage()]
    assert [line.split(": ")[1] for line in told] == [
        "test",
        "removed",
        "removed",
        "other",
        "deleted since it was announced",
    ]


def test_poison(stage: Stage) -> None:
    """What is no event, and what names a bucket that is none, fails and takes nothing with it."""
    batch = [
        events.record("no JSON", "p1"),
        events.record({"hello": "world"}, "p2"),
        events.record(events.s3("no-such-bucket-anywhere", "x"), "p3"),
        events.record(events.s3("Not a Bucket!", "x"), "p4"),
        events.record(events.s3(stage.bucket, "k" * 1025), "p5"),
        events.record(stage.put("good"), "g"),
    ]
    answer = stage.handler(events.sqs(*batch), events.context())
    assert answer == events.failures("p1", "p2", "p3", "p4", "p5")
    assert stage.keys == ["good"]


def test_several_objects_in_one_message(stage: Stage) -> None:
    """One of them failed: all are tried, and the message comes back whole."""
    stage.error = {"b": Temporary("not now")}
    body = {"Records": [record for key in ("a", "b", "c") for record in stage.put(key)["Records"]]}
    assert stage.handler(events.sqs(events.record(body, "m")), events.context()) == events.failures("m")
    assert stage.keys == ["a", "b", "c"]


def test_the_order_of_a_group(stage: Stage) -> None:
    """After the first failure of a group of a FIFO queue none of it is done; other groups go on."""
    stage.error = {"a2": Temporary("not now")}
    names = ("a1", "b1", "a2", "a3", "b2", "a4")
    batch = [events.record(stage.put(name), name, group=name[0]) for name in names]
    assert stage.handler(events.sqs(*batch), events.context()) == events.failures("a2", "a3", "a4")
    assert stage.keys == ["a1", "b1", "a2", "b2"]


def test_no_more_time(stage: Stage) -> None:
    """Below the margin no further message is begun, and all the rest comes back."""
    batch = [events.record(stage.put(name), name) for name in ("a", "b", "c")]

    class Context:
        """Plenty of time, until one object was processed."""

        def get_remaining_time_in_millis(self) -> int:
            return 5000 if stage.seen else 60_000

    assert stage.handler(events.sqs(*batch), Context()) == events.failures("b", "c")
    assert stage.keys == ["a"]


def test_the_first_is_always_begun(stage: Stage) -> None:
    """A margin that is longer than the function's time slows things down, and stops nothing."""
    batch = [events.record(stage.put(name), name) for name in ("a", "b")]
    assert stage.handler(events.sqs(*batch), events.context(5.0)) == events.failures("b")
    assert stage.keys == ["a"]


def test_time_runs_out_while_it_is_fetched(stage: Stage) -> None:
    """What cannot come in time is given up before Lambda ends the process, and its file is removed."""
    body = events.record(stage.put("large", bytes(4 * fetching.BLOCK)), "m")
    assert stage.handler(events.sqs(body), events.context(60.0, 0.5)) == events.failures("m")
    assert stage.seen == [] and stage.left() == []


def test_a_coroutine_is_given_up_in_time(stage: Stage) -> None:
    """A processor that waits for ever is cancelled when only the answer has time; one that ends is awaited."""
    cancelled = []

    async def process(item: Item) -> None:
        try:
            if item.name == "slow":
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item.name)
            raise

    handler = Handler(process)
    batch = [events.record(stage.put(name), name) for name in ("quick", "slow")]

    class Context:
        """Two seconds from the slow one on."""

        def get_remaining_time_in_millis(self) -> int:
            return 900 if cancelled else 1200

    try:
        assert handler(events.sqs(batch[0]), events.context()) == events.failures()
        assert handler(events.sqs(batch[1]), Context()) == events.failures("slow")
    finally:
        handler.close()
    assert cancelled == ["slow"]


def test_what_was_written_again_is_taken_as_it_is(stage: Stage) -> None:
    """Between the event and its processing the object got other bytes: those are processed, and its own event repeats
    that."""
    told = stage.put("a", b"old")
    stage.put("a", b"newer bytes")
    assert stage.handler(told, events.context()) == {"done": 1}
    assert stage.seen == [("a", b"newer bytes", 1)]


def test_a_wrong_size_is_no_object_of_ours(stage: Stage) -> None:
    """Another size under the same ETag: nobody knows what that is."""
    told = stage.put("a", b"12345")
    told["Records"][0]["s3"]["object"]["size"] = 4
    assert stage.handler(events.sqs(events.record(told, "m")), events.context()) == events.failures("m")
    assert stage.seen == []


def test_damaged_bytes(stage: Stage) -> None:
    """Other bytes than those that jollyae delivered, by the digest beside them, are not processed."""
    digests = {"good": hashlib.sha256(b"some bytes").hexdigest(), "bad": hashlib.sha256(b"other").hexdigest()}
    batch = [
        events.record(stage.put(key, Metadata={"jollyae-sha256": digest, "mtime": "1000000000.5"}), key)
        for key, digest in digests.items()
    ]
    assert stage.handler(events.sqs(*batch), events.context()) == events.failures("bad")
    assert stage.keys == ["good"]


def test_no_room(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that the storage cannot hold is not begun; one over the limit fails for ever."""
    free = shutil.disk_usage("/")._replace(free=fetching.SPARE + 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    batch = [
        events.record(stage.put(key, body), key) for key, body in (("fits", b"0123456789"), ("not", b"0123456789a"))
    ]
    assert stage.handler(events.sqs(*batch), events.context()) == events.failures("not")
    assert stage.keys == ["fits"]
    stage.handler._fetcher._largest = 5
    assert stage.handler(events.sqs(batch[0]), events.context()) == events.failures("fits")


def test_the_store_is_away_and_comes_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused connections make the message come back; the next call does it."""
    told = events.record(stage.put("a"), "m")
    there = os.environ["AWS_ENDPOINT_URL_S3"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    assert stage.handler(events.sqs(told), events.context()) == events.failures("m")
    stage.handler.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", there)
    assert stage.handler(events.sqs(told), events.context()) == events.failures()


@pytest.mark.parametrize("mode", [Mode.HALF_ANSWER, Mode.RESET_AFTER, Mode.UNWELL, Mode.SLOW_DOWN])
def test_a_broken_transfer(stage: Stage, rgw: Rgw, monkeypatch: pytest.MonkeyPatch, mode: Mode) -> None:
    """An answer that ends too early, or is an error, is no object: the message comes back, nothing of it stays, and
    when the network is well it is done."""
    told = events.record(stage.put("a", os.urandom(300_000)), "m")
    with before(rgw.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        proxy.set(mode)
        assert stage.handler(events.sqs(told), events.context()) == events.failures("m")
        assert stage.seen == [] and stage.left() == []
        assert len(proxy.seen) == (1 if mode is Mode.SLOW_DOWN else fetching.ATTEMPTS)
        proxy.set(Mode.PASS)
        assert stage.handler(events.sqs(told), events.context()) == events.failures()
    assert stage.keys == ["a"]


def test_a_key_with_two_readings(stage: Stage) -> None:
    """Ceph RGW does not say whether it encoded a key: the object that is there is meant; of two that are, the one with
    the ETag."""
    for key, written in (("a+b%41", "a+b%41"), ("c d", "c+d"), ("e f", "e+f"), ("e+f", "e+f")):
        told = stage.put(key, key.encode())
        told["Records"][0]["eventSource"] = "ceph:s3"
        told["Records"][0]["s3"]["object"]["key"] = written
        assert stage.handler(told, events.context()) == {"done": 1}
    assert stage.keys == ["a+b%41", "c d", "e f", "e+f"]


def test_what_a_killed_process_left_is_removed(stage: Stage, rgw: Rgw, tmp_path: Path) -> None:
    """Lambda keeps the storage and starts another process in it: the dead one's files go, a live one's stay."""
    program = (
        "import sys, time, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from jollyae.aws.fetching import Fetcher\n"
        "path = Fetcher()._own().path; open(path + '/object', 'w').write('x'); print(path, flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path / "storage")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    try:
        paths = [child.stdout.readline().strip() for child in children if child.stdout]
        children[0].kill()
        children[0].wait()
        stage.handler(stage.put("a"), events.context())
        assert [os.path.exists(path) for path in paths] == [False, True]
    finally:
        for child in children:
            child.kill()
            child.communicate()
    until(lambda: all(child.returncode is not None for child in children))
