"""``jollyae fetch URL… DIR|FILE``: bring objects back as the files that they were."""

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from . import terminal
from .options import Option, UsageError, add_all
from .run_options import STORE

if TYPE_CHECKING:
    from ..service.fetch import Fetched

_HOW = (
    Option(("--recursive",), "all objects below each URL, with their directories", parse=None),
    Option(
        ("--unpack",),
        "what is unpacked: auto: what `run --compress` packed; suffix: also .gz and .zst; never",
        "WHAT",
        "auto",
        choices=("auto", "suffix", "never"),
    ),
    Option(("--keys",), "name files after their keys, not after what they were called", parse=None),
)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("urls", metavar="URL", nargs="+", help="s3://BUCKET/KEY, gs://…, az://… or file:///PATH")
    parser.add_argument("target", metavar="DIR|FILE", help="a directory, or for one URL a file that is not there")
    add_all(parser, "what comes", _HOW)
    add_all(
        parser,
        "the store (credentials come from the AWS chain, never from options)",
        [option for option in STORE if option.dest != "transport"],
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="do not print what was brought")


def main(arguments: argparse.Namespace) -> int:
    """Bring them; the exit code."""
    from ..service.fetch import Wishes, fetch
    from .run import settings

    if "://" in arguments.target:
        raise UsageError("the last word is where the files go, and no URL", hint="Try: jollyae fetch URL .")
    wishes = Wishes(arguments.recursive, arguments.unpack, arguments.keys)

    def tell(fetched: "Fetched") -> None:
        if not arguments.quiet:
            print(_line(fetched))

    chosen = settings(arguments)
    outcome = asyncio.run(fetch(arguments.urls, arguments.target, chosen, wishes, tell, _warn))
    if outcome.unproved:
        print(
            f"jollyae: {outcome.unproved} of {outcome.done} not proved: nothing beside them tells their digest",
            file=sys.stderr,
        )
    return outcome.exit_code


def _line(fetched: "Fetched") -> str:
    from ..spool.names import printable, show

    marks = [fetched.proof or "not proved", *(["already there"] if fetched.was_there else [])]
    return f"{printable(fetched.url)} -> {show(fetched.path)}  ({', '.join(marks)})"


def _warn(url: str, error: Exception) -> None:
    from ..service.fetch import describe
    from ..spool.names import printable

    message, hint = describe(error)
    print(terminal.wrapped(f"jollyae: not fetched: {printable(url)}: {message}", sys.stderr, 2), file=sys.stderr)
    if hint:
        print(terminal.wrapped(f"  {hint}", sys.stderr, 2), file=sys.stderr)
