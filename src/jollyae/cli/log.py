"""``jollyae log SPOOL``: the receipts of what was delivered."""

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from . import terminal, where
from .options import positive, seconds

if TYPE_CHECKING:
    from ..spool.spool import Spool


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser, or_queue=True)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, all fields")
    parser.add_argument(
        "--since", type=_since, metavar="WHEN", help="only newer ones: 10m, 2h, 7d, or 2026-11-21[T10:00]"
    )
    parser.add_argument("-n", "--lines", type=_count, metavar="N", help="only the newest N")


def main(arguments: argparse.Namespace) -> int:
    """Print them, the oldest first."""
    from ..worker import receipts

    collected: list[dict[str, Any]] = []

    def collect(one: where.Meant, spool: "Spool") -> int:
        about = {"queue": one.name} if one.name else {}
        collected.extend(about | receipt for receipt in receipts.read(spool.places.receipts, arguments.since))
        return 0

    code = where.each(arguments, collect)
    found = receipts.newest(collected)
    for one in found[-arguments.lines :] if arguments.lines else found:
        print(json.dumps(one) if arguments.json else terminal.wrapped(_line(one), sys.stdout, 4))
    return code


def _count(text: str) -> int:
    try:
        return positive(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _line(one: dict[str, object]) -> str:
    from ..service.units import human
    from ..spool import names

    size = one.get("size")
    told = human(size) if isinstance(size, int) else "?"
    marks = ["already there"] if one.get("already_there") else []
    marks += ["NO UPLOAD"] if one.get("upload") is False else []
    note = f"  ({', '.join(marks)})" if marks else ""
    where = one.get("url") or one.get("command") or one.get("notified") or "-"
    about = f"{one['queue']}: " if one.get("queue") else ""
    name = names.printable(str(one.get("name")))
    return f"{str(one.get('finished'))[:19]}Z  {told:>10}  {about}{name}  {where}{note}"


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
