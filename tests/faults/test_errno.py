"""Every errno at every call of the gate to the file system: once, and until it is mended.

The command line is run in life-cycles; at its n-th call of the gate an error is raised instead of the call, once, or
from then on for some seconds, for that operation or for all. Meanwhile the worker must go on living without a traceback
and without trying anything more than five times a second; after it, everything is finished, as the one judge sees it.
"""

import errno
import hashlib
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock

import pytest

from jollyae.spool import names
from jollyae.spool.owner import items_below
from jollyae.spool.places import Places
from jollyae.spool.sweep import sweep
from jollyae.worker.worker import ADOPT_EVERY
from tests.faults import forks, history, oracle
from tests.faults.forks import ALL, LOST, ONCE, OPERATION, Fork, Forks
from tests.faults.history import History
from tests.faults.scene import scene
from tests.faults.store import Fault, Object, Request, Store
from tests.faults.tier import scaled
from tests.real.support import environment

ERRNOS = (
    *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENOMEM),
    *(errno.EINTR, errno.EACCES, errno.ESTALE, errno.ENOENT, errno.EEXIST, errno.EXDEV),
)
TRIES = 4
"""So many times a second at most is one thing tried with one object."""
LASTS = 2.5
"""Seconds for which a fault lasts that is "for ever"."""
PATIENCE = 40.0
"""Seconds in which all must be finished when nothing fails any more; a pause has up to 10 s between two probes."""
AT_ONCE = 24
"""Points under way at one time; they mostly wait."""


@dataclass(frozen=True)
class Cycle:
    """A life-cycle. What becomes of an item is in its name: *later* is deferred once, *bad* fails, *large* goes in
    parts."""

    name: str
    items: tuple[str, ...]
    options: tuple[str, ...] = ()
    adopted: bool = False
    """They lie in a dead worker's directory."""


CYCLES = (
    Cycle("ok", ("plain", "sub/dir/item", "empty")),
    Cycle("deferred then ok", ("later", "sub/later", "plain")),
    Cycle("failed", ("bad", "sub/bad")),
    Cycle("multipart", ("large",)),
    Cycle("submit", ("given", "sub/given")),
    Cycle("delete", ("plain", "later", "sub/other"), ("--on-done", "delete")),
    Cycle("adopted", ("plain", "later"), adopted=True),
)
BY_NAME = {cycle.name: cycle for cycle in CYCLES}


@dataclass(frozen=True)
class Point:
    """One error in one life-cycle."""

    cycle: Cycle
    fault: forks.Fault

    def __str__(self) -> str:
        return f"{self.cycle.name}: {self.fault}"


@dataclass
class Verdict:
    """What came of a point. ``fired``: its fault was met; ``wrong``: in sentences; ``busiest``: tries in a second;
    ``calls``: the operations of the process that was to meet it."""

    fired: bool
    wrong: list[str]
    busiest: int = 0
    calls: tuple[str, ...] = ()


def body_of(name: str) -> bytes:
    """The bytes of an item."""
    size = {"large": 6 << 20, "empty": 0}.get(name, 3000)
    return random.Random(name).randbytes(size)


class Suite:
    """Runs points, each with a spool and a prefix in the bucket of its own. ``bug``: what is planted."""

    def __init__(self, directory: Path, bug: str = "") -> None:
        self._directory = directory
        self._bug = bug
        self._numbers = count(1)
        self._lock = Lock()
        self._refused: set[str] = set()

    def __enter__(self) -> "Suite":
        self.store = Store(self._plan).__enter__()
        self._forks = Forks(self._directory / "output", self._bug).__enter__()
        (self._directory / "home").mkdir(exist_ok=True)
        self._environment = environment(self._directory / "home", **self.store.environment())
        return self

    def __exit__(self, *_: object) -> None:
        self._forks.__exit__()
        self.store.__exit__()

    def _plan(self, request: Request) -> Fault | None:
        """What is to be deferred meets another write, once."""
        if not request.key.endswith("later") or request.key in self._refused:
            return None
        self._refused.add(request.key)
        return Fault.CONFLICT

    def run(self, point: Point) -> Verdict:
        """One life, with its fault, until all is at rest and judged."""
        with self._lock:
            life = _Life(self._forks, self.store, self._environment, self._directory, next(self._numbers), point)
        try:
            verdict = life.submitted() if point.cycle.name == "submit" else life.worked()
        finally:
            life.clear()
        verdict.wrong = [f"{point}: {one}" for one in verdict.wrong]
        return verdict

    def calls(self, cycle: Cycle) -> tuple[str, ...]:
        """The calls of the gate that the life-cycle has: their operations."""
        return self.run(Point(cycle, forks.Fault())).calls


class _Life:
    """One spool with its items, and the processes that work on it."""

    def __init__(
        self, server: Forks, store: Store, env: dict[str, str], directory: Path, number: int, point: Point
    ) -> None:
        self._server = server
        self._store = store
        self._env = env
        self._name = f"{number}"
        self._point = point
        self._spool = directory / f"spool{number}"
        self._files = directory / f"files{number}"
        self._book = History(directory / f"history{number}.jsonl")
        self._started = 0
        self._wrong: list[str] = []
        for place in ("tmp", "incoming"):
            (self._spool / place).mkdir(parents=True)
        for name in point.cycle.items:
            if name.endswith("bad"):
                self._store.objects[self._key(name)] = Object(b"another", "0" * 32, {}, {})

    def _key(self, name: str) -> str:
        return f"{self._name}/{names.encode(name)}"

    # --- processes

    def _start(self, *words: str, fault: forks.Fault | None = None) -> Fork:
        self._started += 1
        return self._server.start(f"{self._name}-{self._started}", *words, env=self._env, fault=fault)

    def _run(self, *more: str, fault: forks.Fault | None = None) -> Fork:
        to = ("--to", f"s3://bucket/{self._name}", "--settle", "0", "--no-progress")
        return self._start("run", str(self._spool), *to, *self._point.cycle.options, *more, fault=fault)

    def _end(self, fork: Fork, seconds: float = PATIENCE) -> None:
        """Wait for its end, and look at what it leaves."""
        if not fork.wait(seconds):
            fork.kill()
            self._wrong.append(f"it did not end in {seconds:g} s")
        said = fork.said()
        if "Traceback" in said or "fault of jollyae" in said:
            self._wrong.append(f"a traceback: {said[-1500:]}")

    # --- life-cycles

    def submitted(self) -> Verdict:
        """A producer submits, each item with the fault; what it was told counts."""
        self._files.mkdir()
        tried = []
        for name in self._point.cycle.items:
            body = body_of(name)
            line = {"name": name, "sha256": _sha256(body), "size": len(body)}
            self._book.write({**line, "told": False})
            (self._files / "file").write_bytes(body)
            fork = self._start(
                "submit", str(self._spool), str(self._files / "file"), "--name", name, fault=self._point.fault
            )
            self._end(fork)
            if fork.code not in (0, 1):
                self._wrong.append(f"submit ended with {fork.code}: {fork.said()[-300:]}")
            tried.append(fork.calls())
            if fork.code == 0:
                self._book.write({**line, "told": True})
        return self._judged(tried)

    def worked(self) -> Verdict:
        """A worker that meets the fault, and goes on until all is at rest."""
        for name in self._point.cycle.items:
            self._book.submit(self._spool, name, body_of(name))
        if self._point.cycle.adopted:
            self._leave_to_the_dead()
        fork = self._run(fault=self._point.fault)
        deadline = time.monotonic() + PATIENCE + self._point.fault.seconds
        while not self._is_at_rest():
            if fork.ended():
                if "working on" in fork.said() or fork.code not in (1, 78):
                    self._wrong.append(f"the worker ended with {fork.code}: {fork.said()[-600:]}")
                break
            if time.monotonic() > deadline:
                self._wrong.append(f"not finished: {oracle.lying_in(self._spool)}: {fork.said()[-600:]}")
                break
            time.sleep(0.05)
        fork.send(15)
        self._end(fork)
        return self._judged([fork.calls()])

    def _leave_to_the_dead(self) -> None:
        dead = self._spool / "working" / "host-1-00000000"
        dead.mkdir(parents=True)
        (dead / ".lock").touch()
        for name in self._point.cycle.items:
            os.rename(self._spool / "incoming" / name, dead / name)

    def _is_at_rest(self) -> bool:
        lying = [
            name for place in ("incoming", "working", "deferred") for name in items_below(str(self._spool / place))
        ]
        return not lying

    def _judged(self, tried: list[list[forks.Call]]) -> Verdict:
        """A worker that meets no fault ends it; then the judge. ``tried``: the calls of each that was to meet one."""
        wrong = self._wrong
        for _ in range(20):
            last = self._run("--once")
            self._end(last)
            if last.code != 75:
                break
            time.sleep(0.5)  # deferred for now
        if last.code != 0 and "bad" not in self._point.cycle.items:
            wrong.append(f"the last worker ended with {last.code}: {last.said()[-600:]}")
        sweep(Places.under(str(self._spool)), age=-1)
        accepted = [one for one in list(self._store.accepted) if one.key.startswith(f"{self._name}/")]
        deleted = "delete" in self._point.cycle.options
        wrong += oracle.judge(
            history.read(self._book.path), accepted, self._spool, key_of=self._key, deleted=deleted, at_rest=True
        )
        if not self._is_at_rest():
            wrong.append(f"not finished after all: {oracle.lying_in(self._spool)}")
        most, what = max((forks.busiest(made) for made in tried), default=(0, ("", "")))
        # A temporary name does not tell for which file it is: the state, the probe, or one item's note.
        if most > (2 * TRIES if what[1].endswith(".tmp") else TRIES):
            wrong.append(f"a busy loop: {most} tries in a second: {what}")
        fired = any(call.hit for made in tried for call in made)
        return Verdict(fired, wrong, most, tuple(call.operation for call in max(tried, key=len)))

    def clear(self) -> None:
        """Give the memory back that the store holds."""
        for key in [key for key in list(self._store.objects) if key.startswith(f"{self._name}/")]:
            del self._store.objects[key]


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def points(calls: dict[str, tuple[str, ...]], once: int, lasting: int, lost: int, seed: int = 4) -> Iterator[Point]:
    """So many points drawn from all: with an error once, with one that lasts, and with a rename's answer lost; spread
    over the life-cycles."""
    chance = random.Random(seed)
    renames = [(BY_NAME[name], at) for name, made in calls.items() for at in range(1, made.count("rename") + 1)]
    for cycle, at in chance.sample(renames, min(lost, len(renames))):
        yield Point(cycle, forks.Fault(at, errno.ENOENT, LOST))
    for modes, wanted in (((ONCE,), once), ((OPERATION, ALL), lasting)):
        everything = [
            (BY_NAME[name], at, code, mode)
            for name, made in calls.items()
            for at in range(1, len(made) + 1)
            for code in ERRNOS
            for mode in modes
        ]
        for cycle, at, code, mode in chance.sample(everything, min(wanted, len(everything))):
            seconds = 0.0 if mode == ONCE else LASTS
            yield Point(cycle, forks.Fault(at, code, mode, seconds, links=chance.random() < 0.1))


def run(
    directory: Path, bug: str = "", *, once: int, lasting: int, lost: int = 0, cycles: tuple[str, ...] = tuple(BY_NAME)
) -> tuple[list[str], str]:
    """So many points of these life-cycles: what is wrong, and the figures in one line. With a bug it stops at the first
    that is wrong."""
    with Suite(directory, bug) as suite:
        calls = {name: suite.calls(BY_NAME[name]) for name in cycles}
        wrong: list[str] = []
        verdicts: list[Verdict] = []

        def one(point: Point) -> None:
            if bug and wrong:
                return
            verdict = suite.run(point)
            verdicts.append(verdict)
            wrong.extend(verdict.wrong)

        drawn = list(points(calls, once, lasting, lost))
        with ThreadPoolExecutor(4 if bug else AT_ONCE) as pool:
            list(pool.map(one, drawn))
        fired = sum(verdict.fired for verdict in verdicts)
        if not bug and fired < 0.9 * len(drawn):
            wrong.append(f"only {fired} of {len(drawn)} points fired")
        figures = (
            f"errno: {fired} points fired of {len(drawn)} drawn from {sum(map(len, calls.values()))} calls "
            f"x {len(ERRNOS)} errnos in {len(cycles)} life-cycles, {len(wrong)} wrong, "
            f"at most {max((one.busiest for one in verdicts), default=0)} tries in a second"
        )
        return wrong, figures


def test_every_errno_at_every_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No crash, no traceback, no busy loop; and when it is over, everything is finished."""
    once, lasting, lost = scaled(40, 450, 10**9), scaled(10, 120, 10**9), scaled(6, 200, 200)
    wrong, figures = run(tmp_path, once=once, lasting=lasting, lost=lost)
    with capsys.disabled():
        print(f"\n{figures}")
    assert not wrong, "\n".join(wrong[:20]) + f"\n({len(wrong)} in all: {Counter(one.split(':')[0] for one in wrong)})"


# --- calls that are not at the gate

DEAD = "working/host-1-00000000"
BESIDE = [  # where in the spool, by which call, which error
    ("incoming", "getdents64", "EIO"),
    (f"{DEAD}/adopted", "pread64", "EIO"),
    ("incoming/first", "openat", "EIO"),
    ("incoming/first", "openat", "EMFILE"),
    ("incoming/first", "openat", "ENOMEM"),
    ("incoming/first", "openat", "ESTALE"),
    ("incoming", "openat", "EMFILE"),
    ("incoming", "openat", "EACCES"),
    ("incoming", "getdents64", "ESTALE"),
    ("deferred", "openat", "EMFILE"),
    ("deferred", "getdents64", "EIO"),
    ("working", "openat", "ENFILE"),
    (DEAD, "openat", "EMFILE"),
    (DEAD, "getdents64", "EIO"),
    (f"{DEAD}/.lock", "openat", "EMFILE"),
    (f"{DEAD}/adopted", "openat", "EIO"),
    (f"{DEAD}/adopted", "openat", "EMFILE"),
    (f"{DEAD}/adopted", "newfstatat,fstat,statx", "EIO"),
    (f"{DEAD}/adopted", "pread64", "ENOMEM"),
    (f"{DEAD}/adopted", "pread64", "ESTALE"),
    (f"{DEAD}/.lock", "flock", "ENOLCK"),
]
HITS = 4
"""So many calls fail; in a busy loop they do within an instant."""


def beside(directory: Path, where: str, call: str, code: str) -> list[str]:
    """A worker for which this call fails on this path, four times: what is wrong, in sentences."""
    with scene(directory) as made:
        made.submit("first", body_of("first"))
        made.submit("adopted", body_of("adopted"))
        dead = made.spool / DEAD
        dead.mkdir(parents=True)
        (dead / ".lock").touch()
        os.rename(made.spool / "incoming/adopted", dead / "adopted")
        log = made.directory / "strace"
        worker = made.start(
            "--settle", "0", before=strace(log, made.spool / where, call, f"error={code}:when=1..{HITS}")
        )
        wrong = []
        deadline = time.monotonic() + PATIENCE + HITS * ADOPT_EVERY
        while len(list(items_below(str(made.spool / "finished")))) < 2:
            if worker.popen.poll() is not None:
                if "working on" in worker.err():
                    wrong.append(f"the worker ended with {worker.popen.returncode}: {worker.tail()}")
                break
            if time.monotonic() > deadline:
                wrong.append(f"not finished: {oracle.lying_in(made.spool)}: {worker.tail()}")
                break
            time.sleep(0.05)
        if worker.popen.poll() is None:
            worker.end()
        hits = [float(line.split()[1]) for line in log.read_text().splitlines() if "(INJECTED)" in line]
        assert hits, log.read_text()[-2000:]
        if len(hits) == HITS and hits[-1] - hits[0] < 0.1:
            wrong.append(f"a busy loop: {HITS} tries in {hits[-1] - hits[0]:.3f} s")
        if "Traceback" in worker.err() or "fault of jollyae" in worker.err():
            wrong.append(f"a traceback: {worker.err()[-1500:]}")
        last = made.once()
        if last.code != 0:
            wrong.append(f"the last worker ended with {last.code}: {last.err[-600:]}")
        return [f"{call} of {where}: {code}: {one}" for one in wrong + made.judge()]


def strace(log: Path, path: Path, calls: str, fault: str) -> tuple[str, ...]:
    """A prefix: these calls on this path fail. The program is our child, not strace's (-D)."""
    if shutil.which("strace") is None:
        pytest.skip("no strace here")
    filters = ("-e", f"trace={calls}", "-P", str(path), "-e", f"inject={calls}:{fault}")
    return ("strace", "-D", "-f", "-qq", "-ttt", "-o", str(log), *filters)


def test_errors_beside_the_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Opening, reading and listing may fail as well."""
    cases = BESIDE[: scaled(1, len(BESIDE), len(BESIDE))]
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(beside, tmp_path / f"{number}", *case) for number, case in enumerate(cases)]
    wrong = [one for future in futures for one in future.result()]
    with capsys.disabled():
        print(f"\nerrno: {len(cases)} kinds of calls beside the gate failed, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong)


# --- bugs planted on purpose

PLANTED = {  # where it shows: the life-cycle, and how many points of either kind
    "retry_without_a_pause": ("ok", 0, 60),
    "errors_of_the_gate_swallowed": ("submit", 200, 0),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str) -> None:
    """The suite sees what it must see."""
    cycle, once, lasting = PLANTED[bug]
    wrong, _ = run(tmp_path, bug, once=once, lasting=lasting, cycles=(cycle,))
    assert wrong
