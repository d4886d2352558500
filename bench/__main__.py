"""The command line of the benchmarks.

python -m bench [SCENARIO…] [--full] [--count N] [--rounds N] [--seconds S] [--peers NAME,…]
python -m bench --list
python -m bench --markdown [RESULT.json…] [--into FILE]
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from . import HOME, machine
from .lab import Lab, Settings
from .programs import Failed
from .results import Results, join, read
from .scenarios import SCENARIOS
from .sink import Unavailable

RESULTS = HOME / "results"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main(words: Sequence[str]) -> int:
    """Run what was asked for. 0: it ran (goals missed or not); 1: a scenario could not be run at all; 2: usage."""
    options = _parser().parse_args(words)
    if options.list:
        print("\n".join(f"{one.name:15}{one.about}" for one in SCENARIOS.values()))
        return 0
    if options.markdown:
        return _markdown([Path(one) for one in options.what] or _latest(), options.into)
    if unknown := [name for name in options.what if name not in SCENARIOS]:
        print(f"bench: no scenario {', '.join(unknown)}; --list names them", file=sys.stderr)
        return 2
    return _run(options.what or [one.name for one in SCENARIOS.values() if one.usual], _settings(options), list(words))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="jollyae beside its peers; see docs/PERFORMANCE.md")
    parser.add_argument("what", nargs="*", metavar="SCENARIO", help="which (all but profile-…); with --markdown: files")
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--full", action="store_true", help="the sizes of the goals: an hour or so")
    parser.add_argument("--count", type=int, help="items, instead of each scenario's own number")
    parser.add_argument("--rounds", type=int, help="paired rounds [5]")
    parser.add_argument("--seconds", type=float, help="length of idle and arrival")
    parser.add_argument("--peers", help="only these peers, with commas: s5cmd,rclone,aws,inotifywait")
    parser.add_argument("--sink-workers", type=int, default=1, help="processes of the null sink [1]")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the last results, or of these")
    parser.add_argument("--into", type=Path, help="with --markdown: into this file, between its marks")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    peers = frozenset(options.peers.split(",")) if options.peers is not None else None
    return Settings(options.full, options.count, options.rounds, options.seconds, options.sink_workers, peers)


def _run(names: list[str], settings: Settings, words: list[str]) -> int:
    signal.signal(signal.SIGTERM, _stop)
    started = datetime.now(UTC)
    stem = RESULTS / started.strftime("%Y%m%dT%H%M%SZ")
    done: list[str] = []
    broken = False
    with _directories() as (memory, disk), Lab(settings, memory, disk, _say) as lab:
        described, versions = machine.describe((memory, disk)), machine.versions()
        for name in names:
            _say(f"{name}: {SCENARIOS[name].about}")
            begun = time.monotonic()
            try:
                SCENARIOS[name].run(lab)
            except (Unavailable, Failed, OSError) as error:
                broken = broken or not isinstance(error, Unavailable)
                lab.gap(name, "", str(error))
            done.append(name)
            when = f"{started:%Y-%m-%d %H:%M} UTC"
            found = Results(when, words, described, versions, done, lab.runs, lab.gaps, lab.profiles)
            found.write(stem)
            _say(f"  ({time.monotonic() - begun:.0f} s)")
    print(found.text())
    print(f"\n{stem}.json\n{stem}.svg")
    return 1 if broken else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _directories() -> Iterator[tuple[Path, Path]]:
    """One in memory and one on disk, removed at the end."""
    shm = Path("/dev/shm")
    on_disk = Path(os.environ["TMPDIR"]) if os.environ.get("TMPDIR") else HOME
    on_disk.mkdir(exist_ok=True)
    memory = Path(tempfile.mkdtemp(prefix="jollyae-bench-", dir=shm if os.access(shm, os.W_OK) else None))
    disk = Path(tempfile.mkdtemp(prefix="jollyae-bench-", dir=on_disk))
    try:
        yield memory, disk
    finally:
        shutil.rmtree(memory, ignore_errors=True)
        shutil.rmtree(disk, ignore_errors=True)


def _latest() -> list[Path]:
    return sorted(RESULTS.glob("*.json"))[-1:]


def _markdown(paths: list[Path], into: Path | None) -> int:
    if not paths:
        print("bench: no results yet: run it first", file=sys.stderr)
        return 1
    text = join((read(path) for path in paths), list(SCENARIOS)).markdown()
    if into is None:
        print(text, end="")
        return 0
    page = into.read_text()
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        print(f"bench: {into} has no {BEGIN} … {END}", file=sys.stderr)
        return 1
    into.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
