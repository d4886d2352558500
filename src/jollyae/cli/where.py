"""Which spool a command line means."""

import argparse
import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .options import PLACES, Option, UsageError, was_given
from .run_options import DESTINATION, KEYS

if TYPE_CHECKING:
    from ..service.config import Config
    from ..spool.places import Places
    from ..spool.spool import Spool


CONFIG = Option(("--config", "-c"), "all queues of this file; see docs/CONFIGURATION.md", "FILE")


def add(parser: argparse.ArgumentParser, *, or_config: bool = False) -> None:
    """The SPOOL argument, and an option for each place; ``or_config``: a configuration file may be named instead."""
    if or_config:
        parser.add_argument("spool", metavar="SPOOL", nargs="?", help="the spool's directory; or -c FILE")
        CONFIG.add_to(parser)
    else:
        parser.add_argument("spool", metavar="SPOOL", help="the spool's directory")
    group = parser.add_argument_group("places, where they are not below SPOOL (all on one file system)")
    for option in PLACES:
        option.add_to(group)


def places(arguments: argparse.Namespace) -> "Places":
    """The places that the arguments name."""
    from ..spool.places import Places

    elsewhere = {option.dest: getattr(arguments, option.dest) for option in PLACES}
    return Places.under(arguments.spool, **elsewhere)


def is_config(arguments: argparse.Namespace) -> bool:
    """Whether a configuration file is meant: no spool is named. Raises :class:`UsageError` where both are."""
    if arguments.spool is None:
        return True
    if was_given(CONFIG, arguments, environment=False):
        raise UsageError(f"both {arguments.spool} and -c {arguments.config}: say only one of them")
    return False


def config(arguments: argparse.Namespace, overriding: Sequence[Option]) -> "Config":
    """The configuration that is meant. Each of the options ``overriding`` that the command line or the environment has
    counts for every queue. Raises :class:`UsageError` where nothing says which it is, and
    :class:`~jollyae.service.settings.ConfigurationError`."""
    from ..service import config
    from ..service.settings import ConfigurationError, Settings

    for option in (*PLACES, *DESTINATION):
        if was_given(option, arguments, environment=False):
            raise UsageError(f"{option.flags[0]} goes with a SPOOL: in a configuration each queue has its own")
    try:
        path = config.find({config.VARIABLE: arguments.config} if arguments.config else os.environ)
    except ConfigurationError as error:
        raise UsageError(f"name a SPOOL or -c FILE; {error.message}", hint="Try: jollyae run SPOOL --to URL") from error
    given = [option.dest for option in overriding if was_given(option, arguments) and option not in DESTINATION]
    values = {name: getattr(arguments, name) for name in given if name in Settings.__dataclass_fields__}
    return config.load(path, KEYS).overridden(values)


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
