"""The table of moves as a machine that Hypothesis drives: producers, workers that die and adopt, an operator.

Real files, real locks, the real :mod:`jollyae.spool.claims`. Each body is one item, whatever its name; after each step
it lies in exactly one place with its bytes, or was deleted after it was delivered, and it came there by moves of the
table only. A worker may die before any of its operations on the file system. With leases instead of locks workers are
slow as well: time goes by, and they do not renew theirs (:class:`LeasedMoves`).

As a program (``python -m tests.faults.model BUG EXAMPLES STEPS``) it plants a bug first and prints the violation;
``leases`` at the end: with leases.
"""

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from jollyae import Spool
from jollyae.spool import fs, leases, sweep
from jollyae.spool.claims import Claims
from jollyae.spool.item import Item
from jollyae.spool.owner import items_below
from jollyae.spool.places import MOVES, Place
from jollyae.spool.readiness import Readiness, ignore_lease_signal

MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one."""
NAMES = ("a", "d/c", "d/e/f.txt", "x" * 255)
WORKERS = 3
PERIOD = leases.LEASE / leases.RENEWALS


class Died(BaseException):
    """The worker was killed; nothing of it runs any more."""


class Moves(RuleBasedStateMachine):
    """The spool, and what is known of each item: by its bytes, where it lies."""

    steps = 0
    """How many steps were checked, by all of them."""
    deaths = 0
    """How many workers died in them."""

    def __init__(self) -> None:
        super().__init__()
        ignore_lease_signal()
        root = MEMORY if os.access(MEMORY, os.W_OK) else None
        self.directory = Path(tempfile.mkdtemp(prefix="jollyae-model-", dir=root))
        self.spool = Spool(self.directory / "spool")
        self.workers: list[Claims | None] = [None] * WORKERS
        self.where: dict[bytes, Place | None] = {}
        self.names: dict[bytes, str] = {}
        self.deleted: set[bytes] = set()
        self.count = 0
        self.writers: dict[str, int] = {}

    # --- what is known

    def lying(self) -> dict[bytes, list[tuple[Place, str]]]:
        """Where each body lies."""
        found: dict[bytes, list[tuple[Place, str]]] = {}
        for place in Place:
            directory = str(self.spool.places.of(place))
            for name in items_below(directory):
                with open(os.path.join(directory, name), "rb") as file:
                    found.setdefault(file.read(), []).append((place, name))
        return found

    @invariant()
    def each_item_is_in_one_place(self) -> None:
        """With its bytes and its name, and it came there by one move of the table."""
        Moves.steps += 1
        before = dict(self.where)
        self._look()
        for body, now in self.where.items():
            assert before[body] == now or (before[body], now) in MOVES, (
                f"no move of the table: {body!r} went from {before[body]} to {now}"
            )

    def _look(self) -> None:
        found = self.lying()
        for body, before in self.where.items():
            places = found.pop(body, [])
            assert len(places) <= 1, f"doubled: {body!r} is in {places}"
            assert places or body in self.deleted, f"lost: {body!r} was in {before}"
            for place, name in places:
                assert _is_named(place, name, self.names[body]), f"{self.names[body]!r} is {name!r} in {place}"
            self.where[body] = places[0][0] if places else None
        assert not found, f"nobody's: {found}"

    # --- producers

    @initialize()
    def begin(self) -> None:
        """There is something to do, and two workers."""
        for name in NAMES:
            self.produce(name)
        for number in range(2):
            self.claims(number)

    @rule(name=st.sampled_from(NAMES))
    def produce(self, name: str) -> None:
        """mv -n from tmp/."""
        target = self.spool.places.incoming / name
        if os.path.lexists(target):
            return
        self.count += 1
        body = b"%d" % self.count
        path = self.spool.places.tmp / f"p{self.count}"
        path.write_bytes(body)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, target)
        self.where[body], self.names[body] = Place.INCOMING, name

    @rule(name=st.sampled_from(NAMES))
    def write(self, name: str) -> None:
        """Somebody opens what waits, to write to it."""
        path = self.spool.places.incoming / name
        if name not in self.writers and path.exists():
            self.writers[name] = os.open(path, os.O_WRONLY)

    @rule(name=st.sampled_from(NAMES))
    def close(self, name: str) -> None:
        """He is done."""
        if name in self.writers:
            os.close(self.writers.pop(name))

    # --- workers

    def claims(self, number: int) -> Claims:
        """That worker, started if it was not."""
        worker = self.workers[number]
        if worker is None:
            worker = self.workers[number] = self.new_claims()
        return worker

    def new_claims(self) -> Claims:
        """A worker's, with a lock."""
        return Claims(self.spool.places, Readiness(0))

    def pass_time(self, claims: Claims) -> None:
        """As much as a lock needs to be free."""
        claims.adopt()

    def act(self, number: int | None, dies: int, action: Any) -> None:
        """Let a worker (None: an operator) do something; it dies before the n-th operation on the file system (0: it
        does not)."""
        seen = 0

        def observer(operation: str, path: str) -> None:
            nonlocal seen
            seen += 1
            if dies and seen >= dies:
                raise Died

        before = _descriptors()
        fs.observer = observer
        try:
            action()
        except Died:
            Moves.deaths += 1
            for descriptor in _descriptors() - before:  # what it had just opened, a lock perhaps
                with suppress(OSError):
                    os.close(descriptor)
            if number is not None:
                _bury(self.workers[number])
                self.workers[number] = None
        finally:
            fs.observer = None

    dying = st.sampled_from((0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 8))
    one = st.integers(0, WORKERS - 1)

    @rule(number=one, dies=dying)
    def start(self, number: int, dies: int) -> None:
        """A worker starts."""
        if self.workers[number] is None:
            self.act(number, dies, lambda: self.claims(number))

    @rule(number=one, index=st.integers(0, 5), renamed=st.booleans(), dies=dying)
    def take(self, number: int, index: int, renamed: bool, dies: int) -> None:
        """It looks at a name in incoming/, and takes it or not."""
        if name := self._name(Place.INCOMING, index):
            claims = self.claims(number)
            self.act(number, dies, lambda: self._taken(number, name, claims.take(name, renamed=renamed)))

    @rule(number=one, index=st.integers(0, 5), dies=dying)
    def take_deferred(self, number: int, index: int, dies: int) -> None:
        """The same with deferred/."""
        if name := self._name(Place.DEFERRED, index):
            claims = self.claims(number)
            self.act(number, dies, lambda: self._taken(number, name, claims.take_deferred(name)))

    def _name(self, place: Place, index: int) -> str:
        lying = sorted(items_below(str(self.spool.places.of(place))))
        return lying[index % len(lying)] if lying else ""

    def _taken(self, number: int, name: str, item: object) -> None:
        if isinstance(item, Item):
            assert name not in self.writers or self._is_no_writers(item), f"taken from its writer: {name!r}"
            self.claims(number).begin(item)

    def _is_no_writers(self, item: Item) -> bool:
        """Whether it is another file than the one that is written to under its name."""
        return os.fstat(self.writers[item.name]).st_ino != item.inode

    @rule(number=one, index=st.integers(0, 5), dies=dying, how=st.sampled_from(("finish", "delete", "fail")))
    def retire(self, number: int, index: int, dies: int, how: str) -> None:
        """What it has in hand was delivered, or cannot be."""
        items = self._in_hand(number)
        if not items:
            return
        item = items[index % len(items)]
        claims = self.claims(number)
        if how == "fail":
            self.act(number, dies, lambda: claims.fail(item, "it is bad", ""))
            return
        if how == "delete":
            self.deleted.add(os.pread(item.fd, 100, 0))
        self.act(number, dies, lambda: claims.finish(item) if how == "finish" else claims.delete(item))

    @rule(number=one, index=st.integers(0, 5), dies=dying, delay=st.sampled_from((-1.0, 1000.0)))
    def defer(self, number: int, index: int, dies: int, delay: float) -> None:
        """Not now."""
        items = self._in_hand(number)
        if items:
            item = items[index % len(items)]
            self.act(number, dies, lambda: self.claims(number).defer(item, delay, "not now", ""))

    @rule(number=one, index=st.integers(0, 5), dies=dying)
    def hold(self, number: int, index: int, dies: int) -> None:
        """The destination is unwell."""
        items = self._in_hand(number)
        if items:
            item = items[index % len(items)]
            self.act(number, dies, lambda: self.claims(number).keep(item, "unwell", ""))

    def _in_hand(self, number: int) -> list[Item]:
        worker = self.workers[number]
        return [] if worker is None else _in_hand(worker)

    @rule(number=one, dies=dying)
    def adopt(self, number: int, dies: int) -> None:
        """It looks for what the dead left."""
        self.claims(number)
        self.act(number, dies, lambda: self.claims(number).adopt())

    @rule(number=one, dies=dying)
    def unpark(self, number: int, dies: int) -> None:
        """What waited in working/ for its name has its turn."""
        if (worker := self.workers[number]) is not None:
            _let_time_pass(worker)
            self.act(number, dies, worker.next_parked)

    @rule(number=one)
    def kill(self, number: int) -> None:
        """kill -9."""
        Moves.deaths += self.workers[number] is not None
        _bury(self.workers[number])
        self.workers[number] = None

    @rule(number=one, dies=dying)
    def stop(self, number: int, dies: int) -> None:
        """It is told to stop."""
        if (worker := self.workers[number]) is not None:
            self.act(number, dies, worker.stop)
            _bury(self.workers[number])
            self.workers[number] = None

    # --- operators

    @rule(dies=dying)
    def retry(self, dies: int) -> None:
        """jollyae retry --all, which may be killed as well."""
        self.act(None, dies, lambda: list(self.spool.retry()))

    @rule()
    def sweep(self) -> None:
        """What crashes left is swept, as after an hour."""
        sweep.sweep(self.spool.places, age=-1)

    @rule()
    def pause(self) -> None:
        """A pause is a file; nothing moves."""
        self.spool.pause("by hand")
        assert self.spool.paused() == "by hand"

    @rule()
    def resume(self) -> None:
        """And its end."""
        self.spool.resume()

    # --- the end

    def teardown(self) -> None:
        """All workers die; one that does not delivers what is left, and nothing of anybody's lies about."""
        try:
            for number in range(WORKERS):
                self.kill(number)
            for name in list(self.writers):
                self.close(name)
            self._drain()
            self._look()
            assert set(self.where.values()) <= {Place.FINISHED, None}, f"not delivered: {self.where}"
            left = [str(path.relative_to(self.directory)) for path in self.spool.places.working.rglob("*")]
            assert not left, f"left over: {left}"
            sweep.sweep(self.spool.places, age=-1)
            litter = [path for path in self.directory.rglob(".*") if path.name != ".paused"]
            assert not litter, f"litter: {litter}"
        finally:
            fs.observer = None
            shutil.rmtree(self.directory)

    def _drain(self) -> None:
        claims = self.new_claims()
        for _ in range(20):
            list(self.spool.retry())
            self.pass_time(claims)
            for name in NAMES:
                claims.take(name, renamed=True)
                claims.take_deferred(name)
            _let_time_pass(claims)
            while claims.next_parked() is not None:
                pass
            for item in _in_hand(claims):
                claims.finish(item)
            if set(self.lying_places()) <= {Place.FINISHED}:
                break
        claims.tidy()
        claims.stop()

    def lying_places(self) -> list[Place]:
        """The places in which anything lies."""
        return [place for places in self.lying().values() for place, _ in places]


class LeasedMoves(Moves):
    """The same with leases, on one clock that Hypothesis moves."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__()

    def new_claims(self) -> Claims:
        ownership = leases.Leases(str(self.spool.places.working), now=lambda: self.now)
        return Claims(self.spool.places, Readiness(0), ownership=ownership)

    def pass_time(self, claims: Claims) -> None:
        for _ in range(12):
            self.now += PERIOD
            claims.adopt()

    @rule(awake=st.sets(st.integers(0, WORKERS - 1)), periods=st.sampled_from((1, 1, 2, 5, 6)), dies=Moves.dying)
    def time_goes_by(self, awake: set[int], periods: int, dies: int) -> None:
        """Those who are awake renew their leases and look for the dead; the others stand still."""
        for _ in range(periods):
            self.now += PERIOD
            for number in awake:
                if (worker := self.workers[number]) is not None:
                    self.act(number, dies, worker.adopt)


def _is_named(place: Place, name: str, first: str) -> bool:
    """Whether the item of that first name may be called so there."""
    if place is Place.WORKING:
        name = name.partition("/")[2]
    if name == first or place not in (Place.FINISHED, Place.FAILED):
        return name == first
    stem, extension = os.path.splitext(first)
    cut, mark, rest = name.partition("~")
    return bool(mark) and stem.startswith(cut) and rest.endswith(extension)


def _in_hand(worker: Claims) -> list[Item]:
    """What it may work on: not what waits for its name."""
    parked = {id(item) for _, _, item in worker._parked}
    return [item for item in worker.items() if id(item) not in parked]


def _let_time_pass(worker: Claims) -> None:
    """What is parked has its turn now."""
    worker._parked = [(0.0, count, item) for _, count, item in worker._parked]


def _descriptors() -> set[int]:
    found = set()
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # the one by which they were listed
            os.fstat(int(name))
            found.add(int(name))
    return found


def _bury(worker: Claims | None) -> None:
    """What the kernel does when a process ends: its files are closed, and with them its locks."""
    if worker is None:
        return
    for item in worker.items():
        with suppress(OSError):
            item.close()
    for holder in worker._held:
        with suppress(OSError):
            os.close(holder.lock)


def check(examples: int, steps: int, machine: type[Moves] = Moves) -> list[str]:
    """Run it so often for so many steps; the first violation. Always the same examples."""
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate,),
    )
    try:
        run_state_machine_as_test(machine, settings=how)
    except AssertionError as error:
        return [str(error).partition("\n")[0] or "an assertion"]
    return []


if __name__ == "__main__":
    from tests.faults import model, planted  # this module's first life is the one that the bug is planted for

    if sys.argv[1] != "-":
        planted.plant(sys.argv[1])
    machine = model.LeasedMoves if sys.argv[4:] == ["leases"] else model.Moves
    print(*model.check(int(sys.argv[2]), int(sys.argv[3]), machine), sep="\n", end="")
