"""``jollyae album sync-originals URL DIR --originals URL``: a verified local copy of every original."""

import argparse
from pathlib import Path

from ..options import Option, add_all
from . import common

QUICK = Option(("--quick",), "believe what is there and has the right size, without reading it", parse=None)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser)
    parser.add_argument("directory", metavar="DIR", help="where the copies go; made where it is not there")
    add_all(parser, "work", (QUICK,))
    common.add_originals(parser)
    common.add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Copy; 1 where some original is missing or damaged."""
    common.originals_of(arguments)
    return common.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ...album.syncing import Synced
    from ...service.albums import verbs as album_verbs
    from ...service.units import human

    directory, done = Path(arguments.directory), Synced()
    async with common.live(lambda: f"{done.brought:,} brought, {done.kept:,} there already"):
        await album_verbs.sync(arguments.url, directory, common.settings(arguments), done, quick=arguments.quick)
    if arguments.json:
        common.show_json(asdict(done))
        return int(bool(done.failed))
    common.complain_of_photos(done, arguments.originals)
    mended = f", {done.mended:,} were damaged and are mended" if done.mended else ""
    brought = f"{done.brought:,} brought ({human(done.bytes)}), {done.kept:,} there already{mended}"
    common.show(f"{brought}, {len(done.failed):,} missing: {directory}")
    return int(bool(done.failed))
