"""A log of all that was written to a disk, and the disks that a power cut could have left.

The log has the format of Linux' dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst), as QEMU's
blklogwrites driver writes it: a sector with magic, version, number of entries and sector size; then for each entry a
sector (where, how many sectors, flags, and the length of a mark, which we make none) and its data.

What was written before a flush is on the disk; of what was written after the last one, any part may be.
"""

import os
import random
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.faults import disks

_MAGIC = 0x6A736677736872
_HEAD, _ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")
_FLUSH, _FUA, _DISCARD = 1, 2, 4


@dataclass(frozen=True)
class Entry:
    """One write (or flush: no bytes). ``data``: where its bytes are in the log; -1: zeros."""

    position: int
    size: int
    data: int
    flushes: bool


@dataclass(frozen=True)
class Point:
    """A moment at which the power may go: the first ``whole`` entries are on the disk, and of the later those in
    ``more``."""

    whole: int
    more: tuple[int, ...] = ()


def read(log: Path) -> list[Entry]:
    """The entries of a log. Raises :class:`ValueError` for what is none."""
    found = []
    with log.open("rb") as file:
        magic, version, count, sector = _HEAD.unpack(file.read(_HEAD.size))
        if magic != _MAGIC or version != 1:
            raise ValueError(f"{log} is no log of writes")
        position = sector
        for _ in range(count):
            file.seek(position)
            where, sectors, flags, _ = _ENTRY.unpack(file.read(_ENTRY.size))
            position += sector
            size, given_up = sectors * sector, bool(flags & _DISCARD)
            found.append(Entry(where * sector, size, -1 if given_up else position, bool(flags & (_FLUSH | _FUA))))
            position += 0 if given_up else size
    return found


def points(entries: list[Entry], count: int, subsets: int, seed: int) -> list[Point]:
    """So many moments, in order, or all that there are: random prefixes of the log, and for each up to ``subsets``
    times a random part of what was not flushed at that moment."""
    chance = random.Random(seed)
    flushed = [0]
    for number, entry in enumerate(entries, 1):
        flushed.append(number if entry.flushes else flushed[-1])
    found: set[Point] = set()
    for moment in chance.sample(range(1, len(entries) + 1), len(entries)):
        if len(found) >= count:
            break
        if entries[moment - 1].size:  # a flush changes no disk
            found.add(Point(moment))
        pending = [number for number in range(flushed[moment], moment) if entries[number].size]
        for _ in range(subsets if len(pending) > 1 else 0):
            part = tuple(number for number in pending if chance.random() < 0.5)
            if len(part) < len(pending):
                found.add(Point(flushed[moment], part))
    return sorted(found, key=lambda point: (point.whole, point.more))[:count]


class Replay:
    """The disk that was ``base`` when the log began; ``image`` is a file for it. Its points must be asked for in
    order."""

    def __init__(self, base: Path, log: Path, image: Path) -> None:
        self._entries = read(log)
        self._log = os.open(log, os.O_RDONLY)
        self._image = image
        self._whole = 0
        disks.copy(base, image)

    def at(self, point: Point, target: Path) -> None:
        """Make the file ``target`` the disk of that moment."""
        self._apply(self._image, range(self._whole, point.whole))
        self._whole = point.whole
        disks.copy(self._image, target)
        self._apply(target, point.more)

    def _apply(self, image: Path, numbers: Iterable[int]) -> None:
        descriptor = os.open(image, os.O_WRONLY)
        try:
            for entry in (self._entries[number] for number in numbers):
                data = bytes(entry.size) if entry.data < 0 else os.pread(self._log, entry.size, entry.data)
                os.pwrite(descriptor, data, entry.position)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the log."""
        os.close(self._log)
