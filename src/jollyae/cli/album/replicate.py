"""``jollyae album replicate URL [OTHER…]``: replication between CouchDB servers."""

import argparse
from typing import TYPE_CHECKING

from ..options import Option, UsageError, add_all
from . import common

if TYPE_CHECKING:
    from ...album.couch.replication import State

LINKS = (
    Option(("--ring",), "each with the next, instead of each with each", parse=None),
    Option(("--publish",), "one way, from the public album URL to that of a public server", parse=None),
)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser)
    parser.add_argument(
        "others", metavar="OTHER", nargs="*", help="the albums to replicate with; without one: show all"
    )
    add_all(parser, "links", LINKS)
    parser.add_argument("--remove", action="store_true", help="end the replication; what was replicated stays")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def main(arguments: argparse.Namespace) -> int:
    """Set up, remove or show; 1 where one that is shown is not well."""
    if not arguments.others and (arguments.ring or arguments.publish or arguments.remove):
        raise UsageError("which other album? say its URL")
    if arguments.ring and arguments.publish:
        raise UsageError("--ring and --publish: say only one of them")
    return common.run(_change(arguments) if arguments.others else _show(arguments))


async def _change(arguments: argparse.Namespace) -> int:
    from ...service.albums import replicate as album_replicate

    kind = "publish" if arguments.publish else "ring" if arguments.ring else "mesh"
    urls = [arguments.url, *arguments.others]
    for step in await album_replicate.change(urls, kind, remove=arguments.remove):
        if arguments.json:
            common.show_json({"source": str(step.link.source), "target": str(step.link.target), "done": step.done})
        else:
            common.show(f"{step.done:<8} {step.link}")
    return 0


async def _show(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ...service.albums import replicate as album_replicate

    states = await album_replicate.states(arguments.url)
    for state in states:
        if arguments.json:
            common.show_json(asdict(state) | {"well": state.is_well})
        else:
            _tell(state)
    if not states and not arguments.json:
        common.show("This server replicates with nobody. Set it up: jollyae album replicate URL OTHER")
    return int(not all(state.is_well for state in states))


def _tell(state: "State") -> None:
    lag = "" if state.lag is None else f", {state.lag:,} changes behind"
    common.show(f"{state.state:<8} {state.source} → {state.target}: {state.written:,} documents written{lag}")
    if state.error:
        common.show(f"         {common.printable(state.error)}")
    if state.refused:
        common.show(f"         the target refused {state.refused:,} documents")
