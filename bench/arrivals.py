"""The sink that tells when each file came (clock_sink.py), and the producers before it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, spools
from .programs import ends_with_us


@dataclass
class ClockSink:
    """A running clock_sink. ``seen`` is filled at its end: name → first byte, whole body (ns, CLOCK_MONOTONIC)."""

    endpoint: str
    seen: dict[str, tuple[int, int]]


@contextmanager
def serve(log: Path) -> Iterator[ClockSink]:
    """A clock_sink while the context lasts; after it, ``seen`` is there."""
    command = ends_with_us([sys.executable, "-m", "bench.clock_sink", str(log)])
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdin and process.stdout
    try:
        sink = ClockSink(f"http://127.0.0.1:{int(process.stdout.readline())}", {})
        yield sink
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
    for line in log.read_text().splitlines():
        name, first, whole = line.split()
        sink.seen[name] = (int(first), int(whole))


def rename_in(source: Path, incoming: Path, names: list[str], due: list[float]) -> dict[str, int]:
    """Rename each file in when it is due (seconds from now); the instant before each rename, in ns.

    What is late because the machine was busy is renamed at once: the rate holds on the whole."""
    renamed = {}
    start = time.monotonic()
    for name, when in zip(names, due, strict=True):
        if (left := start + when - time.monotonic()) > 0:
            time.sleep(left)
        renamed[name] = time.monotonic_ns()
        os.rename(source / name, incoming / name)
    return renamed


def prepare(source: Path, count: int, size: int, start: int = 0) -> list[str]:
    """So many files in a directory beside the spool's places; their names."""
    spools.need_room(source, count, size)
    names = [spools.name_of(start + number) for number in range(count)]
    for number, name in enumerate(names):
        spools.write(source / name, size, start + number)
    return names


def delays(renamed: Mapping[str, int], seen: Mapping[str, tuple[int, int]], which: int) -> list[float]:
    """From each rename to its first byte (0) or whole body (1), in milliseconds; what never came is left out."""
    return [(seen[name][which] - instant) / 1e6 for name, instant in renamed.items() if name in seen]


def growth(renamed: Mapping[str, int], seen: Mapping[str, tuple[int, int]]) -> float:
    """How many more files wait on average in the last quarter of the time than in the second one.

    The first quarter is left out: connections and concurrency grow in it."""
    start, end = min(renamed.values()), max(renamed.values())
    quarter = (end - start) / 4

    def mean(number: int) -> float:
        """Little's law: the sum of what each file waited inside the window, by the window's length."""
        opens, closes = start + number * quarter, start + (number + 1) * quarter
        waited = (min(seen[n][1], closes) - max(at, opens) for n, at in renamed.items() if n in seen)
        return sum(max(0.0, one) for one in waited) / quarter

    return mean(3) - mean(1)
