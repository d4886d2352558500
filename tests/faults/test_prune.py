"""Killed while it prunes: what was to stay stays, what was to go goes next time, and no delivery is harmed."""

import os
import time
from pathlib import Path

from jollyae import Spool
from jollyae.spool.keeping import day_of
from jollyae.spool.owner import items_below
from jollyae.worker import receipts
from tests.children import Forks
from tests.helpers import drop, whereabouts

ITEMS = {"plain": 300, "sub/dir/item": 100, "empty": 0, "bad": 50}
OLD = 12
KEPT = 1000
RULES = {"once": True, "settle": 0, "concurrency": 1, "finished_by_date": True, "keep_finished": KEPT}


def _life(forks: Forks, root: Path, kill_at: int) -> tuple[bool, bool]:
    """One spool's life: a worker that dies before its n-th operation, of whichever thread, then one that does not.
    Whether it died, and whether that was in the middle of a pass."""
    spool, to = Spool(root / f"spool{kill_at}"), root / f"to{kill_at}"
    to.mkdir()
    old = spool.places.finished / day_of(time.time() - 5 * 86400)
    for number in range(OLD):
        path = old / f"{number % 3}" / f"old{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(100))
    (spool.places.failed / "bad one").write_bytes(bytes(5000))
    for name, size in ITEMS.items():
        drop(spool, name, bytes(size))
    died = forks.run(spool.places.control, to, kill_at=kill_at, rules=RULES) == -9
    left = sum(1 for _ in items_below(str(old)))
    assert forks.run(spool.places.control, to, rules=RULES) in (0, 1)
    _check(spool, to, f"killed at operation {kill_at}")
    return died, 0 < left < OLD and died


def _check(spool: Spool, to: Path, where: str) -> None:
    finished = {name for name, places in whereabouts(spool).items() if places == ["finished"]}
    failed = {name for name, places in whereabouts(spool).items() if places == ["failed"]}
    good = {name for name in ITEMS if name != "bad"}
    assert failed == {"bad", "bad one"}, where
    assert {path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file()} - {".begun"} == good, where
    assert {one["name"] for one in receipts.read(spool.places.receipts)} == good, where
    # The newest stay: those of this day, and of the old ones as many as fit beside what was there when it pruned.
    assert good <= {name.partition("/")[2] for name in finished}, where
    size = sum(os.stat(spool.places.finished / name).st_size for name in finished)
    assert 600 <= size <= KEPT + sum(ITEMS.values()), where


def test_killed_at_any_operation_of_a_pass(tmp_path: Path, forks: Forks) -> None:
    """A worker that prunes while it delivers dies before any of its operations: the next one delivers what is left,
    once; failed/ is untouched, and of finished/ the newest stay."""
    kill_at, inside = 1, 0
    while True:
        died, in_the_middle = _life(forks, tmp_path, kill_at)
        inside += in_the_middle
        if not died:
            break
        kill_at += 2
    assert kill_at > 30 and inside >= 1
