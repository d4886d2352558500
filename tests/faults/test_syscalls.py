"""kill -9 before and after every system call that changes something, in the life-cycles of ``jollyae run --once``."""

import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from pathlib import Path

import pytest

from tests.children import Forks
from tests.faults import points
from tests.faults.lives import PART, Cycle, Lanes, Life, live, second_part
from tests.faults.points import Point, Tracer
from tests.faults.scene import scene
from tests.faults.store import Fault
from tests.faults.tier import TIER, scaled
from tests.helpers import until

LANES = 6
LOOKS = 3
"""Lives that are looked on before the points are known: a slow one has more, since a state file is written by time."""
MISSED = 0.04
"""The share of points that may not be met, if this machine was slow while it was looked on and fast after it."""
Live = Callable[[Forks], Life]
SMALL = {"a": b"a" * 3000, "b/c.txt": b"c", "empty": b""}
LARGE = {"film": bytes(PART) + b"2" * PART + b"3"}
CYCLES = [
    Cycle("ok", SMALL),
    Cycle("503, then ok", SMALL, Fault.SLOW_DOWN),
    Cycle("our own write answered 412", SMALL, Fault.RESET_AFTER),
    Cycle("a foreign object in the way", SMALL, foreign=True, ends="failed"),
    Cycle("three parts", LARGE),
    Cycle("deleted when done", SMALL, options=("--on-done", "delete"), ends=""),
    Cycle("409, deferred, then ok", SMALL, Fault.CONFLICT),
    Cycle("taken over from the dead", SMALL, Fault.HANG_AFTER, inherited=True),
]
SLOW_CYCLES = [
    Cycle("three parts, taken over", LARGE, Fault.HANG_BEFORE, second_part, inherited=True),
]
"""Each of these lives makes a client of boto3, for ListParts."""

pytestmark = pytest.mark.skipif(bool(points.why_not()), reason=points.why_not())


@dataclass
class Suite:
    """What a run of the suite found."""

    points: int = 0
    twice: int = 0
    """Lives in which the next worker was killed as well."""
    missed: list[str] = field(default_factory=list)
    """Points that were not met."""
    wrong: list[str] = field(default_factory=list)

    def count(self, life: Life) -> None:
        """Add a life."""
        self.points += life.fired and life.point is not None
        self.missed += [] if life.fired else [f"{life.cycle.name}, {life.point}"]
        self.wrong += life.wrong


def run(root: Path, cycles: Iterable[Cycle] = CYCLES, *, most: int = 0, twice: int = 0, bug: str = "") -> Suite:
    """Each cycle, with a death at each of its points (``most``: at so many of them, evenly chosen), and lives with two
    deaths, so many in all. With a bug, until the first thing that is wrong, the last points first."""
    found = Suite()
    chance = random.Random(4)
    one_death: list[tuple[int, Live]] = []
    two_deaths: list[Live] = []
    with Lanes(root, 2 if bug else LANES) as lanes:
        for cycle, every in _looked_on(lanes, list(cycles), found, root, bug):
            few = every[:: max(1, len(every) // most)] if most else every
            die = partial(live, root=root, cycle=cycle, bug=bug)
            one_death += enumerate(partial(die, point=point) for point in (reversed(few) if bug else few))
            pairs = dict.fromkeys((chance.choice(every), chance.choice(every)) for _ in range(twice))
            two_deaths += [partial(die, point=point, then=then) for point, then in pairs]
        chosen = [one for _, one in sorted(one_death, key=itemgetter(0))]  # cycles that wait beside cycles that work
        for life in lanes.each([] if bug and found.wrong else chosen):
            found.count(life)
            if bug and found.wrong:
                return found
        for life in lanes.each(chance.sample(two_deaths, min(twice, len(two_deaths)))):
            found.twice += life.again
            found.wrong += life.wrong
    return found


def _looked_on(
    lanes: Lanes, cycles: list[Cycle], found: Suite, root: Path, bug: str
) -> Iterator[tuple[Cycle, list[Point]]]:
    """Each cycle, with the points that all of some lives had in which nobody was killed."""
    looks = [
        partial(live, root=root / str(look), cycle=cycle, point=None, bug=bug)
        for cycle in cycles
        for look in range(LOOKS)
    ]
    seen: dict[str, list[list[Point]]] = {}
    for life in lanes.each(looks):
        found.count(life)
        seen.setdefault(life.cycle.name, []).append(points.points(life.trace, life.spool))
    for cycle in cycles:
        first, *others = seen[cycle.name]
        yield cycle, [point for point in first if all(point in other for other in others)]


def test_killed_around_every_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a worker had begun, the next ends it: each item at rest in one place, its object written once."""
    cycles = CYCLES + (SLOW_CYCLES if TIER == "long" else [])
    found = run(tmp_path, cycles, most=scaled(5, 0, 0), twice=scaled(4, 100, 5000))
    with capsys.disabled():
        print(
            f"\nsystem calls: killed at {found.points} points in {len(cycles)} life-cycles, {len(found.missed)} not "
            f"met; {found.twice} times the next worker too; {len(found.wrong)} promises broken"
        )
    assert not found.wrong, "\n".join(found.wrong[:20])
    assert len(found.missed) <= MISSED * found.points, "\n".join(found.missed[:20])
    assert found.points >= scaled(40, 700, 700)


@pytest.mark.parametrize(
    ("bug", "cycles"),
    [
        ("no_conditional_put", CYCLES[:1]),
        ("no_condition_until_proved", CYCLES[:1]),
        ("finished_before_upload", CYCLES[:1]),
        ("a_412_taken_as_failure", CYCLES[2:3]),
        ("a_412_taken_as_success", CYCLES[3:4]),
    ],
)
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str, cycles: list[Cycle]) -> None:
    """The suite finds what it is for."""
    assert run(tmp_path, cycles, bug=bug).wrong


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
