"""Reading an item for S3: digest and body come from one read, so what is sent is what was hashed."""

import binascii
import hashlib
import os
from collections.abc import Iterator

from jollyae.spool import fs, names
from jollyae.spool.item import Item
from jollyae.spool.outcomes import Temporary

from . import checksums
from .checksums import Content, Digest
from .threads import Threads
from .transport import Checksum

_BLOCK = 1 << 20
_MOST = 16 * _BLOCK  # read in one call
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


Whole = tuple[bytes, Content, Checksum | None]


async def read_whole(item: Item, threads: Threads, algorithm: str) -> Whole:
    """A small item's bytes, what is known of them, and the checksum for the header. Raises :class:`Changed` if its size
    is no longer the known."""
    if item.size <= SMALL:
        return read_now(item, algorithm)
    return await threads.run(read_now, item, algorithm)


def read_now(item: Item, algorithm: str) -> Whole:
    """:func:`read_whole`, here and now."""
    size = item.size
    body = read(item.fd, 0, size + 1)  # one more, to see that it has grown
    if len(body) != size:
        raise Changed(item.name)
    digest = hashlib.sha256(body).digest()
    content = Content.of(body, digest.hex())
    if algorithm == "sha256":
        return body, content, Checksum("sha256", binascii.b2a_base64(digest, newline=False).decode())
    return body, content, checksums.of(body, algorithm)


async def digest_file(item: Item, threads: Threads) -> Content:
    """A large item's digest, by reading it once. Raises :class:`Changed` if it changes meanwhile."""
    content = await threads.run(_digest, item.fd, item.size)
    check_unchanged(item)
    return content


def of_file(descriptor: int, size: int, sha256: str) -> Content:
    """The content of a file whose digest is known; what else is asked of it is read again."""
    return Content(size, sha256, lambda block: _blocks(descriptor, size, block))


def _digest(descriptor: int, size: int) -> Content:
    digest = Digest()
    for block in _blocks(descriptor, size, _BLOCK):
        digest.update(block)
    return of_file(descriptor, size, digest.sha256)


def _blocks(descriptor: int, size: int, block: int) -> Iterator[bytes]:
    for start in range(0, size, block):
        yield read(descriptor, start, min(block, size - start))
