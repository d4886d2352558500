"""Durable submits (file, rename, directory: two fsyncs each) on disk: one producer, and eight.

Beside them the system calls of a submit alone, in a loop: how much eight can gain over one belongs to the disk."""

import subprocess
import sys
import time
from pathlib import Path

from .. import ROOT, commands, spools
from ..figures import Run
from ..lab import Contestant, Lab, remove
from ..programs import Failed

SIZE = 4096
SUBMIT = """
import sys
from jollyae import Spool
spool, source, who, count = Spool(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    spool.submit(source, name=f"{who}-{number}")
"""
BARE = """
import os
import sys
spool, who, count = sys.argv[1], sys.argv[3], int(sys.argv[4])
data = open(sys.argv[2], "rb").read()
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    name = f"{who}-{number}"
    file = os.open(f"{spool}/tmp/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(file, data)
    os.fsync(file)
    os.close(file)
    os.rename(f"{spool}/tmp/{name}", f"{spool}/incoming/{name}")
    directory = os.open(f"{spool}/incoming", os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
"""
CONTESTANTS = (
    ("1 producer", SUBMIT, 1),
    ("8 producers", SUBMIT, 8),
    ("1, bare calls", BARE, 1),
    ("8, bare calls", BARE, 8),
)


def run(lab: Lab) -> None:
    """One and eight producers, as processes; each submits the same number of files."""
    contestants = [_contestant(lab, *one) for one in CONTESTANTS]
    lab.compete("submit", contestants, lab.rounds())


def _contestant(lab: Lab, who: str, program: str, producers: int) -> Contestant:
    return Contestant(who, lambda number: _measure(lab, number, who, program, producers))


def _measure(lab: Lab, number: int, who: str, program: str, producers: int) -> Run:
    each = lab.count(500, 2_000)
    spool, source = lab.disk / "submit", lab.disk / "submitted"
    spools.make(spool)
    spools.write(source, SIZE, 0)
    try:
        spools.sync()
        seconds = _run(lab, program, spool, source, producers, each)
        if (found := spools.lying(spool, "incoming")) != producers * each:
            raise Failed(f"{found:,} of {producers * each:,} are in incoming/")
    finally:
        remove(spool)
    count = producers * each
    return Run("submit", who, number, count, count * SIZE, {"items_per_s": count / seconds, "seconds": seconds})


def _run(lab: Lab, program: str, spool: Path, source: Path, producers: int, each: int) -> float:
    """Seconds from the word to start until the last producer has ended."""
    env = lab.environment(**commands.ENVIRONMENT)
    words = [sys.executable, "-c", program, str(spool), str(source)]
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
