"""Workers with leases: processes on one directory that know nothing of each other but what lies there."""

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from jollyae.spool import leases
from jollyae.spool.owner import items_below
from jollyae.worker import receipts
from tests.children import Forks
from tests.faults import test_random_kills as kills
from tests.faults.scene import Scene, scene
from tests.faults.store import Fault, Request
from tests.faults.tier import scaled
from tests.helpers import until

SHORT = "short_leases"
OPTIONS = ("--shared", "yes")


def _start(forks: Forks, made: Scene, *options: str, bug: str = "") -> int:
    stem = made.directory / "output" / f"worker{len(list((made.directory / 'output').iterdir()))}"
    words = made.words("--settle", "0", *OPTIONS, *options)
    return forks.jollyae(words, made.environment(), stem, bug=f"{SHORT}+{bug}")


def _said(made: Scene, words: str) -> bool:
    return any(words in path.read_text() for path in (made.directory / "output").glob("*.err"))


def _down_at_first(request: Request) -> Fault | None:
    """A store that holds each first request for long."""
    return Fault.HANG_AFTER if request.writes else None


def frozen(root: Path) -> list[str]:
    """A worker is stopped (SIGSTOP) for longer than its lease when the store has taken some of what it has in hand;
    another takes over and finishes all. It wakes, reads that all is well, and is told so too late. What is wrong."""
    with Forks(root / "log") as forks, scene(root / "scene") as made:
        slow = _start(forks, made)
        until(lambda: _said(made, "working on"), "the worker")

        stops = [signal.SIGSTOP]

        def stop_it(request: Request) -> None:
            if len(made.store.accepted) >= 3 and stops:
                os.kill(slow, stops.pop())

        made.store.on_accept = stop_it
        names = [f"n{number}" for number in range(20)]
        for name in names:
            made.submit(name, name.encode())
        until(lambda: len(made.store.accepted) >= 3, "the store has some")
        other = _start(forks, made)
        until(lambda: _said(made, "took over"), "the takeover")
        until(lambda: len(list(items_below(str(made.spool / "finished")))) == len(names), "all are finished")
        told = Counter(one["name"] for one in receipts.read(made.spool / "receipts"))
        wrong = [f"told twice before it woke: {told}"] if max(told.values()) > 1 else []
        os.kill(slow, signal.SIGCONT)
        until(lambda: 2 in Counter(one["name"] for one in receipts.read(made.spool / "receipts")).values(), "it woke")
        made.submit("later", b"later")
        until(lambda: (made.spool / "finished" / "later").exists(), "another item")
        for pid in (slow, other):
            if (code := forks.kill(pid, signal.SIGTERM)) != 0:
                wrong.append(f"ended with {code}")
        wrong += _to_the_end(forks, made)
        return [*wrong, *made.judge()]


def beside_a_living_worker(root: Path, bug: str = "") -> list[str]:
    """A second worker is there for many leases while the first one waits for its store; what is wrong."""
    wrong = []
    with Forks(root / "log") as forks, scene(root / "scene", _down_at_first) as made:
        made.submit("a", b"1")
        first = _start(forks, made)
        until(lambda: made.store.accepted, "the first worker's request")
        second = _start(forks, made, bug=bug)
        time.sleep(6.0)  # three leases
        if _said(made, "took over"):
            wrong.append("what a living worker had in its hands was taken from it")
        made.store.plan = lambda request: None
        for pid in (first, second):
            forks.kill(pid)
        wrong += _to_the_end(forks, made)
        return [*wrong, *made.judge()]


def _to_the_end(forks: Forks, made: Scene) -> list[str]:
    code = forks.wait(_start(forks, made, "--once"))
    return [] if code == 0 else [f"the last worker ended with {code}"]


def test_a_frozen_worker_retires_nothing_of_anothers(tmp_path: Path) -> None:
    """It wakes when another has finished what it had: everything is in one place, once, and it works on."""
    assert frozen(tmp_path) == []


def test_a_living_worker_keeps_what_it_has(tmp_path: Path) -> None:
    """Others look at its lease, see it change, and leave it alone; when it is dead, the next takes over."""
    assert beside_a_living_worker(tmp_path) == []


def test_a_planted_bug_is_caught(tmp_path: Path) -> None:
    """The suite finds what it is for."""
    assert beside_a_living_worker(tmp_path, "lease_not_looked_at")


@pytest.mark.parametrize("workers", [2, 4])
def test_killed_at_random(tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int) -> None:
    """Whoever dies when: each item is finished, its object written once, and nothing is left over."""
    began = time.monotonic()
    found = kills.run(
        tmp_path, workers=workers, kills=scaled(10, 100, 1000), bug=SHORT, options=OPTIONS, seed=11 + workers
    )
    with capsys.disabled():
        print(
            f"\nleases of 2 s: {found.kills} of {workers} workers killed in {time.monotonic() - began:.0f} s, "
            f"{found.items} items, sent {found.writes / found.items:.3f} times each, {found.poisoned} brought back; "
            f"{len(found.wrong)} promises broken"
        )
    assert not found.wrong, "\n".join(found.wrong[:20])


def test_a_condition_that_is_not_sent_is_seen(tmp_path: Path) -> None:
    """What keeps results single is the store: without it the judge finds them doubled."""
    bug = f"{SHORT}+no_conditional_put"
    assert kills.run(tmp_path, workers=2, kills=20, bug=bug, options=OPTIONS, seed=5).wrong


def test_nothing_is_written_by_who_only_looks(tmp_path: Path) -> None:
    """``status`` and ``check`` take nothing and change nothing of a worker with a lease."""
    with Forks(tmp_path / "log") as forks, scene(tmp_path / "scene", _down_at_first) as made:
        made.submit("a", b"1")
        worker = _start(forks, made)
        until(lambda: made.store.accepted, "its request")
        [directory] = (made.spool / "working").iterdir()
        os.kill(worker, signal.SIGSTOP)
        before = sorted(path.name for path in directory.iterdir())
        proof = (directory / leases.FILE).stat().st_mtime_ns
        for verb in ("status", "check"):
            forks.wait(forks.jollyae([verb, str(made.spool)], made.environment(), made.directory / "output" / verb))
        assert sorted(path.name for path in directory.iterdir()) == before
        assert (directory / leases.FILE).stat().st_mtime_ns == proof
        os.kill(worker, signal.SIGCONT)
