"""``jollyae drain --wait SPOOL``: wait until all that is there now is delivered."""

import argparse
import json
import math
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from . import terminal, where
from .options import seconds

if TYPE_CHECKING:
    from ..service.drain import Drain, Drained
    from ..spool.spool import Spool


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser)
    parser.add_argument("--wait", action="store_true", help="wait for it; otherwise say what would be waited for")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="wait no longer (90, 10m, 2h); then exit 75")
    parser.add_argument("--json", action="store_true", help="one JSON object; ignore fields you do not know")


def main(arguments: argparse.Namespace) -> int:
    """Wait; exit code 0 all delivered, 1 some failed, 75 some wait."""
    from ..service.drain import Drain

    spool = where.existing(arguments)
    drain = Drain(spool.places)
    if not arguments.wait:
        return _preview(drain, as_json=arguments.json)
    if drain.items and not arguments.json:
        _tell(_waiting(spool, drain))
    done = drain.wait(math.inf if arguments.timeout is None else arguments.timeout)
    if arguments.json:
        print(json.dumps(asdict(done)))
    else:
        _report(done)
    return done.exit_code


def _preview(drain: "Drain", *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"asked": len(drain.items), **{str(place): count for place, count in drain.counts.items()}}))
    else:
        print(_listing(drain))
    return os.EX_TEMPFAIL if drain.items else 0


def _listing(drain: "Drain") -> str:
    from ..service.units import counted

    where = ", ".join(f"{count:,} in {place}" for place, count in drain.counts.items() if count)
    return f"{counted(len(drain.items), 'item')} to wait for: {where}" if drain.items else "nothing to wait for"


def _waiting(spool: "Spool", drain: "Drain") -> str:
    paused = spool.paused()
    return _listing(drain) + (f"; paused by hand: {paused}" if paused is not None else "")


def _report(done: "Drained") -> None:
    from ..service import drain
    from ..service.units import counted
    from ..spool import names

    for name in done.failed:
        print(f"jollyae: failed: {names.printable(name)}", file=sys.stderr)
    for name in done.gone:
        print(f"jollyae: gone, and no receipt tells where: {names.printable(name)}", file=sys.stderr)
    if done.outcome == drain.ABSENT:
        _tell("no worker is running on this spool. Try: jollyae run SPOOL --to URL")
    elif done.outcome == drain.WAITING:
        _tell("the time is over. Try: jollyae status SPOOL")
    for name in done.first:
        print(f"jollyae: waits: {names.printable(name)}", file=sys.stderr)
    left = f", {done.waiting:,} still waiting" if done.waiting else ""
    bad = len(done.failed) + len(done.gone)
    print(f"{counted(done.delivered, 'item')} delivered, {bad:,} not{left}")


def _tell(text: str) -> None:
    print(terminal.wrapped(f"jollyae: {text}", sys.stderr, 2), file=sys.stderr)
