"""Whatever a file is called: it is delivered, or fails with a reason, and nothing is overwritten."""

import os
from pathlib import Path

import pytest

from tests import corpus

from .support import Scene, body_of, repeated, same, sha256, until

pytestmark = pytest.mark.real

STRANGE = {**dict(corpus.NAMES.values()), b"empty": "empty"}
"""Each name as the bytes of the file, and the key it must get: only what cannot stand in a key is written as %XX."""


def body(name: bytes) -> bytes:
    """An item's bytes; one is empty."""
    return b"" if name == b"empty" else body_of(repr(name), 100 + len(name))


def test_strange_names(scene: Scene) -> None:
    """Each name becomes a key of its own that tells it, the bytes are right, and the log stays printable."""
    worker = scene.working("-v")
    stage = os.fsencode(scene.directory / "stage")
    os.mkdir(stage)
    for name in STRANGE:
        with open(os.path.join(stage, name), "wb") as file:
            file.write(body(name))
        os.rename(os.path.join(stage, name), os.path.join(os.fsencode(scene.incoming), name))
    scene.until_delivered(len(STRANGE))
    done = worker.end()
    same({key: sha256(body(name)) for name, key in STRANGE.items()}, scene.objects(), scene.where)
    assert {os.fsencode(name) for name in scene.lying("finished")} == set(STRANGE)
    assert "\x1b" not in done.err, "a name moved the cursor of the operator's terminal"
    assert not [line for line in done.err.splitlines() if line and line[:1] not in "2 "], "a name broke the log's lines"
    assert (done.code, scene.lying("failed")) == (0, []), scene.where()
    assert {one["name"] for one in scene.receipts()} == set(STRANGE.values()), "receipts tell names as keys do"


def test_strange_names_found_by_a_scan(scene: Scene) -> None:
    """The same names without any event: they lay there before the worker started."""
    for name in STRANGE:
        with open(os.path.join(os.fsencode(scene.incoming), name), "wb") as file:
            file.write(body(name))
    done = scene.once()
    assert done.code == 0, scene.where()
    same({key: sha256(body(name)) for name, key in STRANGE.items()}, scene.objects(), scene.where)


def test_a_tree_moved_in(scene: Scene) -> None:
    """A directory tree that is renamed in as a whole: each file keeps its path, and the directories stay."""
    worker = scene.working()
    tree = scene.directory / "tree"
    expected = {}
    for top in ("a", "b b", "ü"):
        for depth in range(6):
            directory = tree / top / Path(*[f"level {level}" for level in range(depth)])
            directory.mkdir(parents=True, exist_ok=True)
            for number in range(4):
                name = str((directory / f"file {number}").relative_to(tree.parent))
                data = body_of(name, 0 if number == 0 else 1000 * number)
                (directory / f"file {number}").write_bytes(data)
                expected[name] = sha256(data)
    (tree / "empty directory").mkdir()
    tree.rename(scene.incoming / "tree")
    scene.until_delivered(len(expected))
    assert worker.end().code == 0
    same(expected, scene.objects(), scene.where)
    same(expected, {name: sha256((scene.spool / "finished" / name).read_bytes()) for name in scene.lying("finished")})
    assert (scene.incoming / "tree" / "empty directory").is_dir(), "a directory in incoming/ is the producer's"
    assert not repeated(one["name"] for one in scene.receipts())


def test_a_tree_is_moved_in_again(scene: Scene) -> None:
    """Files that are put into directories which were delivered from before, some of them moved away and back."""
    worker = scene.working()
    (scene.incoming / "tree" / "sub").mkdir(parents=True)
    (scene.incoming / "tree" / "sub" / "first").write_bytes(b"1")
    scene.until_delivered(1)
    away = scene.directory / "away"
    (scene.incoming / "tree").rename(away)
    (away / "sub" / "second").write_bytes(b"2")
    away.rename(scene.incoming / "again")
    (scene.incoming / "again" / "sub" / "third").write_bytes(b"3")
    scene.until_delivered(3)
    assert worker.end().code == 0
    expected = {"tree/sub/first": b"1", "again/sub/second": b"2", "again/sub/third": b"3"}
    same({name: sha256(data) for name, data in expected.items()}, scene.objects(), scene.where)


def test_a_name_that_no_key_can_hold_fails_with_a_reason(scene: Scene) -> None:
    """Over 1,024 bytes S3 has no key: the item is in failed/, says so, and the others are delivered."""
    long = Path(*["d" * 250] * 4, "f" * 250)
    (scene.incoming / long.parent).mkdir(parents=True)
    (scene.incoming / long).write_bytes(b"too long")
    (scene.incoming / "short").write_bytes(b"short")
    done = scene.once()
    assert done.code == 1, done.err
    assert scene.lying("failed") == [str(long)]
    assert "1024" in scene.reasons()[str(long)].replace(",", ""), scene.reasons()
    same({"short": sha256(b"short")}, scene.objects(), scene.where)


def test_two_submits_of_one_name(scene: Scene) -> None:
    """The second submit is refused while the first waits; after its delivery other content is refused by the store's
    side, equal content is delivered: nothing is overwritten."""
    for number in (1, 2, 3):
        (scene.directory / f"body{number}").write_bytes(b"first" if number != 2 else b"second")
    spool = str(scene.spool)

    def submit(number: int) -> int:
        return scene.jollyae("submit", spool, str(scene.directory / f"body{number}"), "--name", "same.txt").code

    assert submit(1) == 0
    assert submit(2) == 1
    assert "same.txt" in scene.processes[-1].err() and "already" in scene.processes[-1].err()
    assert scene.once().code == 0
    assert submit(2) == 0
    assert scene.once().code == 1
    assert scene.body("same.txt") == b"first"
    assert "it exists with other content" in scene.reasons()["same.txt"]
    assert (scene.spool / "failed" / "same.txt").read_bytes() == b"second"
    assert submit(3) == 0
    assert scene.once().code == 0, "the same content again is no collision"
    assert any(one.get("already_there") for one in scene.receipts()), "its receipt does not say that it was there"
    assert len(scene.lying("finished")) == 2, "in finished/ neither overwrote the other"
    assert scene.versions() == {"same.txt": 1}


def test_many_submits_of_one_name_at_a_time(scene: Scene) -> None:
    """Eight programs submit one name again and again beside a running worker: exactly those that were told yes are
    queued, none is lost, and the object is one of them."""
    worker = scene.working("-v")
    submitters = []
    for number in range(8):
        (scene.directory / f"body{number}").write_bytes(b"%d" % number)
        words = ("submit", str(scene.spool), str(scene.directory / f"body{number}"), "--name", "one")
        submitters.append(scene.start(*words))
    taken = [number for number, one in enumerate(submitters) if one.wait().code == 0]
    assert taken, "nobody was served"
    until(
        lambda: len(scene.lying("finished")) + len(scene.lying("failed")) == len(taken),
        lambda: f"{len(taken)} submits in finished/ or failed/: {scene.where()}",
    )
    worker.end()
    ended = {
        (scene.spool / place / name).read_bytes() for place in ("finished", "failed") for name in scene.lying(place)
    }
    assert ended == {b"%d" % number for number in taken}
    assert (
        len(scene.lying("finished")) == 1
        and scene.body("one") == (scene.spool / "finished" / scene.lying("finished")[0]).read_bytes()
    )
