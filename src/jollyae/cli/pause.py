"""``jollyae pause SPOOL``: its workers take nothing until resumed; what is being sent is finished."""

import argparse
import shlex

from . import where


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser)
    parser.add_argument("--reason", default="", metavar="TEXT", help="shown by status and in the log")


def main(arguments: argparse.Namespace) -> int:
    """Write the pause file."""
    spool = where.existing(arguments)
    spool.pause(arguments.reason)
    print(f"paused. To go on: jollyae resume {shlex.quote(arguments.spool)}")
    return 0
