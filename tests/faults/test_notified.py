"""A worker with notifications that dies before the n-th operation on the file system, for every n: each delivered item
has a message, and all repeats of it have one name."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from jollyae.worker import receipts
from tests.children import Forks
from tests.faults import disks, notified
from tests.faults.apart import apart
from tests.faults.tier import scaled
from tests.helpers import drop, until, whereabouts

ITEMS = {"plain": b"p" * 3000, "sub/dir/item": b"s", "empty": b"", "later": b"later", "bad": b"bad"}
GOOD = ITEMS.keys() - {"bad"}


def _taken(spool: Spool) -> list[dict[str, Any]]:
    """The messages that are queued, taken as somebody takes them who sends them on."""
    found = []
    for path in (spool.places.control / "notify" / "hook" / "incoming").iterdir():
        told = json.loads(path.read_bytes())
        assert path.name == f"{told['jollyae']['deliveryId']}.json"
        found.append(told)
        path.unlink()
    return found


def _life(forks: Forks, root: Path, kill_at: int, on_done: str, notify: str = "well") -> tuple[bool, int]:
    """One spool's life: a worker that dies at the n-th operation, then workers that do not. Whether it died, and how
    many messages were repeats."""
    spool, to = Spool(root / f"spool{kill_at}"), root / f"to{kill_at}"
    hook = Spool(spool.places.control / "notify" / "hook")
    to.mkdir()
    for name, data in ITEMS.items():
        drop(spool, name, data)
    rules = {"once": True, "settle": 0, "concurrency": 1, "on_done": on_done}
    order: dict[str, Any] = {"rules": rules, "notify": notify}
    code = forks.run(spool.places.control, to, kill_at=kill_at, **order)
    told = _taken(spool)
    where = f"killed at operation {kill_at}: {code}"
    _announced_before_retired(spool, told, where)

    def is_drained() -> bool:
        assert forks.run(spool.places.control, to, **order) in (0, 1, 75)
        return not any("deferred" in places for places in whereabouts(spool).values())

    until(is_drained)
    told += _taken(spool)
    ids: dict[str, set[str]] = defaultdict(set)
    for one in told:
        ids[one["jollyae"]["name"]].add(one["jollyae"]["deliveryId"])
    assert ids.keys() == GOOD, where
    assert all(len(found) == 1 for found in ids.values()), f"{where}: {ids}"
    for one in receipts.read(spool.places.receipts):
        assert ids[one["name"]] == {one["id"]}, where
    assert {str(path.relative_to(to)) for path in to.rglob("*") if path.is_file()} == GOOD | {".begun"}, where
    assert not [path for path in hook.places.tmp.iterdir() if code != -9], where
    return code == -9, len(told) - len(ids)


def _announced_before_retired(spool: Spool, told: list[dict[str, Any]], where: str) -> None:
    """Whatever is retired as delivered has its message already."""
    names = {one["jollyae"]["name"] for one in told}
    lying = whereabouts(spool)
    gone = {name for name in GOOD if lying.get(name, ["finished"]) == ["finished"]}
    assert gone <= names, where


@pytest.mark.parametrize("on_done", ["keep", "delete"])
def test_a_crash_at_any_operation_costs_no_message(
    tmp_path: Path, forks: Forks, on_done: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before any operation: at least one message for each delivered item, all repeats under one id."""
    kill_at, repeats, died = 0, 0, True
    while died:
        kill_at += 1
        died, repeated = _life(forks, tmp_path, kill_at, on_done)
        repeats += repeated
    with capsys.disabled():
        print(f"\nkilled at each of {kill_at - 1} operations ({on_done}): no message missing, {repeats} repeated")
    assert kill_at > 60  # so many operations there are at least
    assert repeats > 3  # those that died between message and retirement


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_power_cut_costs_no_message(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Items deleted after delivery, the disk gone at random moments: whatever was delivered has its message, or is
    still there to be delivered again."""
    if why := disks.why_not(kind):
        pytest.skip(f"{kind}: {why}")
    cuts = scaled(2, 10, 100)
    verdict = apart(tmp_path, notified.shut_down, kind, tmp_path, cuts)
    with capsys.disabled():
        print(f"\nshut down, {kind}: {verdict.cuts} cuts, {verdict.objects} delivered, {verdict.announced} announced")
    assert verdict.wrong == []
    assert verdict.cuts == cuts and verdict.announced > 0


def test_messages_that_are_not_brought_to_the_disk_are_caught(tmp_path: Path) -> None:
    """Without fsync in the worker the power takes some."""
    if why := disks.why_not("ext4"):
        pytest.skip(f"ext4: {why}")
    assert apart(tmp_path, notified.shut_down, "ext4", tmp_path, 40, bug="submit_without_fsync").wrong != []


def test_a_planted_bug_is_caught(tmp_path: Path, forks: Forks) -> None:
    """Messages that are written after their items are retired: some death in between loses one."""

    def until_it_lives() -> None:
        kill_at = 1
        while _life(forks, tmp_path, kill_at, "delete", "late")[0]:
            kill_at += 1

    with pytest.raises(AssertionError, match="killed at operation"):
        until_it_lives()
