"""Options as data: each is declared once, and gives its flag, its environment variable and its line in the help.

Precedence: flag, then environment (``JOLLYAE_<OPTION>``), then default.
"""

import argparse
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ..service.settings import Target

PREFIX = "JOLLYAE_"
_WIDE = 40  # columns; choices that are longer go into the text, since argparse never breaks them


class UsageError(Exception):
    """The command line cannot be understood; exit code 2. ``hint`` says what to try."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Parser(argparse.ArgumentParser):
    """argparse, with errors in our form."""

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UsageError`."""
        raise UsageError(message, hint=f"Try: {self.prog} --help")


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``flags``: the long one first; ``parse``: text to value (None: a switch); ``many``: may be
    repeated; ``hidden``: other spellings that work and are not shown."""

    flags: tuple[str, ...]
    help: str
    metavar: str = ""
    default: Any = None
    parse: Callable[[str], Any] | None = str
    choices: tuple[str, ...] = ()
    many: bool = False
    hidden: tuple[str, ...] = ()

    @property
    def dest(self) -> str:
        """The attribute of the parsed arguments."""
        return self.flags[0].lstrip("-").replace("-", "_")

    @property
    def environment(self) -> str:
        """The environment variable."""
        return PREFIX + self.dest.upper()

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Declare it, its default taken from the environment where that has it."""
        keywords: dict[str, Any] = {"dest": self.dest, "default": self._default(), "help": self._help()}
        keywords["action"] = _Take
        if self.parse is None:
            keywords["nargs"] = 0
        else:
            keywords |= {"type": _typed(self.parse), "choices": self.choices or None}
            listed = "|".join(self.choices)
            keywords["metavar"] = listed if 0 < len(listed) <= _WIDE else self.metavar or None
            if self.many:
                keywords["action"] = _Extend
        parser.add_argument(*self.flags, **keywords)
        if self.hidden:
            parser.add_argument(*self.hidden, **(keywords | {"help": argparse.SUPPRESS}))

    def _help(self) -> str:
        default = f"{self.default:g}" if isinstance(self.default, float) else self.default
        shown = f"default: {default}; " if self.default not in (None, False, (), "") else ""
        listed = f" ({', '.join(self.choices)})" if len("|".join(self.choices)) > _WIDE else ""
        return f"{self.help}{listed} [{shown}env: {self.environment}]".replace("%", "%%")

    def _default(self) -> Any:
        text = os.environ.get(self.environment)
        if text is None:
            return self.default
        try:
            return self._from_environment(text)
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise UsageError(f"{self.environment}={text}: {error}") from error

    def _from_environment(self, text: str) -> Any:
        if self.parse is None:
            return _switch(text)
        if self.many:
            return tuple(self.parse(word) for word in re.split(r"[\n,]", text) if word.strip())
        if self.choices and text not in self.choices:
            raise ValueError(f"choose one of {', '.join(self.choices)}")
        return self.parse(text)


class _Take(argparse.Action):
    """Takes a value, or for a switch True, and remembers that it was given."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        _given(namespace).add(self.dest)
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


class _Extend(argparse.Action):
    """Collects a repeated option; the first on the command line replaces what the environment said."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest) if self.dest in _given(namespace) else ()
        _given(namespace).add(self.dest)
        setattr(namespace, self.dest, (*before, values))


def _given(namespace: argparse.Namespace) -> set[str]:
    found: set[str] = namespace.__dict__.setdefault("_given", set())
    return found


def was_given(option: Option, arguments: argparse.Namespace, *, environment: bool = True) -> bool:
    """Whether the command line has the option, or the environment, if that counts."""
    return option.dest in _given(arguments) or (environment and option.environment in os.environ)


def add_all(parser: argparse.ArgumentParser, title: str, options: Iterable[Option]) -> None:
    """Declare the options as one group of the help."""
    group = parser.add_argument_group(title)
    for option in options:
        option.add_to(group)


def pair(text: str) -> tuple[str, str]:
    """``KEY=VALUE``. Raises :class:`ValueError`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"{text!r} must be KEY=VALUE")
    return key, value


def positive(text: str) -> int:
    """A whole number from 1. Raises :class:`ValueError`."""
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} must be a whole number, 1 or more")
    return int(text)


def most_items(text: str) -> int:
    """How many items may be in flight, 1 to 10,000: each has a file open, and a connection. Raises
    :class:`ValueError`."""
    return _at_most(text, 10_000)


def most_entries(text: str) -> int:
    """How many entries a manifest may have, 1 to 100,000. Raises :class:`ValueError`."""
    return _at_most(text, 100_000)


def processes(text: str) -> int:
    """How many processes, 1 to 256: more than any machine has use for. Raises :class:`ValueError`."""
    return _at_most(text, 256)


def _at_most(text: str, most: int) -> int:
    if (number := positive(text)) > most:
        raise ValueError(f"{text!r} is more than can be: write 1 to {most:,}")
    return number


def seconds(text: str) -> float:
    """A duration. Raises :class:`ValueError`."""
    from ..service.units import duration

    return duration(text)


def size(text: str) -> int:
    """Bytes. Raises :class:`ValueError`."""
    from ..service.units import size

    return size(text)


def rate(text: str) -> str:
    """A rate or timetable, checked and kept as text. Raises :class:`ValueError`."""
    from ..service.units import timetable

    timetable(text)
    return text


def limit(text: str) -> str:
    """An age, a size or both, checked and kept as text. Raises :class:`ValueError`."""
    from ..service.units import limit

    limit(text)
    return text


def room(text: str) -> str:
    """An amount of space, checked and kept as text. Raises :class:`ValueError`."""
    from ..service.units import room

    room(text)
    return text


def inodes(text: str) -> str:
    """A number of inodes, checked and kept as text. Raises :class:`ValueError`."""
    from ..service.units import inodes

    inodes(text)
    return text


def address(text: str) -> str:
    """HOST:PORT to listen on, checked and kept as text. Raises :class:`ValueError`."""
    from ..service.observing import exporter

    exporter.address(text)
    return text


def textfile(text: str) -> str:
    """The path of a file for the node exporter. Raises :class:`ValueError`."""
    from ..service.observing import exporter

    return exporter.textfile(text)


def target(text: str) -> "Target":
    """Where notifications go. Raises :class:`ValueError`."""
    from ..service.notifications import target

    return target(text)


def _switch(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("say 1 or 0")


def _typed(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """``parse`` with its own message in argparse's error."""

    def typed(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return typed


PLACES = tuple(
    Option((f"--{place}",), f"this directory is the place '{place}'", "DIR")
    for place in ("incoming", "working", "deferred", "finished", "failed")
)

OUTPUT = (
    Option(("--log-format",), "form of the log on stderr", "FORMAT", "text", choices=("text", "json")),
    Option(("--color",), "colours in the log", "WHEN", "auto", choices=("auto", "always", "never")),
)
