"""Reading an item for S3: digest and body come from one read, so what is sent is what was hashed."""

import binascii
import hashlib
import os
from collections.abc import Iterator, Sequence

from jollyae.spool import fs, names
from jollyae.spool.item import Item
from jollyae.spool.outcomes import Temporary

from . import checksums
from .checksums import Content, Hash
from .threads import Threads
from .transport import Checksum

_BLOCK = 1 << 20
_MOST = 16 * _BLOCK  # read in one call
_HASHED = 256 * 1024
"""Bytes that are read and hashed at a time: less than a processor's second-level cache."""
_HAS_PREADV = hasattr(os, "preadv")
SMALL = 256 * 1024
"""Bytes that are read and hashed on the event loop (0.3 ms); more goes to a thread."""


def read(descriptor: int, start: int, size: int) -> bytes:
    """``size`` bytes from ``start``, or fewer at the file's end. Raises :class:`OSError`."""
    first = os.pread(descriptor, min(size, _MOST), start)
    if len(first) < _MOST:
        return first  # a regular file gives less than was asked for only at its end
    parts = [first]
    start += len(first)
    size -= len(first)
    while size > 0 and (data := os.pread(descriptor, min(size, _MOST), start)):
        parts.append(data)
        start += len(data)
        size -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Changed(Temporary):
    """Somebody writes to the file while it is sent."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the file changed while it was read: {names.show(name)}", after=0.5)


def check_unchanged(item: Item) -> None:
    """Raise :class:`Changed` if somebody wrote to the item's file."""
    if not fs.unchanged(item.stat, os.fstat(item.fd)):
        raise Changed(item.name)


Whole = tuple[bytes | bytearray, Content, Checksum | None]


async def read_whole(item: Item, threads: Threads, algorithm: str) -> Whole:
    """:func:`read_now`, or in a thread where it takes long."""
    return read_now(item, algorithm) if item.size <= SMALL else await threads.run(_read_long, item, algorithm)


def read_now(item: Item, algorithm: str) -> Whole:
    """A small item's bytes (at most SMALL), what is known of them, and the checksum for the header. Raises
    :class:`Changed` if its size is no longer the known."""
    size = item.size
    body = os.pread(item.fd, size + 1, 0)  # one more, to see that it has grown
    if len(body) != size:
        raise Changed(item.name)
    digest = hashlib.sha256(body).digest()
    content = Content.of(body, digest.hex())
    if algorithm == "sha256":
        return body, content, Checksum("sha256", binascii.b2a_base64(digest, newline=False).decode())
    return body, content, checksums.of(body, algorithm)


def _read_long(item: Item, algorithm: str) -> Whole:
    """As :func:`read_now`, hashing while the bytes are in the processor's cache."""
    body = bytearray(item.size)
    hashes = {one: checksums.new(one) for one in {"sha256", algorithm} - {"none"}}
    with memoryview(body) as view:
        fill(item, 0, view, list(hashes.values()))
    if os.pread(item.fd, 1, len(body)):
        raise Changed(item.name)
    content = Content.of(body, hashes["sha256"].digest().hex())
    if algorithm == "none":
        return body, content, None
    value = binascii.b2a_base64(hashes[algorithm].digest(), newline=False).decode()
    return body, content, Checksum(algorithm, value)


async def digest_file(item: Item, threads: Threads) -> Content:
    """A large item's digest, by reading it once. Raises :class:`Changed` if it changes meanwhile."""
    content = await threads.run(_digest, item)
    check_unchanged(item)
    return content


def of_file(descriptor: int, size: int, sha256: str) -> Content:
    """The content of a file whose digest is known; what else is asked of it is read again."""
    return Content(size, sha256, lambda block: _blocks(descriptor, size, block))


def _digest(item: Item) -> Content:
    whole = hashlib.sha256()
    for block in _blocks(item.fd, item.size, _BLOCK):
        whole.update(block)
    return of_file(item.fd, item.size, whole.hexdigest())


def _blocks(descriptor: int, size: int, block: int) -> Iterator[bytes]:
    for start in range(0, size, block):
        yield read(descriptor, start, min(block, size - start))


def fill(item: Item, start: int, into: memoryview, hashes: Sequence[Hash]) -> None:
    """Read the item from ``start`` until ``into`` is full, and give the ``hashes`` what was read. Block by block: what
    is hashed right after it was read is still in the processor's cache. Raises :class:`Changed` at the file's end."""
    done = 0
    while done < len(into):
        block = into[done : done + _HASHED]
        size = _read_into(item.fd, start + done, block)
        if size == 0:
            raise Changed(item.name)
        for hash in hashes:
            hash.update(block[:size])
        done += size


def _read_into(descriptor: int, start: int, into: memoryview) -> int:
    if _HAS_PREADV:
        return os.preadv(descriptor, [into], start)
    data = os.pread(descriptor, len(into), start)
    into[: len(data)] = data
    return len(data)
