"""What the album's verbs share: arguments, and how they tell."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from .. import terminal
from ..options import OUTPUT, Option, UsageError, add_all
from ..run_options import STORE

if TYPE_CHECKING:
    from ...album.fetched import Fetched
    from ...service.settings import Settings

ORIGINALS = Option(
    ("--originals",), "where the originals are: s3://BUCKET[/PREFIX], gs://…, az://… or file:///DIR", "URL"
)
_ERASE = "\r\x1b[K"
_PASSWORDS = "; its password: JOLLYAE_ALBUM_PASSWORD, or the file in JOLLYAE_ALBUM_PASSWORD_FILE"


def add_url(parser: argparse.ArgumentParser, name: str = "url", metavar: str = "URL", what: str = "the album") -> None:
    """An argument that names an album."""
    parser.add_argument(name, metavar=metavar, help=f"{what}: sqlite:///FILE or http(s)://[USER@]HOST/DB{_PASSWORDS}")


def add_originals(parser: argparse.ArgumentParser) -> None:
    """Where the originals are, and how to get there."""
    add_all(parser, "originals", (ORIGINALS,))
    add_all(parser, "the originals' store (credentials come from the AWS chain, never from options)", STORE)


def add_json(parser: argparse.ArgumentParser) -> None:
    """For programs."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def add_log(parser: argparse.ArgumentParser) -> None:
    """How the log is written."""
    add_all(parser, "what is shown", OUTPUT)
    parser.add_argument("-v", "--verbose", action="count", default=0, help="more in the log")
    parser.add_argument("-q", "--quiet", action="count", default=0, help="only trouble")


def settings(arguments: argparse.Namespace) -> "Settings":
    """The arguments as settings."""
    from .. import run

    return run.settings(arguments)


def originals_of(arguments: argparse.Namespace) -> str:
    """Where the originals are. Raises :class:`UsageError`."""
    if not arguments.originals:
        raise UsageError("say where the originals are: --originals URL", hint="It is what `jollyae run` was told.")
    url: str = arguments.originals
    return url


def run(coroutine: Coroutine[Any, Any, int]) -> int:
    """Run it; Ctrl-C ends it in order, with 130."""
    try:
        return asyncio.run(coroutine)
    except KeyboardInterrupt:
        return 130


@asynccontextmanager
async def live(text: Callable[[], str], *, is_wanted: bool = True) -> AsyncIterator[None]:
    """Meanwhile, a line on the terminal that says how far it is; nothing where there is no terminal."""
    if not is_wanted or not sys.stderr.isatty():
        yield
        return

    async def draw() -> None:
        while True:
            await asyncio.sleep(0.5)
            line = terminal.cut(text(), max(terminal.columns(sys.stderr) - 1, 10))
            print(f"{_ERASE}{line}", end="", file=sys.stderr, flush=True)

    drawing = asyncio.create_task(draw())
    try:
        yield
    finally:
        drawing.cancel()
        print(_ERASE, end="", file=sys.stderr, flush=True)


def show(text: str) -> None:
    """A line on stdout, and not behind what :func:`live` drew."""
    if sys.stdout.isatty() and sys.stderr.isatty():
        print(_ERASE, end="", file=sys.stderr, flush=True)
    print(terminal.wrapped(text, sys.stdout, 2), flush=True)


def show_json(value: Any) -> None:
    """A JSON object on stdout."""
    print(json.dumps(value), flush=True)


def complain(text: str, hint: str = "") -> None:
    """A line on stderr."""
    print(terminal.wrapped(f"jollyae: {text}", sys.stderr, 2), file=sys.stderr)
    if hint:
        print(terminal.wrapped(f"  {hint}", sys.stderr, 2), file=sys.stderr)


def complain_of_photos(done: "Fetched", place: str, before: str = "") -> None:
    """What failed, a line each, with what a person knows it by; where not one original is there, that, once."""
    if done.missing and done.missing == len(done.failed) and not done.bytes + done.kept:
        return complain_of_place(done.missing, place)
    for id, why in done.failed.items():
        name = f" ({printable(done.names[id])})" if done.names.get(id) else ""
        complain(f"{before}{id}{name}: {printable(why)}")


def complain_of_place(originals: int, place: str) -> None:
    """Not one original is there: most likely it is not they that are wrong."""
    complain(f"none of {originals:,} originals is in {printable(place)}: is this the right place, is it mounted?")


def printable(text: str) -> str:
    """What another server or a file said, as it may be shown."""
    from ...spool import names

    return names.printable(text)
