"""Which spool a command line means, or which queues of a configuration."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .options import PLACES, Option, UsageError, was_given
from .run_options import KEYS, OF_ONE_QUEUE, ORIGIN, SOURCE

if TYPE_CHECKING:
    from pathlib import Path

    from ..service.config import Config
    from ..service.settings import Queue
    from ..spool.places import Places
    from ..spool.spool import Spool


CONFIG = Option(("--config", "-c"), "all queues of this file; see docs/CONFIGURATION.md", "FILE")


@dataclass(frozen=True, slots=True)
class Meant:
    """A spool that is meant. ``name``: of its queue; '' where the spool itself was named. ``words``: how a command line
    names it. ``config``: the file, '' where there is none; ``is_wanted``: a worker should run, also where nothing
    waits; ``targets``: the names of those that get its messages; ``processes``: how many the file says; ``workdir``: of
    one that belongs to one of several processes, the directory of all."""

    name: str
    places: "Places"
    words: str
    config: str = ""
    is_wanted: bool = False
    targets: tuple[str, ...] = ()
    processes: int = 1
    workdir: str = ""

    @property
    def title(self) -> str:
        """What it is called where several are told of."""
        return self.name or str(self.places.control)


def add(
    parser: argparse.ArgumentParser, *, or_config: bool = False, or_queue: bool = False, many: bool = False
) -> None:
    """The SPOOL argument, and an option for each place; ``or_config``: a configuration file may be named instead;
    ``or_queue``: and one of its queues; ``many``: several spools may be named."""
    if or_config or or_queue:
        nargs, dest = ("*", "spools") if many else ("?", "spool")
        parser.add_argument(dest, metavar="SPOOL", nargs=nargs, help="the spool's directory; or -c FILE")
        CONFIG.add_to(parser)
        if or_queue:
            parser.add_argument("--queue", metavar="NAME", help="only this one of the configuration's queues")
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
    if getattr(arguments, "queue", None) is not None:
        raise UsageError(f"both {arguments.spool} and --queue {arguments.queue}: say only one of them")
    if os.path.isfile(arguments.spool):
        raise UsageError(f"{arguments.spool} is not a spool: it is a file", hint=_perhaps_config(arguments.spool))
    return False


def _perhaps_config(path: str) -> str:
    return f"Did you mean: -c {shlex.quote(path)}" if path.endswith(".toml") else ""


def take_words(arguments: argparse.Namespace, dest: str) -> None:
    """With -c or --queue there is no SPOOL: what was taken for it is the first of the words that come after it."""
    by_config = was_given(CONFIG, arguments, environment=False) or arguments.queue is not None
    if by_config and arguments.spool is not None:
        getattr(arguments, dest).insert(0, arguments.spool)
        arguments.spool = None


def meant(arguments: argparse.Namespace) -> list[Meant]:
    """The spool that the arguments name, or the queues of a configuration: the one that is named, else all. They need
    not be there. Raises :class:`UsageError` and :class:`~jollyae.service.settings.ConfigurationError`."""
    if not is_config(arguments):
        return [Meant("", places(arguments), words(arguments))]
    from ..service import notifications

    found = config(arguments, ())
    path = os.path.abspath(found.path)
    file = f"-c {shlex.quote(path)}"
    queues = list(found.queues)
    if arguments.queue is not None:
        known = [one for queue in queues for one in (queue, *notifications.queues(queue))]
        queues = named(arguments.queue, known, found)
    return [
        Meant(
            one.name,
            one.places,
            f"{file} --queue {shlex.quote(one.name)}",
            path,
            one.settings.idle_exit is None,
            tuple(target.name for target in one.settings.targets()),
            one.settings.processes,
        )
        for one in queues
    ]


def apart(found: Sequence[Meant]) -> list[Meant]:
    """All of these; where several processes take from a broker into one workdir, the spool of each of them, those of
    earlier ones included."""
    from ..service import workdirs

    return [
        part
        for one in found
        for part in _parts(one, workdirs.spools(one.places, is_wanted=one.is_wanted and one.processes == 1))
    ]


def _parts(one: Meant, spools: "Sequence[Places]") -> list[Meant]:
    if [places.control for places in spools] == [one.places.control]:
        return [one]
    whole = str(one.places.control)
    parts = []
    for places in spools:
        if places.control == one.places.control:
            parts.append(replace(one, name=one.title, is_wanted=one.is_wanted and one.processes == 1, workdir=whole))
        else:
            name = places.control.name
            is_wanted = one.is_wanted and int(name) < one.processes != 1
            parts.append(Meant(f"{one.title}/{name}", places, places.words, is_wanted=is_wanted, workdir=whole))
    return parts


def named(name: str, among: "Sequence[Queue]", config: "Config") -> "list[Queue]":
    """The queue of this name. Raises :class:`UsageError` where there is none."""
    found = [queue for queue in among if queue.name == name]
    if not found:
        names = ", ".join(queue.name for queue in among)
        raise UsageError(f"{config.path} has no queue {name!r}", hint=f"It has: {names}")
    return found


def words(arguments: argparse.Namespace) -> str:
    """The SPOOL of the arguments and where its places are, as the next command line needs them."""
    elsewhere = [(option.flags[0], getattr(arguments, option.dest)) for option in PLACES]
    options = [f"{flag} {shlex.quote(directory)}" for flag, directory in elsewhere if directory is not None]
    return " ".join([shlex.quote(arguments.spool), *options])


def each(arguments: argparse.Namespace, act: "Callable[[Meant, Spool], int]", *, whole: bool = False) -> int:
    """Do something with each spool that is meant: the worst exit code. Of several, one that is not there is told and
    keeps the others from nothing. ``whole``: what several processes take into is one, though it is not one spool."""
    found = meant(arguments) if whole else apart(meant(arguments))
    if len(found) == 1:
        return act(found[0], made(found[0].places))
    code = 0
    for one in found:
        try:
            code = max(code, act(one, made(one.places)))
        except UsageError as error:
            print(f"jollyae: {one.title}: {error}\n  {error.hint}", file=sys.stderr)
            code = max(code, 2)
    return code


def with_siblings(spool: "Spool") -> "list[Spool]":
    """The spool, and those of the processes below it, where they take from a broker."""
    from ..service import origins
    from ..spool.spool import Spool

    return [spool, *(Spool(places=one, make=False) for one in origins.existing(spool.places))]


def all_words(arguments: argparse.Namespace) -> str:
    """How all that is meant is named on a command line."""
    found = meant(arguments)
    return found[0].words if len(found) == 1 else found[0].words.partition(" --queue ")[0]


def take_workdir(arguments: argparse.Namespace) -> None:
    """With --from the spool is --workdir's. Raises :class:`UsageError` for what does not go with it."""
    if was_given(CONFIG, arguments, environment=False):
        return
    if getattr(arguments, "from") is None:
        for option in SOURCE:
            if was_given(option, arguments, environment=option in ORIGIN):
                flag = option.flags[0]
                raise UsageError(f"{flag} goes with --from", hint="Name the SPOOL itself, or say --from URL.")
        return
    if arguments.spool is not None:
        raise UsageError(f"both {arguments.spool} and --from: items come from one of them")
    if arguments.workdir is None:
        raise UsageError("--from needs --workdir DIR: what is fetched lies there until it is done")
    arguments.spool = arguments.workdir


def config(arguments: argparse.Namespace, overriding: Sequence[Option]) -> "Config":
    """The configuration that is meant. Each of the options ``overriding`` that the command line or the environment has
    counts for every queue. Raises :class:`UsageError` where nothing says which it is, and
    :class:`~jollyae.service.settings.ConfigurationError`."""
    from ..service import config
    from ..service.settings import ConfigurationError, Settings

    try:
        path = config.find({config.VARIABLE: arguments.config} if arguments.config else os.environ)
    except ConfigurationError as error:
        raise UsageError(f"name a SPOOL or -c FILE; {error.message}", hint=_hint(arguments)) from error
    for option in (*PLACES, *OF_ONE_QUEUE):
        if was_given(option, arguments, environment=False):
            what = f"{option.flags[0]} {'does not go with -c' if option in ORIGIN else 'goes with a SPOOL'}"
            raise UsageError(f"{what}: in a configuration, here {path}, each queue has its own")
    given = [option.dest for option in overriding if was_given(option, arguments) and option not in OF_ONE_QUEUE]
    values = {name: getattr(arguments, name) for name in given if name in Settings.__dataclass_fields__}
    return config.load(path, KEYS).overridden(values)


def _hint(arguments: argparse.Namespace) -> str:
    verb = getattr(arguments, "verb", None) or "run"
    return f"Try: jollyae {verb} SPOOL" + {"run": " --to URL", "submit": " FILE"}.get(verb, "")


def existing(arguments: argparse.Namespace) -> "Spool":
    """The spool that the arguments name, which must have been made."""
    return made(places(arguments))


def made(places: "Places") -> "Spool":
    """The spool of these places, which must have been made."""
    from ..spool.spool import Spool

    spool = Spool(places=places, make=False)
    if not spool.places.incoming.is_dir():
        root = places.control
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is not a spool: it is a file", hint=_perhaps_config(str(root)))
        raise UsageError(f"{root} is not a spool: {_lacks(places)}", hint=lost(places))
    return spool


def _lacks(places: "Places") -> str:
    if not places.control.is_dir():
        return "there is no such directory"
    is_usual = places.incoming == places.control / "incoming"
    return "it has no incoming/" if is_usual else f"there is no {places.incoming}"


def lost(places: "Places") -> str:
    """What may be the matter where a spool is not there: to make an empty one is the last of it."""
    root, make = places.control, f"To make an empty one: jollyae init {places.words}"
    if not root.is_dir() and (near := _neighbour(root)):
        return f"Did you mean {shlex.quote(near)}? {make}"
    if (root / "receipts").is_dir():  # made by us, with another incoming/: an empty one here would be a trap
        return "Is its incoming/ elsewhere? Then say --incoming DIR, or -c FILE. Was it removed? " + make
    return f"Is it spelt right? Was it moved, or is its disk not mounted? {make}"


def _neighbour(root: "Path") -> str:
    """A spool beside it whose name is nearly the same; '' where there is none."""
    from difflib import get_close_matches

    try:
        beside = [one.name for one in root.parent.iterdir() if (one / "incoming").is_dir()]
    except OSError:
        return ""
    near = get_close_matches(root.name, beside, 1)
    return str(root.parent / near[0]) if near else ""
