"""Several at one spool: workers beside each other, and beside somebody's script. Each item is delivered once."""

import threading
from pathlib import Path

import pytest

from .support import Process, Scene, body_of, repeated, same, sha256, until

pytestmark = pytest.mark.real

COUNT = 600
SCRIPT = """
while :; do for file in "$1"/*; do
  [ -f "$file" ] && mv -n "$file" "$2"/
done 2>/dev/null
sleep 0.01; done
"""
"""Somebody's: takes what lies in incoming/ by the same rename."""


def contents() -> dict[str, bytes]:
    """The items."""
    return {f"item-{number:04d}": body_of(str(number), number * 31 % 9000) for number in range(COUNT)}


def produce(scene: Scene, items: dict[str, bytes]) -> None:
    """Drop them, in bursts of 50 with a breath between."""
    pause = threading.Event()
    for number, (name, body) in enumerate(items.items()):
        scene.drop(name, body)
        if number % 50 == 49:
            pause.wait(0.1)


def test_two_workers_on_one_spool(scene: Scene) -> None:
    """They share the items; each has one receipt, one object, and is in finished/ once."""
    items = contents()
    workers = [scene.working(), scene.working()]
    produce(scene, items)
    scene.until_delivered(COUNT)
    assert [worker.end().code for worker in workers] == [0, 0]
    same({name: sha256(body) for name, body in items.items()}, scene.objects(), scene.where)
    receipts = scene.receipts()
    assert not repeated(one["name"] for one in receipts), "delivered more than once"
    assert not [one for one in receipts if one.get("already_there")], "one was sent by both"
    shares = {one["worker"] for one in receipts}
    assert len(receipts) == COUNT and len(shares) == 2, f"{len(receipts)} receipts by {shares}"
    assert scene.lying("finished") == sorted(items) and not scene.lying("failed"), scene.where()
    assert not list((scene.spool / "working").iterdir()), "a worker that ended in order leaves nothing"


def test_the_other_worker_takes_over(scene: Scene) -> None:
    """One is killed with items in its hands: the other, already running, delivers them within its next look."""
    items = {name: body for name, body in contents().items() if name < "item-0060"}
    victim = scene.working("--bandwidth", "20k")
    for name, body in items.items():
        scene.drop(name, body + bytes(20_000))
    until(lambda: scene.lying("working"), scene.where)
    heir = scene.worker()
    heir.until_says("working on")
    victim.kill()
    scene.until_delivered(len(items))
    assert heir.end().code == 0
    assert heir.lines("took over"), heir.tail()
    same({name: sha256(body + bytes(20_000)) for name, body in items.items()}, scene.objects(), scene.where)


@pytest.mark.parametrize("where", ["beside the spool", "in working/"])
def test_beside_a_script_that_takes_from_the_same_place(scene: Scene, where: str) -> None:
    """Somebody's five lines of sh move items out of the same incoming/ into a directory of theirs: what they took is
    theirs, all else is ours, nothing is both or neither. Their files in working/ are left alone."""
    items = contents()
    theirs = scene.directory / "theirs" if where == "beside the spool" else scene.spool / "working" / "theirs"
    theirs.mkdir()
    (scene.spool / "working" / "by hand").write_bytes(b"somebody works on this")
    worker = scene.working()
    command = ["/bin/sh", "-c", SCRIPT, "script", str(scene.incoming), str(theirs)]
    script = Process(command, scene.environment(), scene.directory / "output" / "script")
    try:
        produce(scene, items)
        until(lambda: not scene.lying("incoming"), scene.where)
        until(lambda: len(_names(theirs)) + len(scene.lying("finished")) >= COUNT, scene.where)
    finally:
        script.kill()
    assert worker.end().code == 0
    took = _names(theirs)
    assert took and len(took) < COUNT, f"the script took {len(took)} of {COUNT}: the test shows nothing"
    ours = {name: sha256(body) for name, body in items.items() if name not in took}
    same(ours, scene.objects(), scene.where)
    same({name: sha256(items[name]) for name in took}, {name: sha256((theirs / name).read_bytes()) for name in took})
    assert sorted(one["name"] for one in scene.receipts()) == sorted(ours)
    assert scene.lying("finished") == sorted(ours) and not scene.lying("failed"), scene.where()
    assert (scene.spool / "working" / "by hand").read_bytes() == b"somebody works on this"


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}
