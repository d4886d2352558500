"""Files that the album's verbs write: whole and on the disk under their name, or not there at all."""

import hashlib
import os
import re
import unicodedata
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from .originals import Originals
from .store import Missing

PART = ".jollyae-"
"""What is not whole yet is a dotfile that begins so, beside its place."""
_BLOCK = 1 << 20
_IN_NAMES = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|]')
"""What some file system takes in no name (POSIX; Microsoft, "Naming Files, Paths, and Namespaces"), and controls."""
_MOST = 200
"""Bytes of a name's part that people wrote: with the rest it stays below 255."""


class Damaged(Exception):
    """What was read is not what it should be."""


def write(path: Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Have the file hold the data, on the disk. False: it held that before. Raises :class:`OSError`."""
    with suppress(FileNotFoundError):
        if path.read_bytes() == data:
            return False
    part = _part(path)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    fsync_directory(path.parent)
    return True


async def fetch(originals: Originals, key: str, path: Path, sha256: str) -> int:
    """Bring an original into the file, on the disk, and only if it is what its digest says; the bytes that had to be
    read from there. What an earlier attempt brought is not read again. Raises :class:`Damaged`, :class:`OSError` and
    :class:`~.store.StoreError`."""
    part = _part(path)
    with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b") as file:
        digest = hashlib.sha256()
        while data := file.read(_BLOCK):
            digest.update(data)
        begun = file.tell()
        try:
            async for data in originals.read(key, begun):
                digest.update(data)
                file.write(data)
        except Missing:
            os.unlink(part)  # nobody will go on with it
            raise
        file.flush()
        brought = file.tell() - begun
        os.fsync(file.fileno())
    if digest.hexdigest() != sha256:
        os.unlink(part)
        if begun:  # perhaps it was the beginning that was bad
            return begun + brought + await fetch(originals, key, path, sha256)
        raise Damaged(f"{key} has the SHA-256 {digest.hexdigest()}")
    os.replace(part, path)
    fsync_directory(path.parent)
    return brought


async def digest_of(pieces: AsyncIterator[bytes]) -> tuple[str, int]:
    """The SHA-256 in hex, and the bytes."""
    digest, size = hashlib.sha256(), 0
    async for data in pieces:
        digest.update(data)
        size += len(data)
    return digest.hexdigest(), size


def digest_of_file(path: Path) -> str:
    """The SHA-256 of a file, in hex. Raises :class:`OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_directory(path: Path) -> None:
    """Bring the directory's names to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def name_part(text: str, most: int = _MOST) -> str:
    """What people wrote, as part of a file's name on any file system: '' where nothing of it can be.

    >>> name_part("A/B: the beach?  "), name_part("../../etc/passwd"), name_part(" . ")
    ('A B the beach', 'etc passwd', '')
    """
    words = " ".join(_IN_NAMES.sub(" ", unicodedata.normalize("NFC", text)).split())
    words = "".join(char for char in words if unicodedata.category(char) not in ("Cs", "Cf", "Cn", "Co"))
    cut = words.encode()[:most].decode(errors="ignore")
    return " ".join(word for word in cut.strip(" .").split() if word.strip("."))


def _part(path: Path) -> Path:
    """Where the file is until it is whole: the same at each attempt, and one name for one name."""
    return path.with_name(f"{PART}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
