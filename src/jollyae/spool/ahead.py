"""Whether something can be made where it is missing, seen ahead. That is tried in directories that are not the spool's,
which nobody sweeps: so with a file without a name, which is gone with whoever made it; only where the file system knows
none (NFS, or a system that is not Linux) has it a name for a moment."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from . import fs

_NAMELESS = getattr(os, "O_TMPFILE", 0)  # 0: to open a directory for writing is refused (EISDIR), so it gets a name
_UNKNOWN = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})  # where it knows none


def deepest(path: Path) -> Path:
    """That, or of what is above it the first that is there, as far as we can see.

    >>> deepest(Path("/proc/none/at/all"))
    PosixPath('/proc')
    """
    while path != path.parent:
        with suppress(OSError):
            path.stat()
            return path
        path = path.parent
    return path


def look(directory: Path) -> None:
    """Where it is missing, see whether it could be made. Raises :class:`OSError` where not."""
    there = deepest(directory)
    if there == directory:
        return
    try:
        os.close(os.open(there, _NAMELESS | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        path = fs.temporary_name(str(there))
        os.close(fs.create(path))
        fs.discard(path)


def device(path: Path) -> int:
    """The number of the file system that it is on, or would be made on."""
    return deepest(path).stat().st_dev
