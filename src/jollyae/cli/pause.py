"""``jollyae pause SPOOL``: its workers take nothing until resumed; what is being sent is finished."""

import argparse

from . import where


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser)
    parser.add_argument("--reason", default="", metavar="TEXT", help="shown by status and in the log")


def main(arguments: argparse.Namespace) -> int:
    """Write the pause file."""
    from ..spool.spool import PAUSE_FILE

    spool = where.existing(arguments)
    spool.pause(arguments.reason)
    print(f"paused. To go on: jollyae resume {arguments.spool} (or rm {spool.places.control / PAUSE_FILE})")
    return 0
