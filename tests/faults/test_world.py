"""A hostile world: hints that are lost, directories that vanish, clocks that jump, too little of everything.

Each trial is a function of a scene; it says what is wrong, in sentences, and proves that what it speaks of happened.
Then the one judge sees what is left. jollyae runs as processes of its own, against the fault store.
"""

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jollyae.spool import watch
from tests.faults import limits, planted
from tests.faults.scene import Scene, scene
from tests.faults.store import Fault, Request
from tests.faults.tier import TIER, scaled
from tests.real.support import Process, until

SAY = Callable[[str], None]


def _small(made: Scene, count: int, start: int = 0, size: int = 300) -> None:
    for number in range(start, start + count):
        made.submit(f"{number % 10}/{number}", os.urandom(size))


def _finished(made: Scene) -> int:
    return sum(len(files) for _, _, files in os.walk(made.spool / "finished"))


def _working(made: Scene, *options: str, before: tuple[str, ...] = ()) -> Process:
    worker = made.start("--settle", "0", *options, before=before)
    worker.until_says("working on")
    return worker


def _until_finished(made: Scene, count: int, seconds: float = 60.0) -> list[str]:
    """Wait for so many finished items, for as long as there are always more of them; what is wrong if not."""
    last, since = -1, time.monotonic()
    while (found := _finished(made)) < count:
        if found != last:
            last, since = found, time.monotonic()
        if time.monotonic() - since > seconds:
            told = made.processes[-1].tail()
            return [f"stuck: {found} of {count} finished after {seconds:g} s without another: {told}"]
        time.sleep(0.05)
    return []


def _ended(worker: Process, code: int = 0) -> list[str]:
    """Stop it; what is wrong with its end, or with what it said."""
    if worker.popen.poll() is not None:
        return [f"the worker ended by itself, with {worker.popen.returncode}: {worker.tail()}"]
    done = worker.end()
    wrong = [] if done.code == code else [f"it ended with {done.code}: {worker.tail()}"]
    return wrong + [f"it said: {line}" for line in worker.lines("Traceback") + worker.lines("fault of jollyae")]


# --- hints


class Unread:
    """A watch of our own that nobody reads, made at the same time as the worker's: what befalls it, befalls that."""

    def __init__(self, directory: Path) -> None:
        self._watch = watch.Inotify(str(directory), "")
        self._watch.add("")

    def overflowed(self) -> bool:
        """Whether hints were lost."""
        return watch.Hint(watch.Kind.OVERFLOW) in self._watch.read()

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()


def burst(made: Scene, say: SAY) -> list[str]:
    """A queue of 16 events, and thousands of files while the worker is stopped: they come by the scan after the
    overflow. The scan that is due in any case is an hour away."""
    count = scaled(1000, 10_000, 10_000)
    with limits.inotify_queue(16):
        (made.spool / "incoming").mkdir(exist_ok=True)
        unread = Unread(made.spool / "incoming")
        worker = _working(made)
    made.submit("first", b"1")
    wrong = _until_finished(made, 1)
    worker.send(signal.SIGSTOP)
    try:
        for number in range(count):
            made.submit(f"{number}", b"x")
    finally:
        worker.send(signal.SIGCONT)
    began = time.monotonic()
    assert unread.overflowed()
    unread.close()
    wrong += wrong or _until_finished(made, count + 1, 6.0)
    say(f"{count} files over a queue of 16 events: {time.monotonic() - began:.1f} s")
    return wrong + _ended(worker)


def no_watches(made: Scene, say: SAY) -> list[str]:
    """No watch may be made: polling."""
    return _polled(made, limits.inotify_limits(watches=0))


def few_watches(made: Scene, say: SAY) -> list[str]:
    """Three watches, and more directories: some are polled."""
    _small(made, 40)
    return _polled(made, limits.inotify_limits(watches=3), already=40)


def no_inotify(made: Scene, say: SAY) -> list[str]:
    """No inotify at all: polling."""
    return _polled(made, limits.inotify_limits(instances=0))


def _polled(made: Scene, before: tuple[str, ...], already: int = 0) -> list[str]:
    worker = _working(made, before=before)
    wrong = _until_finished(made, already)
    _small(made, 40, already)
    wrong += _until_finished(made, already + 40, 15)
    states = [file.read_text() for file in made.spool.glob("working/*/.state.json")]
    assert any("polling" in state for state in states), states
    return wrong + _ended(worker)


# --- directories


def incoming_made_again(made: Scene, say: SAY) -> list[str]:
    """incoming/ is removed and made again, three times, and once replaced by another with items in it."""
    worker = _working(made)
    wrong: list[str] = []
    incoming = made.spool / "incoming"
    for number in range(3):
        made.submit(f"a{number}", b"a")
        wrong += _until_finished(made, 2 * number + 1, 15)
        incoming.rmdir()
        time.sleep(0.3 * number)
        incoming.mkdir()
        made.submit(f"b{number}", b"b")
        wrong += _until_finished(made, 2 * number + 2, 15)
    other = made.directory / "other"
    other.mkdir()
    os.rename(incoming, made.directory / "away")
    made.history.write({"name": "moved", "sha256": hashlib.sha256(b"m").hexdigest(), "size": 1, "told": False})
    (other / "moved").write_bytes(b"m")
    os.rename(other, incoming)
    wrong += _until_finished(made, 7, 15)
    return wrong + _ended(worker)


def spool_renamed(made: Scene, say: SAY) -> list[str]:
    """The whole spool is renamed while items are under way, and renamed back: nothing was made at the old place."""
    gate = threading.Event()
    made.store.plan = lambda request: None if gate.is_set() or "7" not in request.key else Fault.INTERNAL
    worker = _working(made)
    _small(made, 30)
    wrong = _until_finished(made, 1, 15)
    away = made.directory / "renamed"
    os.rename(made.spool, away)
    gate.set()
    time.sleep(scaled(3, 5, 30))
    if made.spool.exists():
        found = sorted(str(path.relative_to(made.spool)) for path in made.spool.rglob("*"))
        return [*wrong, f"made at the old place: {found}: {worker.tail()}"]
    os.rename(away, made.spool)
    wrong += _until_finished(made, 30, 45)
    return wrong + _ended(worker)


def spool_renamed_for_good(made: Scene, say: SAY) -> list[str]:
    """The spool gets another name under a living worker; when that is told to stop, the next works there."""
    worker = _working(made)
    _small(made, 30)
    wrong = _until_finished(made, 1, 15)
    away = made.directory / "renamed"
    os.rename(made.spool, away)
    made.spool = away
    _small(made, 10, 30)
    done = worker.end()
    wrong += [f"it said: {line}" for line in worker.lines("Traceback")]
    assert done.code in (0, 143), (done.code, worker.tail())
    second = _working(made)
    wrong += _until_finished(made, 40, 45)
    return wrong + _ended(second)


# --- clocks

SKEW = 900.0
"""Seconds that a request may be off the store's clock, as AWS has it."""


class _SkewedStore:
    """A store that looks at the date of a request, unless it is told not to; ``later`` is refused once."""

    def __init__(self) -> None:
        self.strict = True
        self.down = False
        self.skewed = 0
        self._refused = False

    def plan(self, request: Request) -> Fault | None:
        signed = datetime.strptime(request.headers.get("x-amz-date", "19700101T000000Z"), "%Y%m%dT%H%M%SZ")
        if self.strict and abs(signed.replace(tzinfo=UTC).timestamp() - time.time()) > SKEW:
            self.skewed += 1
            return Fault.SKEWED
        if self.down:
            return Fault.INTERNAL
        if request.key == "later" and not self._refused:
            self._refused = True
            return Fault.DENIED
        return None


def clock_jumps(jump: str, *, back: bool) -> Callable[[Scene, SAY], list[str]]:
    """A trial: the worker's clock jumps while one item is deferred and the destination is paused; ``back``: it is put
    right again, else the store's clock is put to the same."""

    def trial(made: Scene, say: SAY) -> list[str]:
        clock = limits.Clock(made.directory / "clock")
        store = _SkewedStore()
        made.store.plan = store.plan
        worker = _working(made, before=clock.prefix())
        made.submit("later", b"l")
        worker.until_says("deferred for", "later")
        store.down = True
        made.submit("held", b"h")
        worker.until_says("paused", "InternalError")
        clock.set(jump)
        store.down = False
        if jump.endswith("x100"):
            store.strict = False  # a quarter of an hour off takes nine seconds: the other trials have it
        else:
            until(lambda: store.skewed, lambda: f"a signature of another day: {worker.tail()}", 8 if made.bug else 30)
        made.submit("after", b"a")
        if back:
            clock.set("+0")
        else:
            store.strict = False
        wrong = _until_finished(made, 3, 30)
        return wrong + _ended(worker)

    return trial


def clock_and_two_workers(made: Scene, say: SAY) -> list[str]:
    """While one worker holds items for a store that is down, another's clock jumps by years: it takes none of them."""
    store = _SkewedStore()
    store.strict, store.down = False, True
    made.store.plan = store.plan
    _small(made, 10)
    first = _working(made)
    first.until_says("paused")
    held = sorted(str(path) for path in made.spool.glob("working/*/*/[0-9]*"))
    assert len(held) == 10, held  # all that there are were claimed in one go: the second finds none that is free
    wrong: list[str] = []
    clock = limits.Clock(made.directory / "clock")
    for jump in ("+10y", "-10y"):
        clock.set(jump)
        second = _working(made, before=clock.prefix())
        second.until_says("delivering to")  # it has looked for dead workers
        clock.set("+0")
        time.sleep(scaled(0, 11, 25))  # it does so every ten seconds
        wrong += [f"it took over from a living worker: {line}" for line in second.lines("took over")]
        wrong += [f"taken away: {path}" for path in held if not Path(path).exists()]
        second.end()
    store.down = False
    wrong += _until_finished(made, 10, 45)
    return wrong + _ended(first)


# --- too little


def memory(made: Scene, say: SAY) -> list[str]:
    """64 MB of memory, with many items and large ones: nobody kills the worker."""
    small, large = scaled(200, 3000, 20_000), scaled(1, 3, 8)
    bodies = [os.urandom(scaled(70, 100, 300) << 20)] * large + [os.urandom(30 << 20)] * 2 * large
    with limits.memory(64 << 20) as group:
        worker = _working(made, before=group.prefix())
        for number, body in enumerate(bodies):
            made.submit(f"large{number}", body)
        _small(made, small)
        wrong = _until_finished(made, small + len(bodies), 60)
        say(f"64 MB: {small} small and {len(bodies)} large items, {group.kills()} kills, peak {group.peak() >> 20} MiB")
        if group.kills():
            wrong.append(f"killed {group.kills()} times for want of memory")
        return wrong + _ended(worker)


def open_files(made: Scene, say: SAY) -> list[str]:
    """32 file descriptors: fewer items at a time, but all of them, and without a pause."""
    count = scaled(300, 2000, 20_000)
    _small(made, count)
    made.submit("large", os.urandom(65 << 20))
    began = time.monotonic()
    worker = _working(made, before=limits.open_files(32))
    wrong = _until_finished(made, count + 1, 30)
    say(f"32 descriptors: {count} items in {time.monotonic() - began:.1f} s, {len(worker.lines('paused'))} pauses")
    wrong += [f"it paused: {line}" for line in worker.lines("Too many open files")]
    return wrong + _ended(worker)


def frozen(made: Scene, say: SAY) -> list[str]:
    """The worker is frozen in the middle of a large upload, while another one works: nobody takes its item, and it goes
    on where it was."""
    seconds = scaled(2, 12, 60)
    with limits.freezer() as group:
        made.store.plan = lambda request: Fault.DRIP if "partNumber" in request.query else None
        worker = _working(made, before=group.prefix())
        made.submit("large", os.urandom(80 << 20))
        until(lambda: any("partNumber" in request.query for request, _ in list(made.store.seen)), "the first part")
        group.freeze(True)
        second = _working(made)
        _small(made, 20)
        wrong = _until_finished(made, 20, 20)
        time.sleep(seconds)
        wrong += [f"it took over from a frozen worker: {line}" for line in second.lines("took over")]
        sent = sum("partNumber" in request.query for request, _ in list(made.store.seen))
        group.freeze(False)
        wrong += _until_finished(made, 21, 60)
        say(f"frozen for {seconds} s after {sent} parts of 5 had been begun")
        return wrong + _ended(second) + _ended(worker)


TRIALS: dict[str, Callable[[Scene, SAY], list[str]]] = {
    trial.__name__: trial
    for trial in (
        *(burst, no_watches, few_watches, no_inotify, incoming_made_again, spool_renamed, spool_renamed_for_good),
        *(clock_and_two_workers, memory, open_files, frozen),
    )
}
JUMPS = [("-1d", False), ("-10y", True), ("+1d", True), ("+0 x100", False)]
if TIER != "sample":
    JUMPS += [("-1d", True), ("-10y", False), ("+1d", False), ("+10y", False)]
TRIALS |= {f"clock {jump}{', put right' if back else ''}": clock_jumps(jump, back=back) for jump, back in JUMPS}
_WORLD = {"burst": "scans_hourly"}


def run(directory: Path, trial: str, say: SAY, bug: str = "") -> list[str]:
    """One trial with its judgement: what is wrong."""
    with scene(directory, bug="+".join(filter(None, (_WORLD.get(trial), bug)))) as made:
        try:
            wrong = TRIALS[trial](made, say)
        except pytest.fail.Exception as failure:  # something was waited for in vain
            wrong = [str(failure)]
        if not wrong:
            made.bug = ""
            last = made.once()
            wrong += [] if last.code == 0 else [f"the last worker ended with {last.code}: {last.err[-600:]}"]
            wrong += made.judge()
        return wrong


PLANTED = {"no_rescan_after_overflow": "burst", "wall_clock_for_waits": "clock -1d"}
AT_ONCE = 6
"""Trials under way at one time; they mostly wait."""

Run = tuple[list[str], list[str]]


def _run(directory: Path, trial: str, bug: str = "") -> Run:
    said: list[str] = []
    return run(directory, trial, said.append, bug), said


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Run]]]:
    """All trials that were asked for, begun together: each is a future of what is wrong and what it says."""
    chosen = [
        next(iter(item.callspec.params.values()))
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(_run, tmp_path_factory.mktemp("world"), PLANTED.get(name, name), name * (name in PLANTED))
            for name in sorted(chosen, key=lambda name: name not in PLANTED)  # those wait in vain, and longest
        }


@pytest.mark.parametrize("trial", TRIALS)
def test_the_world(runs: dict[str, Future[Run]], trial: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it does: nothing is lost, doubled or stuck."""
    wrong, said = runs[trial].result()
    with capsys.disabled():
        for one in said:
            print(f"\nworld: {one}", end="")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(runs: dict[str, Future[Run]], bug: str) -> None:
    """The suite sees what it must see."""
    assert bug in planted.BUGS
    wrong, _ = runs[bug].result()
    assert wrong
