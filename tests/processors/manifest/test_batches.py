"""Which delivery is in which manifest: in exactly one, whatever dies and whenever, and whoever repeats what."""

import asyncio
import errno
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jollyae.processors.manifest import batches as module
from jollyae.processors.manifest.batches import Batches, read
from jollyae.processors.manifest.formats import Entry, redshift
from jollyae.processors.manifest.gather import Gather
from jollyae.processors.notify.message import message
from jollyae.spool import fs
from jollyae.spool.item import Item
from jollyae.spool.outcomes import Permanent
from tests.processors.notify.scene import RECEIPT


def entries(*numbers: int) -> list[Entry]:
    """Deliveries by their numbers."""
    return [Entry(f"{n:020x}", f"s3://b/{n}", n, f"2026-11-22T17:00:{n % 60:02d}.000000Z") for n in numbers]


class Next:
    """The next spool: what was submitted to it, by name. A name that comes again is as a repeated object: the same."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "batches"
        self.items: dict[str, tuple[bytes, float]] = {}
        self.repeats = 0
        self.error: OSError | None = None

    def submit(self, file: str, name: str) -> None:
        if self.error is not None:
            raise self.error
        item = Path(file).read_bytes(), os.stat(file).st_mtime
        self.repeats += name in self.items
        assert self.items.setdefault(name, item) == item, "a repeat is another object"

    def batches(self) -> Batches:
        """A worker's."""
        return Batches(str(self.directory), lambda told: redshift(told, ""), ".manifest", self.submit)

    def told(self) -> Counter[int]:
        """How often each delivery is in a manifest."""
        return Counter(
            int(one["url"].removeprefix("s3://b/"))
            for data, _ in self.items.values()
            for one in json.loads(data)["entries"]
        )

    def names(self, suffix: str) -> list[str]:
        """Files in the directory."""
        return sorted(name for name in os.listdir(self.directory) if name.endswith(suffix))


@pytest.fixture
def following(tmp_path: Path) -> Next:
    """A next spool."""
    return Next(tmp_path)


class Killed(BaseException):
    """kill -9."""


def _die(batches: Batches) -> None:
    """What the kernel does for the dead: the lock is given back."""
    if batches._descriptor >= 0:
        os.close(batches._descriptor)
        batches._descriptor = -1


def test_a_batch_is_a_manifest(following: Next) -> None:
    """Nothing is handed on before a batch is closed; its name and time are those of its newest entry."""
    batches = following.batches()
    batches.add(entries(1, 3))
    batches.add(entries(2))
    assert batches.count == 3 and following.items == {}
    batches.close()
    ((name, (data, moment)),) = following.items.items()
    assert name.startswith("20261122T170003Z-") and name.endswith(".manifest")
    assert moment == 1795366803.0
    assert [one["url"] for one in json.loads(data)["entries"]] == ["s3://b/1", "s3://b/3", "s3://b/2"]
    assert following.names(".sent") == [f"{name}.sent"]
    batches.close()
    assert len(following.items) == 1, "nothing new, no manifest"


def test_a_repeat_is_in_one_manifest_only(following: Next) -> None:
    """A delivery that is told again, in the same batch, in a later one, or of another life, is left out."""
    first = following.batches()
    first.add(entries(1, 1))
    first.add(entries(1, 2))
    first.close()
    first.add(entries(2, 3))
    first.close()
    second = following.batches()
    second.recover()
    second.add(entries(1, 2, 3, 4))
    second.close()
    assert following.told() == Counter([1, 2, 3, 4])


@pytest.mark.parametrize("repeat", [False, True], ids=["messages gone", "messages again"])
def test_a_death_at_any_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeat: bool) -> None:
    """Killed before each operation on the disk in turn: with the messages that are still there repeated, or all of
    them, each delivery is in exactly one manifest, and a manifest that is made twice is the same."""
    died, at, repeats = True, 0, 0
    while died:
        at += 1
        following = Next(tmp_path / str(at))
        died = _life(following, at, monkeypatch, repeat)
        assert following.told() == Counter(range(8)), f"killed at operation {at}"
        assert following.names(".batch") == [], f"killed at operation {at}"
        repeats += following.repeats
    assert at > 20  # so many operations there are at least
    assert repeats > 0


def _life(following: Next, at: int, monkeypatch: pytest.MonkeyPatch, repeat: bool) -> bool:
    count = 0

    def observe(operation: str, path: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Killed

    done: list[Entry] = []
    batches = following.batches()
    died = False
    with monkeypatch.context() as patch:
        patch.setattr(fs, "observer", observe)
        try:
            for numbers in ((0, 1), (2,), (3, 4), (5,)):
                batches.add(entries(*numbers))
                done += entries(*numbers)  # their messages are gone
                if batches.count >= 3:
                    batches.close()
        except Killed:
            died = True
    _die(batches)
    again = following.batches()
    again.recover()
    again.add(one for one in entries(*range(8)) if repeat or one not in done)
    again.close()
    return died


def test_half_a_line_is_none(following: Next) -> None:
    """The power went in the middle of a write: that message is still queued, and comes again."""
    batches = following.batches()
    batches.add(entries(1, 2))
    path = Path(batches._path)
    _die(batches)
    path.write_bytes(path.read_bytes()[:-20])
    assert read(str(path)) == entries(1)
    again = following.batches()
    again.recover()
    again.add(entries(2))
    again.close()
    assert following.told() == Counter([1, 2])


def test_a_living_workers_batch_is_left_alone(following: Next) -> None:
    """Who has the lock lives."""
    living, other = following.batches(), following.batches()
    living.add(entries(1))
    other.recover()
    assert following.items == {}
    living.add(entries(2))
    living.close()
    assert following.told() == Counter([1, 2])


@pytest.mark.parametrize("failing", ["fsync", "rename", "submit"])
def test_a_disk_that_refuses(following: Next, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """The message is told to come again, or the manifest is made later: once, whole."""
    batches = following.batches()
    batches.add(entries(1))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    following.error = full if failing == "submit" else None

    def observe(operation: str, path: str) -> None:
        if operation == failing:
            raise full

    with monkeypatch.context() as patch:
        patch.setattr(fs, "observer", observe)
        with pytest.raises(OSError, match="No space left"):
            batches.add(entries(2))
            batches.close()
    following.error = None
    batches.add(entries(2, 3))
    batches.close()
    assert following.told() == Counter([1, 2, 3])


def test_what_is_remembered_is_bounded(following: Next, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many deliveries the newest are known, in memory and on the disk."""
    monkeypatch.setattr(module, "KNOWN", 10)
    batches = following.batches()
    for number in range(30):
        batches.add(entries(number))
        batches.close()
        os.utime(following.directory / following.names(".sent")[0])
    batches.recover()
    assert len(following.names(".sent")) == 10
    assert sum(batches.knows(one.id) for one in entries(*range(30))) == 10
    assert len(following.items) == 30


# --- as a processor


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Item]]:
    """Makes messages as items."""
    items = []

    def make(number: int, body: bytes = b"") -> Item:
        (one,) = entries(number)
        path = tmp_path / f"{one.id}.json"
        told = {**RECEIPT, "id": one.id, "url": one.url, "size": one.size, "finished": one.finished}
        path.write_bytes(body or message(told))
        descriptor = os.open(path, os.O_RDONLY)
        owner: Any = None
        items.append(Item(path.name, str(path), owner, descriptor, os.fstat(descriptor)))
        return items[-1]

    yield make
    for item in items:
        item.close()


def test_by_number(following: Next, made: Callable[..., Item]) -> None:
    """Ten messages at once, three to a manifest; the rest when the worker ends."""

    async def main() -> None:
        gather = Gather(following.batches(), 3, 1000.0)
        await gather.recover()
        await asyncio.gather(*(gather(made(number)) for number in range(10)))
        assert sorted(len(json.loads(data)["entries"]) for data, _ in following.items.values()) == [3, 3, 3]
        fields = await gather(made(4))
        assert fields["already_there"]
        await gather.end()

    asyncio.run(main())
    assert following.told() == Counter(range(10)) and len(following.items) == 4


def test_by_time(following: Next, made: Callable[..., Item]) -> None:
    """So many seconds after the first message of a batch its manifest is made, though no other comes."""

    async def main() -> None:
        gather = Gather(following.batches(), 1000, 0.05)
        for number in (1, 2):
            await gather(made(number))
            async with asyncio.timeout(30):
                while len(following.items) < number:
                    await asyncio.sleep(0.01)
        await gather.end()

    asyncio.run(main())
    assert following.told() == Counter([1, 2])


def test_what_is_no_message(following: Next, made: Callable[..., Item]) -> None:
    """Somebody put another file there."""

    async def main() -> None:
        with pytest.raises(Permanent):
            await Gather(following.batches(), 3, 1.0)(made(1, b"no message"))

    asyncio.run(main())
