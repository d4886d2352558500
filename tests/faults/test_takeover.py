"""What the next worker may take over: of a dead one, and only of a dead one; and what it may believe of a note."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.children import Forks
from tests.faults import history
from tests.faults.lives import PART, once
from tests.faults.scene import Scene, scene
from tests.faults.store import Fault
from tests.helpers import until


def beside_a_living_worker(root: Path, bug: str = "") -> list[str]:
    """A second worker comes while the first one sends, then the first is killed; what is wrong."""
    wrong = []
    with Forks(root / "log") as forks, scene(root / "scene", once(Fault.HANG_BEFORE), bug) as made:
        made.submit("a", b"1")
        first = _start(forks, made, bug)
        until(lambda: _lying_in_work(made) and made.store.seen, "the first worker's request")
        forks.wait(_start(forks, made, bug))
        if not _lying_in_work(made) or made.store.accepted:
            wrong.append("what a living worker had in its hands was taken from it")
        if forks.kill(first) != -9:
            wrong.append("the first worker had ended")
        forks.wait(_start(forks, made, bug))
        return [*wrong, *made.judge()]


def changed_after_the_death(root: Path, bug: str = "") -> list[str]:
    """Its worker dies when the store has a large file whole, before the answer; a writer that had kept its descriptor
    then changes the file. What is wrong when the next worker is done."""
    old, new = bytes(PART) + b"1", bytes(PART) + b"2"
    with Forks(root / "log") as forks, scene(root / "scene", once(Fault.HANG_AFTER), bug) as made:
        made.submit("film", old)
        first = _start(forks, made, bug)
        until(lambda: made.store.accepted, "the object")
        assert forks.kill(first) == -9
        [item] = _lying_in_work(made)
        item.write_bytes(new)
        told = [one for one in history.lines(made.history.path) if one["name"] == "film"][-1]
        made.history.write({**told, "told": False})
        made.history.write({**told, "sha256": hashlib.sha256(new).hexdigest(), "told": True})
        forks.wait(_start(forks, made, bug))
        return made.judge()


def _start(forks: Forks, made: Scene, bug: str) -> int:
    stem = made.directory / "output" / f"worker{len(list((made.directory / 'output').iterdir()))}"
    return forks.jollyae(made.words("--once", "--settle", "0"), made.environment(), stem, bug=bug, part_size=PART)


def _lying_in_work(made: Scene) -> list[Path]:
    return [path for path in made.spool.glob("working/*/*") if not path.name.startswith(".")]


def test_a_living_worker_keeps_what_it_has(tmp_path: Path) -> None:
    """A second worker leaves it alone; when the first is dead, the next takes over."""
    assert beside_a_living_worker(tmp_path) == []


def test_a_note_is_about_one_file(tmp_path: Path) -> None:
    """What the dead worker noted is not believed of a file that is another by now."""
    assert changed_after_the_death(tmp_path) == []


@pytest.mark.parametrize(
    ("suite", "bug"),
    [
        (beside_a_living_worker, "unlocked_owner_adopted"),
        (changed_after_the_death, "a_note_believed_that_does_not_fit"),
    ],
)
def test_a_planted_bug_is_caught(tmp_path: Path, suite: Callable[[Path, str], list[str]], bug: str) -> None:
    """The suite finds what it is for."""
    assert suite(tmp_path, bug)
