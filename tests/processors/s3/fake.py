"""A store in memory with S3's conditional semantics, scripted errors and a log of what was asked."""

import base64
import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from jollyae.processors.keys import KeyTemplate
from jollyae.processors.s3 import S3Delivery, S3Options
from jollyae.processors.s3.checksums import composite
from jollyae.processors.s3.transport import (
    Attributes,
    Complete,
    Create,
    Found,
    Part,
    Put,
    Stored,
    StoredPart,
    StoreError,
)
from jollyae.spool import notes
from jollyae.spool.item import Item

MiB = 1 << 20


@dataclass
class Object:
    """What the fake store keeps."""

    body: bytes
    etag: str
    attributes: Attributes
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass
class Upload:
    """A multipart upload under way."""

    key: str
    attributes: Attributes
    parts: dict[int, bytes] = field(default_factory=dict)


class FakeTransport:
    """Conditional like Amazon S3. ``script`` holds errors to raise: ("put", error) before the work is done,
    ("put after", error) after it, as when the answer is lost. ``unquoted_if_match``: as Ceph RGW 16."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.uploads: dict[str, Upload] = {}
        self.aborted: list[str] = []
        self.asked: list[tuple[str, Any]] = []
        self.script: list[tuple[str, Exception]] = []
        self.hooks: dict[str, Callable[[], object]] = {}
        self.head_forbidden = False
        self.unquoted_if_match = False
        self.no_complete_etag = False
        self.stores_checksums = False
        self.kms = False
        self.secure = False

    @property
    def calls(self) -> Counter[str]:
        """How often each request was made."""
        return Counter(name for name, _ in self.asked)

    def add(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        """Somebody else's object."""
        self.objects[key] = Object(body, hashlib.md5(body).hexdigest(), Attributes(metadata=metadata or {}))

    def _begin(self, name: str, request: Any) -> None:
        self.asked.append((name, request))
        if hook := self.hooks.pop(name, None):
            hook()
        self._maybe_raise(name)

    def _maybe_raise(self, name: str) -> None:
        for entry in self.script:
            if entry[0] == name:
                self.script.remove(entry)
                raise entry[1]

    def _check_conditions(self, request: Put | Complete) -> None:
        there = self.objects.get(request.key)
        if request.if_none_match and there:
            raise StoreError(412, "PreconditionFailed")
        if request.if_match:
            if there is None:
                raise StoreError(404, "NoSuchKey")
            expected = there.etag if self.unquoted_if_match else f'"{there.etag}"'
            if request.if_match != expected:
                raise StoreError(412, "PreconditionFailed")

    def _checksums(self, request: Put | Part) -> dict[str, str]:
        if not self.stores_checksums or request.checksum is None:
            return {}
        return {request.checksum.algorithm: request.checksum.value}

    async def is_secure(self) -> bool:
        """Whether it passes for one behind TLS."""
        return self.secure

    async def put(self, request: Put) -> Stored:
        """PutObject."""
        self._begin("put", request)
        assert hashlib.sha256(request.body).hexdigest() == request.sha256
        self._check_conditions(request)
        etag = os.urandom(16).hex() if self.kms else hashlib.md5(request.body).hexdigest()
        self.objects[request.key] = Object(bytes(request.body), etag, request.attributes, self._checksums(request))
        self._maybe_raise("put after")
        return Stored(etag=etag, checksums=self._checksums(request))

    async def head(self, key: str, *, checksums: bool = False) -> Found:
        """HeadObject."""
        self._begin("head", key)
        if self.head_forbidden:
            raise StoreError(403, "")
        if key not in self.objects:
            raise StoreError(404, "")
        there = self.objects[key]
        return Found(
            size=len(there.body),
            etag=there.etag,
            metadata=dict(there.attributes.metadata),
            checksums=there.checksums if checksums else {},
        )

    async def create(self, request: Create) -> str:
        """CreateMultipartUpload."""
        self._begin("create", request)
        upload = f"upload-{self.calls['create']}"
        self.uploads[upload] = Upload(request.key, request.attributes)
        return upload

    def _upload(self, upload: str) -> Upload:
        if upload not in self.uploads:
            raise StoreError(404, "NoSuchUpload")
        return self.uploads[upload]

    async def part(self, request: Part) -> StoredPart:
        """UploadPart."""
        self._begin("part", request)
        self._maybe_raise(f"part {request.number}")
        self._upload(request.upload).parts[request.number] = bytes(request.body)
        return _stored(request.number, request.body)

    async def parts(self, key: str, upload: str) -> list[StoredPart]:
        """ListParts."""
        self._begin("parts", upload)
        return [_stored(number, body) for number, body in sorted(self._upload(upload).parts.items())]

    async def complete(self, request: Complete) -> Stored:
        """CompleteMultipartUpload."""
        self._begin("complete", request)
        upload = self._upload(request.upload)
        self._check_conditions(request)
        body = b"".join(upload.parts[part.number] for part in request.parts)
        assert len(body) == request.size
        etag = composite([hashlib.md5(upload.parts[part.number]).hexdigest() for part in request.parts])
        self.objects[request.key] = Object(body, etag, upload.attributes)
        del self.uploads[request.upload]
        self._maybe_raise("complete after")
        return Stored(etag="" if self.no_complete_etag else etag)

    async def abort(self, key: str, upload: str) -> None:
        """AbortMultipartUpload."""
        self._begin("abort", upload)
        self._upload(upload)
        del self.uploads[upload]
        self.aborted.append(upload)


def _stored(number: int, body: bytes | bytearray) -> StoredPart:
    return StoredPart(number=number, size=len(body), etag=hashlib.md5(body).hexdigest())


class Bench:
    """A directory of items in work, a fake store, and deliveries between them; a context, which closes the items."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = FakeTransport()
        self._items: list[Item] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for item in self._items:
            item.close()

    def item(self, body: bytes, name: str = "a/b.txt") -> Item:
        """An item in work with these bytes."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        notes.forget(str(path))  # an earlier item's: the inode's number, size and time may be the same
        path.write_bytes(body)
        os.utime(path, ns=(1_795_305_598_123_456_700, 1_795_305_598_123_456_700))
        path.chmod(0o640)
        return self.again(name)

    def again(self, name: str = "a/b.txt") -> Item:
        """The same file as a later attempt, or an adopter after a crash, sees it: with its note and nothing else."""
        path = str(self.directory / name)
        descriptor = os.open(path, os.O_RDONLY)
        item = Item(name, path, cast(Any, None), descriptor, os.fstat(descriptor))
        item.note = notes.read(path)
        self._items.append(item)
        return item

    def delivery(self, key: str = "{path}", prefix: str = "", limiter: Any = None, **options: Any) -> S3Delivery:
        """A delivery into the bucket ``bucket``."""
        return S3Delivery(self.store, "bucket", KeyTemplate(key, prefix), S3Options(**options), limiter)

    def grow(self, item: Item, more: bytes = b"more") -> None:
        """Somebody appends to the item's file."""
        with item.path.open("ab") as file:
            file.write(more)


def b64(digest: bytes) -> str:
    """As S3 writes a digest."""
    return base64.b64encode(digest).decode()
