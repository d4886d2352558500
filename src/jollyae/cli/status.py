"""``jollyae status SPOOL``: what lies where, and why it waits. Reads the places; no worker need run."""

import argparse
import json
import os
import time
from dataclasses import asdict
from typing import Any

from . import where


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object; ignore fields you do not know")


def main(arguments: argparse.Namespace) -> int:
    """Print it."""
    from ..service.status import look

    seen = look(where.existing(arguments))
    if arguments.json:
        print(json.dumps(seen, default=asdict))
    else:
        print("\n".join(_text(seen, arguments.spool)))
    return 0


def _text(seen: dict[str, Any], spool: str) -> list[str]:
    lines = [f"{os.path.abspath(spool)}: {seen['why']}", ""]
    lines += [_place(name, count) for name, count in seen["places"].items()]
    lines += _beside(seen)
    for worker in seen["workers"]:
        lines += ["", *_worker(worker)]
    if seen["troubles"]:
        lines += ["", "latest troubles:"]
        lines += [line for trouble in seen["troubles"] for line in _trouble(trouble)]
    return lines


def _place(name: str, count: dict[str, Any]) -> str:
    from .output import ago, human

    oldest = f"oldest {ago(count['oldest_s'])}" if count["oldest_s"] is not None else ""
    return f"  {name:<10}{count['items']:>10,} items {human(count['bytes']):>12}   {oldest}".rstrip()


def _beside(seen: dict[str, Any]) -> list[str]:
    told = []
    if seen["ignored"]:
        told.append(f"{seen['ignored']} ignored in incoming/ (dotfiles, unfinished files)")
    if seen["unready"]:
        told.append(f"{seen['unready']} still being written or settling")
    return [f"  {', '.join(told)}"] if told else []


def _worker(worker: dict[str, Any]) -> list[str]:
    from .output import human

    lines = [f"worker {worker['worker']}: {worker['delivered']:,} delivered ({human(worker['delivered_bytes'])})"]
    lines[0] += f" to {worker['destination']}, {len(worker['in_flight'])} in flight"
    for flight in worker["in_flight"][:5]:
        lines.append(f"  {flight['name']}  {human(flight['sent'])} of {human(flight['size'])}")
    return lines


def _trouble(trouble: dict[str, Any]) -> list[str]:
    from .output import ago

    when = ago(max(time.time() - trouble["since"], 0))
    due = f", again in {ago(max(trouble['due'] - time.time(), 0))}" if trouble["due"] else ""
    lines = [f"  {trouble['place']}/{trouble['name']}  ({when} ago{due}): {trouble['error']}"]
    return [*lines, f"      {trouble['hint']}"] if trouble["hint"] else lines
