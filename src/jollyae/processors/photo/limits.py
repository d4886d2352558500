"""What a child may take for one picture: memory and CPU, by the kernel's own limits."""

import math
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

SMALLEST = 128 << 20
"""Bytes that any picture may take: 12 million pixels of nearly any format fit in (measured: JPEG 20 MB, progressive up
to 85, PNG 60, AVIF 117, HEIC 131)."""
SMALLEST_WEBP = 208 << 20
"""WebP's decoder for animations, which Pillow uses for all, has four copies of a picture: 190 MB for 12 million."""
PER_BYTE = 128
"""And as many bytes for each of its file's. Formats that must be decoded whole need 20 to 110 times their size for what
people photograph; a bomb is a small file that would need thousands."""


def allowance(size: int, most: int, smallest: int = SMALLEST) -> int:
    """The bytes of memory that a file of so many bytes may take, at most ``most``.

    >>> allowance(300_000, 1 << 30) >> 20, allowance(4_000_000, 1 << 30) >> 20, allowance(1 << 30, 768 << 20) >> 20
    (164, 616, 768)
    """
    return min(most, smallest + PER_BYTE * size)


def harden() -> None:
    """For the process's whole life: no core file, which would hold somebody's pictures."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def allow(memory: int, seconds: float) -> None:
    """From now on so many bytes more of address space than are in use, and so many more seconds of CPU; the parent has
    a clock of its own, these are for a child whose parent has gone or is stopped."""
    used = _address_space()
    if used:
        _limit(resource.RLIMIT_AS, used + memory)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(spent.ru_utime + spent.ru_stime + seconds) + 1)


def lift() -> None:
    """No limit of memory again: what is loaded once and stays must not be counted as one picture's."""
    _limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)


def _limit(what: int, value: int) -> None:
    """The soft limit, within the hard one."""
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard):
        value = hard
    with suppress(ValueError, OSError):  # macOS has no limit of address space
        resource.setrlimit(what, (value, hard))


def _address_space() -> int:
    """Bytes in use; 0 where the system does not tell."""
    return _statm(0)


def resident() -> int:
    """Bytes of real memory in use now; 0 where the system does not tell."""
    return _statm(1)


def _statm(column: int) -> int:
    if sys.platform != "linux":
        return 0
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[column]) * os.sysconf("SC_PAGE_SIZE")
    return 0
