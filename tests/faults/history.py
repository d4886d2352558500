"""What producers were told: one line on the disk, fsynced, before an item is tried and one after it is acknowledged.

Between the two an item may be there or not; after the second it must not be lost.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READ_MOST = 1 << 30
"""Bytes: larger files (sparse ones) are known by their size and inode."""


@dataclass(frozen=True)
class Item:
    """One item of a producer. ``told``: its rename has been acknowledged."""

    name: str
    sha256: str
    size: int
    told: bool


class History:
    """The account of one producer, at ``path``. ``durable``: it survives a power cut, as does what it speaks of."""

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self.path = path
        self._durable = durable

    def submit(self, spool: Path, name: str, body: bytes) -> None:
        """Put an item into the spool as a careful producer does, and write down that, and when, it is told so."""
        line = self.line(name, body)
        self.write({**line, "told": False})
        temporary, target = (
            spool / "tmp" / f"{os.getpid()}-{hashlib.md5(os.fsencode(name)).hexdigest()}",
            spool / "incoming" / name,
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(body)
            if self._durable:
                file.flush()
                os.fsync(file.fileno())
        os.rename(temporary, target)
        if self._durable:
            _sync_directory(target.parent)
        self.write({**line, "told": True})

    def line(self, name: str, body: bytes) -> dict[str, object]:
        """What is written of an item, but for whether it is ``told``."""
        return {"name": name, "sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}

    def tell(self, name: str, path: str | Path, *, told: bool = True) -> None:
        """Write down an item that is there, whatever it is and however it came."""
        size = os.lstat(path).st_size
        self.write({"name": name, "sha256": digest(path), "size": size, "told": told})

    def write(self, line: dict[str, object]) -> None:
        """Append a line."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, json.dumps(line).encode() + b"\n")
            if self._durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def digest(path: str | Path) -> str:
    """The SHA-256 of a file's bytes; for what is no regular file, or too large to be read, what it is instead."""
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        return f"a link to {os.readlink(path)!r}"
    if not stat.S_ISREG(found.st_mode):
        return f"{stat.filemode(found.st_mode)} {found.st_ino}"
    if found.st_size > READ_MOST:
        return f"{found.st_size} bytes in inode {found.st_ino}"
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> list[Item]:
    """The items of a history, each as it was last told; a torn last line (the power was cut) is none."""
    found: dict[tuple[str, str], Item] = {}
    for line in lines(path):
        item = Item(**line)
        found[item.name, item.sha256] = item
    return list(found.values())


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of such an account."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n") and line.strip(b"\0\n"):
            yield json.loads(line)
