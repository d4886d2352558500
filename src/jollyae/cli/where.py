"""Which spool a command line means."""

import argparse
import shlex
from typing import TYPE_CHECKING

from .options import PLACES, UsageError

if TYPE_CHECKING:
    from ..spool.places import Places
    from ..spool.spool import Spool


def add(parser: argparse.ArgumentParser) -> None:
    """The SPOOL argument, and an option for each place."""
    parser.add_argument("spool", metavar="SPOOL", help="the spool's directory")
    group = parser.add_argument_group("places, where they are not below SPOOL (all on one file system)")
    for option in PLACES:
        option.add_to(group)


def places(arguments: argparse.Namespace) -> "Places":
    """The places that the arguments name."""
    from ..spool.places import Places

    elsewhere = {option.dest: getattr(arguments, option.dest) for option in PLACES}
    return Places.under(arguments.spool, **elsewhere)


def existing(arguments: argparse.Namespace) -> "Spool":
    """The spool that the arguments name, which must have been made."""
    return made(places(arguments))


def made(places: "Places") -> "Spool":
    """The spool of these places, which must have been made."""
    from ..spool.spool import Spool

    spool = Spool(places=places, make=False)
    if not spool.places.incoming.is_dir():
        root = places.control
        what = "it has no incoming/" if root.is_dir() else "there is no such directory"
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is not a spool: it is a file")
        raise UsageError(f"{root} is not a spool: {what}", hint=f"Try: jollyae init {shlex.quote(str(root))}")
    return spool
