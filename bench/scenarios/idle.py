"""A worker with nothing to do: what does it ask the store, and what CPU does it use?"""

import time

from .. import commands, spools
from ..figures import Run
from ..goals import OURS
from ..lab import Contestant, Lab, remove, wait_until
from ..programs import Daemon, Failed


def run(lab: Lab) -> None:
    """Once: it is the length that counts."""
    lab.compete("idle", [Contestant(OURS, lambda number: _measure(lab, number))], lab.settings.rounds or 1)


def _measure(lab: Lab, number: int) -> Run:
    seconds = lab.seconds(60, 600)
    spool = lab.memory / "idle"
    spools.make(spool)
    lab.sink.reset()
    command = commands.jollyae(spool, "s3://b/p", lab.sink.http)
    try:
        with Daemon(command, lab.environment(**commands.ENVIRONMENT), lab.output("idle")) as daemon:
            spools.fill(spool, 1, 4096)
            wait_until(lambda: spools.lying(spool, "finished") == 1, 20, f"the first file delivered: {daemon.told()}")
            time.sleep(3)
            lab.sink.reset()
            begun, before = time.monotonic(), daemon.cpu()
            time.sleep(seconds)
            cpu, taken = daemon.cpu() - before, time.monotonic() - begun
            if daemon.process.poll() is not None:
                raise Failed(f"it ended: {daemon.told()}")
            requests, peak = lab.sink.counts().requests, daemon.stop()
    finally:
        remove(spool)
    values = {"requests": float(requests), "cpu_percent": cpu / taken * 100, "peak_mb": peak / 1e6}
    return Run("idle", OURS, number, round(seconds), 0, values)
