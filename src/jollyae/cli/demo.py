"""``jollyae demo``: the whole thing on an embedded S3, and what to try."""

import argparse
import shlex
import sys
from pathlib import Path

from . import terminal


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", default="jollyae-demo", help="where; made anew each time"
    )
    parser.add_argument("--stay", action="store_true", help="go on after the tour also without a terminal")


def main(arguments: argparse.Namespace) -> int:
    """Show it; exit code 1 if something did not arrive."""
    from ..service.demo import Demo, DemoFailed

    stay = arguments.stay or (sys.stdin.isatty() and sys.stdout.isatty())
    root = Path(arguments.directory).absolute()
    try:
        Demo(root, _say).run(stay=stay)
    except DemoFailed as error:
        print(f"jollyae: the demo failed: {error} (in {root})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _say("")
    _say(f"Nothing is left running. The files are still there: rm -r {shlex.quote(str(root))} removes them.")
    return 0


def _say(text: str) -> None:
    """On a terminal broken between words, but for what is indented by four: that is a command line, to be copied."""
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        print(line if indent >= 4 else terminal.wrapped(line, sys.stdout, indent), flush=True)
