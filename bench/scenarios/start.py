"""How long it takes to start: the help, and a run that finds nothing."""

from .. import commands, spools
from ..figures import Run
from ..lab import Contestant, Lab, need, remove
from ..programs import run as run_program

AGAIN = 5
"""Runs in a round; their mean is its value."""


def run(lab: Lab) -> None:
    """Both, after one run that is not counted (Python compiles modules at their first use)."""
    spool = lab.memory / "start"
    spools.make(spool)
    once = commands.jollyae_once(spool, "s3://b/p", lab.sink.http)
    programs = {"jollyae --help": [*commands.entry(), "--help"], "jollyae run --once, nothing there": once}
    try:
        contestants = [_contestant(lab, who, command) for who, command in programs.items()]
        for one in contestants:
            one.run(-1)
        lab.compete("start", contestants, lab.rounds())
    finally:
        remove(spool)


def _contestant(lab: Lab, who: str, command: list[str]) -> Contestant:
    return Contestant(who, lambda number: _measure(lab, number, who, command))


def _measure(lab: Lab, number: int, who: str, command: list[str]) -> Run:
    env = lab.environment(**commands.ENVIRONMENT)
    used = [run_program(command, env, lab.output(who)) for _ in range(AGAIN)]
    for usage in used:
        need(usage, {})
    seconds = sum(usage.seconds for usage in used) / AGAIN
    peak = max(usage.peak for usage in used)
    return Run("start", who, number, AGAIN, 0, {"seconds": seconds} | ({"peak_mb": peak / 1e6} if peak else {}))
