"""Disks of our own to break: file systems in image files, on loop devices, for the length of a block.

A loop device goes with its mount. Nothing here touches a disk of the machine.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers import private_mounts

KINDS = ("ext4", "xfs", "btrfs")
MIB = 1 << 20
SIZES = {"ext4": 64 * MIB, "xfs": 300 * MIB, "btrfs": 128 * MIB}
"""Bytes of an image: about the least that each file system is made in."""

_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}
_KEEP = {"ext4": ["-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"], "xfs": ["-K"], "btrfs": ["-K"]}
_BLOCK = 64 << 10
_SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN, linux/fs.h
_NO_LOG_FLUSH = 2


def why_not(kind: str, *programs: str) -> str:
    """Why a file system of this kind cannot be had here; '' if it can. ``programs``: what else is needed."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in (_MAKE[kind][0], "mount", "unshare", *programs) if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)}: not installed (tools/fault-tools.sh does it)"
    if not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        return "no loop devices here"
    if not private_mounts():
        return "root may not mount here (a container)"
    return "" if _knows(kind) else f"the kernel has no {kind}"


def _knows(kind: str) -> bool:
    """Whether the kernel has it, perhaps after loading a module."""
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-q", kind], check=False, capture_output=True)
    return f"\t{kind}\n" in Path("/proc/filesystems").read_text()


def make(kind: str, image: Path, *, whole: bool = False) -> None:
    """Make a file system in a new image. It is sparse, or ``whole``: it has all the room it may ever need."""
    with image.open("wb") as file:
        file.truncate(SIZES[kind])
        if whole:
            os.posix_fallocate(file.fileno(), 0, SIZES[kind])
    run(*_MAKE[kind], *_KEEP[kind], str(image))
    if not whole:
        copy(image, sparse := image.with_suffix(".new"))  # mkfs writes long runs of zeros
        sparse.replace(image)


def run(*command: str) -> None:
    """Run a program. Raises :class:`OSError` with what it said, if it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


@contextmanager
def mounted(image: Path, kind: str, at: Path) -> Iterator[Path]:
    """The image's file system, mounted at ``at``. Raises :class:`OSError` where it cannot be."""
    at.mkdir(exist_ok=True)
    options = "loop,nouuid" if kind == "xfs" else "loop"  # its twins may be mounted elsewhere
    run("mount", "-t", kind, "-o", options, str(image), str(at))
    try:
        yield at
    finally:
        unmount(at)


def unmount(at: Path) -> None:
    """Unmount; what somebody still holds is let go of as soon as they do."""
    if subprocess.run(["umount", str(at)], check=False, capture_output=True).returncode:
        run("umount", "-l", str(at))


def cut(at: Path, kind: str) -> bool:
    """Cut the power of the file system at this mount point: nothing more reaches its disk. Whether it can be done."""
    if kind == "btrfs":
        return False  # has no such call (ENOTTY on 6.18)
    directory = os.open(at, os.O_RDONLY)
    try:
        fcntl.ioctl(directory, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(directory)
    return True


def copy(source: Path, target: Path) -> None:
    """Copy an image; blocks of zeros become holes."""
    with source.open("rb") as origin, target.open("wb") as file:
        size = os.fstat(origin.fileno()).st_size
        file.truncate(size)
        for start, end in extents(origin.fileno(), size):
            for position in range(start, end, _BLOCK):
                data = os.pread(origin.fileno(), min(_BLOCK, end - position), position)
                if data.count(0) != len(data):
                    os.pwrite(file.fileno(), data, position)


def extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a sparse file has data: from, to."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # ENXIO: a hole to the end
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
