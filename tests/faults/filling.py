"""Jollyae, whose disk is full from the n-th call of its gate to the file system on: really full.

    python -m tests.faults.filling N BALLAST MARK [BUG] -- run SPOOL …

BALLAST is the file that takes up all room there is; whoever removes it gives the room back. MARK is made when that has
happened. Without N calls nothing happens.
"""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

from tests.faults import planted


def fill(ballast: Path) -> None:
    """Take up all room on the file system of this file, to the last block. Raises :class:`OSError` for another
    reason."""
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for size in (1 << 20, 1 << 16, 1 << 12, 1 << 9, 1):
            try:
                while os.write(descriptor, bytes(size)):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    finally:
        with suppress(OSError):
            os.close(descriptor)


def main() -> None:
    """Arm, plant, and be jollyae."""
    from jollyae.cli.main import entry
    from jollyae.spool import fs

    split = sys.argv.index("--")
    number, ballast, mark, *bugs = sys.argv[1:split]
    del sys.argv[1 : split + 1]
    left = int(number)

    def observer(operation: str, path: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            fill(Path(ballast))
            Path(mark).write_text(f"{operation} {path}")

    fs.observer = observer
    for bug in bugs:
        planted.BUGS[bug]()
    entry()


if __name__ == "__main__":
    main()
