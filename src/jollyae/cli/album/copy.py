"""``jollyae album copy FROM TO``: an album into another, with nothing lost."""

import argparse

from . import common


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser, "source", "FROM", "the album")
    common.add_url(parser, "target", "TO", "the other, made where it is not there")
    common.add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Copy; 1 where something is not the same in both after all."""
    return common.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ...service.albums import verbs as album_verbs
    from ...service.units import counted

    how_far = ""

    def progress(step: str, number: int) -> None:
        nonlocal how_far
        how_far = f"{step} {number:,}"

    async with common.live(lambda: how_far, is_wanted=not arguments.json):
        report = await album_verbs.copy(arguments.source, arguments.target, progress)
    if arguments.json:
        common.show_json(asdict(report))
        return int(bool(report.wrong))
    for id, why in report.wrong.items():
        common.complain(f"not the same: {common.printable(id)}: {common.printable(why)}")
    photos = counted(report.documents.get("photo", 0), "photo")
    new = f"{report.leaves:,} revisions and {report.renditions:,} pictures were new"
    common.show(f"{photos}, {report.total:,} documents in all; {new}. Compared: {len(report.wrong):,} differ.")
    if report.gone:
        common.complain(
            f"{len(report.gone):,} of them were deleted in the target, and stay so: a copy brings nothing back. "
            "For all that there is, copy into a new album."
        )
    return int(bool(report.wrong))
