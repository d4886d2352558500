"""Durable submits (file, rename, directory: two fsyncs each) on disk: one producer, and eight."""

import subprocess
import sys
import time
from pathlib import Path

from .. import ROOT, commands, spools
from ..figures import Run
from ..lab import Contestant, Lab, remove
from ..programs import Failed

SIZE = 4096
PRODUCER = """
import sys
from jollyae import Spool
spool, source, who, count = Spool(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    spool.submit(source, name=f"{who}-{number}")
"""


def run(lab: Lab) -> None:
    """One and eight producers, as processes; each submits the same number of files."""
    contestants = [
        Contestant("1 producer", lambda number: _measure(lab, number, "1 producer", 1)),
        Contestant("8 producers", lambda number: _measure(lab, number, "8 producers", 8)),
    ]
    lab.compete("submit", contestants, lab.rounds())


def _measure(lab: Lab, number: int, who: str, producers: int) -> Run:
    each = lab.count(500, 2_000)
    spool, source = lab.disk / "submit", lab.disk / "submitted"
    spools.make(spool)
    spools.write(source, SIZE, 0)
    try:
        spools.sync()
        seconds = _submit(lab, spool, source, producers, each)
        if (found := spools.lying(spool, "incoming")) != producers * each:
            raise Failed(f"{found:,} of {producers * each:,} are in incoming/")
    finally:
        remove(spool)
    count = producers * each
    return Run("submit", who, number, count, count * SIZE, {"items_per_s": count / seconds, "seconds": seconds})


def _submit(lab: Lab, spool: Path, source: Path, producers: int, each: int) -> float:
    """Seconds from the word to start until the last producer has ended."""
    env = lab.environment(**commands.ENVIRONMENT)
    words = [sys.executable, "-c", PRODUCER, str(spool), str(source)]
    started = [
        subprocess.Popen(
            [*words, str(one), str(each)], env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for one in range(producers)
    ]
    for process in started:
        assert process.stdout
        process.stdout.readline()
    begun = time.monotonic()
    for process in started:
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    codes = [process.wait(600) for process in started]
    seconds = time.monotonic() - begun
    for process in started:
        process.communicate()
    if any(codes):
        raise Failed(f"a producer ended with {codes}")
    return seconds
