"""The floors of free space and inodes that a spool keeps: below them nothing more is put in.

They are the spool's and not one worker's: ``run --min-free`` writes them into a small file in the spool, ``.floor``,
which ``submit`` and whoever else puts items in go by. ``ls -a`` shows it, ``rm`` ends it (a worker that was told to
keep one makes it again).
"""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import fs
from .places import Places
from .sizes import human

FILE = ".floor"


class NoRoom(OSError):
    """Not put in: the spool's disk is below its floor."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.ENOSPC, why)


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, or a share of all.

    >>> Amount.parse("5%").of(1000), Amount.parse("70").of(1000)
    (50, 70)
    """

    number: int = 0
    percent: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Amount":
        """``5%`` or a number. Raises :class:`ValueError`."""
        if text.endswith("%"):
            percent = float(text[:-1])
            if not 0 <= percent <= 100:
                raise ValueError(f"{text!r} is no share: write 0% to 100%")
            return cls(percent=percent)
        return cls(int(text))

    def __str__(self) -> str:
        return f"{self.percent:g}%" if self.percent else str(self.number)

    def of(self, total: int) -> int:
        """The number, of so many in all."""
        return int(total * self.percent / 100) if self.percent else self.number


@dataclass(frozen=True, slots=True)
class Shortage:
    """How much is missing. ``why``: a sentence, '' where nothing is."""

    bytes: int = 0
    inodes: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Floor:
    """What must stay free. None: nothing."""

    free: Amount | None = None
    inodes: Amount | None = None

    def __bool__(self) -> bool:
        return self.free is not None or self.inodes is not None

    def shortage(self, directory: str | Path, more: int = 0) -> Shortage:
        """What is missing on the file system of ``directory``, if ``more`` bytes were put there. File systems that
        do not count inodes have enough of them. Raises :class:`OSError`."""
        if not self:
            return Shortage()
        found = os.statvfs(directory)
        free, total = found.f_bavail * found.f_frsize - more, found.f_blocks * found.f_frsize
        missing = max(self.free.of(total) - free, 0) if self.free else 0
        lacking = max(self.inodes.of(found.f_files) - found.f_favail, 0) if self.inodes and found.f_files else 0
        told = []
        if missing:
            after = " would be left" if more else " are free"
            told.append(f"{human(max(free, 0))} of {human(total)}{after}, and {self._said(self.free)} must stay")
        if lacking:
            told.append(f"{found.f_favail:,} of {found.f_files:,} inodes are free, and {self.inodes} must stay")
        return Shortage(missing, lacking, "; ".join(told))

    @staticmethod
    def _said(amount: Amount | None) -> str:
        assert amount is not None
        return str(amount) if amount.percent else human(amount.number)

    def lines(self) -> Iterator[str]:
        """As the file has it."""
        if self.free is not None:
            yield f"free {self.free}\n"
        if self.inodes is not None:
            yield f"inodes {self.inodes}\n"


NO_FLOOR = Floor()
"""None."""


def read(places: Places) -> Floor:
    """The spool's floor. A file that cannot be read or understood is none."""
    found: dict[str, Amount] = {}
    with suppress(OSError):
        for line in (places.control / FILE).read_text(errors="replace").splitlines():
            word, _, amount = line.partition(" ")
            with suppress(ValueError):
                found[word] = Amount.parse(amount.strip())
    return Floor(found.get("free"), found.get("inodes"))


def write(places: Places, floor: Floor) -> None:
    """Make this the spool's floor, if it is not; none: remove the file. Raises :class:`OSError`."""
    if read(places) == floor:
        return
    path = str(places.control / FILE)
    if floor:
        fs.write_beside(path, "".join(floor.lines()).encode())
        os.chmod(path, 0o644)  # who may submit must be able to read it, whatever our umask is
    else:
        fs.discard(path)


def check(places: Places, more: int = 0) -> None:
    """Raise :class:`NoRoom` where ``more`` bytes must not be put into the spool."""
    if floor := read(places):
        with suppress(FileNotFoundError):
            if why := floor.shortage(places.incoming, more).why:
                raise NoRoom(f"the spool takes nothing more: {why}. Free some room, or try again later")
