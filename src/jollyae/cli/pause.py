"""``jollyae pause SPOOL``: its workers take nothing until resumed; what is being sent is finished."""

import argparse
from typing import TYPE_CHECKING

from . import where

if TYPE_CHECKING:
    from ..spool.spool import Spool


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser, or_queue=True)
    parser.add_argument("--reason", default="", metavar="TEXT", help="shown by status and in the log")


def main(arguments: argparse.Namespace) -> int:
    """Write the pause file of each."""

    def pause(one: where.Meant, spool: "Spool") -> int:
        before = spool.paused()
        for each in where.with_siblings(spool):
            each.pause(arguments.reason)
        about = f"{one.name}: " if one.name else ""
        kept = f" already: {before}" if before is not None and not arguments.reason else ""
        print(f"{about}paused{kept}. To go on: jollyae resume {one.words}")
        return 0

    return where.each(arguments, pause, whole=True)
