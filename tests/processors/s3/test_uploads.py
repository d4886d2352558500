"""What a large file needs, over both transports: the same requests, the same answers, boto3 being the oracle."""

import asyncio
import hashlib
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from jollyae.processors.s3 import BucketDelivery, S3Options
from jollyae.processors.s3.boto import BotoTransport
from jollyae.processors.s3.fast import FastTransport
from jollyae.processors.s3.sigv4 import UNSIGNED, Keys, Signer, canonical_query
from jollyae.processors.s3.transport import (
    Attributes,
    Checksum,
    Complete,
    Create,
    Found,
    NoAnswer,
    Part,
    Stored,
    StoredPart,
    StoreError,
)

from .fake import Bench, MiB
from .servers import Server, Visit, certificate

XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
Transport = FastTransport | BotoTransport


@pytest.fixture(autouse=True)
def _only_these_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy") or name == "REQUESTS_CA_BUNDLE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "to/ken==")


def answer(status: int, body: str = "", **headers: str) -> bytes:
    """As S3 writes it; the headers' underscores are hyphens."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()


class Asked:
    """One request as it arrived."""

    def __init__(self, head: bytes, body: bytes) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = line.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.query = dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))
        self.body = body


class Scripted:
    """A store that gives one answer, asked by one transport or the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[Asked] = []

    def __call__(self, says: bytes, ask: Callable[[Transport], Awaitable[Any]], **more: Any) -> Any:
        """What the transport makes of it: a result or a :class:`StoreError`."""

        def behave(visit: Visit) -> None:
            while head := visit.head():
                if b"100-continue" in head:  # boto3 waits for it
                    visit.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.asked.append(Asked(head, visit.body(head.lower())))
                visit.send(says)

        tls = more.pop("tls", None)
        with Server(behave, tls=tls) as server:
            url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
            return asyncio.run(self._ask(S3Options(endpoint_url=url, **more), ask))

    async def _ask(self, options: S3Options, ask: Callable[[Transport], Awaitable[Any]]) -> Any:
        control = BotoTransport("bucket", options, 2)
        transport = FastTransport("bucket", options, control, 2) if self.name == "fast" else control
        try:
            return await ask(transport)
        except StoreError as error:
            return error
        finally:
            transport.close()
            if control._connected:
                control._connected.client.close()


def signature_is_right(method: str, target: str, headers: dict[str, str], body: bytes | None) -> bool:
    """Whether the request is signed with our keys. ``body``: None for one that is not."""
    listed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {name for name in headers if name.startswith("x-amz-")} <= set(listed)
    split = urlsplit(target)
    return headers["authorization"] == Signer("us-east-1").authorization(
        Keys("AKIDEXAMPLE", "top-secret", "to/ken=="),
        method,
        split.path,
        canonical_query(parse_qsl(split.query, keep_blank_values=True)),
        {name: headers[name] for name in listed},
        UNSIGNED if body is None else hashlib.sha256(body).hexdigest(),
    )


@pytest.fixture(params=["fast", "boto3"])
def store(request: pytest.FixtureRequest) -> Scripted:
    """Both transports."""
    return Scripted(request.param)


def test_head(store: Scripted) -> None:
    """Size, bare ETag, version, metadata and checksums."""
    says = b'HTTP/1.1 200 OK\r\nContent-Length: 77\r\nETag: "abc"\r\nx-amz-version-id: v\r\n'
    says += b"x-amz-meta-jollyae-upload: m\r\nx-amz-checksum-crc32: AAAA\r\n\r\n"
    found = store(says, lambda transport: transport.head("a b/ü", checksums=True))
    assert found == Found(
        size=77, etag="abc", version="v", metadata={"jollyae-upload": "m"}, checksums={"crc32": "AAAA"}
    )
    [asked] = store.asked
    assert (asked.method, asked.target) == ("HEAD", "/bucket/a%20b/%C3%BC")
    assert asked.headers["x-amz-checksum-mode"] == "ENABLED"
    assert signature_is_right(asked.method, asked.target, asked.headers, b"")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_head_refused(store: Scripted, status: int) -> None:
    """There is no body that would say more, whatever length the answer tells."""
    says = b"HTTP/1.1 %d X\r\nContent-Length: 200\r\n\r\n" % status
    error = store(says, lambda transport: transport.head("k"))
    assert (error.status, error.code) == (status, "")


def get(key: str, version: str = "") -> Callable[[Any], Awaitable[Any]]:
    """GetObject, which only our own transport makes."""
    return lambda transport: transport.get(key, version)


def test_get() -> None:
    """One after the other, of this version or the latest: each has its own signature, and asks for checksums."""
    store = Scripted("fast")
    wanted = [("a b/ü", ""), ("c", "v/1="), ("d+e", "")]

    async def ask(transport: Any) -> list[bytes]:
        return [(await transport.get(key, version)).body for key, version in wanted]

    assert store(answer(200, "body"), ask) == [b"body"] * 3
    targets = ["/bucket/a%20b/%C3%BC", "/bucket/c?versionId=v%2F1%3D", "/bucket/d%2Be"]
    assert [(asked.method, asked.target) for asked in store.asked] == [("GET", target) for target in targets]
    for asked in store.asked:
        assert asked.headers["x-amz-checksum-mode"] == "ENABLED"
        assert asked.headers["x-amz-security-token"] == "to/ken=="
        assert signature_is_right(asked.method, asked.target, asked.headers, b"")


def test_get_without_keys() -> None:
    """A public bucket: nothing is signed, and nobody is told of keys."""
    store = Scripted("fast")
    store(answer(200, "body"), get("a b"), no_sign_request=True)
    [asked] = store.asked
    assert asked.target == "/bucket/a%20b"
    assert {name for name in asked.headers if name.startswith(("x-amz", "auth"))} == {"x-amz-checksum-mode"}


def test_get_of_what_cannot_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token with a line break would be a header of its own: refused, and not shown."""
    store = Scripted("fast")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "to\r\nken")
    for version in ("", "v"):
        error = store(answer(200), get("k", version))
        assert isinstance(error, StoreError) and "line break" in error.message and "ken" not in error.message
    assert not store.asked


@pytest.mark.parametrize("algorithm", ["sha256", "crc32", ""])
def test_create(store: Scripted, algorithm: str) -> None:
    """The object's attributes, which checksum the parts will bear, and the id as it stands in XML."""
    body = f"{XML}<InitiateMultipartUploadResult {NS}><Bucket>bucket</Bucket><Key>k</Key>"
    body += "<UploadId>a&amp;b/c+d=</UploadId></InitiateMultipartUploadResult>"
    attributes = Attributes(content_type="text/plain", sse="AES256", metadata={"mtime": "1"}, tags={"a": "b c"})
    create = Create(key="k", attributes=attributes, algorithm=algorithm)
    assert store(answer(200, body), lambda transport: transport.create(create)) == "a&b/c+d="
    [asked] = store.asked
    assert (asked.method, asked.query) == ("POST", {"uploads": ""})
    expected = {
        "content-type": "text/plain",
        "x-amz-server-side-encryption": "AES256",
        "x-amz-meta-mtime": "1",
        "x-amz-tagging": "a=b%20c",
        "x-amz-checksum-algorithm": algorithm.upper() or None,
        "x-amz-checksum-type": {"sha256": "COMPOSITE", "crc32": "FULL_OBJECT", "": None}[algorithm],
    }
    assert {name: asked.headers.get(name) for name in expected} == expected
    assert signature_is_right(asked.method, asked.target, asked.headers, b"")


def test_create_without_an_id() -> None:
    """It is none, then."""
    create = Create(key="k", attributes=Attributes())
    error = Scripted("fast")(answer(200, "<html/>"), lambda transport: transport.create(create))
    assert isinstance(error, StoreError) and "without an id" in error.message


BODY = bytearray(os.urandom(2 * MiB))
SUM = Checksum("crc32", "AAAAAA==")


@pytest.mark.parametrize("known", [True, False])
def test_part(store: Scripted, known: bool) -> None:
    """Its number, the upload, the checksum; the SHA-256 is signed whether it was known before or not."""
    sha256 = hashlib.sha256(BODY).hexdigest()
    part = Part(key="k", upload="u/1+&=", number=7, body=BODY, sha256=sha256 if known else "", checksum=SUM)
    says = answer(200, ETag='"abc"', x_amz_checksum_crc32="AAAAAA==")
    stored = store(says, lambda transport: transport.part(part))
    assert stored == StoredPart(number=7, size=len(BODY), etag="abc", checksums={"crc32": "AAAAAA=="})
    [asked] = store.asked
    assert (asked.method, asked.query) == ("PUT", {"partNumber": "7", "uploadId": "u/1+&="})
    assert (asked.headers["x-amz-checksum-crc32"], asked.body) == ("AAAAAA==", bytes(BODY))
    assert asked.headers["x-amz-content-sha256"] == sha256
    assert signature_is_right(asked.method, asked.target, asked.headers, bytes(BODY))


def test_part_over_tls(store: Scripted, tmp_path: Path) -> None:
    """TLS and the checksum protect it: it is not hashed for the signature."""
    both = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(both)
    part = Part(key="k", upload="u", number=1, body=BODY, checksum=SUM)

    async def ask(transport: Transport) -> tuple[bool, StoredPart]:
        return await transport.is_secure(), await transport.part(part)

    secure, stored = store(answer(200, ETag="x"), ask, tls=tls, ca_bundle=str(both))
    assert secure and stored.etag == "x"
    [asked] = store.asked
    assert asked.body == bytes(BODY)
    if store.name == "fast":
        assert asked.headers["x-amz-content-sha256"] == UNSIGNED
        assert signature_is_right(asked.method, asked.target, asked.headers, None)


def test_a_part_without_an_etag() -> None:
    """Is not acknowledged."""
    part = Part(key="k", upload="u", number=1, body=b"x")
    error = Scripted("fast")(answer(200), lambda transport: transport.part(part))
    assert (error.status, error.code) == (None, NoAnswer.CLOSED)


def test_refused(store: Scripted) -> None:
    """S3's code and words."""
    says = answer(404, f"{XML}<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>", x_amz_request_id="tx")
    part = Part(key="k", upload="u", number=1, body=b"x")
    error = store(says, lambda transport: transport.part(part))
    assert (error.status, error.code, error.message, error.request_id) == (404, "NoSuchUpload", "gone", "tx")


def complete(**more: Any) -> Complete:
    """Of two parts."""
    parts = [StoredPart(number=n, size=5, etag=f"e{n}", checksums={"crc32": "AAAA"}) for n in (1, 2)]
    return Complete(key="k", upload="u", parts=parts, size=10, **more)


DONE = f"{XML}\n\n<CompleteMultipartUploadResult {NS}><Key>k</Key><ETag>&quot;abc-2&quot;</ETag>"
DONE += "<ChecksumCRC32>BBBB</ChecksumCRC32></CompleteMultipartUploadResult>"


def test_complete(store: Scripted) -> None:
    """The parts with their checksums, that of the whole, the condition; and the answer's ETag, bare."""
    request = complete(checksum=Checksum("crc32", "BBBB"), if_none_match=True)
    stored = store(answer(200, DONE, x_amz_version_id="v"), lambda transport: transport.complete(request))
    assert stored == Stored(etag="abc-2", version="v", checksums={"crc32": "BBBB"})
    [asked] = store.asked
    assert (asked.method, asked.query) == ("POST", {"uploadId": "u"})
    expected = {
        "if-none-match": "*",
        "x-amz-checksum-crc32": "BBBB",
        "x-amz-checksum-type": "FULL_OBJECT",
        "x-amz-mp-object-size": "10",
    }
    assert {name: asked.headers.get(name) for name in expected} == expected
    text = asked.body.decode().replace("&quot;", '"')
    for n in (1, 2):
        assert f'<ETag>"e{n}"</ETag>' in text and f"<PartNumber>{n}</PartNumber>" in text
    assert text.index("<PartNumber>1<") < text.index("<PartNumber>2<")
    assert text.count("<ChecksumCRC32>AAAA</ChecksumCRC32>") == 2
    assert signature_is_right(asked.method, asked.target, asked.headers, asked.body)


def test_complete_if_match(store: Scripted) -> None:
    """With its quotes."""
    store(answer(200, DONE), lambda transport: transport.complete(complete(if_match='"abc"')))
    assert store.asked[0].headers["if-match"] == '"abc"'


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (answer(412, "<Error><Code>PreconditionFailed</Code></Error>"), (412, "PreconditionFailed")),
        (answer(200, f"{XML}\n  \n<Error><Code>InternalError</Code></Error>"), (500, "InternalError")),
    ],
)
def test_complete_refused(store: Scripted, says: bytes, told: tuple[int, str]) -> None:
    """Also when the 200 came first and the error is in it."""
    error = store(says, lambda transport: transport.complete(complete()))
    assert (error.status, error.code) == told


def test_a_complete_that_says_nothing() -> None:
    """A 200 without a result is no acknowledgement."""
    error = Scripted("fast")(answer(200), lambda transport: transport.complete(complete()))
    assert isinstance(error, StoreError) and error.status == 500


@pytest.mark.parametrize("key", ["a\udcff", "k"])
def test_what_cannot_be_sent(key: str) -> None:
    """An error of this side, and nothing goes out."""
    store = Scripted("fast")
    attributes = Attributes(metadata={"a": "b\r\nc: d"} if key == "k" else {})
    create = Create(key=key, attributes=attributes)
    error = store(answer(200), lambda transport: transport.create(create))
    assert (error.status, error.code, store.asked) == (None, NoAnswer.CLIENT, [])


def test_the_bandwidth_of_a_large_file(bench: Bench) -> None:
    """Every byte of the bodies is booked once: within them, where they are large. How much is sent can be seen there as
    well, before the first part is done."""
    booked: list[int] = []
    seen: set[int] = set()

    class Limiter:
        async def take(self, size: int) -> None:
            booked.append(size)

        def delay(self, size: int) -> float:
            booked.append(size)
            seen.add(item.sent)
            return 0.0

    def behave(visit: Visit) -> None:
        while head := visit.head():
            asked = Asked(head, visit.body(head))
            if asked.method == "HEAD":
                visit.send(answer(404).replace(b"X\r\n", b"Not Found\r\n"))
            elif "uploads" in asked.query:
                visit.send(answer(200, "<UploadId>u</UploadId>"))
            elif asked.method == "POST":
                visit.send(answer(200, DONE))
            else:
                visit.send(answer(200, ETag="x"))

    item = bench.item(b"", "none yet")

    async def run(url: str) -> None:
        nonlocal item
        options = S3Options(endpoint_url=url, multipart_threshold=6 * MiB, part_size=5 * MiB, if_exists="overwrite")
        delivery = BucketDelivery("s3://bucket", options, limiter=Limiter())
        try:
            for size in (1000, 3 * MiB, 10 * MiB + 5):
                booked.clear()
                seen.clear()
                item = bench.item(os.urandom(size), str(size))
                await delivery(item)
                assert item.sent == size
                assert size < MiB or len([sent for sent in seen if 0 < sent < min(size, 5 * MiB)]) > 10
                xml = booked.pop() if size > 6 * MiB else 0  # Complete's own body
                assert xml < 1000 and sum(booked) == size
                assert max(booked) <= 64 * 1024
        finally:
            delivery.close()

    with Server(behave) as server:
        asyncio.run(run(f"http://127.0.0.1:{server.port}"))
