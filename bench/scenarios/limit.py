"""How much the null sink takes: wrk, 64 connections, PUT of 4 KiB, http and https."""

import re
from functools import partial
from pathlib import Path

from .. import programs
from ..commands import program
from ..figures import Run
from ..lab import Contestant, Lab, need

SCRIPT = Path(__file__).parent.parent / "put.lua"
SECONDS = 3


def run(lab: Lab) -> None:
    """All rounds."""
    endpoints = {"wrk, http": lab.sink.http, "wrk, https": lab.sink.https}
    contestants = [Contestant(who, partial(_wrk, lab, who, endpoint), "wrk") for who, endpoint in endpoints.items()]
    lab.compete("limit", contestants, lab.rounds())


def _wrk(lab: Lab, who: str, endpoint: str, number: int) -> Run:
    lab.sink.reset()
    command = [*program("wrk"), "-t1", "-c64", f"-d{SECONDS}", "-s", str(SCRIPT), endpoint]
    usage = programs.run(command, lab.environment(), lab.output(who))
    need(usage, {})
    found = re.search(r"Requests/sec:\s*([\d.]+)", usage.told)
    if not found or "Non-2xx" in usage.told:
        raise programs.Failed(f"wrk: {' '.join(usage.told.split())[-200:]}")
    count = lab.sink.counts().objects
    values = {"items_per_s": float(found[1]), "cpu_us_per_item": usage.cpu / count * 1e6}
    return Run("limit", who, number, count, count * 4096, values)
