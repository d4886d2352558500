"""kill -9 at random, of two and of four workers on one spool, while items flow to a store."""

import os
import random
import shutil
import signal
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jollyae import Spool
from jollyae.spool import notes
from jollyae.spool.owner import items_below
from jollyae.spool.places import Places
from jollyae.spool.sweep import sweep
from tests.children import Forks
from tests.faults import told
from tests.faults.scene import Scene, scene
from tests.faults.store import Request
from tests.faults.tier import scaled
from tests.helpers import PATIENCE, until
from tests.real.support import Process

PART = 5 << 20
BATCH = 10
"""Items for each kill."""
LARGE_EVERY = 1000
"""One item in so many goes in parts."""
DEADLY = "the worker died three times with this"
LONGEST = 0.15
"""Seconds between a start and a kill that waits for nothing."""

needs_proc = pytest.mark.skipif(not Path("/proc/thread-self/children").exists(), reason="no /proc tells the siblings")


@dataclass
class Suite:
    """What a run of the suite found. ``restarts``: seconds from the start of a program to its first delivery."""

    kills: int = 0
    items: int = 0
    writes: int = 0
    """Requests that write an object."""
    poisoned: int = 0
    """Items that went to failed/ for three deaths, and were brought back."""
    restarts: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Fire:
    """Items that flow, workers that deliver them, and what kills these."""

    def __init__(
        self,
        made: Scene,
        forks: Forks,
        *,
        workers: int,
        siblings: int,
        bug: str,
        seed: int,
        options: tuple[str, ...] = (),
    ) -> None:
        self._options = options
        self._made = made
        self._forks = forks
        self._workers = workers
        self._siblings = siblings
        self._bug = bug
        self._chance = random.Random(seed)
        self._living: list[int] = []
        self._started = 0
        self._first: dict[str, float] = {}
        made.store.on_accept = self._note_first
        self.found = Suite()

    def _note_first(self, request: Request) -> None:
        """Each worker has keys of its own, so the store can tell them apart."""
        worker = request.headers["authorization"].partition("Credential=")[2].partition("/")[0]
        self._first.setdefault(worker, time.monotonic())

    def _identity(self) -> dict[str, str]:
        self._started += 1
        return {**self._made.environment(), "AWS_ACCESS_KEY_ID": f"AKIAWORKER{self._started:010d}"}

    def submit(self) -> None:
        """A batch of items."""
        for _ in range(BATCH):
            number = self.found.items = self.found.items + 1
            size = int(20_000 ** self._chance.random()) - 1 if number % LARGE_EVERY else PART + number
            self._made.submit(f"day {number % 7}/{number}" if number % 3 else str(number), self._chance.randbytes(size))

    def kill_one(self) -> None:
        """See that all workers are there, give them work and a moment, and kill one of them."""
        words = self._made.words("--settle", "0", "--processes", str(self._siblings), *self._options)
        while len(self._living) < self._workers:
            env = self._identity()
            stem = self._made.directory / "output" / "workers"
            self._living.append(self._forks.jollyae(words, env, stem, bug=self._bug, part_size=PART))
        goal = len(self._made.store.accepted) + self._chance.randrange(1, BATCH)
        self.submit()
        if self.found.kills % 2:
            self._await_deliveries(goal)
        else:
            time.sleep(self._chance.uniform(0, LONGEST))
        chosen = self._chance.randrange(self._workers)
        siblings = children_of(self._living[chosen])
        if siblings and self._chance.random() < 0.7:
            self._kill_sibling(self._chance.choice(siblings))
        else:
            self._kill(self._living.pop(chosen))

    def _await_deliveries(self, goal: int) -> None:
        """However slow this machine is, of what was just submitted some is delivered."""
        deadline = time.monotonic() + PATIENCE
        while len(self._made.store.accepted) < goal:
            if time.monotonic() > deadline:
                self.found.wrong.append(f"nothing was delivered for {PATIENCE:.0f} s")
                return
            time.sleep(0.001)

    def kill_all(self) -> None:
        """Kill every worker that lives."""
        while self._living:
            self._kill(self._living.pop())

    def _kill(self, pid: int) -> None:
        """Kill a worker; or a parent of workers: they end by themselves."""
        siblings = children_of(pid)
        code = self._forks.kill(pid)
        self.found.kills += code == -9
        if code != -9:
            self.found.wrong.append(f"a worker had ended by itself, with {code}")
        for sibling in siblings:
            until(lambda sibling=sibling: not is_alive(sibling), f"the end of {sibling}, whose parent was killed")  # type: ignore[misc]

    def _kill_sibling(self, pid: int) -> None:
        """Kill a worker that its parent will replace."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.found.kills += 1
        until(lambda: not is_alive(pid), f"the end of {pid}")

    def restart(self) -> None:
        """All are killed; the real program is started with items waiting, and killed when it has delivered one."""
        self.kill_all()
        self.submit()
        stem = self._made.directory / "output" / f"restart{self._started}"
        env = self._identity()
        began = time.monotonic()
        process = Process(self._made.command("--settle", "0"), env, stem)
        try:
            deadline = began + 30
            while env["AWS_ACCESS_KEY_ID"] not in self._first and time.monotonic() < deadline:
                time.sleep(0.001)
        finally:
            process.kill()
        self.found.kills += process.popen.returncode == -9
        self.found.restarts.append(self._first.get(env["AWS_ACCESS_KEY_ID"], deadline) - began)

    def end(self) -> None:
        """Workers that nobody kills deliver the rest; what the judge says."""
        self.kill_all()
        self._drain()
        failed = list(items_below(str(self._made.spool / "failed")))
        for name in failed:
            note = notes.read(str(self._made.spool / "failed" / name))
            if note is None or note.error != DEADLY:
                self.found.wrong.append(f"failed: {name!r}: {note and note.error}")
        if failed:
            self.found.poisoned = len(failed)
            list(Spool(self._made.spool).retry(failed))
            self._drain()
        if "--shared" in self._options:
            self._outlive()
        sweep(Places.under(self._made.spool), age=-1)
        self.found.wrong += self._made.judge()
        self.found.wrong += told.wrong(self._made)
        finished = set(items_below(str(self._made.spool / "finished")))
        self.found.wrong += (
            [f"not finished: {self.found.items - len(finished)}"] if len(finished) != self.found.items else []
        )
        self.found.writes = sum(request.writes for request, _ in self._made.store.seen)

    def _outlive(self) -> None:
        """That a lease has run out is seen by and by: a worker stays until the dead's empty directories are gone."""
        words, stem = self._made.words("--settle", "0", *self._options), self._made.directory / "output" / "outliving"
        pid = self._forks.jollyae(words, self._identity(), stem, bug=self._bug, part_size=PART)
        said = stem.with_suffix(".err")
        until(lambda: said.exists() and "working on" in said.read_text() and self._is_alone(pid), "a worker alone")
        if (code := self._forks.kill(pid, signal.SIGTERM)) != 0:
            self.found.wrong.append(
                f"who outlived all ended with {code}: {stem.with_suffix('.err').read_text()[-500:]}"
            )

    def _is_alone(self, pid: int) -> bool:
        names = [path.name for path in (self._made.spool / "working").iterdir() if path.is_dir()]  # no litter
        return bool(names) and all(f"-{pid}-" in name for name in names)

    def _drain(self) -> None:
        words = self._made.words("--once", "--settle", "0", *self._options)
        stem = self._made.directory / "output" / "last"
        code = self._forks.wait(self._forks.jollyae(words, self._identity(), stem, bug=self._bug, part_size=PART))
        if code not in (0, 1):
            self.found.wrong.append(f"the last worker ended with {code}: {stem.with_suffix('.err').read_text()[-500:]}")


def children_of(pid: int) -> list[int]:
    """The processes that this one started and that live."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []  # it has ended, and whoever kills it will see that
    return [child for child in map(int, found) if is_alive(child)]


def is_alive(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def run(
    root: Path,
    *,
    workers: int,
    kills: int,
    siblings: int = 1,
    restarts: int = 0,
    bug: str = "",
    seed: int = 4,
    options: tuple[str, ...] = (),
) -> Suite:
    """So many workers on one spool (or parents of so many ``siblings`` each), so many kills; ``restarts``: how often
    all are killed and a real program begins; ``options``: of all workers."""
    with Forks(root / "log") as forks, scene(root / "scene", bug=bug) as made:
        fire = Fire(made, forks, workers=workers, siblings=siblings, bug=bug, seed=seed, options=options)
        for number in range(1, kills + 1):
            fire.kill_one()
            if restarts and number % (kills // restarts) == 0:
                fire.restart()
            if fire.found.wrong:
                break
        fire.end()
    shutil.rmtree(root / "scene")
    return fire.found


@pytest.mark.parametrize(
    ("workers", "siblings", "kills"),
    [
        (2, 1, scaled(15, 500, 5000)),
        (4, 1, scaled(15, 500, 5000)),
        pytest.param(2, 2, scaled(6, 100, 2000), marks=needs_proc),
    ],
    ids=["two", "four", "two families of two"],
)
def test_killed_at_random(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int, siblings: int, kills: int
) -> None:
    """Each item is finished, and its object written once, whoever died when: workers, or parents of workers."""
    began = time.monotonic()
    found = run(tmp_path, workers=workers, siblings=siblings, kills=kills, restarts=scaled(1, 10, 100))
    with capsys.disabled():
        print(
            f"\nrandom kills: {found.kills} of {workers} workers{f' with {siblings} siblings each' * (siblings > 1)} "
            f"on one spool in {time.monotonic() - began:.0f} s, "
            f"{found.items} items, sent {found.writes / found.items:.3f} times each, {found.poisoned} brought back "
            f"after three deaths; {len(found.wrong)} promises broken; from restart to first delivery "
            f"{statistics.median(found.restarts):.2f} s, at most {max(found.restarts):.2f} s, "
            f"of {len(found.restarts)} restarts"
        )
    assert not found.wrong, "\n".join(found.wrong[:20])


@pytest.mark.parametrize("bug", ["no_conditional_put", "no_condition_until_proved", "finished_before_upload"])
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str) -> None:
    """The suite finds what it is for."""
    assert run(tmp_path, workers=2, kills=20, bug=bug).wrong
