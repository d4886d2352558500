"""The fault suite's verdicts on a real server: Ceph RGW behind a proxy that fails; and the fault store against it, in
what both claim to do as S3."""

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

import pytest

from tests.faults import weather
from tests.faults.store import PART_MIN, Accepted, Store
from tests.faults.tier import TIER, scaled
from tests.faults.weather import TRANSPORTS, Hurried

from .conftest import Rgw
from .faultproxy import FaultProxy, Mode, Seen, before
from .support import until

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = [pytest.mark.real, pytest.mark.slow]

MODES = (
    *(Mode.UNWELL, Mode.SLOW_DOWN, Mode.DENIED, Mode.RESET_BEFORE, Mode.RESET_AFTER, Mode.HANG_BEFORE, Mode.HANG_AFTER),
    *(Mode.HALF_ANSWER, Mode.GATEWAY_TIMEOUT, Mode.REFUSE),
)
CASES = [
    (mode, share, transport)
    for number, mode in enumerate(MODES)
    for turn, share in enumerate((0.2, 1.0))
    for transport in (TRANSPORTS if TIER == "long" else (TRANSPORTS[(number + turn) % 2],))
    if not (mode is Mode.REFUSE and share < 1)
]
SAMPLE = [(Mode.RESET_AFTER, 0.2, "auto"), (Mode.HALF_ANSWER, 1.0, "boto3")]


class Bucket:
    """What a scene asks of its store, of a bucket of a real one behind a proxy. What it accepted is what it answered
    with 200 to the proxy, with the bytes that it has now. (Ceph RGW 16 keeps versions, but honours no condition then.)
    """

    def __init__(self, rgw: Rgw, proxy: FaultProxy) -> None:
        self._rgw, self._proxy = rgw, proxy
        self.client = rgw.client()
        self.name = rgw.bucket()

    def environment(self) -> dict[str, str]:
        """For clients: the proxy's address, and the keys."""
        return self._rgw.environment | {"AWS_ENDPOINT_URL_S3": self._proxy.url}

    @property
    def accepted(self) -> list[Accepted]:
        """Every write that was taken; and each object, should the proxy not know of it."""
        there = {one.key: one for one in self._objects()}
        keys = [key for seen, status in self._proxy.answered if status == 200 and (key := self._written(seen))]
        return [there.get(key, Accepted(key, "", 0)) for key in [*keys, *(there.keys() - set(keys))]]

    def _written(self, seen: Seen) -> str:
        """The key that a request writes, '' if it does not."""
        parts = urlsplit(seen.target)
        is_put = seen.method == "PUT" and not parts.query
        is_complete = seen.method == "POST" and "uploadId=" in parts.query
        return unquote(parts.path).removeprefix(f"/{self.name}/") if is_put or is_complete else ""

    def _objects(self) -> Iterator[Accepted]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        for key in [one["Key"] for page in pages for one in page.get("Contents", [])]:
            body = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
            yield Accepted(key, hashlib.sha256(body).hexdigest(), len(body))

    def close(self) -> None:
        """Give its memory back."""
        for one in self._objects():
            self.client.delete_object(Bucket=self.name, Key=one.key)


class RealScene(Hurried):
    """A scene whose store is a bucket of a real server."""

    def __init__(self, directory: Path, bucket: Bucket, bug: str = "") -> None:
        super().__init__(directory, cast(Store, bucket), bug)
        self.bucket = bucket

    def command(self, *options: str) -> list[str]:
        """As in the fault suite, to the bucket."""
        words = super().command(*options)
        words[words.index("--to") + 1] = f"s3://{self.bucket.name}"
        return words


def run(directory: Path, rgw: Rgw, mode: Mode, share: float, transport: str, bug: str = "") -> tuple[list[str], int]:
    """What was wrong, and how many requests met the fault."""
    items = weather.bodies(scaled(24, 100, 300))
    with before(rgw.endpoint) as proxy:
        bucket = Bucket(rgw, proxy)
        scene = RealScene(directory, bucket, bug)
        try:
            for name, body in items.items():
                scene.submit(name, body)
            proxy.set(mode, share)
            worker = scene.start("--settle", "0", "--transport", transport)
            _wait_for_a_while(scene, proxy, mode, share)
            proxy.set(Mode.PASS)
            until(lambda: not scene.waiting() or worker.popen.poll() is not None, worker.tail, weather.PATIENCE)
            done = worker.end()
            wrong = [] if done.code == 0 and "Traceback" not in done.err else [done.err[-1500:]]
            wrong += [f"failed: {name!r}: {error}" for name, (error, _) in scene.reasons().items()]
            met = sum(one.mode is mode for one in proxy.seen) or int(mode is Mode.REFUSE and "paused" in done.err)
            return [*wrong, *scene.judge()], met
        finally:
            scene.close()
            bucket.close()


def _wait_for_a_while(scene: RealScene, proxy: FaultProxy, mode: Mode, share: float) -> None:
    until(lambda: any(one.mode is mode for one in proxy.seen) or scene.processes[-1].lines("paused"), "the fault")
    deadline = time.monotonic() + (4.0 if share < 1 else 2.5)
    while time.monotonic() < deadline and scene.waiting():
        time.sleep(0.05)


@pytest.mark.parametrize(("mode", "share", "transport"), SAMPLE if TIER == "sample" else CASES)
def test_the_same_verdict(tmp_path: Path, rgw: Rgw, mode: Mode, share: float, transport: str) -> None:
    """Each item in finished/, each object written once, its bytes the item's."""
    wrong, met = run(tmp_path, rgw, mode, share, transport)
    assert met
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("bug", ["no_conditional_put", "a_412_taken_as_failure"])
def test_a_planted_bug_is_caught(tmp_path: Path, rgw: Rgw, bug: str) -> None:
    """A write whose answer is lost shows both."""
    wrong, _ = run(tmp_path, rgw, Mode.RESET_AFTER, 1.0, "auto", bug)
    assert any(one.startswith(("written ", "failed: ")) for one in wrong), wrong


# --- is the fault store an S3 store?

Step = Callable[["S3Client", str], Any]


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def _uploaded(client: "S3Client", bucket: str, bodies: list[bytes], tell: Callable[[list[Any]], list[Any]]) -> Any:
    """The ETag of an upload in these parts, of which what ``tell`` makes of their list is completed."""
    upload = client.create_multipart_upload(Bucket=bucket, Key="large")["UploadId"]
    parts: list[Any] = []
    for number, body in enumerate(bodies, 1):
        sent = client.upload_part(Bucket=bucket, Key="large", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    client.complete_multipart_upload(
        Bucket=bucket, Key="large", UploadId=upload, MultipartUpload={"Parts": tell(parts)}
    )
    return client.head_object(Bucket=bucket, Key="large")["ETag"]


def _listed(client: "S3Client", bucket: str) -> Any:
    upload = client.create_multipart_upload(Bucket=bucket, Key="listed")["UploadId"]
    for number, body in ((2, b"b" * 7), (1, b"a" * 5), (2, b"c" * 9)):
        client.upload_part(Bucket=bucket, Key="listed", UploadId=upload, PartNumber=number, Body=body)
    listed = client.list_parts(Bucket=bucket, Key="listed", UploadId=upload)
    found = [(part["PartNumber"], part["Size"], part["ETag"]) for part in listed["Parts"]]
    client.abort_multipart_upload(Bucket=bucket, Key="listed", UploadId=upload)
    return found, listed["IsTruncated"]


def _after_abort(client: "S3Client", bucket: str) -> Any:
    upload = client.create_multipart_upload(Bucket=bucket, Key="gone")["UploadId"]
    client.abort_multipart_upload(Bucket=bucket, Key="gone", UploadId=upload)
    return client.upload_part(Bucket=bucket, Key="gone", UploadId=upload, PartNumber=1, Body=b"1")


def _found(client: "S3Client", bucket: str) -> Any:
    client.put_object(Bucket=bucket, Key="told", Body=b"hello", Metadata={"jollyae-sha256": "ab"})
    found = client.head_object(Bucket=bucket, Key="told")
    return found["ContentLength"], found["ETag"], found["Metadata"]


_LARGE = [b"1" * PART_MIN, b"2" * PART_MIN, b"3" * 5]
STEPS: dict[str, Step] = {
    "a PUT": lambda client, bucket: client.put_object(Bucket=bucket, Key="a", Body=b"1", IfNoneMatch="*")["ETag"],
    "the same again": lambda client, bucket: client.put_object(Bucket=bucket, Key="a", Body=b"1", IfNoneMatch="*"),
    "over it": lambda client, bucket: client.put_object(Bucket=bucket, Key="a", Body=b"22")["ETag"],
    "over another": lambda client, bucket: client.put_object(Bucket=bucket, Key="a", Body=b"3", IfMatch='"0"'),
    "an empty one": lambda client, bucket: client.put_object(Bucket=bucket, Key="e", Body=b"")["ETag"],
    "HEAD": _found,
    "HEAD of nothing": lambda client, bucket: client.head_object(Bucket=bucket, Key="nothing"),
    "damaged": lambda client, bucket: client.put_object(Bucket=bucket, Key="d", Body=b"1", ContentMD5=_md5(b"2")),
    "damaged: nothing there": lambda client, bucket: client.head_object(Bucket=bucket, Key="d"),
    "ListParts": _listed,
    "in parts": lambda client, bucket: _uploaded(client, bucket, _LARGE, lambda parts: parts),
    "small parts": lambda client, bucket: _uploaded(client, bucket, [b"1", b"2"], lambda parts: parts),
    "a wrong ETag": lambda client, bucket: _uploaded(
        client, bucket, [b"1"], lambda parts: [{"PartNumber": 1, "ETag": '"0"'}]
    ),
    "a missing part": lambda client, bucket: _uploaded(
        client, bucket, [b"1"], lambda parts: [*parts, {"PartNumber": 2, "ETag": parts[0]["ETag"]}]
    ),
    "after an abort": _after_abort,
}


def _answers(client: "S3Client", bucket: str) -> dict[str, Any]:
    """What is answered: a value, or status and code of the refusal."""
    from botocore.exceptions import ClientError

    found: dict[str, Any] = {}
    for name, step in STEPS.items():
        try:
            found[name] = step(client, bucket)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            found[name] = status, error.response["Error"]["Code"]
    return found


def test_the_fault_store_is_an_s3_store(rgw: Rgw) -> None:
    """Conditions, digests, ETags, parts and their lists: it answers as Ceph RGW does."""
    real = _answers(rgw.client(), rgw.bucket())
    with Store() as store:
        client = Rgw.client(cast(Rgw, _Standing(store)))
        ours = _answers(client, "bucket")
    assert ours == real
    assert real["the same again"] == (412, "PreconditionFailed"), real
    assert len([one for one in real.values() if isinstance(one, tuple) and isinstance(one[0], int)]) >= 8, real


class _Standing:
    """The fault store, where a client is made for Ceph RGW."""

    def __init__(self, store: Store) -> None:
        settings = store.environment()
        self.endpoint, self.region = store.url, settings["AWS_REGION"]
        self.access_key, self.secret_key = settings["AWS_ACCESS_KEY_ID"], settings["AWS_SECRET_ACCESS_KEY"]
