"""S3 delivery against a real server, Ceph RGW: what is in the bucket is compared byte for byte."""

import asyncio
import base64
import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from jollyae.processors.s3 import BucketDelivery, S3Options
from jollyae.processors.s3.boto import BotoTransport
from jollyae.processors.s3.transport import Part, StoredPart
from jollyae.processors.s3.uploads import Uploads
from jollyae.spool import notes
from jollyae.spool.item import Item
from jollyae.spool.outcomes import Permanent, Scope, Temporary

from .conftest import Rgw

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = pytest.mark.real
MiB = 1 << 20


class Store:
    """A fresh bucket, items in a directory, and deliveries from one to the other."""

    def __init__(self, rgw: Rgw, directory: Path, transport: str = "auto") -> None:
        self.rgw = rgw
        self.transport = transport
        self.directory = directory
        self.bucket = rgw.bucket()
        self.client: S3Client = rgw.client()

    def item(self, name: str, body: bytes) -> Item:
        """A new item in work."""
        path = self.directory / name
        notes.forget(str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        os.utime(path, ns=(1_795_305_598_123_456_700, 1_795_305_598_123_456_700))
        path.chmod(0o640)
        return self.again(name)

    def again(self, name: str) -> Item:
        """The same item as an adopter finds it."""
        path = str(self.directory / name)
        descriptor = os.open(path, os.O_RDONLY)
        item = Item(name, path, cast(Any, None), descriptor, os.fstat(descriptor))
        item.note = notes.read(path)
        return item

    def options(self, **options: Any) -> S3Options:
        """With this server's endpoint and region."""
        here = {"endpoint_url": self.rgw.endpoint, "region": self.rgw.region, "transport": self.transport}
        return S3Options(**{**here, **options})

    def deliver(self, *items: Item, to: str = "", key: str = "{path}", **options: Any) -> list[dict[str, Any]]:
        """All at the same time, by one delivery."""
        return asyncio.run(self._deliver(items, to or f"s3://{self.bucket}/in", key, self.options(**options)))

    async def _deliver(self, items: tuple[Item, ...], to: str, key: str, options: S3Options) -> list[dict[str, Any]]:
        delivery = BucketDelivery(to, options, key=key, concurrency=8)
        try:
            return list(await asyncio.gather(*map(delivery, items)))
        finally:
            delivery.close()

    def body(self, key: str) -> bytes:
        """An object's bytes, read without our code."""
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def all_keys(self) -> list[str]:
        """All keys in the bucket."""
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def uploads(self) -> int:
        """Multipart uploads under way."""
        return len(self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []))


@pytest.fixture(params=["auto", "boto3"])
def store(request: pytest.FixtureRequest, rgw: Rgw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A bucket, with the keys in the environment, and deliveries by the one transport and the other."""
    for name, value in rgw.environment.items():
        monkeypatch.setenv(name, value)
    return Store(rgw, tmp_path / "work", request.param)


def test_put(store: Store) -> None:
    """The bytes, the metadata that brings the file back, the content type, and the receipt."""
    [receipt] = store.deliver(store.item("a/b.json", b"{}"), metadata={"colour": "red"}, cache_control="no-cache")
    sha256 = hashlib.sha256(b"{}").hexdigest()
    etag = hashlib.md5(b"{}").hexdigest()
    assert receipt == {"url": f"s3://{store.bucket}/in/a/b.json", "size": 2, "sha256": sha256, "etag": etag}
    head = store.client.head_object(Bucket=store.bucket, Key="in/a/b.json")
    assert head["Metadata"] == {
        "mtime": "1795305598.1234567",
        "mode": "100640",
        "jollyae-sha256": sha256,
        "colour": "red",
    }
    assert (head["ContentType"], head["CacheControl"]) == ("application/json", "no-cache")
    assert store.body("in/a/b.json") == b"{}"


def test_sizes(store: Store) -> None:
    """Empty, a byte, around the limit of the event loop's own reads, and some MiB: byte for byte."""
    sizes = [0, 1, 262_143, 262_144, 262_145, 1 << 20, 6 * MiB]
    bodies = {f"{size}": os.urandom(size) for size in sizes}
    store.deliver(*[store.item(name, body) for name, body in bodies.items()])
    assert {key: store.body(key) for key in store.all_keys()} == {f"in/{name}": body for name, body in bodies.items()}


def test_nothing_is_chunked(store: Store) -> None:
    """No aws-chunked framing inside the object, with any checksum."""
    for algorithm in ("sha256", "crc32", "md5", "none"):
        store.deliver(store.item(algorithm, b"plain " * 1000), checksum_algorithm=algorithm)
        assert store.body(f"in/{algorithm}") == b"plain " * 1000


def test_names_in_metadata(store: Store) -> None:
    """Where the key does not tell the name, the metadata do, in ASCII."""
    name = os.fsdecode(b"d/caf\xe9 \n\xf0\x9f\x8e\x84.txt")
    store.deliver(store.item(name, b"x"), key="{sha256}")
    [key] = store.all_keys()
    assert store.client.head_object(Bucket=store.bucket, Key=key)["Metadata"]["jollyae-name"] == (
        "d/caf%E9%20%0A%F0%9F%8E%84.txt"
    )


@pytest.mark.parametrize("head_first", [False, True])
def test_a_changed_file_replaces_what_we_sent(store: Store, head_first: bool) -> None:
    """The worker gives it again with the receipt of what was sent."""
    item = store.item("log", b"one")
    [receipt] = store.deliver(item, head_first=head_first)
    with item.path.open("ab") as file:
        file.write(b" two")
    assert item.changed()
    item.superseded = receipt
    store.deliver(item, head_first=head_first)
    assert store.body("in/log") == b"one two"


def test_head_first(store: Store) -> None:
    """A collision is found by asking."""
    assert store.deliver(store.item("x", b"one"), head_first=True)[0]["atomic"] is False
    with pytest.raises(Permanent):
        store.deliver(store.item("x", b"two"), head_first=True)


def test_proof_before_a_delete(store: Store) -> None:
    """Whole or in parts, with and without an ETag that is an MD5 (SSE-KMS)."""
    large = os.urandom(11 * MiB)
    parts: dict[str, Any] = {"verify": True, "part_size": 5 * MiB, "multipart_threshold": 10 * MiB}
    store.deliver(store.item("small", b"x"), store.item("large", large), **parts)
    store.deliver(
        store.item("kms", b"x"), store.item("large kms", large), sse="aws:kms", sse_kms_key_id="testkey-1", **parts
    )
    assert store.body("in/large kms") == large


def test_tags_and_acl(store: Store) -> None:
    """Sent when asked for."""
    store.deliver(store.item("x", b"x"), tags={"team": "a b&c"}, acl="public-read")
    assert store.client.get_object_tagging(Bucket=store.bucket, Key="in/x")["TagSet"] == [
        {"Key": "team", "Value": "a b&c"}
    ]
    grants = store.client.get_object_acl(Bucket=store.bucket, Key="in/x")["Grants"]
    assert any("AllUsers" in grant["Grantee"].get("URI", "") for grant in grants)


IN_PARTS: dict[str, Any] = {"part_size": 5 * MiB, "multipart_threshold": 10 * MiB}
BODY = os.urandom(40 * MiB + 1)


@pytest.mark.parametrize("algorithm", ["sha256", "crc32", "md5", "none"])
def test_in_parts(store: Store, algorithm: str) -> None:
    """40 MiB and a byte in nine parts, byte for byte, with any checksum; RGW's empty ETag is looked up."""
    [receipt] = store.deliver(store.item("large", BODY), checksum_algorithm=algorithm, **IN_PARTS)
    assert receipt["parts"] == 9 and receipt["etag"].endswith("-9")
    digests = [hashlib.sha256(BODY[start : start + 5 * MiB]).digest() for start in range(0, len(BODY), 5 * MiB)]
    told = {
        "checksum_sha256": f"{base64.b64encode(hashlib.sha256(b''.join(digests)).digest()).decode()}-9",
        "checksum_crc32": base64.b64encode(zlib.crc32(BODY).to_bytes(4, "big")).decode(),
    }
    expected = {name: value for name, value in told.items() if name.endswith(algorithm)}
    assert {name: value for name, value in receipt.items() if "sha256" in name or "crc" in name} == expected
    assert store.body("in/large") == BODY
    assert store.uploads() == 0


def test_in_parts_again_and_other(store: Store) -> None:
    """The same bytes are found (by their part ETags), other bytes are refused before anything is sent."""
    store.deliver(store.item("large", BODY), **IN_PARTS)
    assert store.deliver(store.item("large", BODY), **IN_PARTS)[0]["already_there"] is True
    with pytest.raises(Permanent, match="exists with other content"):
        store.deliver(store.item("large", BODY[::-1]), **IN_PARTS)
    assert store.body("in/large") == BODY
    assert store.uploads() == 0


class Crash(BaseException):
    """What a kill does to a coroutine: it gets no chance to tidy up."""


def count_parts(monkeypatch: pytest.MonkeyPatch, crash_at: int = 0) -> Callable[[], list[int]]:
    """Count the parts that are really sent; die when part ``crash_at`` is to go out."""
    sent: list[int] = []

    def count(sender: type) -> None:
        original: Any = sender.part  # type: ignore[attr-defined]

        async def part(self: Any, request: Part) -> StoredPart:
            if request.number == crash_at:
                await asyncio.sleep(0.5)  # let those in flight arrive
                raise Crash
            sent.append(request.number)
            stored: StoredPart = await original(self, request)
            return stored

        monkeypatch.setattr(sender, "part", part)

    count(BotoTransport)
    count(Uploads)
    return lambda: sorted(sent)


def test_a_crash_half_way_sends_only_what_is_missing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adopter has the note and asks RGW."""
    with monkeypatch.context() as patch:
        before = count_parts(patch, crash_at=6)
        with pytest.raises(Crash):
            store.deliver(store.item("large", BODY), **IN_PARTS)
    assert store.uploads() == 1 and store.all_keys() == []
    [upload] = store.client.list_multipart_uploads(Bucket=store.bucket)["Uploads"]
    listed = store.client.list_parts(Bucket=store.bucket, Key="in/large", UploadId=upload["UploadId"])
    there = [part["PartNumber"] for part in listed["Parts"]]
    assert len(there) >= 5 and set(there) <= set(before())
    after = count_parts(monkeypatch)
    [receipt] = store.deliver(store.again("large"), **IN_PARTS)
    assert after() == [number for number in range(1, 10) if number not in there]
    assert receipt["parts_resumed"] == len(there)
    assert store.body("in/large") == BODY


def test_an_upload_that_was_aborted_begins_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a lifecycle rule, say."""
    with monkeypatch.context() as patch:
        count_parts(patch, crash_at=3)
        with pytest.raises(Crash):
            store.deliver(store.item("large", BODY), **IN_PARTS)
    [upload] = store.client.list_multipart_uploads(Bucket=store.bucket)["Uploads"]
    store.client.abort_multipart_upload(Bucket=store.bucket, Key="in/large", UploadId=upload["UploadId"])
    store.deliver(store.again("large"), **IN_PARTS)
    assert store.body("in/large") == BODY


def test_a_lost_answer_to_complete(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The object is there and ours: nothing is sent again."""

    def losing(original: Any) -> Any:
        async def lost(self: Any, request: Any) -> None:
            await original(self, request)
            raise Crash

        return lost

    with monkeypatch.context() as patch:
        patch.setattr(BotoTransport, "complete", losing(BotoTransport.complete))
        patch.setattr(Uploads, "complete", losing(Uploads.complete))
        with pytest.raises(Crash):
            store.deliver(store.item("large", BODY), **IN_PARTS)
    sent = count_parts(monkeypatch)
    assert store.deliver(store.again("large"), **IN_PARTS)[0]["already_there"] is True
    assert sent() == []


@pytest.mark.parametrize("size", [1, 11 * MiB])
def test_the_worlds_faults_pause_the_destination(store: Store, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Wrong keys, no such bucket, nothing listening: never the item's fault, always with a hint."""
    item = store.item("x", os.urandom(size))

    def told(**options: Any) -> Temporary:
        with pytest.raises(Temporary) as caught:
            store.deliver(item, **IN_PARTS, **options)
        return caught.value

    faults = [told(to="s3://no-such-bucket-here"), told(endpoint_url="http://127.0.0.1:9")]
    assert "there is no such bucket" in faults[0].message and "connection refused" in faults[1].message
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    faults.append(told())
    assert "the secret key is wrong" in faults[2].message
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    faults.append(told())
    assert "does not know this access key" in faults[3].message
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    faults.append(told())
    assert "no credentials" in faults[4].message
    assert all(fault.scope is Scope.DESTINATION and fault.hint for fault in faults)
    assert item.memory == {}


def test_a_bucket_of_somebody_else(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """403 AccessDenied tells neither whose fault it is."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.rgw.second_access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.rgw.second_secret_key)
    with pytest.raises(Temporary, match="access denied") as caught:
        store.deliver(store.item("x", b"x"))
    assert caught.value.scope is Scope.UNSURE


def test_an_option_the_store_does_not_know(store: Store) -> None:
    """It is not the item's fault."""
    with pytest.raises(Temporary) as caught:
        store.deliver(store.item("x", b"x"), storage_class="NO_SUCH_CLASS")
    assert caught.value.scope is Scope.UNSURE


def test_tls(store: Store) -> None:
    """A certificate that nobody vouches for is refused; with --ca-bundle or --no-verify-ssl it is taken."""
    item, large = store.item("x", b"x"), store.item("large", BODY)
    with pytest.raises(Temporary, match="no secure connection") as caught:
        store.deliver(item, endpoint_url=store.rgw.endpoint_tls)
    assert caught.value.scope is Scope.DESTINATION and "--ca-bundle" in caught.value.hint
    store.deliver(item, large, endpoint_url=store.rgw.endpoint_tls, ca_bundle=store.rgw.ca_bundle, **IN_PARTS)
    assert store.body("in/large") == BODY
    assert store.deliver(item, endpoint_url=store.rgw.endpoint_tls, verify_ssl=False)[0]["already_there"] is True


def test_many_at_once(store: Store) -> None:
    """300 items by one delivery, each right (RGW's ETags are the MD5)."""
    bodies = {f"d{number % 7}/{number}": os.urandom(number * 37) for number in range(300)}
    store.deliver(*[store.item(name, body) for name, body in bodies.items()])
    found = store.client.list_objects_v2(Bucket=store.bucket)["Contents"]
    assert {item["Key"]: item["ETag"] for item in found} == {
        f"in/{name}": f'"{hashlib.md5(body).hexdigest()}"' for name, body in bodies.items()
    }


# The last one: after it the first new bucket takes 30 s (RGW waits for the watch of its killed predecessor).
def test_the_gateway_stops_and_comes_back(store: Store) -> None:
    """One delivery lives through it."""

    async def run() -> None:
        delivery = BucketDelivery(f"s3://{store.bucket}", store.options())
        await delivery(store.item("one", b"1"))
        await asyncio.to_thread(store.rgw.down)
        try:
            with pytest.raises(Temporary) as caught:
                await delivery(store.item("two", b"2"))
            assert caught.value.scope is Scope.DESTINATION
        finally:
            await asyncio.to_thread(store.rgw.up)
        await delivery(store.again("two"))
        delivery.close()

    asyncio.run(run())
    assert store.body("two") == b"2"
