"""Whether a spool is shared between hosts, and so by what a worker proves that it lives: leases or locks.

What a file system can do is told from how it is mounted; what cannot be seen there (a server that loses what it has
acknowledged) no program can tell.
"""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from . import leases, mount, owner
from .leases import Leases
from .mount import Mount
from .places import Places
from .spool import SpoolError

NFS = "nfs4"
"""The file system on which leases are proved."""
LONGEST_CACHE = 60
"""Seconds for which a client of NFS may believe what it has seen, if not told otherwise (nfs(5): acdirmax)."""

_CACHES = ("acregmin", "acregmax", "acdirmin", "acdirmax", "actimeo")
_NFS_ID = "/sys/module/nfs/parameters/nfs4_unique_id"
_HINT = (
    "Mount it with NFS 4.1 or later, hard, and the usual caching. If only one host works on it: --shared no "
    "(docs/SHARED.md)."
)


class Shared(StrEnum):
    """Whether several hosts work on the spool; AUTO: see where it lies."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Sharing:
    """How it is to be worked on. ``refusal``: why not at all; ``remark``: what is to be known."""

    by_leases: bool
    refusal: str = ""
    remark: str = ""

    @property
    def hint(self) -> str:
        """What to do about a refusal."""
        return _HINT if self.refusal else ""


def why_unsafe(where: Mount) -> str:
    """Why several hosts cannot work on a spool there; '' where they can, as far as is known.

    >>> why_unsafe(Mount("nfs4", {"vers": "4.2", "hard": ""})), why_unsafe(Mount("ext4", {}))
    ('', '')
    >>> why_unsafe(Mount("nfs4", {"soft": ""}))
    'it is mounted soft: what the server was asked may be done and told as failed'
    """
    options = where.options
    if where.kind == "nfs":
        return "NFS before version 4 may carry out a request again that it has forgotten"
    if where.kind in ("cifs", "smb3", "smbfs"):
        return "SMB was not made for this, and its renames were not proved"
    if where.kind == "fuse.sshfs":
        return "sshfs remembers for seconds what other hosts have changed"
    if where.kind != NFS:
        return ""
    if soft := next((name for name in ("soft", "softerr") if name in options), ""):
        return f"it is mounted {soft}: what the server was asked may be done and told as failed"
    if "nocto" in options:
        return "it is mounted nocto: files are not looked at anew when they are opened"
    longest = max((int(options[name]) for name in _CACHES if options.get(name, "").isdecimal()), default=0)
    if longest > LONGEST_CACHE:
        return f"it is mounted to believe for {longest} s what it has seen (actimeo, ac…max)"
    return ""


def decide(where: Mount, wanted: Shared, *, leased: bool = False, others: tuple[str, ...] = ()) -> Sharing:
    """By what the spool is worked on. ``leased``: directories of workers with leases lie there; ``others``: workers of
    other hosts that live there, as far as can be seen."""
    unsafe = why_unsafe(where)
    if wanted is Shared.NO:
        return Sharing(False)
    if wanted is Shared.YES:
        if unsafe:
            return Sharing(False, refusal=f"the spool cannot be shared: {unsafe}")
        unproved = mount.is_remote(where.kind) and where.kind != NFS
        return Sharing(True, remark=f"shared by leases on {where.kind}, which nobody has proved" if unproved else "")
    if unsafe and others:
        return Sharing(False, refusal=f"{others[0]} works on this spool, which cannot be shared: {unsafe}")
    if unsafe:
        return Sharing(False, remark=f"for workers of this host only: {unsafe}")
    return Sharing(leased or where.kind == NFS)


def look(places: Places, wanted: Shared) -> Sharing:
    """:func:`decide` for these places as they are. Raises :class:`OSError`."""
    where = mount.find(places.working)
    with os.scandir(places.working) as entries:
        found = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    leased = any(leases.owner_of(os.path.basename(path)) for path in found)
    others = tuple(_of_others(found)) if why_unsafe(where) and wanted is Shared.AUTO else ()
    return decide(where, wanted, leased=leased, others=others)


def _of_others(directories: list[str]) -> list[str]:
    here = owner.hostname() + "-"
    held = (holder(path) for path in directories if not os.path.basename(path).startswith((here, ".")))
    return [name for name in held if name and not name.startswith(here)]


def holder(path: str) -> str:
    """The name of the worker that holds the directory ``path`` in ``working/``, '' where that one is dead. For those
    who only look."""
    return leases.holder(path) if leases.owner_of(os.path.basename(path)) else owner.holder(path)


def ownership(places: Places, wanted: Shared) -> tuple[owner.Ownership, str]:
    """By what a worker has directories there, and what is to be known about that. Raises :class:`SpoolError` where it
    must not work there, and :class:`OSError`."""
    sharing = look(places, wanted)
    if sharing.refusal:
        raise SpoolError(sharing.refusal, hint=sharing.hint)
    working = str(places.working)
    if not sharing.by_leases:
        return owner.Locks(working), sharing.remark
    return Leases(working, client=_client(places)), sharing.remark


def _client(places: Places) -> str:
    """What an NFS server knows this host by: its name, and what its administrator has added (nfs4_unique_id)."""
    if mount.kind(places.working) != NFS:
        return ""
    unique = ""
    with suppress(OSError):
        unique = Path(_NFS_ID).read_text().strip()
    return f"{socket.gethostname()}/{unique}"
