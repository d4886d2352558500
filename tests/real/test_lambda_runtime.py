"""The function as Lambda runs it: a real process of Amazon's runtime interface client, Lambda's part on loopback, a
queue that brings back what failed (moto: it speaks SQS's protocol and counts receives), and objects in a real store."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from jollyae.processors.photo.samples import make_samples
from tests import moto_server
from tests.aws import events
from tests.aws.runtime import FunctionError, function, poll
from tests.helpers import until

from .conftest import Rgw
from .support import SOURCE, environment

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="awslambdaric is for Linux")]

EXAMPLE = SOURCE.parent / "examples" / "lambda-renditions"
RECEIVES = 4
APP = """
import hashlib, json, os, signal, time
from jollyae import Permanent, Temporary, aws

def process(item):
    body = item.path.read_bytes()
    with open(os.environ["SEEN"], "a+") as seen:
        seen.seek(0)
        first = json.dumps(item.key) not in seen.read()
        seen.write(json.dumps([item.key, hashlib.sha256(body).hexdigest(), item.attempt]) + chr(10))
    assert item.source == f"s3://{item.bucket}/{item.key}"
    kind = item.key.partition("-")[0]
    if kind == "temporary" and first:
        raise Temporary("not now", hint="Wait.")
    if kind == "fault" and first:
        raise KeyError("what nobody foresaw")
    if kind == "permanent":
        raise Permanent("never")
    if kind == "killed" and first:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "slow" and first:
        time.sleep(600)

handler = aws.lambda_handler(process, margin=1)
"""


@pytest.fixture
def sqs(tmp_path: Path) -> Iterator[Any]:
    """A client of a moto server of our own."""
    with moto_server.serve(tmp_path / "moto.log") as address:
        yield boto3.client(
            "sqs",
            endpoint_url=address,
            region_name="eu-west-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


def queues(sqs: Any) -> tuple[str, str]:
    """The URLs of a queue and of its dead-letter queue."""
    dead = sqs.create_queue(QueueName="failed")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES})
    attributes = {"VisibilityTimeout": "1", "RedrivePolicy": policy}
    return sqs.create_queue(QueueName="arrivals", Attributes=attributes)["QueueUrl"], dead


def waiting(sqs: Any, url: str) -> int:
    """Messages in a queue, those being worked on too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(int(n) for n in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())


def bodies(sqs: Any, url: str) -> list[str]:
    """All messages of a queue."""
    found = []
    while taken := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [one["Body"] for one in taken]
    return found


def settings(rgw: Rgw, home: Path, **more: str) -> dict[str, str]:
    """What the function's environment is."""
    (home / "storage").mkdir()
    own = {"AWS_ENDPOINT_URL_S3": rgw.endpoint, "TMPDIR": str(home / "storage"), **more}
    return environment(home, **rgw.environment) | own


def test_a_queue_is_worked_off(rgw: Rgw, sqs: Any, tmp_path: Path) -> None:
    """Objects with good and bad fates, poison, kills and time-outs: each object is processed with its own bytes, what
    can go well is done, and the dead-letter queue has exactly the rest."""
    client, bucket = rgw.client(), rgw.bucket()
    url, dead = queues(sqs)
    kinds = ["plain"] * 20 + ["temporary", "fault", "killed", "slow", "permanent", "permanent"]
    keys = [f"{kind}-{at}/ü +%41.bin" for at, kind in enumerate(kinds)]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode() * 100)
    messages = [events.s3(bucket, key, size=len(key.encode()) * 100) for key in keys]
    messages += [events.s3_test(bucket), events.s3(bucket, "gone"), events.s3(bucket, "x", "ObjectRemoved:Delete")]
    poison = ["no JSON", json.dumps(events.s3("no-such-bucket-anywhere", "x"))]
    for body in [*poison, *(json.dumps(one) for one in messages)]:
        sqs.send_message(QueueUrl=url, MessageBody=body)
    (tmp_path / "app.py").write_text(APP)
    seen = tmp_path / "seen"
    env = settings(rgw, tmp_path, SEEN=str(seen))
    with function("app.handler", tmp_path, env, tmp_path / "log", seconds=8.0) as called:
        until(lambda: not poll(sqs, url, called) and not waiting(sqs, url), "an empty queue")
        assert called.starts == 3, "the first, and after a kill and a deadline"
    done = [json.loads(line) for line in seen.read_text().splitlines()]
    assert {(key, digest) for key, digest, _ in done} == {
        (key, hashlib.sha256(key.encode() * 100).hexdigest()) for key in keys
    }
    last = {key: attempt for key, _, attempt in done}  # the later line wins
    assert all(last[key] == RECEIVES for key in keys if key.startswith("permanent"))
    expected = sorted([*poison, *(json.dumps(messages[at]) for at, kind in enumerate(kinds) if kind == "permanent")])
    assert sorted(bodies(sqs, dead)) == expected
    log = (tmp_path / "log").read_text()
    assert "permanent-24" in log and "never (for ever)" in log and "what nobody foresaw" in log
    assert rgw.secret_key not in log
    (directory,) = (tmp_path / "storage" / f"jollyae-lambda-{os.getuid()}").iterdir()
    assert [path.name for path in directory.iterdir()] == [".lock"], "the dead ones' files are gone"


def test_a_large_object_takes_little_memory(rgw: Rgw, tmp_path: Path) -> None:
    """96 MiB go through the function in blocks: its memory grows by less than a quarter of that."""
    client, bucket = rgw.client(), rgw.bucket()
    for key, size in (("small", 1), ("large", 96 << 20)):
        client.put_object(Bucket=bucket, Key=key, Body=bytes(size))
    (tmp_path / "app.py").write_text(
        "import os, resource\n"
        "from jollyae import aws\n"
        "def process(item):\n"
        "    with open(os.environ['SEEN'], 'a') as seen:\n"
        "        seen.write(f'{item.size} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\\n')\n"
        "handler = aws.lambda_handler(process)\n"
    )
    env = settings(rgw, tmp_path, SEEN=str(tmp_path / "seen"))
    with function("app.handler", tmp_path, env, tmp_path / "log", seconds=60.0) as called:
        for key in ("small", "large"):
            assert called(events.s3(bucket, key)) == {"done": 1}
    (_, before), (size, after) = (map(int, line.split()) for line in (tmp_path / "seen").read_text().splitlines())
    assert size == 96 << 20
    assert after - before < 24 << 10, f"KiB: {before}, then {after}"


def test_a_direct_call_that_fails_is_an_error(rgw: Rgw, tmp_path: Path) -> None:
    """S3 calls without a queue: Lambda hears of the failure and makes the call again."""
    client, bucket = rgw.client(), rgw.bucket()
    client.put_object(Bucket=bucket, Key="permanent-1", Body=b"x")
    client.put_object(Bucket=bucket, Key="plain", Body=b"x")
    (tmp_path / "app.py").write_text(APP)
    env = settings(rgw, tmp_path, SEEN=str(tmp_path / "seen"))
    with function("app.handler", tmp_path, env, tmp_path / "log") as called:
        assert called(events.s3(bucket, "plain")) == {"done": 1}
        with pytest.raises(FunctionError, match=r"Undone: .*permanent-1: never"):
            called(events.s3(bucket, "permanent-1"))
        with pytest.raises(FunctionError, match="EventError"):
            called("hello")
        assert called(events.sns(events.s3(bucket, "plain"))) == {"done": 1}
        assert called.starts == 1


def test_the_example(rgw: Rgw, tmp_path: Path) -> None:
    """examples/lambda-renditions: each photo gets its renditions, once; what is no picture is told and fails."""
    pytest.importorskip("PIL")
    client, originals, renditions = rgw.client(), rgw.bucket(), rgw.bucket()
    photos = make_samples(tmp_path / "photos", 2, side=600)
    told = {}
    for photo in photos:
        key = f"2026/a b+/{photo.name}"
        client.put_object(Bucket=originals, Key=key, Body=photo.read_bytes())
        told[key] = events.record(events.s3(originals, key), key)
    client.put_object(Bucket=originals, Key="no picture.jpg", Body=b"GIF89a, or so it says")
    bad = events.record(events.s3(originals, "no picture.jpg"), "bad")
    env = settings(rgw, tmp_path, RENDITIONS=renditions)
    with function("app.handler", EXAMPLE, env, tmp_path / "log", seconds=60.0) as called:
        assert called(events.sqs(*told.values(), bad)) == events.failures("bad")
        first = _objects(client, renditions)
        assert called(events.sqs(*told.values())) == events.failures(), "again: what is there is its own"
        assert _objects(client, renditions) == first
    expected = set()
    for photo in photos:
        digest = hashlib.sha256(photo.read_bytes()).hexdigest()[:16]
        expected |= {f"{name}/2026/a b+/{photo.name}.{digest}.jpg" for name in ("medium", "thumb")}
    assert set(first) == expected
    assert all(body.startswith(b"\xff\xd8\xff") for body, _ in first.values())


def _objects(client: Any, bucket: str) -> dict[str, tuple[bytes, Any]]:
    """The objects' bytes and times by their keys."""
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    answers = {key: client.get_object(Bucket=bucket, Key=key) for key in keys}
    return {key: (answer["Body"].read(), answer["LastModified"]) for key, answer in answers.items()}
