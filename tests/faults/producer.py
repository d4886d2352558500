"""A producer as a program: ``python -m tests.faults.producer SPOOL HISTORY GO PREFIX COUNT`` waits until the file GO is
there, and puts so many items into the spool; what it was told is in its history."""

import random
import sys
import time
from pathlib import Path

from tests.faults.history import History

LARGEST = 20_000
"""Bytes."""


def produce(spool: Path, history: History, prefix: str, count: int) -> None:
    """Put so many items into the spool, some in subdirectories."""
    chance = random.Random(prefix)
    for number in range(count):
        name = f"day {number % 3}/{prefix}-{number}" if number % 4 == 0 else f"{prefix}-{number}"
        history.submit(spool, name, chance.randbytes(int(LARGEST ** chance.random())))


def main() -> None:
    """Wait, and produce."""
    spool, history, go, prefix, count = sys.argv[1:]
    while not Path(go).exists():
        time.sleep(0.2)
    produce(Path(spool), History(Path(history)), prefix, int(count))


if __name__ == "__main__":
    main()
