"""``jollyae drain --wait SPOOL``: wait until all that is there now is delivered."""

import argparse
import json
import math
import os
import shlex
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import terminal, where
from .options import UsageError, seconds

if TYPE_CHECKING:
    from ..service.drain import Drain, Drained
    from ..spool.spool import Spool


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser, or_queue=True)
    parser.add_argument("--wait", action="store_true", help="wait for it; otherwise say what would be waited for")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="wait no longer (90, 10m, 2h); then exit 75")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, of all queues a list; ignore fields you do not know"
    )


def main(arguments: argparse.Namespace) -> int:
    """Wait; exit code 0 all delivered, 1 some failed, 75 some wait."""
    from ..service.drain import Drain

    if arguments.timeout is not None and not arguments.wait:
        raise UsageError("--timeout goes with --wait", hint="Try: jollyae drain --wait --timeout S …")
    until = time.monotonic() + (math.inf if arguments.timeout is None else arguments.timeout)
    asked: list[tuple[where.Meant, Spool, Drain]] = []

    def ask(one: where.Meant, spool: "Spool") -> int:
        asked.append((one, spool, Drain(spool.places)))
        return 0

    code = where.each(arguments, ask)
    told: list[dict[str, Any]] = []
    for one, spool, drain in asked:
        if arguments.wait:
            done = _wait(one, spool, drain, until, quiet=arguments.json)
            told.append(_about(one) | asdict(done))
            code = max(code, done.exit_code)
        else:
            told.append(_about(one) | _preview(one, drain, quiet=arguments.json))
            code = max(code, os.EX_TEMPFAIL if drain.items else 0)
    if arguments.json:
        print(json.dumps(told[0] if len(told) == 1 and not told[0].get("queue") else told))
    return code


def _about(one: where.Meant) -> dict[str, Any]:
    return {"queue": one.name} if one.name else {}


def _prefix(one: where.Meant) -> str:
    return f"{one.name}: " if one.name else ""


def _wait(one: where.Meant, spool: "Spool", drain: "Drain", until: float, *, quiet: bool) -> "Drained":
    if drain.items and not quiet:
        _tell(_prefix(one) + _waiting(spool, drain))
    done = drain.wait(max(until - time.monotonic(), 0.0))
    if not quiet:
        _report(one, spool, done)
    return done


def _preview(one: where.Meant, drain: "Drain", *, quiet: bool) -> dict[str, Any]:
    if not quiet:
        print(_prefix(one) + _listing(drain))
    return {"asked": len(drain.items), **{str(place): count for place, count in drain.counts.items()}}


def _listing(drain: "Drain") -> str:
    from ..service.units import counted

    where = ", ".join(f"{count:,} in {place}" for place, count in drain.counts.items() if count)
    return f"{counted(len(drain.items), 'item')} to wait for: {where}" if drain.items else "nothing to wait for"


def _waiting(spool: "Spool", drain: "Drain") -> str:
    return _listing(drain) + _why(spool)


def _why(spool: "Spool") -> str:
    """Why they wait, where that can be told and is not only that they are many."""
    from ..service.observing.status import look

    paused = spool.paused()
    if paused is not None:
        return f"; paused by hand: {paused}"
    try:
        seen = look(spool)
    except OSError:  # not ours to read: then it is only waited
        return ""
    return f"; {seen['why']}" if seen["workers"] and seen["level"] != "ok" else ""


def _report(one: where.Meant, spool: "Spool", done: "Drained") -> None:
    from ..service import drain
    from ..service.units import counted
    from ..spool import names

    about = _prefix(one)
    for name in done.failed:
        print(f"jollyae: {about}failed: {names.printable(name)}", file=sys.stderr)
    for name in done.gone:
        print(f"jollyae: {about}gone, and no receipt tells where: {names.printable(name)}", file=sys.stderr)
    if done.outcome == drain.ABSENT:
        run = f"jollyae run {one.words.partition(' --queue ')[0]}" + ("" if one.name else " --to URL")
        if one.workdir and not one.config:
            run = f"jollyae run --from URL --workdir {shlex.quote(one.workdir)}, with its other options"
        _tell(f"{_prefix(one)}no worker is running on this spool. Try: {run}")
    elif done.outcome == drain.WAITING:
        _tell(f"{_prefix(one)}the time is over{_why(spool)}. Try: jollyae status {one.words}")
    for name in done.first:
        print(f"jollyae: {about}waits: {names.printable(name)}", file=sys.stderr)
    left = f", {done.waiting:,} still waiting" if done.waiting else ""
    bad = len(done.failed) + len(done.gone)
    print(f"{_prefix(one)}{counted(done.delivered, 'item')} delivered, {bad:,} not{left}")


def _tell(text: str) -> None:
    print(terminal.wrapped(f"jollyae: {text}", sys.stderr, 2), file=sys.stderr)
