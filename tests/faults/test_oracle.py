"""The judge is judged: it says nothing of what is right, and finds each wrong that was made by hand."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import history, planted
from tests.faults.history import History
from tests.faults.scene import Scene, scene
from tests.faults.store import Accepted
from tests.real.support import until

BODIES = {"a": b"a" * 3000, "b/c.txt": b"c", "empty": b"", "weird \x1b\n": b"w", "raw\udcff": b"r"}


@pytest.fixture
def delivered(tmp_path: Path) -> Iterator[Scene]:
    """A spool whose items were delivered."""
    with scene(tmp_path) as made:
        for name, body in BODIES.items():
            made.submit(name, body)
        done = made.once()
        assert done.code == 0, done.err
        yield made


def test_what_is_right(delivered: Scene) -> None:
    """Nothing is wrong where nothing went wrong; and all of it is in the store."""
    assert delivered.judge() == []
    assert len(delivered.store.accepted) == len(BODIES)


def test_deleted(tmp_path: Path) -> None:
    """With --on-done delete it is in no place, and that is right only if it was asked for."""
    with scene(tmp_path) as made:
        made.submit("a", b"1")
        assert made.once("--on-done", "delete").code == 0
        assert made.judge(deleted=True) == []
        assert made.judge() == ["lost: 'a' is nowhere"]


def _again(made: Scene) -> None:
    made.store.accepted.append(made.store.accepted[0])


def _foreign(made: Scene) -> None:
    made.store.accepted.append(Accepted("x", "0" * 64, 1))


def _undelivered(made: Scene) -> None:
    made.store.accepted[:] = [one for one in made.store.accepted if one.key != "a"]


def _receipt(made: Scene) -> None:
    [file] = (made.spool / "receipts").glob("*.jsonl")
    [line] = [one for one in map(json.loads, file.read_text().splitlines()) if one["name"] == "a"]
    with file.open("a") as lines:
        lines.write(json.dumps({**line, "id": "other"}) + "\n")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda made: (made.spool / "finished/a").unlink(), "lost: 'a' is nowhere"),
        (
            lambda made: (made.spool / "finished/a").write_bytes(b"a" * 2999),
            "torn: 'a' is in ['finished'] with other bytes",
        ),
        (lambda made: os.link(made.spool / "finished/a", made.spool / "incoming/a"), "doubled: 'a' is in"),
        (_undelivered, "finished but not delivered: 'a'"),
        (_again, "written 2 times"),
        (_foreign, "stored, but nobody submitted that: 'x' (1 bytes)"),
        (lambda made: (made.spool / "failed/f").write_bytes(b"?"), "lying about, but nobody submitted that: 'f'"),
        (_receipt, "receipts with 2 ids: 'a'"),
        (
            lambda made: [file.unlink() for file in (made.spool / "receipts").glob("*.jsonl")],
            "finished without a receipt: 'a'",
        ),
        (lambda made: (made.spool / "working/h-1-x").mkdir(), "left over: working/h-1-x"),
        (lambda made: (made.spool / "deferred/.a.note").touch(), "a note without an item: deferred/.a.note"),
        (lambda made: (made.spool / "finished/.jollyae-1.tmp").touch(), "left over: finished/.jollyae-1.tmp"),
    ],
)
def test_what_is_wrong(delivered: Scene, spoil: Callable[[Scene], object], expected: str) -> None:
    """Each broken promise is named."""
    spoil(delivered)
    wrong = delivered.judge()
    assert [one for one in wrong if one.startswith(expected)], wrong


def test_a_history(tmp_path: Path) -> None:
    """Tried is not told; a torn last line is nothing."""
    book = History(tmp_path / "h", durable=True)
    (tmp_path / "tmp").mkdir()
    book.submit(tmp_path, "a", b"1")
    book.write({"name": "b", "sha256": "0", "size": 2, "told": False})
    with book.path.open("a") as file:
        file.write('{"name": "c"')
    assert [(item.name, item.told) for item in history.read(book.path)] == [("a", True), ("b", False)]


def test_the_worker_in_a_scene_can_be_killed(tmp_path: Path) -> None:
    """What is in the hands of a dead worker is at rest with the next."""
    with scene(tmp_path) as made:
        worker = made.start("--settle", "0", "-v")
        made.submit("a", b"1")
        until(lambda: made.store.accepted, "the object")
        worker.kill()
        assert [one for one in made.judge() if one.startswith("left over: working/")]
        assert made.once().code == 0
        assert made.judge() == []


def test_every_planted_bug_is_claimed_by_a_suite() -> None:
    """Nothing is planted that nobody looks for."""
    suites = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    suites += (Path(__file__).parents[1] / "real").glob("test_*.py")
    suites.append(Path(__file__).parents[1] / "spool" / "test_leases.py")
    text = "\n".join(path.read_text() for path in suites)
    assert [name for name in planted.BUGS if f'"{name}"' not in text] == []
