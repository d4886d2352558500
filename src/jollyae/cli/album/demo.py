"""``jollyae album demo``: an album in the browser, fed by a spool."""

import argparse
import signal
import sys
from pathlib import Path

from ..options import Option, add_all
from .serve import port

PORT = Option(("--port",), "the port of the pages; 0: any that is free", "N", 0, port)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("directory", metavar="DIR", nargs="?", help="where, and kept; else a temporary one, removed")
    add_all(parser, "the pages", (PORT,))
    parser.add_argument("--stay", action="store_true", help="stay also without a terminal")


def main(arguments: argparse.Namespace) -> int:
    """Show it; exit code 1 if something did not arrive."""
    from ...service.albums.demo import AlbumDemo
    from ...service.demo import DemoFailed

    stay = arguments.stay or (sys.stdin.isatty() and sys.stdout.isatty())
    root = Path(arguments.directory).absolute() if arguments.directory else None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # however it is ended, nothing of it stays
    try:
        AlbumDemo(root, _say, port=arguments.port).run(stay=stay)
    except DemoFailed as error:
        print(f"jollyae: the demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _say("")
    left = f" The files are still there: rm -r '{root}' removes them." if root else " The files are removed."
    _say(f"Nothing is left running.{left}")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)
