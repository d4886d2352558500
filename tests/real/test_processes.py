"""``run --processes`` on a real store: one object and one receipt for each item, whoever of them is killed."""

import os
import signal

import pytest

from .support import Scene, body_of, repeated, same, sha256, until

pytestmark = pytest.mark.real

COUNT = 600


def drop_all(scene: Scene) -> dict[str, str]:
    """600 items; their digests."""
    bodies = {f"item-{number:04d}": body_of(str(number), number * 31 % 9000) for number in range(COUNT)}
    for name, body in bodies.items():
        scene.drop(name, body)
    return {name: sha256(body) for name, body in bodies.items()}


def workers(scene: Scene) -> list[int]:
    """The processes of the workers that have a directory in working/."""
    return [int(path.name.split("-")[-2]) for path in (scene.spool / "working").iterdir()]


def test_three_processes(scene: Scene) -> None:
    """Each item has one object and one receipt; they shared the work; the log sums it up."""
    expected = drop_all(scene)
    done = scene.once("--settle", "0", "--processes", "3")
    assert done.code == 0, done.err
    same(expected, scene.objects(), scene.where)
    receipts = scene.receipts()
    assert len(receipts) == COUNT and not repeated(one["name"] for one in receipts)
    assert not [one for one in receipts if one.get("already_there")], "one was sent by two"
    assert len({one["worker"] for one in receipts}) == 3
    assert scene.lying("finished") == sorted(expected) and not list((scene.spool / "working").iterdir())
    assert f"delivered {COUNT}, failed 0, left waiting 0" in done.err


def test_one_of_them_is_killed(scene: Scene) -> None:
    """kill -9 with items in its hands: another is started, and all objects are there, each once."""
    expected = drop_all(scene)
    run = scene.worker("--processes", "3", "--settle", "0", "--bandwidth", "3M")
    until(lambda: len(scene.lying("finished")) > 30, scene.where)
    os.kill(workers(scene)[0], signal.SIGKILL)
    run.until_says("was ended by signal 9", "another is started")
    scene.until_delivered(COUNT)
    assert run.end().code == 0, run.tail()
    same(expected, scene.objects(), scene.where)
    assert {one["name"] for one in scene.receipts()} == set(expected)
    assert not scene.lying("failed") and not list((scene.spool / "working").iterdir())


def test_their_parent_is_killed(scene: Scene) -> None:
    """kill -9 of the process that was started: the workers end in order, and the next run does the rest."""
    expected = drop_all(scene)
    run = scene.worker("--processes", "2", "--settle", "0", "--bandwidth", "1M")
    until(lambda: len(scene.lying("finished")) > 30, scene.where)
    run.kill()
    until(lambda: not workers(scene), "the workers end by themselves")
    assert scene.lying("incoming"), "it was killed too late: the test shows nothing"
    assert len(scene.receipts()) == len(scene.lying("finished"))
    done = scene.once("--settle", "0", "--processes", "2")
    assert done.code == 0, done.err
    same(expected, scene.objects(), scene.where)
    assert not repeated(one["name"] for one in scene.receipts()), "they had ended in order"
