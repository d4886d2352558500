"""What this machine lets one process have: memory and open files. Where it is little, less is done at a time."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

BODIES = 256 << 20
"""The most bytes of bodies that are held at once, where there is memory enough."""
_LEAST_BODIES = 5 << 20  # the smallest part that S3 takes
_SHARE = 4  # of the memory we are allowed; without bodies a worker has some 35 MB, with boto3 60
_OWN_FILES = 24  # a worker without an item has 16; the rest is for the parts of a large file
_PER_ITEM = 3  # its file; a connection or a pipe; the file of one that was delivered just now and is not yet retired

_CGROUPS = Path("/sys/fs/cgroup")
_MINE = Path("/proc/self/cgroup")


def bodies(limit: int | None) -> int:
    """How many bytes of bodies may be held where so many bytes of memory are allowed.

    >>> bodies(None) >> 20, bodies(8 << 30) >> 20, bodies(64 << 20) >> 20
    (256, 256, 16)
    """
    return BODIES if limit is None else max(_LEAST_BODIES, min(BODIES, limit // _SHARE))


def items(limit: int | None) -> int | None:
    """How many items may be in work where so many files may be open; None: any number.

    >>> items(None), items(1024), items(32), items(8)
    (None, 333, 2, 1)
    """
    return None if limit is None else max(1, (limit - _OWN_FILES) // _PER_ITEM)


def file_limit() -> int | None:
    """How many files this process may have open; None: any number."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def memory_limit(mine: Path = _MINE, groups: Path = _CGROUPS) -> int | None:
    """The bytes of memory that the cgroup of this process may have, or one above it, by either interface; None where
    none has a limit, or none can be read."""
    found: list[int] = []
    with suppress(OSError):
        for line in mine.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                found += _limits(groups, path, "memory.max")
            elif "memory" in controllers.split(","):
                found += _limits(groups / "memory", path, "memory.limit_in_bytes")
    return min(found, default=None)


def _limits(top: Path, path: str, name: str) -> Iterator[int]:
    """The limits from the group at ``path`` upwards. In a container the path may be the host's, and its top ours."""
    below = PurePosixPath(path.lstrip("/"))
    for directory in (below, *below.parents):
        with suppress(OSError, ValueError):  # "max"; no such file at the top
            limit = int((top / directory / name).read_text())
            if limit < 1 << 60:  # the first interface says "none" by a number near 2^63
                yield limit


def processors() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
