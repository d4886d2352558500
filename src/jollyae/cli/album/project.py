"""``jollyae album project URL PUBLIC``: keep the public database."""

import argparse

from ..options import Option, add_all
from . import common

ONCE = Option(("--once",), "look at everything once, mend what differs, and exit", parse=None)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser)
    common.add_url(parser, "public", "PUBLIC", "the public album, made where it is not there")
    add_all(parser, "work", (ONCE,))
    common.add_json(parser)
    common.add_log(parser)


def main(arguments: argparse.Namespace) -> int:
    """Keep it, until told to stop."""
    from .. import run

    run.logging_for(arguments)
    return common.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ...service.albums import serve as album_serve
    from ...service.units import counted

    done = await album_serve.project(arguments.url, arguments.public, once=arguments.once)
    if arguments.json:
        common.show_json(asdict(done))
        return 0
    conflicts = f", {done.conflicts:,} conflicts wait for a person" if done.conflicts else ""
    shown = f"{counted(done.published - done.comments, 'photo')} and {counted(done.comments, 'comment')} published"
    common.show(f"{shown}, {counted(done.withdrawn, 'document')} withdrawn, {done.merged:,} merged{conflicts}")
    return 0
