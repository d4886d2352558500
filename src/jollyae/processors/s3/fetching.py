"""Objects fetched one by one, as messages name them: small ones by a signed GET on the hot path's connections, the
others by boto3, in pieces. Each is compared with what the store says of it: its length, and its MD5 (the ETag of what
was sent in one piece and without KMS), our own digest in its metadata, or a checksum that the store keeps.
"""

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from jollyae.processors.reading import BLOCK
from jollyae.spool import names
from jollyae.spool.outcomes import Temporary

from . import access, checksums, faults
from .answers import bare, refusal
from .answers import checksums as checksums_of
from .answers import etag as etag_of
from .boto import BotoTransport
from .connection import MAX_ANSWER, Answer
from .fast import FastTransport
from .faults import Meaning
from .metadata import SHA256
from .options import S3Options
from .transport import NoAnswer, StoreError

SMALL = 512 * 1024
"""Bytes of an object that is fetched whole, on the event loop; a larger one would hold it."""
_DENIED = Meaning(
    "access denied",
    "The credentials need s3:GetObject here (s3:GetObjectVersion where the bucket has versions), and s3:ListBucket to "
    "be told that an object is gone.",
    reason="denied",
)
_MISSING = Meaning(
    "there is no such bucket",
    "Who announced it? Check the endpoint that objects are fetched from (--from-endpoint-url, else --endpoint-url).",
    reason="bucket",
)
_MOST_ODD = 1000
_MD5 = re.compile("[0-9a-f]{32}")
_SHA256 = f"x-amz-meta-{SHA256}".encode()
_SSE = b"x-amz-server-side-encryption"
_SSE_C = b"x-amz-server-side-encryption-customer-algorithm"


@dataclass(slots=True)
class Fetched:
    """An object of which the bytes are here or come. ``size`` in bytes; ``etag`` without quotes; ``modified``: seconds
    since 1970. ``body``: all of it, or None where it comes in pieces (:meth:`BucketFetcher.piece`)."""

    size: int
    etag: str
    modified: float
    sha256: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)
    is_md5: bool = False
    body: bytes | None = None
    stream: Any = None

    def proof(self) -> "Proof":
        """What its bytes are compared with."""
        if self.is_md5:
            return Proof("md5", self.etag.lower())
        if self.sha256:
            return Proof("sha256", self.sha256)
        for algorithm, value in self.checksums.items():
            try:
                if "-" not in value:
                    return Proof(algorithm, base64.b64decode(value).hex())
            except checksums.ChecksumError:
                continue
        return Proof("", "")


class Proof:
    """Compares bytes with a digest that is known (hex); ``algorithm`` '' : none is. Raises
    :class:`~.checksums.ChecksumError`."""

    def __init__(self, algorithm: str, wanted: str) -> None:
        self.algorithm = algorithm
        self._wanted = wanted
        self._hash = checksums.new(algorithm) if algorithm else None

    def update(self, data: bytes) -> None:
        """The next bytes."""
        if self._hash is not None:
            self._hash.update(data)

    @property
    def found(self) -> str:
        """The digest of the bytes that came (hex)."""
        return self._hash.digest().hex() if self._hash is not None else ""

    @property
    def holds(self) -> bool:
        """Whether they are the right ones, as far as that is known."""
        return self.found == self._wanted


class BucketFetcher:
    """Fetches from one bucket. ``connections``: the most requests at a time. What it raises is
    :class:`~jollyae.spool.outcomes.Temporary` or :class:`~jollyae.spool.outcomes.Permanent`, which say why, and
    :class:`FileNotFoundError` for an object that is not there."""

    def __init__(self, bucket: str, options: S3Options, connections: int) -> None:
        self.bucket = bucket
        self._control = BotoTransport(bucket, options, connections)
        is_fast = options.transport != "boto3" and not access.why_not(bucket, os.environ)
        self._fast = FastTransport(bucket, options, self._control, connections) if is_fast else None
        self._odd: dict[str, str] = {}

    def close(self) -> None:
        """Take no more requests. Nothing is waited for."""
        if self._fast is not None:
            self._fast.close()
        else:
            self._control.close()

    async def fetch(self, key: str, version: str = "", size: int = -1) -> Fetched:
        """The object, or this version of it. ``size``: what it should have, -1 where that is not known."""
        try:
            if self._fast is not None and 0 <= size <= SMALL:
                found = self._whole(await self._fast.get(key, version))
                if found is not None:
                    return found
            return await self._stream(key, version)
        except StoreError as error:
            raise self._explained(error, key) from error

    def _whole(self, answer: Answer) -> Fetched | None:
        """The object that the answer is; None where it is larger than was said, so that not all of it was read."""
        if answer.status != 200:
            raise refusal(answer)
        length = int(answer.header(b"content-length") or len(answer.body))
        if len(answer.body) < length:
            if length >= MAX_ANSWER - 64 * 1024:
                return None
            raise StoreError(None, NoAnswer.CLOSED, "the answer ended early")
        etag = etag_of(answer)
        return Fetched(
            size=length,
            etag=etag,
            modified=_seconds(answer.header(b"last-modified")),
            sha256=answer.header(_SHA256),
            checksums=checksums_of(answer),
            is_md5=_is_md5(etag, answer.header(_SSE), answer.header(_SSE_C)),
            body=answer.body,
        )

    async def _stream(self, key: str, version: str) -> Fetched:
        more = {"VersionId": version} if version else {}
        call = (await self._control.connected()).client.get_object
        answer = await self._control.in_thread(lambda: call(Bucket=self.bucket, Key=key, **more))
        modified = answer.get("LastModified")
        etag = bare(str(answer.get("ETag", "")))
        told = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        return Fetched(
            size=answer["ContentLength"],
            etag=etag,
            modified=modified.timestamp() if isinstance(modified, datetime) else 0.0,
            sha256=told.get(SHA256, ""),
            is_md5=_is_md5(etag, answer.get("ServerSideEncryption", ""), answer.get("SSECustomerAlgorithm", "")),
            stream=answer["Body"],
        )

    async def piece(self, fetched: Fetched, key: str) -> bytes:
        """The next bytes of one that comes in pieces; b'' at its end."""
        try:
            data: bytes = await self._control.in_thread(lambda: fetched.stream.read(BLOCK))
            return data
        except StoreError as error:
            raise self._explained(error, key) from error

    def judge(self, fetched: Fetched, proof: Proof, key: str, size: int) -> None:
        """Raise :class:`Temporary` where the ``size`` bytes that came are not the object's. Some stores' ETags look
        like an MD5 and are none: the same bytes a second time are believed."""
        if size != fetched.size:
            why = f"{size} bytes came of {fetched.size}"
        elif proof.holds or self._odd.get(fetched.etag) == proof.found:
            return
        else:
            if len(self._odd) >= _MOST_ODD:
                self._odd.clear()
            self._odd[fetched.etag] = proof.found
            why = f"its {proof.algorithm} is not the store's"
        raise Temporary(f"damaged on its way: {self._url(key)}: {why}", after=1.0, reason="network")

    def _url(self, key: str) -> str:
        return names.show(f"s3://{self.bucket}/{key}")

    def _explained(self, error: StoreError, key: str) -> Exception:
        if error.status in (404, 405) and error.code != "NoSuchBucket":  # 405: a version that is a deletion
            return FileNotFoundError(self._url(key))
        if error.code == "NoSuchBucket":
            return faults.explain(error, self._url(key), _MISSING)
        is_denied = error.status == 403 and error.code in ("", "AccessDenied")
        return faults.explain(error, self._url(key), _DENIED if is_denied else None)


def _is_md5(etag: str, sse: str, sse_c: str) -> bool:
    return not sse_c and not sse.startswith("aws:kms") and _MD5.fullmatch(etag) is not None


@lru_cache(256)  # what is told of together was mostly stored together
def _seconds(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return 0.0
