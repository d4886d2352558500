"""``jollyae retry SPOOL [NAME… | --all]``: put failed and deferred items back to work."""

import argparse
import os
import shlex
import sys
from typing import TYPE_CHECKING

from . import where
from .options import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from ..spool.spool import Spool


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser, or_queue=True)
    parser.add_argument("names", metavar="NAME", nargs="*", help="an item in failed/ or deferred/, as status shows it")
    parser.add_argument("--all", action="store_true", help="all of them")


def main(arguments: argparse.Namespace) -> int:
    """Retry them; exit code 1 if any item stayed where it was."""
    where.take_words(arguments, "names")
    if bool(arguments.names) == arguments.all:
        status = f"jollyae status {where.all_words(arguments)}"
        raise UsageError("name the items, or say --all", hint=f"Which there are: {status}")
    if arguments.names and len(found := where.meant(arguments)) > 1:
        which = ", ".join(one.name for one in found)
        raise UsageError("an item is in one queue: say --queue NAME, or --all", hint=f"The queues: {which}")
    if arguments.all or len(where.apart(where.meant(arguments))) == 1:
        return where.each(arguments, lambda one, spool: _retry(one, spool, _wanted(spool, arguments)))
    return _retry_somewhere(arguments)


def _retry_somewhere(arguments: argparse.Namespace) -> int:
    """Each of the names where it is: several processes take into one workdir, and nobody knows which has an item."""
    nowhere = dict.fromkeys(arguments.names)

    def retry(one: where.Meant, spool: "Spool") -> int:
        here = [name for name in arguments.names if _found(spool, name)]
        for name in here:
            nowhere.pop(name, None)
        return _retry(one, spool, [_meant(spool, name) for name in here]) if here else 0

    code = where.each(arguments, retry)
    for name in nowhere:
        print(f"jollyae: {name}: no such item in failed/ or deferred/", file=sys.stderr)
    return 1 if nowhere else code


def _wanted(spool: "Spool", arguments: argparse.Namespace) -> list[str] | None:
    return None if arguments.all else [_meant(spool, name) for name in arguments.names]


def _retry(one: where.Meant, spool: "Spool", wanted: list[str] | None) -> int:
    from ..service.units import unreadable
    from ..spool import names
    from ..spool.spool import UNREADABLE

    _complete(spool)
    about = f"{one.name}: " if one.name else ""
    retried = skipped = messages = 0
    for name, became in spool.retry(wanted):
        if became == "retried":
            retried += 1
        elif became == UNREADABLE and wanted is None:
            messages += 1
        else:
            skipped += 1
            print(f"jollyae: {about}{names.show(name)}: {became}", file=sys.stderr)
    if messages:
        print(f"jollyae: {about}{unreadable(messages)}: {spool.places.failed}/message-….json", file=sys.stderr)
    print(f"{about}{retried} retried, {skipped} skipped")
    return 1 if skipped else 0


def _complete(spool: "Spool") -> None:
    """Nothing failed where failed/ is elsewhere: that is not to be told as "0 retried". Raises :class:`UsageError`."""
    for directory in _places(spool):
        if not directory.is_dir():
            hint = f"Where it is elsewhere, say so: --{directory.name} DIR, or -c FILE. Else: mkdir"
            raise UsageError(f"there is no {directory}", hint=f"{hint} {shlex.quote(str(directory))}")


def _meant(spool: "Spool", name: str) -> str:
    """The item's name: as it is, or as it was shown (with %XX for what cannot be shown, and after its place)."""
    return _found(spool, name) or _forms(name)[-1]


def _found(spool: "Spool", name: str) -> str:
    """The one of its forms that is there; '' where none is."""
    there = (form for form in _forms(name) if any(os.path.lexists(place / form) for place in _places(spool)))
    return next(there, "")


def _forms(name: str) -> list[str]:
    from ..spool import names

    inner = name.partition("/")[2] if name.startswith(("failed/", "deferred/")) else name
    return list(dict.fromkeys((name, names.decode(name), inner, names.decode(inner))))


def _places(spool: "Spool") -> "tuple[Path, Path]":
    return spool.places.failed, spool.places.deferred
