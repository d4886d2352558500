"""On which kind of file system a directory is: one that tells of changes made elsewhere, or one that must be polled."""

import os
from pathlib import Path
from typing import NamedTuple

_NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs"),
        *("9p", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "ncpfs", "coda"),
    )
)
_MOUNTINFO = "/proc/self/mountinfo"


class Mount(NamedTuple):
    """``kind``: the file system's type as the kernel names it ('ext4', 'nfs4'…), '' where it cannot be told (macOS);
    ``options``: those it is mounted with, by their names ('' for those without a value)."""

    kind: str
    options: dict[str, str]


def kind(directory: str | os.PathLike[str], mountinfo: str | None = None) -> str:
    """The file system type of ``directory``, as in :class:`Mount`."""
    return find(directory, mountinfo).kind


def find(directory: str | os.PathLike[str], mountinfo: str | None = None) -> Mount:
    """On what ``directory`` lies. ``mountinfo``: the text of /proc/self/mountinfo, for tests."""
    if mountinfo is None:
        try:
            mountinfo = Path(_MOUNTINFO).read_text(errors="surrogateescape")
        except OSError:
            return Mount("", {})
    path = os.path.realpath(directory)
    best, found = -1, Mount("", {})
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, (fstype, *rest) = before.split(), after.split(" ")
        point = _unescape(fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # of two mounts on one point the later one is seen
            words = f"{fields[5]},{rest[-1] if rest else ''}".split(",")
            best, found = (
                len(point),
                Mount(fstype, {name: value for name, _, value in (w.partition("=") for w in words)}),
            )
    return found


def _unescape(point: str) -> str:
    for octal, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(octal, char)
    return point


def is_remote(fstype: str) -> bool:
    """Whether changes by others on a file system of this type may go untold: network, and everything by FUSE.

    >>> [is_remote(fstype) for fstype in ("ext4", "nfs4", "fuse.sshfs")]
    [False, True, True]
    """
    return fstype in _NETWORK or fstype.startswith("fuse")
