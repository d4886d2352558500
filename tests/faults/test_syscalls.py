"""kill -9 before and after every system call that changes something, in six life-cycles of ``jollyae run --once``."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path
from queue import SimpleQueue

import pytest

from jollyae.spool.places import Places
from jollyae.spool.sweep import sweep
from tests.children import Forks
from tests.faults import oracle, points
from tests.faults.points import Point, Tracer
from tests.faults.scene import Scene, scene
from tests.faults.store import Accepted, Fault, Object, Plan, Request
from tests.faults.tier import TIER, scaled
from tests.helpers import until

LANES = 6
"""Lives at a time: some of them wait a second for a probe."""
TRIES = 4
"""Lives in which a point may be met: how many bytes a socket takes at a time, and so how often it is called, varies."""
PART = 5 << 20
FOREIGN = b"somebody else's"

pytestmark = pytest.mark.skipif(bool(points.why_not()), reason=points.why_not())


@dataclass(frozen=True)
class Cycle:
    """One kind of life. ``ends``: the place where its items come to rest ('' is nowhere: deleted)."""

    name: str
    items: dict[str, bytes]
    fault: Fault | None = None
    """What befalls the first PUT."""
    options: tuple[str, ...] = ()
    foreign: bool = False
    """Other content has the keys."""
    ends: str = "finished"

    def plan(self) -> Plan:
        """The store's plan for one life."""
        befallen = False

        def plan(request: Request) -> Fault | None:
            nonlocal befallen
            if befallen or not request.writes:
                return None
            befallen = True
            return self.fault

        return plan


SMALL = {"a": b"a" * 3000, "b/c.txt": b"c", "empty": b""}
LARGE = {"film": bytes(PART) + b"2" * PART + b"3"}
CYCLES = [
    Cycle("ok", SMALL),
    Cycle("503, then ok", SMALL, Fault.SLOW_DOWN),
    Cycle("our own write answered 412", SMALL, Fault.RESET_AFTER),
    Cycle("a foreign object in the way", SMALL, foreign=True, ends="failed"),
    Cycle("three parts", LARGE),
    Cycle("deleted when done", SMALL, options=("--on-done", "delete"), ends=""),
]


@dataclass
class Suite:
    """What a run of the suite found."""

    points: int = 0
    missed: list[str] = field(default_factory=list)
    """Points that were not met."""
    wrong: list[str] = field(default_factory=list)


class Lanes:
    """Several lives at a time, each with a fork server; a context."""

    def __init__(self, directory: Path, count: int = LANES) -> None:
        self._directory = directory
        self._count = count
        self._stack = ExitStack()
        self._forks: SimpleQueue[Forks] = SimpleQueue()

    def __enter__(self) -> "Lanes":
        for number in range(self._count):
            self._forks.put(self._stack.enter_context(Forks(self._directory / f"lane{number}.log")))
        self._pool = self._stack.enter_context(ThreadPoolExecutor(self._count))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def each(self, lives: Iterable["Callable[[Forks], Life]"]) -> Iterator["Life"]:
        """These lives, in their order; those not begun are dropped when the caller has enough."""

        def run(live: Callable[[Forks], Life]) -> Life:
            forks = self._forks.get()
            try:
                return live(forks)
            finally:
                self._forks.put(forks)

        futures = [self._pool.submit(run, one) for one in lives]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


@dataclass
class Life:
    """One life: whether its worker died at ``point`` (proved), its trace, and what is wrong at its end."""

    cycle: Cycle
    point: Point | None
    fired: bool
    trace: str
    spool: Path
    wrong: list[str]


def live(forks: Forks, *, root: Path, cycle: Cycle, point: Point | None, bug: str = "") -> Life:
    """A worker that is killed at the point (None: is looked on), then one that is not; what the judge says. Where the
    point was not met, another one tries."""
    for _ in range(TRIES):
        life = _live(forks, root / f"{cycle.name}, {point}".replace(" ", "-"), cycle, point, bug)
        if life.fired or life.wrong:
            break
    return life


def _live(forks: Forks, directory: Path, cycle: Cycle, point: Point | None, bug: str) -> Life:
    with scene(directory, cycle.plan(), bug) as made:
        for name, body in cycle.items.items():
            made.submit(name, body)
            if cycle.foreign:
                put_foreign(made, name)
        words = made.words("--once", "--settle", "0", "--concurrency", "1", *cycle.options)
        pid = forks.jollyae(words, made.environment(), directory / "first", bug=bug, part_size=PART, held=True)
        tracer = Tracer(pid, directory / "trace", point)
        forks.release(pid)
        code = forks.wait(pid)
        trace = tracer.end()
        fired = point is None or points.is_proved(point, trace, code, made.spool)
        next_one = forks.jollyae(words, made.environment(), directory / "second", bug=bug, part_size=PART)
        code = forks.wait(next_one)
        sweep(Places.under(made.spool), age=-1)
        wrong = [*made.judge(deleted=not cycle.ends), *not_at_rest(made, cycle)]
        if code not in ((0, 1) if cycle.ends == "failed" else (0,)):
            wrong.append(f"the next worker ended with {code}: {(directory / 'second.err').read_text()[-500:]}")
    wrong = [f"{cycle.name}, killed {point}: {one}" for one in wrong]
    shutil.rmtree(directory)
    return Life(cycle, point, fired, trace, made.spool, wrong)


def put_foreign(made: Scene, key: str) -> None:
    """Other content at the key, of which the history knows: it may be there, and must not be written over."""
    digest = hashlib.sha256(FOREIGN).hexdigest()
    made.store.objects[key] = Object(FOREIGN, hashlib.md5(FOREIGN).hexdigest(), {}, {})
    made.store.accepted.append(Accepted(key, digest, len(FOREIGN)))
    made.history.write({"name": key, "sha256": digest, "size": len(FOREIGN), "told": False})


def not_at_rest(made: Scene, cycle: Cycle) -> Iterator[str]:
    """Items that are not where such a life ends."""
    lying = oracle.lying_in(made.spool)
    expected = [cycle.ends] if cycle.ends else []
    for name, body in cycle.items.items():
        found = lying.get((name, hashlib.sha256(body).hexdigest()), [])
        if found != expected:
            yield f"not at rest: {name!r} is in {found}"


def run(root: Path, cycles: Iterable[Cycle] = CYCLES, *, most: int = 0, bug: str = "") -> Suite:
    """Each cycle, with a death at each of its points (``most``: at so many of them, evenly chosen). With a bug, until
    the first thing that is wrong, the last points first."""
    found = Suite()

    def count(life: Life) -> bool:
        found.points += life.fired and life.point is not None
        found.missed += [] if life.fired else [f"{life.cycle.name}, {life.point}"]
        found.wrong += life.wrong
        return bool(bug and found.wrong)

    with Lanes(root, 2 if bug else LANES) as lanes:
        chosen = []
        for plain in lanes.each([partial(live, root=root, cycle=cycle, point=None, bug=bug) for cycle in cycles]):
            if count(plain):
                return found
            every = points.points(plain.trace, plain.spool)
            few = every[:: max(1, len(every) // most)] if most else every
            few = few[::-1] if bug else few
            chosen += [
                (at, partial(live, root=root, cycle=plain.cycle, point=point, bug=bug)) for at, point in enumerate(few)
            ]
        for life in lanes.each(
            one for _, one in sorted(chosen, key=itemgetter(0))
        ):  # those that wait beside those that work
            if count(life):
                return found
    return found


def test_killed_around_every_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a worker had begun, the next ends it: each item at rest in one place, its object written once."""
    found = run(tmp_path, most=scaled(7, 0, 0))
    with capsys.disabled():
        print(
            f"\nsystem calls: killed at {found.points} points of {len(CYCLES)} life-cycles, "
            f"{len(found.missed)} not met; {len(found.wrong)} promises broken"
        )
    assert not found.wrong, "\n".join(found.wrong[:20])
    assert not found.missed, "\n".join(found.missed[:20])
    assert found.points >= (40 if TIER == "sample" else 700)


@pytest.mark.parametrize("bug", ["no_conditional_put", "no_condition_until_proved", "finished_before_upload"])
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str) -> None:
    """The suite finds what it is for."""
    assert run(tmp_path, CYCLES[:1], bug=bug).wrong


def opened_in_the_instant(root: Path, bug: str = "") -> list[str]:
    """A producer opens an item for writing while a worker holds the lease on it; what is wrong then."""
    with Forks(root / "log") as forks, scene(root / "scene", bug=bug) as made:
        made.submit("a", b"1")
        item = made.spool / "incoming/a"
        words = made.words("--once", "--settle", "0")
        pid = forks.jollyae(words, made.environment(), root / "worker", bug=bug, held=True)
        tracer = Tracer(pid, root / "trace", lease_kept_for=0.3)
        forks.release(pid)
        until(lambda: f":{item.stat().st_ino} " in locks_of(pid), "the lease")
        with pytest.raises(BlockingIOError):  # the kernel tells the worker, with SIGIO
            os.open(item, os.O_WRONLY | os.O_NONBLOCK)
        code = forks.wait(pid)
        tracer.end()
        wrong = [] if code == 0 else [f"the worker ended with {code}"]
        return [*wrong, *made.judge()]


def locks_of(pid: int) -> str:
    """The leases that the process has, in the kernel's words."""
    return "\n".join(
        line for line in Path("/proc/locks").read_text().splitlines() if f" {pid} " in line and "LEASE" in line
    )


def test_a_producer_opens_the_item_at_the_instant_of_the_lease_test(tmp_path: Path) -> None:
    """The worker lives, gives the item back, and takes it when it is free."""
    assert opened_in_the_instant(tmp_path) == []


def test_a_death_by_sigio_is_caught(tmp_path: Path) -> None:
    """The same with SIGIO not ignored."""
    assert opened_in_the_instant(tmp_path, "sigio_not_ignored")
