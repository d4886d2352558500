"""Spools for the benchmarks: filled by renames, looked at, and made ready for the next run."""

import os
import time
from pathlib import Path

from . import machine
from .programs import Failed

_BLOCK = 1 << 20


def make(spool: Path) -> Path:
    """An empty spool; its ``incoming/``."""
    for place in ("tmp", "incoming", "working", "deferred", "finished", "failed", "receipts"):
        (spool / place).mkdir(parents=True, exist_ok=True)
    return spool / "incoming"


def write(path: Path, size: int, number: int) -> None:
    """A file of so many bytes; the number makes its content its own."""
    block = _block()
    with path.open("wb", buffering=0) as file:
        file.write(b"%08d" % number + block[: min(size, _BLOCK) - 8])
        left = size - min(size, _BLOCK)
        while left > 0:
            left -= file.write(block[: min(left, _BLOCK)])


def _block(made: list[bytes] = []) -> bytes:  # noqa: B006 - made once
    if not made:
        made.append(os.urandom(_BLOCK))
    return made[0]


def name_of(number: int) -> str:
    """The name of the n-th file."""
    return f"{number:07}.dat"


def need_room(path: Path, count: int, size: int) -> None:
    """Raise :class:`Failed` if so many files would take over half of what is free there.

    A tmpfs promises more than there is memory, and what the kernel ends then may be anyone's."""
    room = os.statvfs(path)
    free = room.f_bavail * room.f_frsize
    if machine.filesystem(path) == "tmpfs":
        free = min(free, machine.free_memory())
    nbytes = count * (-(-size // 4096) * 4096 + 1024)  # whole pages, the inode and the name
    if nbytes > free / 2:
        raise Failed(f"{nbytes / 1e9:,.1f} GB of files are needed, and {free / 1e9:,.1f} GB are free at {path}")


def fill(spool: Path, count: int, size: int) -> None:
    """So many files, each written in ``tmp/`` and renamed into ``incoming/``."""
    need_room(spool, count, size)
    for number in range(count):
        name = name_of(number)
        write(spool / "tmp" / name, size, number)
        os.rename(spool / "tmp" / name, spool / "incoming" / name)


def fill_directory(directory: Path, count: int, size: int) -> Path:
    """A plain directory with so many files."""
    directory.mkdir(parents=True)
    need_room(directory, count, size)
    for number in range(count):
        write(directory / name_of(number), size, number)
    return directory


def put_back(spool: Path) -> None:
    """What was delivered lies in ``incoming/`` again, by renames, as if it had just come; no receipts."""
    for place in ("finished", "deferred", "failed"):
        with os.scandir(spool / place) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            if name.startswith("."):
                os.unlink(spool / place / name)
            else:
                os.rename(spool / place / name, spool / "incoming" / name)
    for path in (spool / "receipts").iterdir():
        path.unlink()


def lying(spool: Path, place: str) -> int:
    """How many items lie in a place."""
    with os.scandir(spool / place) as entries:
        return sum(1 for entry in entries if not entry.name.startswith(".") and entry.is_file())


def receipts(spool: Path) -> int:
    """How many receipts there are."""
    return sum(path.read_bytes().count(b"\n") for path in (spool / "receipts").glob("*.jsonl"))


def check(spool: Path, count: int) -> None:
    """Raise :class:`Failed` unless all lies in ``finished/`` with one receipt each, and nothing anywhere else."""
    found = {place: lying(spool, place) for place in ("incoming", "deferred", "failed", "finished")}
    found["receipts"] = receipts(spool)
    if found != {"incoming": 0, "deferred": 0, "failed": 0, "finished": count, "receipts": count}:
        raise Failed(f"not all of {count:,} were delivered: {found}")


def sync(seconds: float = 0.2) -> None:
    """Let the disk finish what was written before, so that no run pays for another's files."""
    os.sync()
    time.sleep(seconds)
