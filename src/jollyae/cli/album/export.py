"""``jollyae album export URL DIR --originals URL``: leave with everything."""

import argparse
from pathlib import Path

from . import common


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser)
    parser.add_argument("directory", metavar="DIR", help="where it goes; made where it is not there")
    common.add_originals(parser)
    common.add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Export; 1 where some photo is not there."""
    common.originals_of(arguments)
    return common.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ...album.export import Exported
    from ...service.albums import verbs as album_verbs
    from ...service.units import human

    directory, done = Path(arguments.directory), Exported()
    async with common.live(lambda: f"{done.added:,} new, {done.kept:,} there already"):
        await album_verbs.export(arguments.url, directory, common.settings(arguments), done)
    if arguments.json:
        common.show_json(asdict(done))
        return int(bool(done.failed))
    common.complain_of_photos(done, arguments.originals, "not exported: ")
    renamed = f", {done.renamed:,} renamed" if done.renamed else ""
    common.show(
        f"{done.added:,} new ({human(done.bytes)}), {done.kept:,} there already{renamed}, "
        f"{done.sidecars:,} sidecars written: {directory}"
    )
    if done.gone:
        common.show(f"{done.gone:,} files there are of photos that are no longer in the album; they stay.")
    return int(bool(done.failed))
