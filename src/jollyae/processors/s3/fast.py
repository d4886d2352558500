"""Our own transport: a signed PUT on the event loop, which is the hot path; larger bodies, and what belongs to a large
file, on the :mod:`.lanes`. The rest (ListParts, Abort), and all where :func:`.access.why_not` has a reason, goes to
boto3 (:mod:`.boto`).
"""

import asyncio
import operator
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from . import access, wire
from .answers import CHECKSUM_HEADERS, refusal, stored
from .blocking import Pace
from .boto import BotoTransport
from .connection import Answer, Connection, Ended
from .lanes import LANES, Lanes, Request
from .options import S3Options
from .origin import Origin
from .session import check_bundle
from .sigv4 import Form, Keys, Signer, encode_path
from .transport import Attributes, Complete, Create, Found, NoAnswer, Part, Put, Stored, StoredPart, StoreError
from .uploads import Uploads

MAX_BODY = 1 << 20
"""Bytes of a body that is sent from the event loop; a larger one would hold it for milliseconds, over TLS above all."""

_MOST_SHAPES = 100  # a content type each, and not much else differs in one run


class FastTransport:
    """A :class:`.transport.Transport` whose requests are made by hand. ``control``: the boto3 transport for the rest;
    ``connections``: the most at a time; ``pace``: what bounds the bandwidth of bodies over MAX_BODY."""

    def __init__(
        self,
        bucket: str,
        options: S3Options,
        control: BotoTransport,
        connections: int,
        pace: Pace | None = None,
    ) -> None:
        self.bucket = bucket
        self._options = options
        self._control = control
        self._connections = connections
        self._pace = pace
        self._line: Line | None = None
        self._closed = False
        self._preparing = asyncio.Lock()

    async def describe(self) -> str:
        """As :meth:`BotoTransport.describe`, without boto3 where the environment says all."""
        return (await self._prepare()).access.description

    def close(self) -> None:
        """Take no more requests. Nothing is waited for."""
        self._closed = True
        if self._line is not None:
            self._line.close()
        self._control.close()

    async def put(self, request: Put) -> Stored:
        """PutObject."""
        line = self._line
        if line is None or not line.access.is_fresh():
            line = await self._prepare()
        return accepted(await line.put(request))

    async def get(self, key: str, version: str = "") -> Answer:
        """GetObject, of what is small: an answer that is longer than the connection reads is cut off."""
        line = await self._ready()
        return await line.pool.request(line.uploads.wanted(key, version))

    def ready(self) -> "Line | None":
        """The line to the store, if nothing has to be waited for."""
        line = self._line
        return line if line is not None and line.access.is_fresh() else None

    async def is_secure(self) -> bool:
        """Whether requests go over TLS."""
        return (await self._ready()).is_secure

    async def _ready(self) -> "Line":
        line = self._line
        return line if line is not None and line.access.is_fresh() else await self._prepare()

    async def _prepare(self) -> "Line":
        async with self._preparing:
            if self._line is None:
                found = await access.resolve(self.bucket, self._options, self._control)
                self._line = Line(self.bucket, self._options, found, self._connections, self._pace)
                if self._closed:
                    self._line.close()
            elif not self._line.access.is_fresh():
                await self._line.access.refresh(self._control)
            return self._line

    # --- the rest is boto3's

    async def head(self, key: str, *, checksums: bool = False) -> Found:
        """HeadObject."""
        return await (await self._ready()).uploads.head(key, with_checksums=checksums)

    async def create(self, request: Create) -> str:
        """CreateMultipartUpload."""
        headers = _attributes(request.attributes)
        headers |= {f"x-amz-meta-{name.lower()}": value for name, value in request.attributes.metadata.items()}
        return await (await self._ready()).uploads.create(request.key, headers, request.algorithm)

    async def part(self, request: Part) -> StoredPart:
        """UploadPart."""
        return await (await self._ready()).uploads.part(request)

    async def parts(self, key: str, upload: str) -> list[StoredPart]:
        """ListParts."""
        return await self._control.parts(key, upload)

    async def complete(self, request: Complete) -> Stored:
        """CompleteMultipartUpload."""
        return await (await self._ready()).uploads.complete(request)

    async def abort(self, key: str, upload: str) -> None:
        """AbortMultipartUpload."""
        await self._control.abort(key, upload)


class Line:
    """The line to the store: origin, keys, connections."""

    def __init__(
        self, bucket: str, options: S3Options, found: access.Access, connections: int, pace: Pace | None = None
    ) -> None:
        self.access = found
        try:
            self._origin = Origin(found.url, bucket, path_style=found.path_style)
        except ValueError as error:  # a port that is none
            raise StoreError(None, NoAnswer.CLIENT, f"{found.url}: {error}") from error
        self._signer = Signer(found.region)
        self._shapes: dict[Any, _Shape] = {}
        self._shaped_for: Keys | None = None
        tls = _tls(options, found.ca_bundle) if self._origin.tls else None
        host, port = self._origin.host, self._origin.port
        self.pool = wire.Pool(host, port, tls=tls, limit=connections)
        self.reserve, self.release, self.flush = self.pool.reserve, self.pool.take_back, self.pool.flush
        self.lanes = Lanes(host, tls=tls, resolve=self.pool.addresses, limit=max(connections, LANES), pace=pace)
        self.uploads = Uploads(self._origin, found, self._signer, self.lanes)
        self.is_secure = self._origin.tls

    def close(self) -> None:
        """Take no more requests. Nothing is waited for."""
        self.pool.close()
        self.lanes.close()

    async def put(self, request: Put) -> Answer:
        """One PUT; the answer, whatever it is. Raises :class:`StoreError` where there is none."""
        head = self._head(request)
        if len(request.body) > MAX_BODY:
            return await self.lanes.ask(Request(head=head, body=request.body, progress=request.progress))
        return await self.pool.request(head + request.body)

    def send(self, connection: Connection, request: Put, ended: Ended) -> None:
        """PutObject, on a connection of :attr:`reserve`. ``ended`` is called when it is over, by the event loop and
        never before this returns; :func:`accepted` makes of what it gets what :meth:`FastTransport.put` returns or
        raises. For bodies up to MAX_BODY. Raises :class:`StoreError`."""
        self.pool.send(connection, self._head(request) + request.body, ended)

    def _head(self, request: Put) -> bytes:
        try:
            path = self._origin.path + encode_path(request.key)
            keys, stamp, checksum = self.access.keys, self._signer.stamp(), request.checksum
            shape = self._shape(request, keys)
            values = shape.pick(
                (
                    *request.attributes.metadata.values(),
                    stamp,
                    request.sha256,
                    checksum.value if checksum is not None else "",
                    request.if_match,
                )
            )
            lines = shape.form.wire(values)
            if keys is not None:
                signed = self._signer.authorize(keys, shape.form, path, values, stamp, request.sha256)
                if "\r" in signed or "\n" in signed:
                    raise ValueError("a line break in a header")
                lines = f"{lines}authorization: {signed}\r\n"
            return f"PUT {path} HTTP/1.1\r\n{lines}content-length: {len(request.body)}\r\n\r\n".encode("ascii")
        except UnicodeEncodeError:  # told without its text, in which the session token may be
            raise StoreError(None, NoAnswer.CLIENT, "the key or a header has a character that cannot be sent") from None
        except ValueError as error:  # it does not say which one: that might tell a secret
            raise StoreError(None, NoAnswer.CLIENT, str(error)) from None

    def _shape(self, request: Put, keys: Keys | None) -> "_Shape":
        if keys is not self._shaped_for:
            self._shapes.clear()
            self._shaped_for = keys
        given, checksum = request.attributes, request.checksum
        key = (
            given.content_type,
            given.content_encoding,
            given.cache_control,
            given.storage_class,
            given.acl,
            given.sse,
            given.sse_kms_key_id,
            tuple(given.tags.items()) if given.tags else (),
            tuple(given.metadata),
            checksum.algorithm if checksum is not None else "",
            request.if_none_match,
            not request.if_match,
        )
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            shape = self._shapes[key] = _Shape(request, self._origin.authority, keys)
        return shape


class _Shape:
    """The headers of requests that differ in values only, prepared once. ``pick`` puts what varies (the metadata, then
    date, digest, checksum and If-Match) into the order of the form."""

    def __init__(self, request: Put, authority: str, keys: Keys | None) -> None:
        given = request.attributes
        metadata = {f"x-amz-meta-{name.lower()}": index for index, name in enumerate(given.metadata)}
        date, digest, checksum, if_match = range(len(given.metadata), len(given.metadata) + 4)
        varying = dict(metadata)
        headers: dict[str, str | None] = {**_attributes(given), "host": authority}
        if request.checksum is not None:
            varying[CHECKSUM_HEADERS[request.checksum.algorithm]] = checksum
        if request.if_none_match:
            headers["if-none-match"] = "*"
        if request.if_match:
            varying["if-match"] = if_match
        if keys is not None:
            varying |= {"x-amz-content-sha256": digest, "x-amz-date": date}
            if keys.token:
                headers["x-amz-security-token"] = keys.token
        self.form = Form("PUT", headers | dict.fromkeys(varying))
        self.pick = _picker([varying[name] for name in self.form.varying])


def accepted(outcome: Answer | StoreError) -> Stored:
    """The store's acknowledgement. Raises :class:`StoreError` where it is none."""
    if isinstance(outcome, StoreError):
        raise outcome
    if not 200 <= outcome.status < 300:
        raise refusal(outcome)
    return stored(outcome)


def _picker(order: list[int]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    """A function that gives these of a tuple's values, in this order."""
    if len(order) < 2:  # itemgetter gives no tuple then
        return lambda values: tuple([values[index] for index in order])
    return operator.itemgetter(*order)


def _tls(options: S3Options, ca_bundle: str) -> ssl.SSLContext:
    file = options.ca_bundle or ca_bundle
    if options.verify_ssl:
        check_bundle(file)
    try:
        context = ssl.create_default_context(cafile=file or None)
    except OSError as error:
        raise StoreError(None, NoAnswer.BUNDLE, f"{file}: {error}") from error
    if not options.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _attributes(attributes: Attributes) -> dict[str, str]:
    """The headers of all but the metadata."""
    headers = {
        "content-type": attributes.content_type,
        "content-encoding": attributes.content_encoding,
        "cache-control": attributes.cache_control,
        "x-amz-storage-class": attributes.storage_class,
        "x-amz-acl": attributes.acl,
        "x-amz-server-side-encryption": attributes.sse,
        "x-amz-server-side-encryption-aws-kms-key-id": attributes.sse_kms_key_id,
    }
    found = {name: value for name, value in headers.items() if value}
    if attributes.tags:
        found["x-amz-tagging"] = urlencode(dict(attributes.tags), quote_via=quote)
    return found
