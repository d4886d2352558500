"""Delivery into a directory (``file:///dir``), with the promises of any destination: a file there is whole, on the
disk, and never silently overwritten.

The copy is written under a temporary name in the target's directory, fsynced, and renamed without replacing. The
temporary name is the target's own and locked, so a crash leaves at most one, which the next attempt uses again.
"""

import errno
import hashlib
import os
import stat
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from ..spool import fs, names
from ..spool.item import Item
from ..spool.outcomes import Permanent, Scope, Temporary
from .keys import KeyTemplate, beside
from .packing import PackingError, Unpacker

_CHUNK = 1 << 20
_BAD_NAME = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP})


class FileDelivery:
    """Copies items into ``directory``, which must be there (a disk that is not mounted is not filled).

    ``if_exists``: 'refuse', 'overwrite' or 'keep-both', for a file of other content under the same name. As a processor
    ``preserve``: the copy gets the file's user and group too, as far as we may. As a processor it is called in a
    thread, and returns url, sha256, and ``already_there`` when the same bytes were there before.
    """

    def __init__(
        self, directory: str, template: KeyTemplate, *, if_exists: str = "refuse", preserve: bool = False
    ) -> None:
        self._directory = os.path.abspath(directory)
        self._template = template
        self._if_exists = if_exists
        self._preserve = preserve

    @property
    def name(self) -> str:
        """The destination as a URL."""
        return _url(self._directory)

    def key(self, item: Item) -> str:
        """The item's path below the directory."""
        digest = ""
        if self._template.needs_digest:
            digest = item.form.sha256 if item.form is not None else _digest(item)
        return self._template.key(item.name, item.mtime, digest)

    def __call__(self, item: Item) -> dict[str, Any]:
        """Deliver the item. Raises :class:`Temporary` and :class:`Permanent`."""
        key = self.key(item)
        item.aim = (f"{self.name}/", key, None)
        if any(len(part.encode()) > names.MAX_COMPONENT for part in key.split("/")):
            raise Permanent(
                f"a component of {names.show(key)} is over {names.MAX_COMPONENT} bytes", hint="Use --key.", reason="key"
            )
        target = os.path.join(self._directory, key)
        try:
            return self._deliver(item, target)
        except OSError as error:
            raise _fault(error, self.name, names.show(key)) from error

    def _deliver(self, item: Item, target: str) -> dict[str, Any]:
        self._make_parents(target)
        temporary, descriptor = _claim_temporary(target)
        try:
            digest = _fill(item, descriptor, owner=item.owner_ids if self._preserve else None)
            fields = self._publish(item, temporary, target, digest)
        finally:
            with suppress(OSError):
                if fs.is_at(descriptor, temporary):
                    fs.discard(temporary)
            os.close(descriptor)
        return {"sha256": digest, **fields}

    def _publish(self, item: Item, temporary: str, target: str, digest: str) -> dict[str, Any]:
        try:
            fs.rename(temporary, target)
        except FileExistsError:
            if os.path.isdir(target):
                raise Permanent(
                    f"{_url(target)} is a directory", hint="Use another --key.", reason="collision"
                ) from None
            return self._meet(item, temporary, target, digest)
        return _arrived(target)

    def _meet(self, item: Item, temporary: str, target: str, digest: str) -> dict[str, Any]:
        """Something is there already: ours, the same, or other content."""
        there = _digest_of(target)
        if there == digest or _has_our_source(item, target):
            return _was_there(target)
        ours = item.superseded is not None and item.superseded.get("sha256") == there
        if ours or self._if_exists == "overwrite":
            fs.replace(temporary, target)
            return _arrived(target)
        second = beside(target, item.source_digest(digest))
        if self._if_exists == "keep-both" and target != second:
            return self._keep_beside(item, temporary, second, digest)
        raise _collision(target)

    def _keep_beside(self, item: Item, temporary: str, target: str, digest: str) -> dict[str, Any]:
        try:
            fs.rename(temporary, target)
        except FileExistsError:
            if _digest_of(target) == digest or _has_our_source(item, target):
                return _was_there(target)
            raise _collision(target) from None
        return _arrived(target)

    def _make_parents(self, target: str) -> None:
        """Make the directories between ours and the target, each on the disk before it is used."""
        if not os.path.isdir(self._directory):
            raise FileNotFoundError(errno.ENOENT, "the directory is not there", self._directory)
        missing = []
        parent = os.path.dirname(target)
        while parent != self._directory and not os.path.isdir(parent):
            missing.append(parent)
            parent = os.path.dirname(parent)
        if missing:
            fs.make_parent(target)
            for directory in missing:
                fs.fsync_directory(os.path.dirname(directory))


def _claim_temporary(target: str) -> tuple[str, int]:
    """The target's temporary file, empty and locked."""
    directory, name = os.path.split(target)
    mark = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    temporary = os.path.join(directory, f".jollyae-{mark}.tmp")
    while True:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if not fs.try_lock(descriptor):
            os.close(descriptor)
            raise Temporary("another worker delivers to the same name at this moment", after=1.0, reason="collision")
        if fs.is_at(descriptor, temporary):
            os.ftruncate(descriptor, 0)
            return temporary, descriptor
        os.close(descriptor)  # it was published between our open and our lock


def _fill(item: Item, descriptor: int, *, owner: tuple[int, int] | None = None) -> str:
    """Copy the item's bytes, with time and mode, to the disk; their SHA-256: digest and copy come from one read."""
    digest = hashlib.sha256()
    offset = 0
    while data := os.pread(item.fd, _CHUNK, offset):
        digest.update(data)
        fs.write_all(descriptor, data)
        offset += len(data)
        item.progress(offset)
    if owner is not None:
        with suppress(PermissionError):  # only root may give files away
            os.fchown(descriptor, *owner)
    os.fchmod(descriptor, stat.S_IMODE(item.mode))
    os.utime(descriptor, ns=(item.mtime_ns, item.mtime_ns))
    fs.fsync(descriptor)
    return digest.hexdigest()


def _digest(item: Item) -> str:
    digest, offset = hashlib.sha256(), 0
    while data := os.pread(item.fd, _CHUNK, offset):
        digest.update(data)
        offset += len(data)
    return digest.hexdigest()


def _has_our_source(item: Item, path: str) -> bool:
    """Whether what is at the target unpacks to the item's file: other bytes are another version of the library's."""
    if item.form is None or not stat.S_ISREG(os.lstat(path).st_mode):
        return False
    digest, size = hashlib.sha256(), 0
    try:
        unpacker = Unpacker(item.form.method)
        with open(path, "rb") as file:
            while data := file.read(_CHUNK):
                for piece in unpacker.pieces(data):
                    digest.update(piece)
                    size += len(piece)
                    if size > item.form.size:
                        return False
        unpacker.end()
    except PackingError:
        return False
    return digest.hexdigest() == item.form.sha256


def _digest_of(path: str) -> str:
    """The digest of what is at the target; '' for what is no file of ours to compare with (a link, a pipe)."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _arrived(target: str) -> dict[str, Any]:
    fs.fsync_directory(os.path.dirname(target))
    return {"url": _url(target)}


def _was_there(target: str) -> dict[str, Any]:
    """The same bytes are there: by an attempt that died before its last fsync, or by somebody who did none."""
    descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fs.fsync(descriptor)
    finally:
        os.close(descriptor)
    return {**_arrived(target), "already_there": True}


def _url(path: str) -> str:
    """As RFC 8089 has it; a ``=`` may stand in a path (RFC 3986), and Hadoop's readers find ``dt=…`` only so."""
    return "file://" + quote(os.fsencode(path), safe="/=")


def _collision(target: str) -> Permanent:
    return Permanent(
        f"{_url(target)} exists with other content",
        hint="Choose --if-exists keep-both or overwrite, or a --key with {date} or {sha256} in it.",
        reason="collision",
    )


def _fault(error: OSError, destination: str, key: str) -> Temporary | Permanent:
    why = f"cannot write to {destination}: {error.strerror}"
    if error.errno in _BAD_NAME:
        return Permanent(f"{key} cannot be a file there: {error.strerror}", hint="Use another --key.", reason="key")
    if error.errno in (errno.ENOTDIR, errno.EISDIR):
        return Permanent(
            f"{key}: a file stands where a directory must be", hint="Use another --key.", reason="collision"
        )
    if error.errno in (errno.EACCES, errno.EPERM):  # of this directory or of all: three in a row will tell
        hint = "Give the rights; it is tried again by itself."
        return Temporary(f"{why}: {key}", hint=hint, scope=Scope.UNSURE, reason="denied")
    if error.errno == errno.ENOENT:
        hint = "Mount or make the directory; it is tried again by itself."
        return Temporary(why, hint=hint, scope=Scope.DESTINATION, reason="bucket", state="missing")
    hint = "Free some room, or mend the disk; it is tried again by itself."
    reason = "full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "server"
    return Temporary(why, hint=hint, scope=Scope.DESTINATION, reason=reason, state="disk")
