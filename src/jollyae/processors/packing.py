"""Compression on the way: an item is packed before it is delivered, and what is delivered is the packed bytes.

Whether an item is packed is a function of its name, so that its key is one too. The packed bytes are the same at each
repeat, with one library; where another version of it makes others, the digest of the source, which is in the object's
metadata, tells a repeat from a collision. Small items are packed in memory; others into a file without a name in the
temporary directory (``TMPDIR``), for which there must be room.
"""

import asyncio
import hashlib
import os
import struct
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Protocol

from ..spool import fs, names
from ..spool.item import Form, Item
from ..spool.outcomes import Permanent, Temporary
from .keys import MAX_KEY, KeyTemplate

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
GZIP_LEVEL, ZSTD_LEVEL = 6, 3
"""Their own defaults; fixed, so that a repeat has the same bytes."""
SMALL = 1 << 20
"""Bytes up to which an item is packed in memory."""
_DENSE = """
    7z aac apk avif br bz2 cab crx deb docx ear epub flac gif gz heic heif jar jpeg jpg jxl lz lz4 lzma m4a m4v mkv mov
    mp3 mp4 mpeg mpg odp ods odt oga ogg ogv opus orc parquet png pptx rar rpm snappy sz tbz2 tgz txz tzst war webm webp
    whl wma wmv woff woff2 xlsx xz z zip zst
"""
DENSE = frozenset(_DENSE.split())
"""Extensions of what is compressed already: it is sent as it is."""
_CHUNK = 1 << 20
_SLACK = 1 << 20  # bytes by which packed data may be larger than its source, and more


class PackingError(ValueError):
    """Items cannot be packed so; the text says why and what to do."""


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Gzip:
    """gzip, with a header of our own: no time, no name, no system, so that it is the same everywhere."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(GZIP_LEVEL, wbits=-zlib.MAX_WBITS)
        self._crc, self._size = 0, 0
        self._head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"

    def compress(self, data: bytes, /) -> bytes:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        head, self._head = self._head, b""
        return head + self._deflate.compress(data)

    def flush(self) -> bytes:
        return self._head + self._deflate.flush() + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)


def _zstd() -> Any:
    """Python's own module (from 3.14 on), else the package. Raises :class:`PackingError`."""
    with suppress(ImportError):
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]

        return zstd
    try:
        import zstandard
    except ImportError as error:
        raise PackingError(
            "zstd needs Python 3.14 or the extra: pip install '.[zstd]' in the checkout. Or take gzip."
        ) from error
    return zstandard


def packer(method: str) -> _Packer:
    """What packs by ``method``, ``gzip`` or ``zstd``. Raises :class:`PackingError`."""
    if method == "gzip":
        return _Gzip()
    if method != "zstd":
        raise PackingError(f"{method!r} is no way to compress: gzip or zstd")
    zstd = _zstd()
    made: _Packer
    if hasattr(zstd, "CompressionParameter"):
        parameter = zstd.CompressionParameter
        made = zstd.ZstdCompressor(options={parameter.compression_level: ZSTD_LEVEL, parameter.checksum_flag: 1})
    else:
        made = zstd.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compressobj()
    return made


class Unpacker:
    """Unpacks what came from :func:`packer` or another program, piece by piece; what was packed one after the other (as
    log rotation does it) too. Raises :class:`PackingError`, also where it is no such thing, or is cut off (at
    :meth:`end`)."""

    def __init__(self, method: str) -> None:
        if method not in SUFFIXES:
            raise PackingError(f"nothing here unpacks {method!r}")
        self._method = method
        self._object = _unpacker(method)
        self.has_crc = method == "gzip"
        """Whether its bytes have been compared with a checksum at the :meth:`end`."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What comes of the next bytes; never more than some MiB at a time, however small they were made."""
        for start in range(0, len(data), _STEP):
            rest = data[start : start + _STEP]
            while rest:
                if self._object.eof:
                    self._object = _unpacker(self._method)
                try:
                    yield self._object.decompress(rest)
                except Exception as error:  # each library has its own
                    raise PackingError(f"it cannot be unpacked: {error}") from error
                rest = self._object.unused_data if self._object.eof else b""

    def end(self) -> None:
        """There is no more."""
        if not self._object.eof:
            raise PackingError("it cannot be unpacked: it is cut off")


def _unpacker(method: str) -> Any:
    """What unpacks one member or frame."""
    if method == "gzip":
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    zstd = _zstd()
    made = zstd.ZstdDecompressor()
    return made if hasattr(zstd, "CompressionParameter") else made.decompressobj()


_STEP = 1024  # of bytes that make a million times as many there are so few at a time


class Packing:
    """How items are packed: by ``method``; ``suffix``: their keys end with .gz or .zst, instead of a
    Content-Encoding."""

    def __init__(self, method: str, *, suffix: bool = False) -> None:
        packer(method)
        self.method = method
        self._suffix = SUFFIXES[method] if suffix else ""

    def applies(self, name: str) -> bool:
        """Whether the item ``name`` is packed.

        >>> [Packing("gzip").applies(name) for name in ("a.csv", "b.JPG", "tar.gz", "noextension")]
        [True, False, False, True]
        """
        _, dot, extension = name.rpartition("/")[2].rpartition(".")
        return not (dot and extension.lower() in DENSE)

    def suffix(self, name: str) -> str:
        """What the item's key ends with.

        >>> Packing("zstd", suffix=True).suffix("a.csv"), Packing("zstd", suffix=True).suffix("a.zip")
        ('.zst', '')
        """
        return self._suffix if self.applies(name) else ""

    def pack(self, item: Item) -> "PackedItem":
        """The item as it is sent. Takes as long as it takes; raises :class:`Temporary` where the file changes, or where
        there is no room."""
        with _scratch(item) as file:
            digest, form = hashlib.sha256(), packer(self.method)
            offset = 0
            while data := os.pread(item.fd, _CHUNK, offset):
                digest.update(data)
                file.write(form.compress(data))
                offset += len(data)
            file.write(form.flush())
            if offset != item.size or not fs.unchanged(item.stat, os.fstat(item.fd)):
                raise Temporary(
                    f"the file changed while it was read: {names.show(item.name)}", after=0.5, reason="content"
                )
            file.flush()
            told = Form(self.method, self.suffix(item.name), offset, digest.hexdigest())
            return PackedItem(item, os.dup(file.fileno()), told)


_promised = 0
"""Bytes of temporary files that are being written."""
_promising = threading.Lock()


@contextmanager
def _scratch(item: Item) -> Iterator[BinaryIO]:
    """A file without a name for what the item packs to: in memory where it is small, else on a disk that has room."""
    global _promised
    if item.size <= SMALL and hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("jollyae", os.MFD_CLOEXEC), "wb+") as file:
            yield file
        return
    where, wanted = tempfile.gettempdir(), item.size + _SLACK
    with _promising:
        found = os.statvfs(where)
        if found.f_bavail * found.f_frsize < _promised + wanted:
            raise _no_room(item, where)
        _promised += wanted
    try:
        with tempfile.TemporaryFile(prefix="jollyae-", dir=where) as file:
            yield file
    except OSError as error:
        raise _no_room(item, where) from error
    finally:
        with _promising:
            _promised -= wanted


def _no_room(item: Item, where: str) -> Temporary:
    return Temporary(
        f"no room to compress it: {where} must have {item.size} bytes free",
        hint="Free some room there, set TMPDIR to where there is some, or run without --compress.",
        reason="full",
    )


class PackedItem(Item):
    """An item whose bytes are packed: ``fd``, ``size`` and ``stat`` are those of what is sent, the rest is that of
    the ``plain`` one."""

    def __init__(self, plain: Item, descriptor: int, form: Form) -> None:
        super().__init__(plain.name, plain.where, plain.owner, descriptor, os.fstat(descriptor))
        self.plain = plain
        self.form = form
        self.mtime, self.mtime_ns, self.mode = plain.mtime, plain.mtime_ns, plain.mode
        self.arrived, self.claimed, self.source = plain.arrived, plain.claimed, plain.source
        self.note = plain.note
        self._superseded = plain.superseded

    @property
    def owner_ids(self) -> tuple[int, int]:
        """See :class:`Item`."""
        return self.plain.owner_ids

    def remember(self, **memory: Any) -> None:
        """See :class:`Item`."""
        self.plain.remember(**memory)
        self.note = self.plain.note

    def progress(self, sent: int) -> None:
        """See :class:`Item`."""
        self.sent = sent
        self.plain.progress(min(sent * self.plain.size // max(self.size, 1), self.plain.size))


class Packed:
    """A processor that packs items before ``process``, a coroutine function, delivers them."""

    def __init__(self, process: Any, packing: Packing) -> None:
        from .s3.threads import Threads

        self._process = process
        self._packing = packing
        self._threads = Threads(os.cpu_count() or 1, "pack")

    def credentials_expiry(self) -> float:
        """As told by what delivers: seconds since 1970, 0 where they do not expire."""
        told = getattr(self._process, "credentials_expiry", None)
        return told() if told is not None else 0.0

    @property
    def begin(self) -> Callable[[list[Item], Any], list[Item]] | None:
        """The way without a task, for what is not packed; see :mod:`.s3.direct`."""
        begin = getattr(self._process, "begin", None)
        if begin is None:
            return None
        applies = self._packing.applies

        def begin_others(items: list[Item], ended: Any) -> list[Item]:
            others = [item for item in items if not applies(item.name)]
            left: list[Item] = begin(others, ended) if others else []
            return left + [item for item in items if applies(item.name)]

        return begin_others

    async def __call__(self, item: Item) -> dict[str, Any]:
        """Deliver it; what the receipt says besides is in :func:`told`."""
        fields: dict[str, Any]
        if not self._packing.applies(item.name):
            fields = await self._process(item)
            return fields
        packed = await self._pack(item)
        try:
            fields = await self._process(packed)
        finally:
            item.aim = packed.aim
            packed.close()
        return _told(packed, fields)

    async def _pack(self, item: Item) -> PackedItem:
        future = self._threads.submit(self._packing.pack, item)
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            future.add_done_callback(_close)  # the thread goes on with it
            raise

    def close(self) -> None:
        """Take no more items."""
        self._threads.shutdown()
        getattr(self._process, "close", lambda: None)()


class PackedCopy:
    """As :class:`Packed`, for a plain function."""

    def __init__(self, process: Callable[[Item], dict[str, Any]], packing: Packing) -> None:
        self._process = process
        self._packing = packing

    def __call__(self, item: Item) -> dict[str, Any]:
        """Deliver it."""
        if not self._packing.applies(item.name):
            return self._process(item)
        packed = self._packing.pack(item)
        try:
            return _told(packed, self._process(packed))
        finally:
            item.aim = packed.aim
            packed.close()


def _close(future: Any) -> None:
    with suppress(BaseException):
        future.result().close()


def _told(packed: PackedItem, fields: dict[str, Any]) -> dict[str, Any]:
    """The receipt's fields, with what the source is."""
    form = packed.form
    assert form is not None
    packed.plain.progress(packed.plain.size)
    return {
        **fields,
        "size": packed.size,
        "compressed": form.method,
        "source_size": form.size,
        "source_sha256": form.sha256,
    }


class PackedKeys(KeyTemplate):
    """Keys of items that are packed: with the suffix, and ``{sha256}`` is the source's.

    >>> PackedKeys("{path}", "in", packing=Packing("gzip", suffix=True)).key("a.csv", 0.0)
    'in/a.csv.gz'
    """

    def __init__(self, text: str, prefix: str = "", *, packing: Packing) -> None:
        super().__init__(text, prefix)
        self._packing = packing

    def key(self, name: str, mtime: float, sha256: str = "") -> str:
        """See :meth:`KeyTemplate.key`; ``sha256``: the source's."""
        key = super().key(name, mtime, sha256) + self._packing.suffix(name)
        if len(key.encode()) > MAX_KEY:
            raise Permanent(
                f"no key is possible: {names.show(key[:200])}: it is too long",
                hint="Rename it, or change --key.",
                reason="key",
            )
        return key
