"""``jollyae log SPOOL``: the receipts of what was delivered."""

import argparse
import json
import sys
import time

from . import terminal, where
from .options import seconds


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, all fields")
    parser.add_argument(
        "--since", type=_since, metavar="WHEN", help="only newer ones: 10m, 2h, 7d, or 2026-11-21[T10:00]"
    )
    parser.add_argument("-n", "--lines", type=int, metavar="N", help="only the newest N")


def main(arguments: argparse.Namespace) -> int:
    """Print them, the oldest first."""
    from ..worker import receipts

    spool = where.existing(arguments)
    found = receipts.newest(receipts.read(spool.places.receipts, arguments.since))
    for one in found[-arguments.lines :] if arguments.lines else found:
        print(json.dumps(one) if arguments.json else terminal.wrapped(_line(one), sys.stdout, 4))
    return 0


def _line(one: dict[str, object]) -> str:
    from ..service.units import human
    from ..spool import names

    size = one.get("size")
    told = human(size) if isinstance(size, int) else "?"
    marks = ["already there"] if one.get("already_there") else []
    marks += ["NO UPLOAD"] if one.get("upload") is False else []
    note = f"  ({', '.join(marks)})" if marks else ""
    where = one.get("url") or one.get("command") or one.get("notified") or "-"
    return f"{str(one.get('finished'))[:19]}Z  {told:>10}  {names.printable(str(one.get('name')))}  {where}{note}"


def _since(text: str) -> float:
    from datetime import datetime

    try:
        return time.time() - seconds(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration (10m, 7d) and no date") from None
