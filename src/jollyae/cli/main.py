"""The entry: finds the verb, turns what goes wrong into one sentence and an exit code."""

import argparse
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from .. import __version__
from . import terminal
from .options import Parser, UsageError

VERBS = {
    "run": "deliver what lands in a spool, as soon as it lands",
    "submit": "put files into a spool, durably",
    "status": "what lies where, and why it waits",
    "retry": "put failed and deferred items back to work",
    "pause": "stop a spool's workers from taking items",
    "resume": "end a pause",
    "log": "what was delivered",
    "drain": "wait until all that is there now is delivered",
    "fetch": "bring objects back as the files that they were",
    "web": "the dashboard: all queues at a glance, in a browser",
    "init": "make a spool's places",
    "check": "try whether this can run",
    "service": "units for systemd, launchd or cron that run it",
    "demo": "the whole thing on an embedded S3",
    "album": "a photo album that a spool feeds: make it, serve it, copy it, leave with it",
    "completion": "print a completion script for your shell",
}
ALIASES = {"validate": "check"}

EPILOG = """\
exit codes: 0 done, 1 some items failed, 2 usage, 75 some items wait for another
try (--once), 78 configuration, 130 and 143 ended by a signal with work
unfinished. Treat unknown codes as failures.

The 2016 command line still works:
  jollyae -b BUCKET -s SRC -i INTERIM -d DEST -f FAIL [-a ACL] [-rRnv]
"""


def build_parser(verbs: Sequence[str] = tuple(VERBS)) -> argparse.ArgumentParser:
    """The parser, with the options of the given verbs."""
    parser = Parser(
        prog="jollyae",
        description="From a queue directory to S3, with nothing lost.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"jollyae {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for verb, text in VERBS.items():
        sub = subparsers.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        if verb in verbs:
            importlib.import_module(f".{verb}", __package__).add(sub)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    if not arguments:
        build_parser(()).print_help()
        return 2
    verb = ALIASES.get(arguments[0], arguments[0])
    if verb.startswith("-") and verb not in ("-h", "--help", "--version"):
        from . import legacy

        return legacy.main(arguments)
    if not verb.startswith("-") and verb not in VERBS:
        raise UsageError(f"there is no verb {verb!r}", hint=_nearest(verb))
    parser = build_parser((verb,))
    parsed, unknown = parser.parse_known_args([verb, *arguments[1:]])
    if unknown:
        raise UsageError(f"unknown: {' '.join(unknown)}", hint=_nearest_option(chosen(parser, parsed), unknown[0]))
    code: int = importlib.import_module(f".{parsed.verb}", __package__).main(parsed)
    return code


def _nearest(verb: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(verb, VERBS, 1)
    return f"Did you mean: jollyae {near[0]}" if near else "Try: jollyae --help"


def _nearest_option(parser: argparse.ArgumentParser, word: str) -> str:
    from difflib import get_close_matches

    known = {option.lstrip("-"): option for option in parser._option_string_actions}  # dashes make all of them alike
    near = get_close_matches(word.partition("=")[0].lstrip("-"), known, 1) if word.startswith("-") else []
    return f"Did you mean: {known[near[0]]}" if near else f"Try: {parser.prog} --help"


def chosen(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> argparse.ArgumentParser:
    """The parser of the verb that was given; of an album's verb, that one's."""
    for dest in ("verb", "album_verb"):
        if (verb := getattr(parsed, dest, None)) is not None:
            parser = verbs(parser)[verb]
    return parser


def verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb; {} where it has none."""
    found: dict[str, argparse.ArgumentParser] = next(
        (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)), {}
    )
    return found


def run(arguments: Sequence[str]) -> int:
    """:func:`main`, with what goes wrong said on stderr: the exit code."""
    try:
        return main(arguments)
    except UsageError as error:
        return _complain(str(error), error.hint, 2)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the reader of our output is gone; nothing more is said
        return 141
    except Exception as error:
        return _foreseen(error)


def entry() -> NoReturn:
    """The console script."""
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        os._exit(code)  # a thread that still waits for a dead server is not waited for
    sys.exit(code)


def _foreseen(error: Exception) -> int:
    """Say what an error means that reached us; what nobody foresaw is raised again, with its traceback."""
    from ..album.store import StoreError
    from ..service.settings import ConfigurationError
    from ..spool import names, users
    from ..spool.spool import SpoolError

    if isinstance(error, ConfigurationError | SpoolError):
        return _complain(error.message, error.hint, 78)
    if isinstance(error, StoreError):
        return _complain(error.message, error.hint, 75 if error.is_temporary else 1)
    if isinstance(error, OSError) and error.strerror:
        about = f": {names.show(os.fsdecode(error.filename))}" if error.filename else ""
        hint = users.whose(error.filename) if isinstance(error, PermissionError) and error.filename else ""
        return _complain(f"{error.strerror}{about}", hint, 1)
    raise error


def _complain(message: str, hint: str, code: int) -> int:
    for line in message.splitlines():
        print(terminal.wrapped(f"jollyae: {line}", sys.stderr, 2), file=sys.stderr)
    if hint:
        print(terminal.wrapped(f"  {hint}", sys.stderr, 2), file=sys.stderr)
    return code
