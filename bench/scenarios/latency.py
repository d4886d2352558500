"""A file is renamed in while the worker is idle: when is its first byte at the server?"""

import random
import time
from collections.abc import Callable
from pathlib import Path

from .. import arrivals, commands, spools
from ..figures import Run, percentile
from ..goals import OURS
from ..lab import Contestant, Lab, remove, wait_until
from ..programs import Daemon, Failed

SIZE = 4096
SCRIPTS = Path(__file__).parent.parent
Start = Callable[[Path, str], list[str]]


def run(lab: Lab) -> None:
    """jollyae, and what people write with inotifywait and in loops; these with fewer files."""
    count = lab.count(100, 200)
    few = min(count, 20)
    contestants = [
        _contestant(lab, OURS, "", _jollyae, count, 0.1, 0),
        _contestant(lab, "inotifywait + s5cmd", "inotifywait", _with_s5cmd, few, 0.3, 2),
        _contestant(lab, "inotifywait + aws s3 cp", "inotifywait", _with_aws, min(few, 8), 2.0, 1),
        _contestant(lab, "rclone move in a loop", "rclone", _with_rclone, few, 0.3, 2),
    ]
    lab.compete("latency", contestants, lab.rounds())


def _contestant(lab: Lab, who: str, program: str, start: Start, count: int, gap: float, rounds: int) -> Contestant:
    return Contestant(who, lambda number: _measure(lab, number, who, start, count, gap), program, rounds)


def _jollyae(spool: Path, endpoint: str) -> list[str]:
    return commands.jollyae(spool, "s3://b/p", endpoint)


def _with_s5cmd(spool: Path, endpoint: str) -> list[str]:
    sender = [*commands.program("s5cmd"), "--endpoint-url", endpoint, "--log", "error", "cp"]
    return [str(SCRIPTS / "each_moved_in.sh"), str(spool / "incoming"), "s3://b/p/", *sender]


def _with_aws(spool: Path, endpoint: str) -> list[str]:
    sender = [*commands.program("aws"), "--endpoint-url", endpoint, "s3", "cp", "--only-show-errors"]
    return [str(SCRIPTS / "each_moved_in.sh"), str(spool / "incoming"), "s3://b/p/", *sender]


def _with_rclone(spool: Path, endpoint: str) -> list[str]:
    return [str(SCRIPTS / "every_second.sh"), *commands.rclone(spool / "incoming", "s3://b/p", endpoint, "move")]


def _measure(lab: Lab, number: int, who: str, start: Start, count: int, gap: float) -> Run:
    spool = lab.memory / "latency"
    incoming = spools.make(spool)
    names = arrivals.prepare(spool / "tmp", count + 1, SIZE)
    chance = random.Random(number)
    due = [(position + chance.uniform(0.75, 1.25)) * gap for position in range(count)]
    environment = lab.environment(**(commands.ENVIRONMENT if who == OURS else {}))
    try:
        with (
            arrivals.serve(lab.memory / "clock.log") as sink,
            Daemon(start(spool, sink.endpoint), environment, lab.output(who)) as daemon,
        ):
            time.sleep(2.5)  # until it watches; aws-cli and Python take their time
            arrivals.rename_in(spool / "tmp", incoming, names[:1], [0])  # the first one pays for connecting
            time.sleep(2.0)
            if daemon.process.poll() is not None:
                raise Failed(f"it ended: {daemon.told()}")
            renamed = arrivals.rename_in(spool / "tmp", incoming, names[1:], due)
            _drained(spool, who, gap)
        found = arrivals.delays(renamed, sink.seen, 0)
        if len(found) != count:
            raise Failed(f"{len(found)} of {count} came; {daemon.told()}")
    finally:
        remove(spool)
    values = {"median_ms": percentile(found, 50), "p99_ms": percentile(found, 99)}
    return Run("latency", who, number, count, count * SIZE, values)


def _drained(spool: Path, who: str, gap: float) -> None:
    """Wait for the end: jollyae and rclone empty the directory; of the others, the last file has its time."""
    if who.startswith("inotifywait"):
        time.sleep(max(3.0, gap))
    else:
        wait_until(lambda: spools.lying(spool, "incoming") == 0, 20, f"{who} emptied incoming/")
        time.sleep(1.0)
