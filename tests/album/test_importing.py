"""Import: an export of ours comes in with all that was edited, others' directories with what their sidecars say, and
nobody's newer edit is undone."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from jollyae.album import document, times
from jollyae.album.export import Export
from jollyae.album.importing import Imported, edits, sidecars_of
from jollyae.album.store import Document, Store
from jollyae.album.xmp import Sidecar
from jollyae.processors.photo import Picture, Pictures
from jollyae.processors.photo.samples import make_samples
from jollyae.service.albums import opening as album
from jollyae.service.albums.verbs import import_directory
from jollyae.service.settings import ConfigurationError, Settings
from jollyae.spool.outcomes import Temporary
from tests.album.scene import an_album, edit, run
from tests.album.test_xmp import OTHERS


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some photos."""
    return make_samples(tmp_path_factory.mktemp("samples"), 4, side=480)


async def _import(root: Path, directory: Path, name: str = "album", **more: Any) -> Imported:
    settings, done = Settings(originals=f"file://{root}/photos", **more), Imported()
    assert await import_directory(f"sqlite:///{root}/{name}.sqlite", directory, settings, done) == 0
    return done


async def _all(store: Store) -> dict[str, Document]:
    found = [await store.get(id) async for id in store.ids()]
    return {one["_id"]: one for one in found if one is not None}


def _walk(root: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def _own(photo: Document) -> dict[str, Any]:
    """What must be the same in another album: not the revisions, and not who holds the original where."""
    return {key: value for key, value in photo.items() if key not in ("_rev", "original", "stamps", "edited", "seen")}


def test_an_export_comes_in_again_with_all_of_it(tmp_path: Path, samples: list[Path]) -> None:
    """Into a new album: every field, when it was edited, when and by whom it was added, the comments. The directory is
    as it was."""

    async def go() -> None:
        source = tmp_path / "camera"
        shutil.copytree(samples[0].parent, source)
        async with an_album(tmp_path, "one") as (store, place):
            before = _walk(source)
            summary = await _import(tmp_path, source, "one", addedby="anna")
            assert (summary.added, summary.failed) == (4, {})
            assert _walk(source) == before
            first, second, *_ = [id async for id in store.ids()]
            await edit(store, first, title="Home", descr="*Ours*", keywords=["a", "b"], cat="Public", rotate=270)
            await edit(store, second, gps=None, taken="2020-02-02T02:02:02")
            await store.add(document.new_comment(first, "otto", "Nice", now=times.now()), {})
            await Export(store, place, tmp_path / "out").run()
            old = await _all(store)
            stamps = {id: {field: stamp[0] for field, stamp in one["stamps"].items()} for id, one in old.items()}
            comments = [(one["author"], one["text"], one["time"]) for one in await store.comments(first)]
        async with an_album(tmp_path, "two") as (store, _):
            summary = await _import(tmp_path, tmp_path / "out", "two")
            assert (summary.added, summary.known, summary.sidecars) == (4, 0, {})
            new = await _all(store)
            assert {id: _own(one) for id, one in new.items()} == {id: _own(one) for id, one in old.items()}
            told = {id: {field: stamp[0] for field, stamp in one["stamps"].items()} for id, one in new.items()}
            assert {id: set(fields) for id, fields in told.items()} == {id: set(one) for id, one in stamps.items()}
            assert told[first]["title"] >= stamps[first]["title"]
            assert [(one["author"], one["text"], one["time"]) for one in await store.comments(first)] == comments
            again = await _import(tmp_path, tmp_path / "out", "two")
            assert (again.added, again.known, again.edited) == (0, 4, 0)
            assert await _all(store) == new and not (tmp_path / "out" / ".jollyae-import").exists()

    run(go())


def test_a_newer_edit_stays(tmp_path: Path, samples: list[Path]) -> None:
    """An old export over an album that went on: what was edited since stays, what was not is brought."""

    async def go() -> None:
        async with an_album(tmp_path) as (store, place):
            source = tmp_path / "camera"
            source.mkdir()
            shutil.copy(samples[0], source)
            await _import(tmp_path, source)
            (id,) = [id async for id in store.ids()]
            await edit(store, id, title="Old", keywords=["old"])
            await Export(store, place, tmp_path / "out").run()
            await edit(store, id, title="New")
            summary = await _import(tmp_path, tmp_path / "out")
            found = await store.get(id)
            assert found is not None and found["title"] == "New" and summary.edited == 0
        async with an_album(tmp_path, "other") as (store, _):
            await _import(tmp_path, source, "other")
            await edit(store, id, title="Mine")
            assert (await _import(tmp_path, tmp_path / "out", "other")).edited == 1
            found = await store.get(id)
            assert found is not None and (found["title"], found["keywords"]) == ("Mine", ["old"])

    run(go())


def test_another_programs_directory(tmp_path: Path, samples: list[Path]) -> None:
    """Sidecars of either name, damaged ones told of, what is beside pictures passed over, what is none failed."""

    async def go() -> None:
        source = tmp_path / "their album" / "2019"
        source.mkdir(parents=True)
        for number, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
            shutil.copy(samples[number], source / name)
        (source / "a.jpg.xmp").write_text(OTHERS)
        (source / "b.xmp").write_text(OTHERS.replace("Beach", "Other"))
        (source / "c.jpg.xmp").write_text("<!DOCTYPE x><x/>")
        (source / "a.jpg.json").write_text("{}")
        (source / "broken.jpg").write_bytes(samples[0].read_bytes()[:5000])
        (source / "link.jpg").symlink_to(source / "a.jpg")
        (source / ".hidden.jpg").write_bytes(b"")
        async with an_album(tmp_path) as (store, _):
            done = await _import(tmp_path, tmp_path / "their album")
            assert (done.added, done.passed, list(done.failed)) == (3, 2, ["2019/broken.jpg"])
            assert list(done.sidecars) == ["2019/c.jpg"] and "document type" in done.sidecars["2019/c.jpg"]
            photos = {one["name"]: one for one in (await _all(store)).values()}
            assert (photos["a.jpg"]["title"], photos["b.jpg"]["title"]) == ("Beach", "Other")
            assert photos["a.jpg"]["keywords"] == ["anna", "sea", "unprocessed"]
            assert photos["a.jpg"]["taken"] == "2019-06-01T10:11:12" and photos["a.jpg"]["cat"] == "Private"
            assert photos["a.jpg"]["stamps"]["title"][0].startswith("2020-01-01T00:00:00.00000")
            again = await _import(tmp_path, tmp_path / "their album")
            assert (again.added, again.known, again.edited) == (0, 3, 0)
            assert sorted(path.name for path in source.iterdir() if path.name.startswith("a")) == [
                "a.jpg", "a.jpg.json", "a.jpg.xmp"
            ]  # fmt: skip

    run(go())


def test_an_import_that_was_killed_goes_on(tmp_path: Path, samples: list[Path]) -> None:
    """What a dead one left in its spool is taken in by the next, and its spool is removed."""

    async def go() -> None:
        source = tmp_path / "camera"
        shutil.copytree(samples[0].parent, source)
        left = source / ".jollyae-import" / "spool" / "incoming"
        left.mkdir(parents=True)
        os.link(source / samples[0].name, left / samples[0].name)
        async with an_album(tmp_path) as (store, _):
            summary = await _import(tmp_path, source)
            assert len(await _all(store)) == 4 and summary.added == 4
            assert not (source / ".jollyae-import").exists()

    run(go())


def test_what_somebody_has_open_is_named(tmp_path: Path, samples: list[Path]) -> None:
    """It waits, with its own reason; a name so long that it can have no sidecar has none."""

    async def go() -> None:
        source = tmp_path / "camera"
        source.mkdir()
        shutil.copy(samples[0], source / "a.jpg")
        shutil.copy(samples[1], source / ("x" * 251 + ".jpg"))
        settings, done = Settings(originals=f"file://{tmp_path}/photos"), Imported()
        async with an_album(tmp_path):
            with (source / "a.jpg").open("ab"):
                assert await import_directory(f"sqlite:///{tmp_path}/album.sqlite", source, settings, done) == 1
        assert (done.added, done.failed, done.sidecars) == (1, {}, {})
        assert done.held == {"a.jpg": "somebody has it open for writing"}

    run(go())


def test_a_directory_where_no_spool_can_be(tmp_path: Path, samples: list[Path]) -> None:
    """As on a camera's card that is read-only: pictures are copied into a spool elsewhere."""

    async def go() -> None:
        source = tmp_path / "card"
        shutil.copytree(samples[0].parent, source)
        (source / ".jollyae-import").write_text("in the way")
        async with an_album(tmp_path) as (store, _):
            assert (await _import(tmp_path, source)).added == 4
            assert len(await _all(store)) == 4

    run(go())


def test_a_picture_that_is_deferred_is_tried_again(
    tmp_path: Path, samples: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash of a codec: the others go on, and it has its turn at the end."""
    failed: set[str] = set()

    class Shaky(Pictures):
        async def read(self, path: str | int, name: str, mtime: float) -> Picture:
            if name == samples[1].name and name not in failed:
                failed.add(name)
                raise Temporary("the child crashed")
            return await super().read(path, name, mtime)

    monkeypatch.setattr(album, "pictures", lambda settings: Shaky())

    async def go() -> None:
        source = tmp_path / "camera"
        shutil.copytree(samples[0].parent, source)
        async with an_album(tmp_path) as (store, _):
            assert (await _import(tmp_path, source)).added == 4
            assert failed and len(await _all(store)) == 4

    run(go())


def test_two_imports_of_one_directory(tmp_path: Path, samples: list[Path]) -> None:
    """The second is told to wait."""

    async def go() -> None:
        source = tmp_path / "camera"
        shutil.copytree(samples[0].parent, source)
        (source / ".jollyae-import").mkdir()
        descriptor = os.open(source / ".jollyae-import", os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        async with an_album(tmp_path):
            with pytest.raises(ConfigurationError, match="under way"):
                await _import(tmp_path, source)
            os.close(descriptor)
            assert (await _import(tmp_path, source)).added == 4

    run(go())


def test_which_edits_a_sidecar_tells_of() -> None:
    """Of ours those with a stamp, each at its time; of another's all, when the file says, or was, changed."""
    ours = Sidecar(title="T", descr="D", is_ours=True, stamps={"title": ("2026-01-01T00:00:00Z", "home")})
    assert list(edits(ours, 0.0)) == [("2026-01-01T00:00:00.000000Z", "title", "T")]
    assert list(edits(Sidecar(title="T"), 60.0)) == [("1970-01-01T00:01:00.000000Z", "title", "T")]
    assert next(edits(Sidecar(title="T", changed="2020-01-01"), 0.0))[0] == "2020-01-01T00:00:00.000000Z"
    assert [path.name for path in sidecars_of(Path("x/a.b.jpg"))][::2] == ["a.b.jpg.xmp", "a.b.xmp"]
