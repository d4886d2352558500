"""On which kind of file system a directory is: one that tells of changes made elsewhere, or one that must be polled."""

import os
from pathlib import Path

_NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs"),
        *("9p", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "ncpfs", "coda"),
    )
)
_MOUNTINFO = "/proc/self/mountinfo"


def kind(directory: str | os.PathLike[str], mountinfo: str | None = None) -> str:
    """The file system type of ``directory`` as the kernel names it ('ext4', 'nfs4'…), '' where it cannot be told
    (macOS). ``mountinfo``: the text of /proc/self/mountinfo, for tests."""
    if mountinfo is None:
        try:
            mountinfo = Path(_MOUNTINFO).read_text(errors="surrogateescape")
        except OSError:
            return ""
    path = os.path.realpath(directory)
    best, found = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        point = _unescape(before.split()[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= best:  # of two mounts on one point the later one is seen
            best, found = len(point), after.split()[0]
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
