"""``jollyae album import URL DIR --originals URL``: bring a directory in, with its XMP sidecars."""

import argparse
import logging
import os
from pathlib import Path

from ..options import Option, UsageError, add_all
from . import common


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser)
    parser.add_argument("directory", metavar="DIR", help="pictures, with or without sidecars (a.jpg.xmp or a.xmp)")
    add_all(parser, "work", (Option(("--addedby",), "who is told to have added them; else each file's owner", "NAME"),))
    common.add_originals(parser)
    common.add_json(parser)
    common.add_log(parser)


def main(arguments: argparse.Namespace) -> int:
    """Import; 1 where some file could not be taken in, 75 where some wait."""
    from .. import run

    common.originals_of(arguments)
    if not os.path.isdir(arguments.directory):
        raise UsageError(f"{arguments.directory}: there is no such directory")
    arguments.quiet = arguments.quiet or not arguments.verbose  # what its own spool does is nobody's business
    handler = run.logging_for(arguments)
    if arguments.log_format == "text":  # told at the end, once
        handler.addFilter(lambda record: not (record.levelno == logging.ERROR and hasattr(record, "item")))
    return common.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ...album.importing import Imported
    from ...service.albums import verbs as album_verbs

    directory, done = Path(arguments.directory), Imported()
    async with common.live(lambda: f"{done.added:,} new, {done.known:,} there already, {len(done.failed):,} failed"):
        waiting = await album_verbs.import_directory(arguments.url, directory, common.settings(arguments), done)
    code = 1 if done.failed else 75 if waiting else 0
    if arguments.json:
        common.show_json(asdict(done) | {"waiting": waiting})
        return code
    for name, why in done.failed.items() if arguments.log_format == "text" else ():
        common.complain(f"not imported: {common.printable(name)}: {common.printable(why)}")
    for name, why in done.sidecars.items():
        common.complain(f"its sidecar was not (wholly) read: {common.printable(name)}: {common.printable(why)}")
    for name, why in done.held.items():
        common.complain(f"not imported yet: {common.printable(name)}: {common.printable(why)}")
    edited = f" ({done.edited:,} of them got newer edits)" if done.edited else ""
    passed = f", {done.passed:,} files passed over" if done.passed else ""
    common.show(f"{done.added:,} new, {done.known:,} there already{edited}, {len(done.failed):,} failed{passed}")
    if waiting > len(done.held):
        common.show("Some wait, since album or originals cannot be reached: run it again.")
    elif waiting:
        common.show(f"{waiting:,} {'waits' if waiting == 1 else 'wait'}, as told above: run it again.")
    return code
