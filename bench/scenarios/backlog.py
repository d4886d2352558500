"""Many files wait in one directory: are rate and memory what they are with 10,000?"""

import time

from .. import commands, spools
from ..figures import Run
from ..goals import FEW, MANY, MILLION
from ..lab import Contestant, Lab, need, remove
from ..programs import run as run_program

SIZE = 4096


def run(lab: Lab) -> None:
    """The two sizes in turn, each in a spool of its own that is filled once."""
    sizes = {FEW: 10_000, MANY: lab.count(100_000, MILLION)}
    try:
        for who, count in sizes.items():
            spools.make(lab.memory / who)
            spools.fill(lab.memory / who, count, SIZE)
        contestants = [
            Contestant(FEW, lambda number: _measure(lab, number, FEW, sizes[FEW])),
            Contestant(MANY, lambda number: _measure(lab, number, MANY, sizes[MANY])),
        ]
        lab.compete("backlog", contestants, lab.rounds())
    finally:
        for who in sizes:
            remove(lab.memory / who)


def _measure(lab: Lab, number: int, who: str, count: int) -> Run:
    """The rate is that between the first and the last PUT at the sink, so that a start weighs the same in both."""
    spool = lab.memory / who
    lab.sink.reset()
    command = commands.jollyae_once(spool, f"s3://b/{number}", lab.sink.http)
    try:
        begun = time.time()
        usage = run_program(command, lab.environment(**commands.ENVIRONMENT), lab.output(who))
        seen = lab.sink.counts()
        need(usage, {"objects at the sink": (seen.objects, count), "bytes": (seen.nbytes, count * SIZE)})
        spools.check(spool, count)
    finally:
        spools.put_back(spool)
    values = {
        "items_per_s": count / (seen.end - seen.start),
        "first_s": seen.start - begun,
        "peak_mb": usage.peak / 1e6,
        "cpu_us_per_item": usage.cpu / count * 1e6,
        "seconds": usage.seconds,
    }
    return Run("backlog", who, number, count, count * SIZE, values)
