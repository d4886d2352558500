"""``jollyae status SPOOL…``: what lies where, and why it waits. Reads the places; no worker need run."""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from . import terminal, where
from .options import PLACES, UsageError, was_given

if TYPE_CHECKING:
    from ..service.settings import ConfigurationError


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser, or_queue=True, many=True)
    parser.add_argument("--ages", action="store_true", help="how many items of each place are how old; reads them all")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object, of several a list; ignore fields you do not know"
    )


def main(arguments: argparse.Namespace) -> int:
    """Print it."""
    from ..service.settings import ConfigurationError

    try:
        found = _meant(arguments)
    except ConfigurationError as error:
        raise ConfigurationError(error.message, _instead(error, arguments)) from error
    is_one = len(arguments.spools) == len(found) == 1
    seen = [_look(one, arguments, must=is_one) for one in found]
    _tell_left(seen)
    if arguments.json:
        print(json.dumps(seen[0] if is_one else seen, default=asdict))
        return 0
    for line in _text(seen[0], arguments.spools[0]) if is_one else _all(seen, arguments):
        print(terminal.wrapped(line, sys.stdout, len(line) - len(line.lstrip()) + 4))
    return 0


def _instead(error: "ConfigurationError", arguments: argparse.Namespace) -> str:
    """What is wrong with a file keeps nobody from looking at the spools it names: who runs them has an older one."""
    from ..service import config, settings

    try:
        path = config.find({config.VARIABLE: arguments.config} if arguments.config else os.environ)
    except settings.ConfigurationError:
        return error.hint
    named = " ".join(map(shlex.quote, config.spools_named(path))) or "SPOOL"
    more = f"What runs goes on with the file as it was. To look at it meanwhile: jollyae status {named}"
    return f"{error.hint} {more}".strip()


def _meant(arguments: argparse.Namespace) -> list[where.Meant]:
    """The spools that are named, or the queues of a configuration."""
    found: list[where.Meant] = []
    for spool in arguments.spools or [None]:
        arguments.spool = spool
        found += where.apart(where.meant(arguments))
    if len(arguments.spools) > 1:
        for option in PLACES:
            if was_given(option, arguments):
                raise UsageError(f"{option.flags[0]} goes with one SPOOL", hint="Name the others one at a time.")
    return found


def _look(one: where.Meant, arguments: argparse.Namespace, *, must: bool) -> dict[str, Any]:
    """What is seen of it. ``must``: raise :class:`UsageError` where it is not there; else that is what is seen."""
    from ..service.observing.status import look

    try:
        spool = where.made(one.places)
    except UsageError as error:
        if must:
            raise
        lost = {"spool": str(one.places.control), "why": f"{error}. {error.hint}", "level": "trouble"}
        return {"queue": one.title, **lost, "try": f"ls -la {shlex.quote(str(one.places.control))}"}
    seen = look(
        spool,
        ages=arguments.ages,
        config=one.config,
        queue=one.name,
        is_wanted=one.is_wanted,
        targets=one.targets,
    )
    seen |= {"workdir": one.workdir} if one.workdir else {}
    return seen | ({} if must else {"queue": one.title})


def _tell_left(seen: list[dict[str, Any]]) -> None:
    """What lies where no process works, while others of the same workdir run, waits for no start."""
    from ..service.workdirs import FAILED, LEFT

    running = {one["workdir"] for one in seen if one.get("workdir") and one["workers"]}
    for one in seen:
        items = (
            sum(one["places"][place]["items"] for place in ("incoming", "working", "deferred"))
            if "places" in one
            else 0
        )
        if one.get("workdir") not in running or one["workers"] or one["paused_by_hand"] is not None:
            continue
        said = "left by a run with another number of processes, and none of those that run works here."
        if items:
            one |= {"why": f"{_items(items)} {said} {LEFT}", "level": "trouble", "try": ""}
        elif failed := one["places"]["failed"]["items"] if "places" in one else 0:
            one |= {"why": f"{failed:,} failed, {said} {FAILED}", "level": "trouble"}


def _items(number: int) -> str:
    from ..service.units import counted

    return counted(number, "item")


def _together(seen: list[dict[str, Any]]) -> list[str]:
    """What lies in all spools of a workdir."""
    lines: list[str] = []
    for workdir in dict.fromkeys(one["workdir"] for one in seen if one.get("workdir")):
        parts = [one["places"] for one in seen if one.get("workdir") == workdir]
        lines += ["", f"{workdir}, all together:"]
        lines += [_place(name, _sum([places[name] for places in parts])) for name in parts[0]]
    return lines


def _sum(counts: list[dict[str, Any]]) -> dict[str, Any]:
    summed = {field: sum(one[field] for one in counts) for field in ("items", "bytes")}
    ages = [one["oldest_s"] for one in counts if one["oldest_s"] is not None]
    return summed | {"oldest_s": max(ages, default=None), "counted_s": max(one["counted_s"] for one in counts)}


def _all(seen: list[dict[str, Any]], arguments: argparse.Namespace) -> list[str]:
    """A line for each queue and each target of its messages, then all of those in trouble (with --ages: of all)."""
    lines = [*(line for one in seen for line in _lines(one)), *_together(seen)]
    for one in seen:
        if "places" in one and (arguments.ages or "trouble" in {one["level"], *_levels(one)}):
            head = one["queue"] if one["queue"] == one["spool"] else f"{one['queue']}, {one['spool']}"
            lines += ["", f"{head}:", *_details(one)]
    return lines


def _levels(one: dict[str, Any]) -> list[str]:
    return [target["level"] for target in one["notifications"]]


def _lines(one: dict[str, Any]) -> list[str]:
    lines = [f"{one['level']:<8} {one['queue']}: {one['why']}", *_way_out(one)]
    for target in one.get("notifications", ()):
        lines.append(f"{target['level']:<8} {one['queue']}/{target['target']}: {target['why']}")
        lines += _way_out(target)
    return lines


def _way_out(seen: dict[str, Any]) -> list[str]:
    """The command that helps, where the sentence has it not, and it is more than to look here."""
    command = seen["try"]
    return [f"         {command}"] if command and command not in seen["why"] and " status " not in command else []


def _text(seen: dict[str, Any], spool: str) -> list[str]:
    return [f"{os.path.abspath(spool)}: {seen['why']}", *_way_out(seen), "", *_details(seen)]


def _details(seen: dict[str, Any]) -> list[str]:
    lines = [_place(name, count) for name, count in seen["places"].items()]
    lines += _beside(seen)
    if seen["ages"]:
        lines += ["", *_ages(**seen["ages"])]
    for worker in seen["workers"]:
        lines += ["", *_worker(worker)]
    lines += [f"dead worker {name}: a living one takes over what it left" for name in seen["dead"]]
    if seen["notifications"]:
        lines += ["", "notifications:", *(f"  {one['target']}: {one['why']}" for one in seen["notifications"])]
    if seen["troubles"]:
        lines += ["", f"latest troubles{_of_all(seen)}:"]
        lines += [line for alike in _grouped(seen["troubles"]) for line in _trouble(alike)]
    return lines


def _of_all(seen: dict[str, Any]) -> str:
    """How many there are, where not all of them are told."""
    told = [one for one in seen["troubles"] if one["place"] in ("failed", "deferred")]
    there = sum(seen["places"][place]["items"] for place in ("failed", "deferred"))
    return f", the newest {len(told)} of {there:,}" if there > len(told) > 0 else ""


def _place(name: str, count: dict[str, Any]) -> str:
    from ..service.units import ago, counted, human

    oldest = f"oldest {ago(count['oldest_s'])}" if count["oldest_s"] is not None else ""
    items = counted(count["items"], "item")
    about = f"   about: counted {ago(count['counted_s'])} ago" if count["counted_s"] else ""
    return f"  {name:<10}{items:>14} {human(count['bytes']):>12}   {oldest}{about}".rstrip()


def _ages(bounds_s: Sequence[float], items: dict[str, list[int]]) -> list[str]:
    """How many are how old, a column for each bucket; as wide as a terminal of 80 columns."""
    heads = [f"{bound / 60:.0f}m" for bound in bounds_s]
    lines = [f"  {'age up to':<9}" + "".join(f"{head:>6}" for head in [*heads, "more"])]
    for name, counts in items.items():
        lines.append(f"  {name:<9}" + "".join(f"{_short(count):>6}" for count in counts))
    return lines


def _short(number: int) -> str:
    """A number in five characters.

    >>> _short(0), _short(99999), _short(123456), _short(12345678)
    ('0', '99999', '123k', '12M')
    """
    for limit, unit, size in ((100_000, "", 1), (10_000_000, "k", 1000)):
        if number < limit:
            return f"{number // size}{unit}"
    return f"{number // 1_000_000}M"


def _beside(seen: dict[str, Any]) -> list[str]:
    told = []
    if seen["ignored"]:
        told.append(f"{seen['ignored']} ignored in incoming/ (dotfiles, unfinished files)")
    if seen["unready"]:
        told.append(f"{seen['unready']} still being written or settling")
    lines = [f"  {', '.join(told)}"] if told else []
    if seen["missing"]:
        which = " and ".join(f"{place}/" for place in seen["missing"])
        lines.append(f"  there is no {which}: where it is elsewhere, say so (--{seen['missing'][0]} DIR, or -c FILE)")
    if seen["below_floor"]:
        lines.append(f"  below the floor, so submit refuses: {seen['below_floor']}")
    return lines


def _worker(worker: dict[str, Any]) -> list[str]:
    from ..service.units import human

    lines = [f"worker {worker['worker']}: {worker['delivered']:,} delivered ({human(worker['delivered_bytes'])})"]
    lines[0] += f" to {worker['destination']}, {len(worker['in_flight'])} in flight"
    if worker["lease"]:
        lines[0] += f"; shared, lease {worker['lease']:g} s"
    for flight in worker["in_flight"][:5]:
        lines.append(f"  {flight['name']}  {human(flight['sent'])} of {human(flight['size'])}")
    return lines


def _grouped(troubles: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Troubles of one place with one reason together, in the order of the newest of each."""
    from ..service.observing.alike import title
    from ..spool.names import decode

    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for trouble in troubles:
        reason = title(trouble["error"], decode(trouble["name"]))
        groups.setdefault((trouble["place"], reason, trouble["hint"]), []).append(trouble)
    return list(groups.values())


def _trouble(alike: list[dict[str, Any]]) -> list[str]:
    from ..service.units import ago
    from ..spool.names import printable

    newest, others = alike[0], len(alike) - 1
    when = ago(max(time.time() - newest["since"], 0))
    due = f", again in {ago(max(newest['due'] - time.time(), 0))}" if newest["due"] else ""
    more = f" and {others} more" if others else ""
    arrived = min((one["arrived"] for one in alike if one["due"] and one["arrived"]), default=0.0)
    tried = f"arrived {ago(max(time.time() - arrived, 0))} ago, tried " if arrived else ""
    times = f"  ({tried}{when} ago{due})" if newest["since"] else ""
    first, *said = str(newest["error"]).splitlines() or [""]
    lines = [f"  {newest['place']}/{printable(newest['name'])}{more}{times}: {first}"]
    lines += [f"      | {line}" for line in said]
    return [*lines, f"      {newest['hint']}"] if newest["hint"] else lines
