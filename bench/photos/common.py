"""What the three have in common: one core, the same files, the same answer. Nothing outside the standard library."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SIDES = (1600, 320)
"""The longer sides of what is made of each photo."""

Read = Callable[[str], tuple[str, int]]
"""Reads the photo at a path: its SHA-256 and the bytes of its renditions. EXIF is read as well."""


def one_core() -> None:
    """This process and its children share one."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def paths() -> list[str]:
    """The photos of the directory that the command line names."""
    return sorted(str(path) for path in Path(sys.argv[1]).iterdir())


def report(found: Sequence[tuple[str, int]], seconds: float, pid: int) -> None:
    """Print how many there were, in how many seconds, a digest of all digests, the bytes of all renditions, and the
    peak memory of the process that decoded them."""
    told = {
        "photos": len(found),
        "seconds": seconds,
        "digest": hashlib.sha256("".join(sha256 for sha256, _ in found).encode()).hexdigest(),
        "bytes": sum(count for _, count in found),
        "peak": peak(pid),
    }
    print(json.dumps(told))


def peak(pid: int) -> int:
    """The most bytes of real memory that a process has had so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def digest(path: str) -> str:
    """SHA-256 of a file; MD5 is reckoned as well, since ours does."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest()


def measure(read: Read) -> None:
    """Read all photos one after the other, once loaded and after one that is not counted."""
    one_core()
    files = paths()
    read(files[0])
    start = time.monotonic()
    found = [read(path) for path in files]
    report(found, time.monotonic() - start, os.getpid())
