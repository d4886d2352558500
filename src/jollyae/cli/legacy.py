"""The verbless command line of the 2016 program: its options mean what they meant.

``jollyae -b BUCKET -s SRC -i INTERIM -d DEST -f FAIL [-a ACL] [-r] [-R] [-n] [--random-no-upload-fail P] [-v]``
"""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .options import Parser, UsageError

if TYPE_CHECKING:
    from ..service.legacy import Old


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    from ..service import legacy
    from .output import set_up_logging

    parsed = parser().parse_args(arguments)
    old: Old = legacy.Old(**vars(parsed))
    if problems := legacy.problems(old):
        raise UsageError("; ".join(problems), hint="Try: jollyae run --help, the command line of today")
    set_up_logging(form="text", colour="auto", verbose=int(old.verbose), quiet=0)
    return legacy.run(old).exit_code


def parser() -> argparse.ArgumentParser:
    """The old options."""
    old = Parser(prog="jollyae", description=__doc__, allow_abbrev=False)
    old.add_argument("-b", "--bucket", help="destination S3 bucket")
    old.add_argument("-a", "--acl", help="ACL to set on each object")
    old.add_argument("-n", "--no-upload", action="store_true", help="pretend to upload; move the items")
    old.add_argument(
        "--random-no-upload-fail", type=float, default=0.0, metavar="P", help="with -n: fail so often (0-1)"
    )
    old.add_argument("-s", "--src", help="source directory")
    old.add_argument("-d", "--dest", help="directory for what is done")
    old.add_argument("-i", "--interim", help="directory for what is being uploaded (default: in DEST)")
    old.add_argument("-f", "--fail", help="directory for what failed; the same as SRC: try again later")
    old.add_argument("-r", "--remove", action="store_true", help="delete when done")
    old.add_argument("-R", "--remove-failed", action="store_true", help="delete what failed")
    old.add_argument("-v", "--verbose", action="store_true", help="say more")
    return old
