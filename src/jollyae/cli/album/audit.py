"""``jollyae album audit URL --originals URL``: is all of it there?"""

import argparse
from collections import Counter
from collections.abc import Set
from typing import TYPE_CHECKING

from ..options import Option, add_all
from . import common

if TYPE_CHECKING:
    from ...album.audit import Fault

WORK = (
    Option(("--quick",), "compare sizes only; no original is read", parse=None),
    Option(("--repair",), "make renditions again, and documents for originals of no photo", parse=None),
)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser)
    add_all(parser, "work", WORK)
    common.add_originals(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, the counts last")


def main(arguments: argparse.Namespace) -> int:
    """Audit; 0: all is there, or was repaired."""
    originals = common.originals_of(arguments)
    return common.run(_main(arguments, originals))


async def _main(arguments: argparse.Namespace, originals: str) -> int:
    from dataclasses import asdict

    from ...album.audit import Fault
    from ...service.albums import verbs as album_verbs
    from ...service.units import counted, human

    left: Counter[Fault] = Counter()
    settings = common.settings(arguments)
    async with album_verbs.audit(arguments.url, settings, quick=arguments.quick, repair=arguments.repair) as audit:
        counts = audit.counts
        async with common.live(lambda: f"{counts.photos:,} looked at, {counts.faults:,} with a fault"):
            async for finding in audit.run():
                if not finding.is_repaired:
                    left[finding.fault] += 1
                if arguments.json:
                    common.show_json(finding.as_json())
                else:
                    word = "repaired" if finding.is_repaired else finding.fault.value
                    name = f" ({common.printable(finding.name)})" if finding.name else ""
                    common.show(f"{word:<9} {finding.id}{name}: {common.printable(finding.text)}")
    if arguments.json:
        common.show_json(asdict(counts))
        return int(bool(left))
    read = "" if arguments.quick else f", {human(counts.bytes)} read"
    common.show(f"{counted(counts.photos, 'photo')}, {counted(counts.originals, 'original')}{read}: {_verdict(counts)}")
    if counts.deleted:
        kept = counted(counts.deleted, "original")
        common.show(f"{kept} of photos that were deleted from the album {'is' if counts.deleted == 1 else 'are'} kept.")
    if left[Fault.MISSING] == counts.photos > 0:
        common.complain_of_place(counts.photos, originals)
    else:
        _advise(left.keys(), is_repairing=arguments.repair)
    return int(bool(left))


def _advise(left: "Set[Fault]", *, is_repairing: bool) -> None:
    """What to do about the kinds of faults that are left."""
    from ...album.audit import Fault

    if left - {Fault.MISSING, Fault.DAMAGED} and not is_repairing:
        common.show("Try: --repair.")
    if Fault.MISSING in left:
        common.show("An original that is missing must be brought again: drop the photo into the spool once more.")
    if Fault.DAMAGED in left:
        common.show(
            "An original that is damaged: remove it first, since nothing is ever overwritten; then drop the photo into "
            "the spool once more, or, where it lies in failed/, jollyae retry."
        )


def _verdict(counts: object) -> str:
    from ...album.audit import Counts
    from ...service.units import counted

    assert isinstance(counts, Counts)
    if not counts.faults:
        return "all is there"
    if not counts.repaired:
        return f"{counts.faults:,} with a fault"
    shown, left = counts.repaired - counts.made, counts.faults - counts.repaired
    made = [f"{counted(counts.made, 'photo')} made of originals that belonged to none"] if counts.made else []
    made += [f"{shown:,} got their pictures again"] if shown else []
    return ", ".join([*made, f"{left:,} left with a fault" if left else "nothing is left with a fault"])
