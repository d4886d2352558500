"""2,000 files a second are renamed in: how long until each is an object, and does anything accumulate?"""

import time

from .. import arrivals, commands, spools
from ..figures import Run, percentile
from ..goals import OURS, TWO
from ..lab import Contestant, Lab, remove, wait_until
from ..programs import Daemon, Failed

RATE = 2_000
SIZE = 4096


def run(lab: Lab) -> None:
    """jollyae with one process, and with two."""
    contestants = [
        Contestant(OURS, lambda number: _measure(lab, number, OURS)),
        Contestant(TWO, lambda number: _measure(lab, number, TWO, "--processes", "2"), "--processes", 2),
    ]
    lab.compete("arrival", contestants, lab.rounds())


def _measure(lab: Lab, number: int, who: str, *more: str) -> Run:
    count = int(RATE * lab.seconds(5, 30))
    spool = lab.memory / "arrival"
    incoming = spools.make(spool)
    names = arrivals.prepare(spool / "tmp", count, SIZE)
    due = [position / RATE for position in range(count)]
    environment = lab.environment(**commands.ENVIRONMENT)
    try:
        with (
            arrivals.serve(lab.memory / "clock.log") as sink,
            Daemon(commands.jollyae(spool, "s3://b/p", sink.endpoint, *more), environment, lab.output(who)) as daemon,
        ):
            time.sleep(2.5)
            before = daemon.cpu()
            renamed = arrivals.rename_in(spool / "tmp", incoming, names, due)
            wait_until(lambda: spools.lying(spool, "finished") == count, 30, f"{count:,} delivered: {daemon.told()}")
            cpu, peak = daemon.cpu() - before, daemon.stop()
        spools.check(spool, count)
    finally:
        remove(spool)
    if len(sink.seen) != count:
        raise Failed(f"{len(sink.seen):,} of {count:,} came")
    taken = (max(renamed.values()) - min(renamed.values())) / 1e9
    if count / taken < 0.98 * RATE:
        raise Failed(f"the machine was too busy: only {count / taken:,.0f} files/s were renamed in")
    found = arrivals.delays(renamed, sink.seen, 1)
    values = {
        "median_ms": percentile(found, 50),
        "p99_ms": percentile(found, 99),
        "growth": arrivals.growth(renamed, sink.seen),
        "cpu_us_per_item": cpu / count * 1e6,
        "peak_mb": peak / 1e6,
    }
    return Run("arrival", who, number, count, count * SIZE, values)
