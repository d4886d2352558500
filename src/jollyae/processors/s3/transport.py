"""The seam between delivery and the wire: what is asked of an S3 store, and what it answers.

A transport belongs to one bucket, does each request exactly once and retries nothing (the worker does), and raises
:class:`StoreError` for everything that is not a success. Behind it are boto3 (:mod:`.boto`) and our own (:mod:`.fast`).
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

Progress = Callable[[int], None] | None
"""Is told how many bytes of a body are sent so far, from any thread; only of bodies that go in blocks."""


class Checksum(msgspec.Struct, frozen=True):
    """A checksum that goes into a header. ``value`` is base64, as S3 wants it."""

    algorithm: str
    value: str


class Attributes(msgspec.Struct, frozen=True, kw_only=True):
    """What an object has beside its bytes; '' is: not sent."""

    content_type: str = ""
    content_encoding: str = ""
    cache_control: str = ""
    storage_class: str = ""
    acl: str = ""
    sse: str = ""
    sse_kms_key_id: str = ""
    metadata: Mapping[str, str] = {}
    tags: Mapping[str, str] = {}


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """A whole object. ``sha256`` (hex) is that of ``body``: a transport that signs by itself need not hash again.
    ``if_match`` is an ETag as the header shall have it, so with its quotes."""

    key: str
    body: bytes | bytearray
    sha256: str
    attributes: Attributes
    checksum: Checksum | None = None
    if_none_match: bool = False
    if_match: str = ""
    progress: Progress = None


class Create(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of a multipart upload. ``algorithm``: which checksum its parts will bear ('' for none)."""

    key: str
    attributes: Attributes
    algorithm: str = ""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part, ``number`` from 1. ``sha256`` (hex) of ``body`` where it is known. The body is the caller's again when
    :meth:`Transport.part` has returned."""

    key: str
    upload: str
    number: int
    body: bytes | bytearray
    sha256: str = ""
    checksum: Checksum | None = None
    progress: Progress = None


class StoredPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part that the store has. ``etag`` without quotes."""

    number: int
    size: int
    etag: str
    checksums: Mapping[str, str] = {}


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a multipart upload. ``size`` in bytes of the whole, ``checksum`` over the whole where there is one."""

    key: str
    upload: str
    parts: Sequence[StoredPart]
    size: int
    checksum: Checksum | None = None
    if_none_match: bool = False
    if_match: str = ""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """An acknowledgement. ``etag`` without quotes; ``checksums``: what the store computed, algorithm → base64."""

    etag: str
    version: str = ""
    checksums: Mapping[str, str] = {}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What HEAD tells of an object. ``size`` in bytes; a checksum ending in ``-N`` is one of N parts."""

    size: int
    etag: str
    version: str = ""
    metadata: Mapping[str, str] = {}
    checksums: Mapping[str, str] = {}


class NoAnswer(StrEnum):
    """Why there was no answer at all: the ``code`` of a :class:`StoreError` without a status."""

    REFUSED = "refused"
    NAME = "name"
    TIMEOUT = "timeout"
    TLS = "tls"
    BUNDLE = "bundle"
    CLOSED = "closed"
    PROXY = "proxy"
    CREDENTIALS = "credentials"
    PROFILE = "profile"
    CLIENT = "client"


class StoreError(Exception):
    """The store refused, or could not be asked.

    ``status`` is the HTTP status, or None without an answer; ``code`` S3's own (or a :class:`NoAnswer`); ``skew`` how
    far the store's clock is before ours, in seconds, where it told its time.
    """

    def __init__(
        self, status: int | None, code: str, message: str = "", *, request_id: str = "", skew: float | None = None
    ) -> None:
        super().__init__(f"{status or 'no answer'} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.skew = skew


class Transport(Protocol):
    """One bucket. Each method is one request (``parts``: as many as the list has pages) and may be cancelled."""

    async def is_secure(self) -> bool:
        """Whether requests go over TLS."""

    async def put(self, request: Put) -> Stored:
        """Send a whole object."""

    async def head(self, key: str, *, checksums: bool = False) -> Found:
        """What is there. ``checksums`` asks for stored checksums too (with SSE-KMS this needs kms:Decrypt)."""

    async def create(self, request: Create) -> str:
        """Begin a multipart upload; its id."""

    async def part(self, request: Part) -> StoredPart:
        """Send one part."""

    async def parts(self, key: str, upload: str) -> list[StoredPart]:
        """The parts that the store has of an upload."""

    async def complete(self, request: Complete) -> Stored:
        """Make the parts an object."""

    async def abort(self, key: str, upload: str) -> None:
        """Give an upload up; its parts are removed."""
