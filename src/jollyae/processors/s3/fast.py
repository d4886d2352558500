"""The hot path: a signed PUT and nothing else, on the event loop. Whatever else is asked goes to boto3 (:mod:`.boto`):
all other requests, bodies over a MiB (which would hold the loop), and what :func:`.access.why_not` names.
"""

import asyncio
import ssl
from urllib.parse import quote, urlencode, urlsplit

from . import access, wire
from .answers import CHECKSUM_HEADERS, refusal, stored
from .boto import BotoTransport
from .options import S3Options
from .sigv4 import Signer, encode_path
from .transport import Attributes, Complete, Create, Found, NoAnswer, Part, Put, Stored, StoredPart, StoreError

MAX_BODY = 1 << 20
"""Bytes of a body that is sent from the event loop; a larger one would hold it for milliseconds, over TLS above all."""


class Origin:
    """Where requests go: scheme, host, port, and the path before the key."""

    def __init__(self, url: str, bucket: str, *, path_style: bool) -> None:
        parts = urlsplit(url)
        self.tls = parts.scheme == "https"
        host = parts.hostname or ""
        self.host = host if path_style else f"{bucket}.{host}"
        self.port = parts.port or (443 if self.tls else 80)
        default = parts.port is None or parts.port == (443 if self.tls else 80)
        shown = f"[{self.host}]" if ":" in self.host else self.host
        self.authority = shown if default else f"{shown}:{self.port}"
        base = quote(parts.path.rstrip("/"), safe="/~%")
        self.path = f"{base}/{encode_path(bucket)}/" if path_style else f"{base}/"


class FastTransport:
    """A :class:`.transport.Transport` whose small PUTs are made by hand. ``control``: the boto3 transport for the rest;
    ``connections``: the most at a time."""

    def __init__(self, bucket: str, options: S3Options, control: BotoTransport, connections: int) -> None:
        self.bucket = bucket
        self._options = options
        self._control = control
        self._connections = connections
        self._line: _Line | None = None
        self._closed = False
        self._preparing = asyncio.Lock()

    async def describe(self) -> str:
        """As :meth:`BotoTransport.describe`, without boto3 where the environment says all."""
        return (await self._prepare()).access.description

    def close(self) -> None:
        """Take no more requests. Nothing is waited for."""
        self._closed = True
        if self._line is not None:
            self._line.pool.close()
        self._control.close()

    async def put(self, request: Put) -> Stored:
        """PutObject."""
        if len(request.body) > MAX_BODY:
            return await self._control.put(request)
        line = self._line
        if line is None or not line.access.is_fresh():
            line = await self._prepare()
        answer = await line.put(request)
        return stored(answer)

    async def _prepare(self) -> "_Line":
        async with self._preparing:
            if self._line is None:
                found = await access.resolve(self.bucket, self._options, self._control)
                self._line = _Line(self.bucket, self._options, found, self._connections)
                if self._closed:
                    self._line.pool.close()
            elif not self._line.access.is_fresh():
                await self._line.access.refresh(self._control)
            return self._line

    # --- the rest is boto3's

    async def head(self, key: str, *, checksums: bool = False) -> Found:
        """HeadObject."""
        return await self._control.head(key, checksums=checksums)

    async def create(self, request: Create) -> str:
        """CreateMultipartUpload."""
        return await self._control.create(request)

    async def part(self, request: Part) -> StoredPart:
        """UploadPart."""
        return await self._control.part(request)

    async def parts(self, key: str, upload: str) -> list[StoredPart]:
        """ListParts."""
        return await self._control.parts(key, upload)

    async def complete(self, request: Complete) -> Stored:
        """CompleteMultipartUpload."""
        return await self._control.complete(request)

    async def abort(self, key: str, upload: str) -> None:
        """AbortMultipartUpload."""
        await self._control.abort(key, upload)


class _Line:
    """The line to the store: origin, keys, connections."""

    def __init__(self, bucket: str, options: S3Options, found: access.Access, connections: int) -> None:
        self.access = found
        try:
            self._origin = Origin(found.url, bucket, path_style=found.path_style)
        except ValueError as error:  # a port that is none
            raise StoreError(None, NoAnswer.CLIENT, f"{found.url}: {error}") from error
        self._signer = Signer(found.region)
        tls = _tls(options, found.ca_bundle) if self._origin.tls else None
        self.pool = wire.Pool(self._origin.host, self._origin.port, tls=tls, limit=connections)

    async def put(self, request: Put) -> wire.Answer:
        """One PUT; the answer, which is a success. Raises :class:`StoreError`."""
        try:
            path = self._origin.path + encode_path(request.key)
            head = self._head(path, self._headers(request), request)
        except UnicodeEncodeError:  # told without its text, in which the session token may be
            raise StoreError(None, NoAnswer.CLIENT, "the key or a header has a character that cannot be sent") from None
        answer = await self.pool.request(head + request.body)
        if not 200 <= answer.status < 300:
            raise refusal(answer)
        return answer

    def _headers(self, request: Put) -> dict[str, str]:
        headers = _attributes(request.attributes)
        headers["host"] = self._origin.authority
        if request.checksum is not None:
            headers[CHECKSUM_HEADERS[request.checksum.algorithm]] = request.checksum.value
        if request.if_none_match:
            headers["if-none-match"] = "*"
        if request.if_match:
            headers["if-match"] = request.if_match
        return headers

    def _head(self, path: str, headers: dict[str, str], request: Put) -> bytes:
        keys = self.access.keys
        if keys is not None:
            headers["x-amz-content-sha256"] = request.sha256
            headers["x-amz-date"] = self._signer.stamp()
            if keys.token:
                headers["x-amz-security-token"] = keys.token
            headers = dict(sorted(headers.items()))
            headers["authorization"] = self._signer.authorization(keys, "PUT", path, "", headers, request.sha256)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if not len(headers) == lines.count("\r") == lines.count("\n"):
            raise StoreError(None, NoAnswer.CLIENT, "a line break in a header")  # which one might tell a secret
        return f"PUT {path} HTTP/1.1\r\n{lines}content-length: {len(request.body)}\r\n\r\n".encode("ascii")


def _tls(options: S3Options, ca_bundle: str) -> ssl.SSLContext:
    file = options.ca_bundle or ca_bundle
    try:
        context = ssl.create_default_context(cafile=file or None)
    except OSError as error:
        raise StoreError(None, NoAnswer.TLS, f"{file}: {error}") from error
    if not options.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _attributes(attributes: Attributes) -> dict[str, str]:
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
    for name, value in attributes.metadata.items():
        found[f"x-amz-meta-{name.lower()}"] = value
    if attributes.tags:
        found["x-amz-tagging"] = urlencode(dict(attributes.tags), quote_via=quote)
    return found
