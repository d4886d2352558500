"""Looks at disks that a power cut left: mounts each, has a new worker work on it, and has the judge judge.

A program, in a mount namespace of its own: whatever ends it, its mounts and loop devices go with it. One process looks
at many images, some hundred in ten seconds: the worker runs in it, as does the store, which has at each image what the
record on that very image says was accepted by then. It reads one order from stdin and answers with a line for each
image, in JSON.
"""

import json
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults import disks, history, oracle, planted, writelog
from tests.faults.store import Accepted, Object, Store

_ROUNDS = 3


@dataclass(frozen=True)
class Order:
    """What to look at. ``points``: the arguments of :class:`.writelog.Point`; ``objects``: a pickle of what the store
    had in the end and of what was there from the start, both by key; ``only_doubled``: pass over images without a file
    that has two names."""

    kind: str
    base: str
    log: str
    objects: str
    scratch: str
    points: list[tuple[int, list[int]]]
    bug: str = ""
    deleted: bool = False
    only_doubled: bool = False


@dataclass
class Found:
    """What was found on one image. ``doubled``: files that had two names before the worker came; ``resting``: whether
    there was anything to do for it; ``receipts_lost``: items in finished/ whose receipt went with the power."""

    point: tuple[int, list[int]]
    items: int = 0
    told: int = 0
    resting: bool = False
    doubled: int = 0
    receipts_lost: int = 0
    wrong: list[str] = field(default_factory=list)


class Examiner:
    """Looks at the images of one log."""

    def __init__(self, order: Order, store: Store) -> None:
        self._order = order
        self._store = store
        scratch = Path(order.scratch)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(scratch)], check=True)
        self._image, self._at = scratch / "image", scratch / "at"
        self._replay = writelog.Replay(Path(order.base), Path(order.log), scratch / "disk")
        with open(order.objects, "rb") as file:
            self._objects, self._foreign = pickle.load(file)

    def look(self) -> Iterator[Found]:
        """At each point, in order."""
        for whole, more in self._order.points:
            self._replay.at(writelog.Point(whole, tuple(more)), self._image)
            found = Found((whole, more))
            try:
                with disks.mounted(self._image, self._order.kind, self._at):
                    self._examine(found)
                    disks.cut(self._at, self._order.kind)  # what the worker did need not be written
            except OSError as error:
                found.wrong.append(f"the disk cannot be mounted, or is damaged: {error}")
            yield found
        self._replay.close()

    def _examine(self, found: Found) -> None:
        spool = self._at / "spool"
        told = history.read(self._at / "history.jsonl")
        taken = [Accepted(**line) for line in history.lines(self._at / "record")]
        found.items, found.told = len(told), sum(item.told for item in told)
        found.doubled = _doubled(spool)
        if self._order.only_doubled and not found.doubled:
            return
        found.resting = not any(place in ("incoming", "working", "deferred") for place in _places(spool))
        self._fill_the_store(taken, found.point)
        try:
            _work(spool, deleted=self._order.deleted)
        except Exception as error:
            found.wrong.append(f"the worker ended with {error!r}")
            return
        judged = oracle.judge(told, self._store.accepted, spool, deleted=self._order.deleted, power_cut=True)
        found.wrong += judged
        found.receipts_lost = _without_receipt(spool)

    def _fill_the_store(self, taken: list[Accepted], point: object) -> None:
        """It has what its record says. What others had put there is still there, or was removed meanwhile."""
        present: dict[str, Object] = {}
        if random.Random(repr(point)).random() < 0.5:
            present |= self._foreign
        self._store.objects = present | {one.key: self._objects[one.key] for one in taken}
        self._store.accepted = taken
        self._store.uploads = {}
        self._store.seen = []


def _work(spool: Path, *, deleted: bool) -> None:
    """Start a worker on it as ``jollyae run --once`` would; what it defers is made due, so that nothing waits."""
    from jollyae import Spool
    from jollyae.service import compose
    from jollyae.service.settings import Settings
    from jollyae.spool.owner import items_below
    from jollyae.spool.places import Places
    from jollyae.spool.sweep import sweep

    places = Places.under(str(spool))
    Spool(places=places).resume()
    settings = Settings(to="s3://bucket", once=True, settle=0.0, on_done="delete" if deleted else "keep")
    for _ in range(_ROUNDS):
        compose.run(places, settings)
        waiting = list(items_below(str(places.deferred)))
        if not waiting:
            break
        list(Spool(places=places, make=False).retry(waiting))
    sweep(places, age=-1)  # it would do so by itself, after an hour


def _places(spool: Path) -> set[str]:
    return {place for places in oracle.lying_in(spool).values() for place in places}


def _doubled(spool: Path) -> int:
    """Files that have several names."""
    inodes: Counter[int] = Counter()
    for place in oracle.PLACES:
        for path in (spool / place).rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                inodes[path.stat().st_ino] += 1
    return sum(count > 1 for count in inodes.values())


def _without_receipt(spool: Path) -> int:
    return sum(one.startswith("finished without") for one in oracle._receipts_disagree(spool, oracle.lying_in(spool)))


def _make_haste() -> None:
    """What is right for a worker that lives for weeks, and slow for one of 50 ms: a client of its own, and looking for
    garbage at the start."""
    from jollyae.processors.s3 import S3Options, session
    from jollyae.service import compose

    connect = session.connect
    kept: list[session.Connected] = []

    def once(options: S3Options, connections: int) -> session.Connected:
        if not kept:
            kept.append(connect(options, connections))
        return kept[0]

    session.connect = once
    compose._spare_the_collector = lambda: None


def main() -> None:
    """Read the order, look, answer."""
    order = Order(**json.loads(sys.stdin.readline()))
    _make_haste()
    if order.bug:
        planted.BUGS[order.bug]()
    with Store() as store:
        os.environ.update(store.environment())
        for found in Examiner(order, store).look():
            print(json.dumps(asdict(found)), flush=True)


if __name__ == "__main__":
    main()
