"""An S3 server of our own that keeps an account of what it accepted, and fails in every way that was seen or feared.

It speaks what jollyae and boto3 ask: PUT and HEAD of objects, and the multipart upload. Like S3 it honours
If-None-Match and If-Match, verifies the payload's signed SHA-256 and any checksum that was sent, and returns that
checksum. Signatures are not looked at (botocore's signer and real servers are asked elsewhere).

What it commits goes into :attr:`Store.accepted` and, with ``record``, as a line on the disk, fsynced before the answer:
for suites that cut the power. ``plan`` decides for each request what goes wrong.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import os
import random
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

HEAD_MAX = 64 << 10
PART_MIN = 5 << 20
SKEW = 3600
"""Seconds by which the store's clock is before ours where a fault says so."""


class Fault(StrEnum):
    """What goes wrong with one request. *before*, *after*: the object is written."""

    INTERNAL = "500 InternalError before"
    SLOW_DOWN = "503 SlowDown before"
    TOO_MANY = "429 TooManyRequests before"
    DENIED = "403 AccessDenied before"
    SKEWED = "403 RequestTimeTooSkewed before"
    TIMEOUT = "400 RequestTimeout before"
    EXPIRED = "400 ExpiredToken before"
    BAD_DIGEST = "400 BadDigest before"
    OTHER_REGION = "400 AuthorizationHeaderMalformed before"
    TOO_LARGE = "400 EntityTooLarge before"
    NO_BUCKET = "404 NoSuchBucket before"
    NO_UPLOAD = "404 NoSuchUpload before"
    CONFLICT = "409 ConditionalRequestConflict before"
    LYING_412 = "412 PreconditionFailed before, with nothing there"
    REDIRECT = "301 PermanentRedirect before"
    REDIRECT_FOR_NOW = "307 TemporaryRedirect before"
    BAD_GATEWAY = "502 with the page of a proxy, nothing written"
    GATEWAY_TIMEOUT = "504 with the page of a proxy, written"
    PORTAL = "200 with the page of a proxy, nothing written"
    RESET_AT_ONCE = "reset, nothing read"
    RESET_IN_BODY = "reset in the middle of the body"
    RESET_BEFORE = "reset, all read, nothing written"
    RESET_AFTER = "reset, written"
    HANG_BEFORE = "no answer, nothing written"
    HANG_AFTER = "no answer, written"
    ERROR_AFTER = "500 InternalError after"
    HALF_HEAD = "half of the answer's head, written"
    HALF_BODY = "an error whose body breaks off, nothing written"
    GARBAGE = "no HTTP, written"
    ERROR_IN_200 = "200 with an error in its body, nothing written (Complete)"
    NO_ETAG = "200 without an ETag, written"
    WRONG_ETAG = "200 with another's ETag, written"
    TRUNCATED = "200, half of the bytes written"
    CORRUPTED = "200, other bytes of that length written"
    TRUNCATED_MUTE = "200 without a checksum, half of the bytes written"
    CORRUPTED_MUTE = "200 without a checksum, other bytes of that length written"
    TRUNCATED_PART = "200, half of a part written"
    STALE_HEAD = "HEAD says 404 of what is there"
    LYING_HEAD = "HEAD says another size"
    LOST_PART = "ListParts and Complete know one part less"
    DRIP = "the answer comes byte by byte"
    DRIP_FOR_EVER = "the answer comes byte by byte, and has no end"


_BEFORE = {
    fault: (int(fault.split()[0]), fault.split()[1].rstrip(","))
    for fault in Fault
    if fault[:3].isdigit() and " before" in fault
}
_MUTE = {Fault.TRUNCATED_MUTE, Fault.CORRUPTED_MUTE}
_SPOILS = {Fault.TRUNCATED, Fault.CORRUPTED, *_MUTE}
_HEADS = {Fault.STALE_HEAD, Fault.LYING_HEAD}


@dataclass(frozen=True)
class Request:
    """One request. ``key`` is decoded; ``number`` counts from 1; ``at``: when its head had come (monotonic)."""

    number: int
    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    at: float = 0.0

    @property
    def writes(self) -> bool:
        """Whether it makes an object (PUT of a whole one, Complete)."""
        return (self.method == "PUT" and not self.query) or (self.method == "POST" and "uploadId" in self.query)


@dataclass(frozen=True)
class Accepted:
    """One version of an object that the store took. ``sha256``: of the bytes that it has, hashed by its side;
    ``claimed``: what the client said of them, where it said so in the metadata."""

    key: str
    sha256: str
    size: int
    claimed: str = ""


@dataclass
class Object:
    """What is at a key now."""

    body: bytes
    etag: str
    metadata: dict[str, str]
    checksums: dict[str, str]


@dataclass
class Upload:
    """A multipart upload under way."""

    key: str
    metadata: dict[str, str]
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Answer:
    """What is answered."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Plan = Callable[[Request], Fault | None]


def at_random(fault: Fault, share: float, seed: int = 1) -> Plan:
    """A plan: this fault with a share of the requests that it can befall."""
    chance = random.Random(seed)

    def plan(request: Request) -> Fault | None:
        if not befalls(fault, request):
            return None
        return fault if chance.random() < share else None

    return plan


def befalls(fault: Fault, request: Request) -> bool:
    """Whether the fault has a meaning for this request."""
    if fault in _HEADS:
        return request.method == "HEAD"
    if fault is Fault.LOST_PART:
        return "uploadId" in request.query and request.method in ("GET", "POST")
    if fault is Fault.ERROR_IN_200:
        return request.method == "POST" and "uploadId" in request.query
    if fault in (Fault.NO_ETAG, Fault.WRONG_ETAG, Fault.LYING_412, Fault.CONFLICT):
        return request.writes
    if fault in _SPOILS:
        return request.method == "PUT" and not request.query and int(request.headers.get("content-length", 0)) > 1
    if fault is Fault.TRUNCATED_PART:
        return request.method == "PUT" and "partNumber" in request.query
    if fault in (Fault.BAD_DIGEST, Fault.TOO_LARGE):
        return request.method == "PUT"
    if fault is Fault.NO_UPLOAD:
        return "uploadId" in request.query
    return True


class Store:
    """The server; it works in an event loop in a thread of its own, and is a context. ``verify``: whether it looks at
    digests and checksums that are sent, as S3 does and not every store."""

    def __init__(
        self,
        plan: Plan | None = None,
        *,
        record: Path | None = None,
        tls: ssl.SSLContext | None = None,
        verify: bool = True,
    ) -> None:
        self.verify = verify
        self.plan: Plan = plan or (lambda request: None)
        self.objects: dict[str, Object] = {}
        self.uploads: dict[str, Upload] = {}
        self.accepted: list[Accepted] = []
        self.spoiled: list[Accepted] = []
        """What the store itself has damaged while it took it: nobody's version of an object, and no delivery."""
        self.seen: list[tuple[Request, Fault | None]] = []
        self.on_accept: Callable[[Request], None] = lambda request: None
        self._record = record
        self._tls = tls
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._socket.getsockname()[1])
        self._visits: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The endpoint for clients. Any bucket is there."""
        return f"{'https://localhost' if self._tls else 'http://127.0.0.1'}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Variables for clients: endpoint, keys, region."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAFAULTSTORE000000",
            "AWS_SECRET_ACCESS_KEY": "planted-secret-of-the-fault-store-000000",
            "AWS_REGION": "us-east-1",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, work: Awaitable[Any]) -> None:
        async def run() -> None:
            await work

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    # --- connections

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._visit, sock=self._socket, limit=HEAD_MAX, ssl=self._tls)

    async def _close(self) -> None:
        self._server.close()
        for visit in list(self._visits):
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)
        await asyncio.sleep(0)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._visits.add(task)
        try:
            while await self._serve(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone, or we are
        finally:
            self._visits.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection can have another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in head[1:] if one)
        }
        parts = urlsplit(target)
        key = unquote(parts.path, errors="surrogateescape").lstrip("/").partition("/")[2]
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        request = Request(next(self._numbers), method, key, query, headers, time.monotonic())
        fault = self.plan(request)
        self.seen.append((request, fault))
        size = int(headers.get("content-length", 0))
        if fault is Fault.RESET_AT_ONCE:
            return _reset(writer)
        if "expect" in headers:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fault is Fault.RESET_IN_BODY:
            await reader.readexactly(size // 2)
            return _reset(writer)
        body = await reader.readexactly(size)
        return await self._answer(request, body, fault, reader, writer)

    async def _answer(
        self,
        request: Request,
        body: bytes,
        fault: Fault | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        if fault is Fault.RESET_BEFORE:
            return _reset(writer)
        if fault is Fault.HANG_BEFORE:
            await reader.read()
            return False
        answer = self._refusal(request, fault) or self._do(request, body, fault)
        if fault is Fault.RESET_AFTER:
            return _reset(writer)
        if fault is Fault.HANG_AFTER:
            await reader.read()
            return False
        data = _encode(_bent(answer, fault), request)
        if fault in (Fault.HALF_HEAD, Fault.HALF_BODY):
            writer.write(data[: len(data) // 4] if fault is Fault.HALF_HEAD else data[:-20])
            await writer.drain()
            return False
        if fault in (Fault.DRIP, Fault.DRIP_FOR_EVER):
            pause = 0.001 if fault is Fault.DRIP else 0.2
            for position in range(len(data) if fault is Fault.DRIP else len(data) - 1):
                if writer.transport.is_closing():
                    return False
                writer.write(data[position : position + 1])
                await asyncio.sleep(pause)
            return fault is Fault.DRIP
        writer.write(b"\x16\x03\x01 no http here\r\n\r\n" if fault is Fault.GARBAGE else data)
        await writer.drain()
        return fault is not Fault.GARBAGE

    def _refusal(self, request: Request, fault: Fault | None) -> Answer | None:
        """The answer to a request that this fault keeps from being done."""
        if fault in _BEFORE:
            status, code = _BEFORE[fault]
            more = {}
            if fault in (Fault.REDIRECT, Fault.REDIRECT_FOR_NOW, Fault.OTHER_REGION):
                more = {"x-amz-bucket-region": "eu-west-9", "location": "http://127.0.0.1:9/"}
            if fault is Fault.SKEWED:
                more = {"date": formatdate(time.time() + SKEW, usegmt=True)}
            return _error(status, code, **more)
        if fault is Fault.HALF_BODY:
            return _error(500, "InternalError")
        if fault is Fault.ERROR_IN_200:
            return Answer(200, {}, _error(500, "InternalError").body)
        if fault in (Fault.BAD_GATEWAY, Fault.PORTAL):
            return _page(int(fault[:3]))
        return None

    # --- what S3 does

    def _do(self, request: Request, body: bytes, fault: Fault | None) -> Answer:
        query = request.query
        if request.method == "PUT" and not query:
            return self._put(request, _spoiled(body, fault), body, fault)
        if request.method == "HEAD":
            return self._head(request, fault)
        if request.method == "GET" and not query:
            found = self.objects.get(request.key)
            return _error(404, "NoSuchKey") if found is None else Answer(200, {"etag": f'"{found.etag}"'}, found.body)
        if request.method == "POST" and "uploads" in query:
            return self._create(request)
        if "uploadId" not in query:
            return _error(501, "NotImplemented")
        upload = self.uploads.get(query["uploadId"])
        if upload is None or upload.key != request.key:
            return _error(404, "NoSuchUpload")
        if fault is Fault.LOST_PART and upload.parts:
            del upload.parts[max(upload.parts)]
        if request.method == "PUT":
            return self._part(request, upload, body[: len(body) // 2] if fault is Fault.TRUNCATED_PART else body, body)
        if request.method == "GET":
            return _parts(upload, request.query["uploadId"])
        if request.method == "POST":
            return self._complete(request, upload, body)
        del self.uploads[query["uploadId"]]
        return Answer(204)

    def _put(self, request: Request, stored: bytes, sent: bytes, fault: Fault | None) -> Answer:
        if self.verify and (refused := _damaged(request.headers, sent)):
            return refused
        if refused := self._refused_by_condition(request):
            return refused
        etag, sums = hashlib.md5(stored).hexdigest(), {} if fault in _MUTE else request.headers
        return self._commit(request, stored, etag, _metadata(request.headers), sums, is_spoiled=stored != sent)

    def _commit(
        self,
        request: Request,
        body: bytes,
        etag: str,
        metadata: dict[str, str],
        sums: dict[str, str],
        *,
        is_spoiled: bool = False,
    ) -> Answer:
        checksums = {
            name: checksum(name, body) for name in ("sha256", "crc32") if f"x-amz-checksum-{name}" in sums
        }  # of what is stored: whoever compares will see
        self.objects[request.key] = Object(body, etag, metadata, checksums)
        claimed = metadata.get("jollyae-sha256", "")
        taken = Accepted(request.key, hashlib.sha256(body).hexdigest(), len(body), claimed)
        if self._record is not None and not is_spoiled:
            _write_down(self._record, {"key": taken.key, "sha256": taken.sha256, "size": taken.size})
        (self.spoiled if is_spoiled else self.accepted).append(taken)
        self.on_accept(request)
        returned = {f"x-amz-checksum-{name}": value for name, value in checksums.items()}
        return Answer(200, {"etag": f'"{etag}"', **returned})

    def _refused_by_condition(self, request: Request) -> Answer | None:
        found = self.objects.get(request.key)
        if request.headers.get("if-none-match") == "*" and found is not None:
            return _error(412, "PreconditionFailed")
        wanted = request.headers.get("if-match", "").strip('"')
        if wanted and found is None:
            return _error(404, "NoSuchKey")
        if wanted and found is not None and found.etag != wanted:
            return _error(412, "PreconditionFailed")
        return None

    def _head(self, request: Request, fault: Fault | None) -> Answer:
        found = self.objects.get(request.key)
        if found is None or fault is Fault.STALE_HEAD:
            return Answer(404)
        size = len(found.body) + (7 if fault is Fault.LYING_HEAD else 0)
        fields = {"etag": f'"{found.etag}"', "content-length": str(size)}
        fields |= {f"x-amz-meta-{name}": value for name, value in found.metadata.items()}
        if request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
            fields |= {f"x-amz-checksum-{name}": value for name, value in found.checksums.items()}
        return Answer(200, fields)

    def _create(self, request: Request) -> Answer:
        identity = f"upload-{request.number}"
        self.uploads[identity] = Upload(request.key, _metadata(request.headers))
        return _xml("InitiateMultipartUploadResult", f"<Key>{escape(request.key)}</Key><UploadId>{identity}</UploadId>")

    def _part(self, request: Request, upload: Upload, stored: bytes, sent: bytes) -> Answer:
        if refused := _damaged(request.headers, sent):
            return refused
        upload.parts[int(request.query["partNumber"])] = stored
        sums = {
            f"x-amz-checksum-{name}": checksum(name, stored)
            for name in ("sha256", "crc32")
            if f"x-amz-checksum-{name}" in request.headers
        }
        return Answer(200, {"etag": f'"{hashlib.md5(stored).hexdigest()}"', **sums})

    def _complete(self, request: Request, upload: Upload, body: bytes) -> Answer:
        told = []
        for part in ElementTree.fromstring(body):
            fields = {one.tag.rpartition("}")[2]: one.text or "" for one in part}
            if "PartNumber" in fields:
                told.append((int(fields["PartNumber"]), fields["ETag"].strip('"')))
        bodies = [upload.parts.get(number, b"") for number, _ in told]
        etags = [hashlib.md5(one).hexdigest() for one in bodies]
        if not told or [etag for _, etag in told] != etags:
            return _error(400, "InvalidPart")
        if any(len(one) < PART_MIN for one in bodies[:-1]):
            return _error(400, "EntityTooSmall")
        if int(request.headers.get("x-amz-mp-object-size", sum(map(len, bodies)))) != sum(map(len, bodies)):
            return _error(400, "InvalidRequest")
        if refused := self._refused_by_condition(request):
            return refused
        del self.uploads[request.query["uploadId"]]
        digest = hashlib.md5(b"".join(bytes.fromhex(etag) for etag in etags)).hexdigest()
        done = self._commit(request, b"".join(bodies), f"{digest}-{len(etags)}", upload.metadata, {})
        return _xml("CompleteMultipartUploadResult", f"<ETag>{escape(done.headers['etag'])}</ETag>")


def checksum(name: str, body: bytes) -> str:
    """A checksum as S3 writes it; ``name``: sha256 or crc32."""
    digest = hashlib.sha256(body).digest() if name == "sha256" else zlib.crc32(body).to_bytes(4, "big")
    return base64.b64encode(digest).decode()


def _damaged(headers: dict[str, str], body: bytes) -> Answer | None:
    """The refusal of a body that is not the one that was announced."""
    signed = headers.get("x-amz-content-sha256", "")
    if len(signed) == 64 and signed != hashlib.sha256(body).hexdigest():
        return _error(400, "XAmzContentSHA256Mismatch")
    for name in ("sha256", "crc32"):
        if headers.get(f"x-amz-checksum-{name}", checksum(name, body)) != checksum(name, body):
            return _error(400, "BadDigest")
    if "content-md5" in headers and headers["content-md5"] != base64.b64encode(hashlib.md5(body).digest()).decode():
        return _error(400, "BadDigest")
    return None


def _metadata(headers: dict[str, str]) -> dict[str, str]:
    return {name[11:]: value for name, value in headers.items() if name.startswith("x-amz-meta-")}


def _parts(upload: Upload, identity: str) -> Answer:
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag>"
        f"<Size>{len(body)}</Size></Part>"
        for number, body in sorted(upload.parts.items())
    )
    more = f"<UploadId>{identity}</UploadId><IsTruncated>false</IsTruncated>"
    return _xml("ListPartsResult", more + listed)


def _error(status: int, code: str, **headers: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>as planned</Message><RequestId>tx0</RequestId></Error>"
    return Answer(status, {"x-amz-request-id": "tx0", "content-type": "application/xml", **headers}, body.encode())


def _xml(root: str, content: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{content}</{root}>'
    return Answer(200, {"content-type": "application/xml"}, text.encode())


def _page(status: int) -> Answer:
    """What stands between us and the store says something of its own."""
    return Answer(status, {"content-type": "text/html"}, b"<html><body>something in between</body></html>")


def _spoiled(body: bytes, fault: Fault | None) -> bytes:
    """What the store makes of the bytes that were sent."""
    if fault in (Fault.TRUNCATED, Fault.TRUNCATED_MUTE):
        return body[: len(body) // 2]
    return body[:-1] + bytes([body[-1] ^ 1]) if fault in (Fault.CORRUPTED, Fault.CORRUPTED_MUTE) else body


def _bent(answer: Answer, fault: Fault | None) -> Answer:
    """The answer to what was done, as the fault has it."""
    if fault is Fault.ERROR_AFTER:
        return _error(500, "InternalError")
    if fault is Fault.GATEWAY_TIMEOUT:
        return _page(504)
    if fault is Fault.NO_ETAG:
        answer.headers.pop("etag", None)
        answer.body = answer.body.replace(b"ETag>", b"Gone>")
    if fault is Fault.WRONG_ETAG and "etag" in answer.headers:
        answer.headers["etag"] = '"d41d8cd98f00b204e9800998ecf8427f"'
    return answer


def _encode(answer: Answer, request: Request) -> bytes:
    headers = {"date": formatdate(usegmt=True), **answer.headers}
    if request.method != "HEAD" or "content-length" not in headers:
        headers["content-length"] = str(len(answer.body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {answer.status} Status\r\n{lines}\r\n".encode("utf-8", "surrogateescape")
    return head if request.method == "HEAD" else head + answer.body


def _reset(writer: asyncio.StreamWriter) -> bool:
    with suppress(OSError):
        plain: Any = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST, not FIN
    writer.transport.abort()
    return False


def _write_down(path: Path, line: dict[str, Any]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, (json.dumps(line) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
