"""sync-originals: a verified copy, whole files only, that goes on where it was killed and mends what is damaged."""

import hashlib
import os
from pathlib import Path

from jollyae.album import originals
from jollyae.album.syncing import Sync
from tests.album.scene import add, an_album, run


def test_a_copy_of_all(tmp_path: Path) -> None:
    """Everything, under the same keys; again: nothing; damaged or short: mended; what is missing is told."""

    async def go() -> None:
        async with an_album(tmp_path) as (store, place):
            bodies = [os.urandom(1000 + n) for n in range(20)]
            ids = [(await add(store, place, body))["_id"] for body in bodies]
            copy = tmp_path / "copy"
            done = await Sync(store, place, copy).run()
            assert (done.brought, done.kept, done.failed) == (20, 0, {})
            assert done.bytes == sum(map(len, bodies))
            files = {path.stem: path.read_bytes() for path in copy.rglob("*.jpg")}
            assert files == {hashlib.sha256(body).hexdigest(): body for body in bodies}
            again = await Sync(store, place, copy).run()
            assert (again.brought, again.kept, again.bytes) == (0, 20, 0)
            paths = [copy / originals.key(id, "jpg") for id in ids[:3]]
            paths[0].write_bytes(b"short")
            paths[1].write_bytes(b"X" * len(bodies[1]))
            paths[2].unlink()
            quick = await Sync(store, place, copy, quick=True).run()
            assert (quick.brought, quick.mended, quick.kept) == (1, 1, 18)
            whole = await Sync(store, place, copy).run()
            assert (whole.brought, whole.mended, whole.kept) == (0, 1, 19)
            assert paths[1].read_bytes() == bodies[1]
            Path(place.path(originals.key(ids[4], "jpg"))).write_bytes(b"?" * len(bodies[4]))
            Path(place.path(originals.key(ids[5], "jpg"))).unlink()
            done = await Sync(store, place, tmp_path / "second").run()
            assert set(done.failed) == {ids[4], ids[5]} and done.brought == 18
            assert not list((tmp_path / "second").rglob("*.part"))

    run(go())


def test_a_killed_copy_goes_on(tmp_path: Path) -> None:
    """What was brought of a file is not brought again, unless it is wrong."""

    async def go() -> None:
        async with an_album(tmp_path) as (store, place):
            body = os.urandom(3 << 20)
            key = originals.key((await add(store, place, body))["_id"], "jpg")
            for number, half in enumerate((body[: 1 << 20], b"X" * (1 << 20), body)):
                copy = tmp_path / str(number)
                path = copy / key
                path.parent.mkdir(parents=True)
                mark = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
                (path.parent / f".jollyae-{mark}.part").write_bytes(half)
                done = await Sync(store, place, copy).run()
                assert path.read_bytes() == body and done.brought == 1
                assert done.bytes >= len(body) - len(half)
                assert [file.name for file in path.parent.iterdir()] == [path.name]

    run(go())
