"""A multipart upload and HEAD, signed and sent by hand on the :mod:`.lanes`: what one large file needs from its first
question to its acknowledgement.

boto3 could make these requests as well. Its client costs 0.3 s of CPU to make, which is a third of the time that a
file of 1 GiB takes. What is asked only after a crash (ListParts, Abort) is boto3's.
"""

import hashlib
from collections.abc import Mapping

from .access import Access
from .answers import CHECKSUM_HEADERS, CHECKSUM_NAMES, bare, checksums, element, etag, refusal, told_checksums
from .blocking import Body
from .boto import COMPLETING
from .connection import Answer
from .lanes import Lanes, Request
from .origin import Origin
from .sigv4 import UNSIGNED, Form, Keys, Signer, canonical_query, encode_path
from .transport import Complete, Found, NoAnswer, Part, Progress, Stored, StoredPart, StoreError
from .wire import ANSWER

_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
_NOTHING = hashlib.sha256(b"").hexdigest()
_METADATA = "x-amz-meta-"


class Uploads:
    """Makes these requests to one bucket. Each method raises :class:`StoreError` for all that is no success."""

    def __init__(self, origin: Origin, found: Access, signer: Signer, lanes: Lanes) -> None:
        self._origin = origin
        self._access = found
        self._signer = signer
        self._lanes = lanes
        self._get: Form | None = None
        self._get_for: Keys | None = None

    async def head(self, key: str, *, with_checksums: bool) -> Found:
        """HeadObject."""
        headers = {"x-amz-checksum-mode": "ENABLED"} if with_checksums else {}
        answer = await self._ask("HEAD", key, {}, headers)
        return Found(
            size=int(answer.header(b"content-length") or 0),
            etag=etag(answer),
            version=answer.header(b"x-amz-version-id"),
            metadata={
                name.decode("latin-1")[len(_METADATA) :]: value.decode("latin-1")
                for name, value in answer.headers.items()
                if name.startswith(_METADATA.encode())
            },
            checksums=checksums(answer),
        )

    def wanted(self, key: str, version: str = "") -> bytes:
        """GetObject, as it is sent; ``version``: not the latest but this one."""
        headers = {"x-amz-checksum-mode": "ENABLED"}
        try:
            if version:
                return self._head("GET", key, canonical_query([("versionId", version)]), headers, 0, _NOTHING)
            return self._plain_get(self._origin.path + encode_path(key), headers)
        except UnicodeEncodeError:
            raise StoreError(None, NoAnswer.CLIENT, "the key has a character that cannot be sent") from None

    def _plain_get(self, path: str, headers: dict[str, str]) -> bytes:
        """As :meth:`_head`, with what is the same in all of them made once."""
        keys, stamp = self._access.keys, self._signer.stamp()
        if self._get is None or keys is not self._get_for:
            self._get, self._get_for = self._form_of_get(keys, headers), keys
        values = (stamp,) if keys is not None else ()
        lines = self._get.wire(values)
        if keys is not None:
            signed = self._signer.authorize(keys, self._get, path, values, stamp, _NOTHING)
            lines = f"{lines}authorization: {signed}\r\n"
        return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("ascii")

    def _form_of_get(self, keys: Keys | None, headers: Mapping[str, str]) -> Form:
        more: dict[str, str | None] = {"host": self._origin.authority, **headers}
        if keys is not None:
            more |= {"x-amz-content-sha256": _NOTHING, "x-amz-date": None}
            if keys.token:
                more["x-amz-security-token"] = keys.token
        try:
            return Form("GET", more)
        except ValueError as error:
            raise StoreError(None, NoAnswer.CLIENT, str(error)) from None

    async def create(self, key: str, headers: Mapping[str, str], algorithm: str) -> str:
        """CreateMultipartUpload; the upload's id. ``headers``: the object's attributes; ``algorithm``: which checksum
        its parts will bear, '' for none."""
        more = dict(headers)
        if algorithm:
            more["x-amz-checksum-algorithm"] = algorithm.upper()
            more["x-amz-checksum-type"] = "COMPOSITE" if algorithm == "sha256" else "FULL_OBJECT"
        answer = await self._ask("POST", key, {"uploads": ""}, more)
        upload = element(answer.body, b"UploadId")
        if not upload:
            raise StoreError(answer.status, "", "an answer to CreateMultipartUpload without an id")
        return upload

    async def part(self, request: Part) -> StoredPart:
        """UploadPart. Over TLS its SHA-256 is signed only where it is known: TLS and the checksum protect the bytes."""
        headers = {}
        if request.checksum is not None:
            headers[CHECKSUM_HEADERS[request.checksum.algorithm]] = request.checksum.value
        query = {"partNumber": str(request.number), "uploadId": request.upload}
        payload = request.sha256
        if not payload:
            payload = UNSIGNED if self._origin.tls else await self._lanes.run(_sha256, request.body)
        answer = await self._ask("PUT", request.key, query, headers, request.body, payload, progress=request.progress)
        if not etag(answer):
            raise StoreError(None, NoAnswer.CLOSED, "an answer to UploadPart without an ETag")
        return StoredPart(number=request.number, size=len(request.body), etag=etag(answer), checksums=checksums(answer))

    async def complete(self, request: Complete) -> Stored:
        """CompleteMultipartUpload, read to its end: the 200 comes first, and an error may be in it."""
        headers = {"content-type": "application/xml", "x-amz-mp-object-size": str(request.size)}
        if request.checksum is not None:
            headers[CHECKSUM_HEADERS[request.checksum.algorithm]] = request.checksum.value
            headers["x-amz-checksum-type"] = "FULL_OBJECT"
        if request.if_none_match:
            headers["if-none-match"] = "*"
        if request.if_match:
            headers["if-match"] = request.if_match
        body = _listed(request)
        payload = hashlib.sha256(body).hexdigest()
        answer = await self._ask(
            "POST", request.key, {"uploadId": request.upload}, headers, body, payload, patience=COMPLETING
        )
        if b"CompleteMultipartUploadResult" not in answer.body:
            raise refusal(Answer(500, answer.headers, answer.body))
        return Stored(
            etag=bare(element(answer.body, b"ETag")),
            version=answer.header(b"x-amz-version-id"),
            checksums=told_checksums(answer.body),
        )

    async def _ask(
        self,
        method: str,
        key: str,
        parameters: Mapping[str, str],
        headers: Mapping[str, str],
        body: Body = b"",
        payload: str = _NOTHING,
        *,
        patience: float = ANSWER,
        progress: Progress = None,
    ) -> Answer:
        try:
            head = self._head(method, key, canonical_query(parameters.items()), dict(headers), len(body), payload)
        except UnicodeEncodeError:  # told without its text, in which the session token may be
            raise StoreError(None, NoAnswer.CLIENT, "the key or a header has a character that cannot be sent") from None
        request = Request(head=head, body=body, patience=patience, no_body=method == "HEAD", progress=progress)
        answer = await self._lanes.ask(request)
        if not 200 <= answer.status < 300:
            raise refusal(answer)
        return answer

    def _head(self, method: str, key: str, query: str, headers: dict[str, str], length: int, payload: str) -> bytes:
        path = self._origin.path + encode_path(key)
        headers["host"] = self._origin.authority
        if (keys := self._access.keys) is not None:
            headers["x-amz-content-sha256"] = payload
            headers["x-amz-date"] = self._signer.stamp()
            if keys.token:
                headers["x-amz-security-token"] = keys.token
            headers = dict(sorted(headers.items()))
            headers["authorization"] = self._signer.authorization(keys, method, path, query, headers, payload)
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if not len(headers) == lines.count("\r") == lines.count("\n"):
            raise StoreError(None, NoAnswer.CLIENT, "a line break in a header")  # which one might tell a secret
        target = f"{path}?{query}" if query else path
        sized = f"content-length: {length}\r\n" if method not in ("HEAD", "GET") else ""
        return f"{method} {target} HTTP/1.1\r\n{lines}{sized}\r\n".encode("ascii")


def _sha256(body: Body) -> str:
    return hashlib.sha256(body).hexdigest()


def _listed(request: Complete) -> bytes:
    parts = "".join([_listed_part(part) for part in request.parts])
    return f'<CompleteMultipartUpload xmlns="{_XMLNS}">{parts}</CompleteMultipartUpload>'.encode()


def _listed_part(part: StoredPart) -> str:
    from html import escape  # loaded by who needs it: see answers

    values = "".join(
        f"<{CHECKSUM_NAMES[algorithm]}>{escape(value)}</{CHECKSUM_NAMES[algorithm]}>"
        for algorithm, value in part.checksums.items()
        if algorithm in CHECKSUM_NAMES
    )
    tag = escape(f'"{part.etag}"')
    return f"<Part>{values}<ETag>{tag}</ETag><PartNumber>{part.number}</PartNumber></Part>"
