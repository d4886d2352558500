"""A worker that dies before the n-th operation on the file system, for every n."""

from pathlib import Path

import pytest

from jollyae import Spool
from jollyae.spool.sweep import sweep
from jollyae.worker import receipts
from tests.children import Forks
from tests.helpers import drop, until, whereabouts

ITEMS = {"plain": b"p" * 3000, "sub/dir/item": b"s", "empty": b"", "later": b"later", "bad": b"bad", "sub/later": b"L"}
RULES = {"once": True, "settle": 0, "concurrency": 1}


def _check(spool: Spool, to: Path, where: str) -> None:
    """The oracle: each item in exactly one place, delivered once and whole, with a receipt; nothing is left over."""
    expected = {name: ["failed" if name == "bad" else "finished"] for name in ITEMS}
    assert whereabouts(spool) == expected, where
    delivered = {str(path.relative_to(to)): path.read_bytes() for path in to.rglob("*") if path.is_file()}
    delivered.pop(".begun")
    good = {name: data for name, data in ITEMS.items() if name != "bad"}
    assert delivered == good, where
    for name, data in ITEMS.items():
        assert (getattr(spool.places, expected[name][0]) / name).read_bytes() == data, where
    ids: dict[str, set[str]] = {}
    for one in receipts.read(spool.places.receipts):
        ids.setdefault(one["name"], set()).add(one["id"])
    assert ids.keys() == good.keys() and all(len(one) == 1 for one in ids.values()), where
    assert [path for path in spool.places.working.iterdir() if path.is_dir()] == [], where
    sweep(spool.places, age=-1)
    dotfiles = [path for path in (*spool.places.control.rglob(".*"), *to.rglob(".*")) if path.name != ".begun"]
    assert dotfiles == [spool.places.failed / ".bad.note"], where


def _to_the_end(forks: Forks, spool: Spool, to: Path, **order: object) -> None:
    """Workers that do not die, until nothing is deferred any more."""

    def is_drained() -> bool:
        code = forks.run(spool.places.control, to, rules=RULES, **order)
        assert code in (0, 1, 75)
        return not any("deferred" in places for places in whereabouts(spool).values())

    until(is_drained)


def _life(forks: Forks, root: Path, kill_at: int, **order: object) -> bool:
    """One spool's life: a worker that dies at the n-th operation, then workers that do not. Whether it died."""
    spool, to = Spool(root / f"spool{kill_at}"), root / f"to{kill_at}"
    to.mkdir()
    for name, data in ITEMS.items():
        drop(spool, name, data)
    code = forks.run(spool.places.control, to, kill_at=kill_at, rules=RULES, **order)
    _to_the_end(forks, spool, to, **order)
    _check(spool, to, f"killed at operation {kill_at}: {code}")
    return code == -9


@pytest.mark.parametrize(
    ("no_renameat2", "step"),
    [(False, 1), (True, 7), pytest.param(True, 1, marks=pytest.mark.slow)],
    ids=["renameat2", "link", "every-link"],
)
def test_a_crash_at_any_operation_loses_and_doubles_nothing(
    tmp_path: Path, forks: Forks, no_renameat2: bool, step: int
) -> None:
    """Killed before any operation, the next worker delivers all that is left, once, and tidies up."""
    kill_at = 1
    while _life(forks, tmp_path, kill_at, no_renameat2=no_renameat2):
        kill_at += step
    assert kill_at > 50  # so many operations there are at least


def test_two_crashes_lose_nothing(tmp_path: Path, forks: Forks) -> None:
    """The worker that takes over may die as well."""
    for first in range(5, 90, 17):
        for second in range(3, 60, 13):
            root = tmp_path / f"{first}"
            spool, to = Spool(root / f"spool{second}"), root / f"to{second}"
            to.mkdir()
            for name, data in ITEMS.items():
                drop(spool, name, data)
            for kill_at in (first, second):
                forks.run(spool.places.control, to, kill_at=kill_at, rules=RULES)
            _to_the_end(forks, spool, to)
            _check(spool, to, f"killed at {first} and {second}")
