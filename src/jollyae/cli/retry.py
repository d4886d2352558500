"""``jollyae retry SPOOL [NAME… | --all]``: put failed and deferred items back to work."""

import argparse
import sys
from typing import TYPE_CHECKING

from . import where
from .options import UsageError

if TYPE_CHECKING:
    from ..spool.spool import Spool


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser)
    parser.add_argument("names", metavar="NAME", nargs="*", help="an item in failed/ or deferred/, as status shows it")
    parser.add_argument("--all", action="store_true", help="all of them")


def main(arguments: argparse.Namespace) -> int:
    """Retry them; exit code 1 if any stayed where it was."""
    from ..spool import names

    if bool(arguments.names) == arguments.all:
        raise UsageError("name the items, or say --all", hint="Try: jollyae status SPOOL")
    spool = where.existing(arguments)
    wanted = None if arguments.all else [_meant(spool, name) for name in arguments.names]
    retried = skipped = 0
    for name, became in spool.retry(wanted):
        if became == "retried":
            retried += 1
        else:
            skipped += 1
            print(f"jollyae: {names.show(name)}: {became}", file=sys.stderr)
    print(f"{retried} retried, {skipped} skipped")
    return 1 if skipped else 0


def _meant(spool: "Spool", name: str) -> str:
    """The item's name: as it is, or as it was shown (with %XX for what cannot be shown)."""
    from ..spool import names

    for place in (spool.places.failed, spool.places.deferred):
        if (place / name).is_symlink() or (place / name).exists():
            return name
    return names.decode(name)
