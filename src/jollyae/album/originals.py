"""Originals: under which key each lies in the object store, and how it is read back.

The key is a pure function of the content, so that the same photo, dropped twice, by whatever name, is one object.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from .store import Missing, StoreError

FOLDER = "originals"
"""All keys begin with it."""
_BLOCK = 1 << 20
_KEY = re.compile(rf"{FOLDER}/([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})\.([a-z0-9]{{1,10}})")
_EXTENSION = re.compile(r"[a-z0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Kept:
    """An original that is there: its key, and its size in bytes."""

    key: str
    size: int


class Originals(Protocol):
    """Where originals are read from. All methods raise :class:`StoreError` where it cannot be asked."""

    url: str
    """Where they are, without any secret."""

    async def size(self, key: str) -> int | None:
        """The size of what is at the key, in bytes; None if nothing is."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to and without ``end`` (None: to the last), in pieces. Raises
        :class:`~.store.Missing`."""

    def listed(self) -> AsyncIterator[Kept]:
        """All originals that are there, in the order of their keys; what is no original's key is passed over."""

    async def close(self) -> None:
        """End it; nothing else may be called after that."""


def key(sha256: str, extension: str) -> str:
    """The key of an original. Raises :class:`ValueError` for what is no digest or no extension.

    >>> key("ab" * 32, "jpg")
    'originals/ab/abababababababababababababababababababababababababababababababab.jpg'
    """
    found = f"{FOLDER}/{sha256[:2]}/{sha256}.{extension}"
    if not _KEY.fullmatch(found):
        raise ValueError(f"{sha256!r}, {extension!r}: no original has such a key")
    return found


def parse(key: str) -> tuple[str, str] | None:
    """The digest and the extension that a key tells; None where it is no original's.

    >>> parse("originals/ab/" + "ab" * 32 + ".jpg") == ("ab" * 32, "jpg")
    True
    >>> parse("originals/readme.txt")
    """
    match = _KEY.fullmatch(key)
    return (match.group(2), match.group(3)) if match else None


def key_of(document: dict[str, Any]) -> str:
    """The key of a photo's original, by its document. Raises :class:`ValueError` where the document tells none."""
    return key(str(document.get("_id", "")), str(document.get("extension", "")))


def directory_of(url: str) -> str:
    """The directory that a ``file:///DIR`` URL names. Raises :class:`ValueError`.

    >>> directory_of("file:///srv/my%20photos")
    '/srv/my photos'
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ValueError(f"{url}: a directory is written file:///absolute/path")
    return unquote(parts.path)


class DirectoryOriginals:
    """Originals in a directory (``file:///DIR``, or what ``sync-originals`` made)."""

    def __init__(self, directory: str) -> None:
        self._root = os.path.abspath(directory)
        self.url = "file://" + quote(os.fsencode(self._root))

    def path(self, key: str) -> str:
        """Where the original of that key is."""
        return os.path.join(self._root, key)

    async def size(self, key: str) -> int | None:
        """See :class:`Originals`."""
        return await asyncio.to_thread(self._size, key)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See :class:`Originals`."""
        descriptor = await asyncio.to_thread(self._open, key)
        try:
            while end is None or start < end:
                wanted = _BLOCK if end is None else min(_BLOCK, end - start)
                data = await asyncio.to_thread(os.pread, descriptor, wanted, start)
                if not data:
                    return
                start += len(data)
                yield data
        except OSError as error:
            raise self._fault(error) from error
        finally:
            os.close(descriptor)

    async def listed(self) -> AsyncIterator[Kept]:
        """See :class:`Originals`."""
        try:
            for shard in await asyncio.to_thread(_names, self._root, FOLDER):
                for kept in await asyncio.to_thread(list, _kept(self._root, shard)):
                    yield kept
        except OSError as error:
            raise self._fault(error) from error

    async def close(self) -> None:
        """See :class:`Originals`."""

    def _size(self, key: str) -> int | None:
        try:
            return os.stat(self.path(key)).st_size
        except FileNotFoundError:
            if os.path.isdir(self._root):
                return None
            raise self._gone() from None
        except OSError as error:
            raise self._fault(error) from error

    def _open(self, key: str) -> int:
        try:
            return os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if os.path.isdir(self._root):
                raise Missing(f"there is no original {key} in {self.url}") from None
            raise self._gone() from None
        except OSError as error:
            raise self._fault(error) from error

    def _gone(self) -> StoreError:
        return StoreError(
            f"the originals' directory is not there: {self._root}", "Mount or make it.", is_temporary=True
        )

    def _fault(self, error: OSError) -> StoreError:
        hint = "See that the disk is well, and that we may read there."
        return StoreError(f"cannot read originals in {self.url}: {error.strerror}", hint, is_temporary=True)


def _names(root: str, below: str) -> list[str]:
    """The names in a directory, in order; [] where it is not there."""
    try:
        return sorted(os.listdir(os.path.join(root, below)))
    except FileNotFoundError:
        if not os.path.isdir(root):
            raise
        return []


def _kept(root: str, shard: str) -> Iterator[Kept]:
    for name in _names(root, f"{FOLDER}/{shard}") if len(shard) == 2 else ():
        key = f"{FOLDER}/{shard}/{name}"
        if parse(key) is not None:
            yield Kept(key, os.stat(os.path.join(root, key)).st_size)
