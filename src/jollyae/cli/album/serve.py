"""``jollyae album serve URL``: the album in browsers."""

import argparse
import sys
from pathlib import Path

from ..options import Option, add_all
from ..run_options import METRICS
from . import common


def port(text: str) -> int:
    """A port's number. Raises :class:`ValueError`."""
    if not text.isdigit() or int(text) > 65535:
        raise ValueError(f"{text!r} must be a whole number, 0 to 65535")
    return int(text)


PAGES = (
    Option(("--host",), "the address to listen at; this machine only, unless told", "ADDRESS", "127.0.0.1"),
    Option(("--port",), "the port; 0: any that is free", "N", 8080, port),
    Option(("--public",), "the public server: GET and HEAD only, no login, from the public album URL", parse=None),
    Option(("--title",), "what the album is called on its pages", "TEXT", "Album"),
    Option(("--hostname",), "a name under which browsers find it; *.example.org for all below; repeatable", "NAME", (),
           many=True),
)  # fmt: skip
WORK = (
    Option(("--spool",), "uploads go into this spool", "SPOOL"),
    Option(("--project",), "keep this public album (as album project does)", "URL"),
    Option(("--no-keeper",), "do not merge what other servers bring", parse=None),
)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser)
    add_all(parser, "the pages", PAGES)
    add_all(parser, "work", WORK)
    common.add_originals(parser)
    add_all(parser, "metrics: how the servers of the album replicate", METRICS)
    common.add_log(parser)


def main(arguments: argparse.Namespace) -> int:
    """Serve, until told to stop."""
    from .. import run

    run.logging_for(arguments)
    return common.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    from ...http.serving import CannotListen
    from ...service.albums import serve as album_serve
    from ...service.observing.exporter import Wanted
    from ...spool.places import Places

    serving = album_serve.Serving(
        host=arguments.host,
        port=arguments.port,
        is_public=arguments.public,
        spool=Places.under(Path(arguments.spool)) if arguments.spool else None,
        project=arguments.project,
        is_kept=not arguments.no_keeper,
        title=arguments.title,
        hosts=arguments.hostname,
        metrics=Wanted(addr=arguments.metrics_addr, file=arguments.metrics_file),
    )
    try:
        await album_serve.serve(arguments.url, serving, common.settings(arguments), _ready)
    except CannotListen as error:
        common.complain(error.message, error.hint)
        return 1
    return 0


def _ready(address: str) -> None:
    print(f"The album is at {address}", flush=True)
    if not sys.stdout.isatty():
        return
    print("Ctrl-C ends it.", flush=True)
