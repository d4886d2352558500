"""Photos through a spool into an album: originals to a directory, documents with renditions to SQLite, all durable.

:func:`run` is 12 megapixels each, on one core and on all; :func:`many` is small ones, three thousand against ten
thousand: is memory what it was? (Up to three thousand SQLite's caches fill.)
"""

import os
import resource
import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from PIL import Image

from jollyae.processors.photo.samples import make_samples

from .. import commands, spools
from ..figures import Run
from ..goals import ONE_CORE, OURS, TEN_THOUSAND, THREE_THOUSAND
from ..lab import Contestant, Lab, need, remove
from ..programs import SAMPLING, Daemon, Failed, tree
from ..programs import run as run_program
from .pictures import SIDE, roughen

_DRAWN = 4
_SMALL = 400  # pixels


def run(lab: Lab) -> None:
    """One core, and all there are."""
    count = lab.count(60, 300)
    stock = _stock(lab.memory / "stock", SIDE, rough=True)

    def contestant(who: str, *before: str) -> Contestant:
        return Contestant(who, lambda number: _measure(lab, "ingest", number, who, stock, count, before))

    pin = ("taskset", "-c", str(max(os.sched_getaffinity(0))))
    contestants = [contestant(OURS)]
    if shutil.which("taskset"):
        contestants.append(contestant(ONE_CORE, *pin))
    else:
        lab.gap("ingest", ONE_CORE, "taskset is not there")
    try:
        lab.compete("ingest", contestants, lab.rounds(3))
    finally:
        remove(lab.memory / "stock")


def many(lab: Lab) -> None:
    """Few and many, small ones."""
    stock = _stock(lab.memory / "stock", _SMALL, rough=False)
    sizes = {THREE_THOUSAND: min(3000, lab.count(6000, 10_000)), TEN_THOUSAND: lab.count(6000, 10_000)}

    def contestant(who: str) -> Contestant:
        return Contestant(who, lambda number: _measure(lab, "ingest-many", number, who, stock, sizes[who], ()))

    try:
        lab.compete("ingest-many", [contestant(who) for who in sizes], lab.rounds(1))
    finally:
        remove(lab.memory / "stock")


def _stock(directory: Path, side: int, *, rough: bool) -> list[bytes]:
    """Some drawn photos, as bytes."""
    paths = make_samples(directory, _DRAWN, side=side)
    if rough:
        for number, path in enumerate(paths):
            roughen(path, number)
    for path in paths:
        with Image.open(path) as image:
            assert max(image.size) == side
    return [path.read_bytes() for path in paths]


def _measure(
    lab: Lab, scenario: str, number: int, who: str, stock: list[bytes], count: int, before: tuple[str, ...]
) -> Run:
    """From the start of the process to its end. Each photo is another one, by some bytes after its end."""
    root = lab.disk / "album"
    spool, url = root / "spool", f"sqlite:///{root}/album.sqlite"
    try:
        spools.make(spool)
        size = 0
        for index in range(count):
            data = stock[index % len(stock)] + index.to_bytes(8, "big")
            (spool / "incoming" / f"{index:06}.jpg").write_bytes(data)
            size += len(data)
        env = lab.environment(**commands.ENVIRONMENT)
        need(run_program([*commands.entry(), "album", "init", url, "--json"], env, lab.output("album init")), {})
        command = [*before, *commands.entry(), "run", str(spool), "--album", url, "--originals", f"file://{root}/kept"]
        seconds, cpu, worker, child = _run(
            [*command, "--once", "--settle", "0", "--no-progress", "-q"], env, lab.output(who)
        )
        if (found := _photos(root / "album.sqlite")) != count:
            raise Failed(f"{found:,} photos in the album instead of {count:,}")
        if sum(1 for path in (root / "kept").rglob("*.jpg")) != count:
            raise Failed("not all originals are there")
    finally:
        remove(root)
    values = {"photos_per_s": count / seconds, "cpu_us_per_item": cpu / count * 1e6, "peak_mb": worker / 1e6}
    values |= {"core_mb": child / 1e6, "seconds": seconds}
    return Run(scenario, who, number, count, size, values)


def _run(command: list[str], env: dict[str, str], output: Path) -> tuple[float, float, int, int]:
    """Run it to its end: the seconds, those of CPU, and the most real memory that the worker had, and one of the
    children that decode. (They are renewed, so a sum of peaks would tell nothing.)"""
    worker, child, start, before = 0, 0, time.monotonic(), _cpu()
    with Daemon(command, env, output) as daemon:
        while daemon.process.poll() is None:
            worker = max(worker, _memory(daemon.process.pid))
            child = max([child, *(_memory(pid) for pid in tree(daemon.process.pid) if pid != daemon.process.pid)])
            time.sleep(SAMPLING)
        seconds = time.monotonic() - start
        if daemon.process.returncode != 0:
            raise Failed(f"exit {daemon.process.returncode}: {' '.join(daemon.told().split())[-160:]}")
    return seconds, _cpu() - before, worker, child


def _cpu() -> float:
    """Seconds of CPU of all children so far that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _memory(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def _photos(path: Path) -> int:
    """How many the album has; looked at without the code that is measured."""
    connection = sqlite3.connect(path)
    try:
        found: int = connection.execute("SELECT count(*) FROM photo").fetchone()[0]
        return found
    finally:
        connection.close()
