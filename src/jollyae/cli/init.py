"""``jollyae init SPOOL``: make the places."""

import argparse

from . import where
from .options import UsageError


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser)
    parser.add_argument(
        "--mode", default="700", help="mode of tmp/ and incoming/, octal; 1733 lets other users submit [default: 700]"
    )


def main(arguments: argparse.Namespace) -> int:
    """Make them, and show the next step."""
    from ..spool.spool import Spool

    try:
        mode = int(arguments.mode, 8)
    except ValueError:
        raise UsageError(f"--mode {arguments.mode}: write it in octal, such as 700 or 1733") from None
    spool = Spool(places=where.places(arguments), make=False)
    spool.make(mode)
    spool.prove()
    print(f"{spool.places.incoming} is ready.\nNext: jollyae run {where.words(arguments)} --to s3://BUCKET")
    return 0
