"""``jollyae resume SPOOL``: end a pause."""

import argparse
from typing import TYPE_CHECKING

from . import where

if TYPE_CHECKING:
    from ..spool.spool import Spool


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser, or_queue=True)


def main(arguments: argparse.Namespace) -> int:
    """Remove the pause file of each."""

    def resume(one: where.Meant, spool: "Spool") -> int:
        about = f"{one.name}: " if one.name else ""
        was = [each.resume() for each in where.with_siblings(spool)]
        print(about + ("resumed" if any(was) else "it was not paused"))
        return 0

    return where.each(arguments, resume, whole=True)
