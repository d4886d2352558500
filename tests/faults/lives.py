"""Lives of a worker: one that is killed at a point, or only looked on, then workers that are not, and what the judge
says in the end. Several lives run beside each other, since some wait a second for a probe."""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from jollyae import Spool
from jollyae.spool.owner import items_below
from jollyae.spool.sweep import sweep
from tests.children import Forks
from tests.faults import oracle, points, told
from tests.faults.points import Point, Tracer
from tests.faults.scene import Scene, scene
from tests.faults.store import Accepted, Fault, Object, Plan, Request
from tests.helpers import until

TRIES = 4
"""Lives in which a point may be met: how many bytes a socket takes at a time, and so how often it is called, varies."""
PART = 5 << 20
FOREIGN = b"somebody else's"


def first_write(request: Request) -> bool:
    """The request that makes an object."""
    return request.writes


def second_part(request: Request) -> bool:
    """The second part of a large one."""
    return request.query.get("partNumber") == "2"


def once(fault: Fault | None, at: Callable[[Request], bool] = first_write) -> Plan:
    """A plan: the fault befalls the first request of this kind, and nothing after it."""
    befallen = False

    def plan(request: Request) -> Fault | None:
        nonlocal befallen
        if befallen or not at(request):
            return None
        befallen = True
        return fault

    return plan


@dataclass(frozen=True)
class Cycle:
    """One kind of life: its items, and what befalls (``fault``) the first request of a kind (``at``)."""

    name: str
    items: dict[str, bytes]
    fault: Fault | None = None
    at: Callable[[Request], bool] = first_write
    inherited: bool = False
    """There was a worker before, which died when it had met the fault with the first item."""
    options: tuple[str, ...] = ()
    foreign: bool = False
    """Other content has the keys."""
    ends: str = "finished"
    """The place where its items come to rest; '' is nowhere: deleted."""


@dataclass
class Life:
    """One life: whether its worker died at ``point`` (proved), and the next one as well (``again``), the first's trace,
    and what is wrong at the end."""

    cycle: Cycle
    point: Point | None
    fired: bool
    again: bool
    trace: str
    spool: Path
    wrong: list[str]


class Lanes:
    """Several lives at a time, each with a fork server; a context."""

    def __init__(self, directory: Path, count: int) -> None:
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

    def each(self, lives: Iterable[Callable[[Forks], Life]]) -> Iterator[Life]:
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


def live(
    forks: Forks, *, root: Path, cycle: Cycle, point: Point | None, then: Point | None = None, bug: str = ""
) -> Life:
    """One life whose worker is killed at the point (None: is looked on); ``then``: where the next one is to be killed,
    if it comes there. Where the first was not, another life tries."""
    name = f"{cycle.name}, {point}{f', then {then}' if then else ''}"
    for _ in range(TRIES):
        life = _live(forks, root / name.replace(" ", "-"), cycle, point, then, bug)
        shutil.rmtree(root / name.replace(" ", "-"))
        life.wrong = [f"{cycle.name}, killed {point}, then {then}: {one}" for one in life.wrong]
        if life.fired or life.wrong:
            break
    return life


def _live(forks: Forks, directory: Path, cycle: Cycle, point: Point | None, then: Point | None, bug: str) -> Life:
    with scene(directory, once(cycle.fault, cycle.at), bug) as made:
        for name, body in cycle.items.items():
            made.submit(name, body)
            if cycle.foreign:
                put_foreign(made, name)
            if cycle.inherited and name == next(iter(cycle.items)):
                _bequeath(forks, made, cycle)
        fired, trace = _victim(forks, made, cycle, point)
        again = then is not None and _victim(forks, made, cycle, then)[0]
        wrong = [*_to_the_end(forks, made, cycle), *made.judge(deleted=not cycle.ends), *_not_at_rest(made, cycle)]
        wrong += told.wrong(made)
    return Life(cycle, point, fired, again, trace, made.spool, wrong)


def _victim(forks: Forks, made: Scene, cycle: Cycle, point: Point | None) -> tuple[bool, str]:
    """A worker that is to die at the point; whether it did, and its trace."""
    pid = _start(forks, made, cycle, "victim", held=True)
    tracer = Tracer(pid, made.directory / "trace", point)
    forks.release(pid)
    code = forks.wait(pid)
    trace = tracer.end()
    return point is None or points.is_proved(point, trace, code, made.spool), trace


def _start(forks: Forks, made: Scene, cycle: Cycle, name: str, *, held: bool = False) -> int:
    words = made.words("--once", "--settle", "0", "--concurrency", "1", *cycle.options)
    stem = made.directory / "output" / name
    return forks.jollyae(words, made.environment(), stem, bug=made.bug, part_size=PART, held=held)


def _bequeath(forks: Forks, made: Scene, cycle: Cycle) -> None:
    """A worker before dies, with the fault met; where the answer was to be lost, the object is there."""
    before = _start(forks, made, cycle, "before")
    written = cycle.fault is Fault.HANG_AFTER
    until(lambda: made.store.accepted if written else any(fault for _, fault in made.store.seen), "the fault")
    assert forks.kill(before) == -9


def _to_the_end(forks: Forks, made: Scene, cycle: Cycle) -> Iterator[str]:
    """Workers that nobody kills, until nothing is deferred; what is wrong with their ends."""
    spool = Spool(made.spool)
    for _ in range(3):
        code = forks.wait(_start(forks, made, cycle, "next"))
        deferred = list(items_below(str(spool.places.deferred)))
        if code not in ((75,) if deferred else (0, 1) if cycle.ends == "failed" else (0,)):
            log = (made.directory / "output" / "next.err").read_text()
            yield f"the next worker ended with {code}: {log[-500:]}"
        if not deferred:
            break
        list(spool.retry(deferred))
    sweep(spool.places, age=-1)


def put_foreign(made: Scene, key: str) -> None:
    """Other content at the key, of which the history knows: it may be there, and must not be written over."""
    digest = hashlib.sha256(FOREIGN).hexdigest()
    made.store.objects[key] = Object(FOREIGN, hashlib.md5(FOREIGN).hexdigest(), {}, {})
    made.store.accepted.append(Accepted(key, digest, len(FOREIGN)))
    made.history.write({"name": key, "sha256": digest, "size": len(FOREIGN), "told": False})


def _not_at_rest(made: Scene, cycle: Cycle) -> Iterator[str]:
    """Items that are not where such a life ends."""
    lying = oracle.lying_in(made.spool)
    expected = [cycle.ends] if cycle.ends else []
    for name, body in cycle.items.items():
        found = lying.get((name, hashlib.sha256(body).hexdigest()), [])
        if found != expected:
            yield f"not at rest: {name!r} is in {found}"
