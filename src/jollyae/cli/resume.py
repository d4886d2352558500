"""``jollyae resume SPOOL``: end a pause."""

import argparse

from . import where


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser)


def main(arguments: argparse.Namespace) -> int:
    """Remove the pause file."""
    print("resumed" if where.existing(arguments).resume() else "it was not paused")
    return 0
