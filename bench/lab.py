"""Where the scenarios work: sizes, directories, servers, environment, and the list of what was measured."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import ROOT, machine, rgw, sink
from .figures import Gap, Run, order
from .programs import Failed, Usage
from .sink import Unavailable

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""For the null sink, which checks no signature."""


@dataclass(frozen=True)
class Settings:
    """What the command line asked for; None: the scenario's own size."""

    full: bool = False
    count: int | None = None
    rounds: int | None = None
    seconds: float | None = None
    sink_workers: int = 1
    peers: frozenset[str] | None = None
    """Only these (and jollyae); None: all."""


@dataclass(frozen=True)
class Contestant:
    """A program in a scenario: ``run(round)`` runs it once and returns what it was measured at.

    ``rounds``: at most so many (0: all). ``program``: what must be there.
    """

    who: str
    run: Callable[[int], Run]
    program: str = ""
    rounds: int = 0


class Lab:
    """Everything a scenario needs, and what came out. Servers are started when they are first asked for."""

    def __init__(self, settings: Settings, memory: Path, disk: Path, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.memory = memory
        self.disk = disk
        self.say = say
        self.runs: list[Run] = []
        self.gaps: list[Gap] = []
        self.profiles: dict[str, list[tuple[str, float]]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- sizes

    def count(self, usual: int, full: int) -> int:
        """How many items: what the command line says, else the goal's with ``--full``, else a moderate number."""
        return self.settings.count or (full if self.settings.full else usual)

    def seconds(self, usual: float, full: float) -> float:
        """How long, likewise."""
        return self.settings.seconds or (full if self.settings.full else usual)

    def rounds(self, usual: int = 5) -> int:
        """How many rounds."""
        return self.settings.rounds or usual

    # --- servers

    @cached_property
    def sink(self) -> sink.Sink:
        """The null sink. Raises :class:`Unavailable`."""
        directory = self.memory / "sink"
        directory.mkdir()
        return self._stack.enter_context(sink.serve(directory, self.settings.sink_workers))

    @cached_property
    def rgw(self) -> "rgw.Rgw":
        """Ceph RGW. Raises :class:`Unavailable`."""
        directory = self.memory / "rgw"
        directory.mkdir()
        return self._stack.enter_context(rgw.serve(directory))

    # --- processes

    def environment(self, **more: str) -> dict[str, str]:
        """An environment with nothing of this machine in it but the way to its programs, and keys for the null sink."""
        home = self.memory / "home"
        home.mkdir(exist_ok=True)
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        clean = {
            "PATH": path,
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
            # Neither the null sink nor Ceph RGW 16 takes checksums in trailers.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }
        return clean | KEYS | more

    def output(self, who: str) -> Path:
        """Where a program's output goes; its end is shown when it fails."""
        directory = self.memory / "output"
        directory.mkdir(exist_ok=True)
        return directory / who.replace(" ", "-").replace("/", "-")

    @cached_property
    def has_processes(self) -> bool:
        """Whether this jollyae has ``run --processes``."""
        command = [sys.executable, "-m", "jollyae", "run", "--help"]
        env = self.environment(PYTHONPATH=str(ROOT / "src"))
        told = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        return "--processes" in told.stdout

    # --- what came out

    def gap(self, scenario: str, who: str, why: str) -> None:
        """Something is not measured; said once."""
        if (gap := Gap(scenario, who, why)) not in self.gaps:
            self.gaps.append(gap)
            self.say(f"  {scenario}: {who or 'all'}: NOT MEASURED: {why}")

    def record(self, run: Run) -> None:
        """Something was measured."""
        self.runs.append(run)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in run.values.items())
        self.say(f"  {run.scenario} {run.round + 1}: {run.who}: {shown}")

    def compete(self, scenario: str, contestants: list[Contestant], rounds: int) -> None:
        """Run them round by round, A B, B A, …; who fails is a gap and takes no further part."""
        there = [one for one in contestants if self._takes_part(scenario, one)]
        for number in range(rounds):
            for one in order(list(there), number):
                if one.rounds and number >= one.rounds:
                    continue
                try:
                    self.record(one.run(number))
                except (Failed, Unavailable, OSError, subprocess.SubprocessError) as error:
                    self.gap(scenario, one.who, str(error))
                    there.remove(one)

    def _takes_part(self, scenario: str, one: Contestant) -> bool:
        ours = one.who.startswith("jollyae") or not one.program
        if not ours and self.settings.peers is not None and one.program not in self.settings.peers:
            return False
        if one.program == "--processes" and not self.has_processes:
            self.gap(scenario, one.who, "this jollyae has no `run --processes`")
            return False
        if one.program and one.program != "--processes" and not machine.find(one.program):
            self.gap(scenario, one.who, f"{one.program} is not installed")
            return False
        return True


def need(usage: Usage, expected: Mapping[str, tuple[float, float]]) -> None:
    """Raise :class:`Failed` if the program failed or if a number is not what it must be (found, wanted)."""
    end = " ".join(usage.told.split())[-160:]
    if usage.code != 0:
        raise Failed(f"exit {usage.code}: {end}")
    for what, (found, wanted) in expected.items():
        if found != wanted:
            raise Failed(f"{what}: {found:,.0f} instead of {wanted:,.0f}; {end}")


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for it, looking every 20 ms. Raises :class:`Failed`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"not in {seconds:.0f} s: {what}")
        time.sleep(0.02)


def remove(path: Path) -> None:
    """Remove a directory with all in it, also one of a million names."""
    shutil.rmtree(path, ignore_errors=True)
