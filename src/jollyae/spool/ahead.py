"""Whether something can be made where it is missing, seen ahead: a file is made there and removed at once."""

import os
from contextlib import suppress
from pathlib import Path

from . import fs


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
    if there != directory:
        path = fs.temporary_name(str(there))
        os.close(fs.create(path))
        fs.discard(path)
