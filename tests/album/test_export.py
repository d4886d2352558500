"""Export: originals under readable names, sidecars with all edits, repeatable, over nobody's files."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from jollyae.album import document, times, xmp
from jollyae.album.export import INDEX, Export, Exported, names_for
from tests.album.scene import add, an_album, edit, run


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _photos(root: Path) -> list[str]:
    return sorted(name for name in _files(root) if not name.endswith((".xmp", INDEX)))


async def _export(scene: Any, root: Path) -> Exported:
    store, place = scene
    return await Export(store, place, root).run()


def test_an_export_has_all_and_is_repeatable(tmp_path: Path) -> None:
    """Names by date and title, the originals' bytes, sidecars with edits and comments; a second run changes nothing."""

    async def go() -> None:
        async with an_album(tmp_path) as scene:
            store, place = scene
            one = await add(store, place, b"one", name="DSC_1.jpg")
            two = await add(store, place, b"two", taken="2025-01-02T03:04:05+01:00", extension="heic")
            await edit(store, one["_id"], title="The beach", keywords=["sea"], rotate=90)
            await store.add(document.new_comment(one["_id"], "anna", "Nice!", now=times.now()), {})
            root = tmp_path / "out"
            done = await _export(scene, root)
            assert (done.added, done.sidecars, done.failed) == (2, 2, {})
            beach = "2026/11/2026-11-22 14.03.12 The beach.jpg"
            other = "2025/01/2025-01-02 03.04.05 a.heic"
            assert _photos(root) == [other, beach]
            assert (root / beach).read_bytes() == b"one" and (root / other).read_bytes() == b"two"
            found = xmp.read((root / f"{beach}.xmp").read_bytes())
            assert found.fields() | {"cat": ""} == {
                "title": "The beach",
                "descr": "",
                "keywords": ["sea"],
                "taken": one["taken"],
                "cat": "",
                "rotate": 90,
            }
            assert set(found.stamps) == {"title", "keywords", "rotate"} and found.comments[0].text == "Nice!"
            assert found.sha256 == one["_id"] and two["_id"] == hashlib.sha256(b"two").hexdigest()
            before = _files(root)
            again = await _export(scene, root)
            assert (again.added, again.kept, again.sidecars, again.bytes) == (0, 2, 0, 0)
            assert _files(root) == before

    run(go())


def test_names_that_collide_get_a_mark_and_keep_it(tmp_path: Path) -> None:
    """Photos of one second and title, on file systems without upper case too, and a stranger's file in the way."""

    async def go() -> None:
        async with an_album(tmp_path) as scene:
            store, place = scene
            ids = [(await add(store, place, body, title="Beach"))["_id"] for body in (b"1", b"2")]
            lower = (await add(store, place, b"3", title="beach"))["_id"]
            root = tmp_path / "out"
            stranger = root / "2026/11/2026-11-22 14.03.12 Beach.jpg"
            stranger.parent.mkdir(parents=True)
            stranger.write_bytes(b"mine")
            await _export(scene, root)
            names = _photos(root)
            assert stranger.read_bytes() == b"mine"
            assert len(names) == 4
            ours = [name for name in names if root / name != stranger]
            assert len({name.casefold() for name in ours}) == 3
            assert {hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names} >= {*ids, lower}
            (root / INDEX).unlink()  # lost: what is there is known by its bytes
            again = await _export(scene, root)
            assert (again.added, again.kept) == (0, 3) and _photos(root) == names

    run(go())


def test_another_title_is_another_name(tmp_path: Path) -> None:
    """The file is renamed with its sidecar, not brought a second time."""

    async def go() -> None:
        async with an_album(tmp_path) as scene:
            store, place = scene
            id = (await add(store, place, b"one"))["_id"]
            root = tmp_path / "out"
            await _export(scene, root)
            await edit(store, id, title="Home")
            done = await _export(scene, root)
            assert (done.renamed, done.added, done.bytes) == (1, 0, 0)
            assert sorted(_files(root)) == sorted(
                [INDEX, "2026/11/2026-11-22 14.03.12 Home.jpg", "2026/11/2026-11-22 14.03.12 Home.jpg.xmp"]
            )
            found = await store.get(id)
            assert found is not None
            await store.remove(id, found["_rev"])
            assert (await _export(scene, root)).gone == 1 and len(_photos(root)) == 1

    run(go())


def test_an_export_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Half a file under its temporary name, and no index: nothing half is under a photo's name, nothing is left."""

    async def go() -> None:
        async with an_album(tmp_path) as scene:
            store, place = scene
            body = os.urandom(3 << 20)
            await add(store, place, body)
            root = tmp_path / "out"
            await _export(scene, root)
            (name,) = _photos(root)
            (root / INDEX).unlink()
            (root / name).rename(root / name.replace("2026-11-22", "x"))
            os.truncate(root / name.replace("2026-11-22", "x"), 1 << 20)
            half = next(root.rglob("x*.jpg"))
            mark = hashlib.sha256(os.fsencode(Path(name).name)).hexdigest()[:16]
            half.rename(half.with_name(f".jollyae-{mark}.part"))
            done = await _export(scene, root)
            assert (done.added, done.bytes) == (1, 2 << 20) and (root / name).read_bytes() == body
            assert not list(root.rglob("*.part"))

    run(go())


def test_what_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    """The others are exported, and nothing damaged gets a photo's name."""

    async def go() -> None:
        async with an_album(tmp_path) as scene:
            store, place = scene
            gone, bad, good = [await add(store, place, body) for body in (b"gone", b"bad!", b"good")]
            paths = {id: next(Path(place.path("originals")).rglob(f"{id}*")) for id in (gone["_id"], bad["_id"])}
            paths[gone["_id"]].unlink()
            paths[bad["_id"]].write_bytes(b"BAD!")
            root = tmp_path / "out"
            done = await _export(scene, root)
            assert set(done.failed) == {gone["_id"], bad["_id"]}
            assert "missing" in done.failed[gone["_id"]] and "damaged" in done.failed[bad["_id"]]
            assert [(root / name).read_bytes() for name in _photos(root)] == [b"good"]
            assert good["_id"] in json.loads((root / INDEX).read_bytes())["photos"]

    run(go())


@pytest.mark.parametrize(
    "hostile",
    [
        {"title": "../../../etc/passwd"},
        {"title": "a\0b/\n\x1b[2J"},
        {"title": "x" * 5000},
        {"title": "…" * 500, "taken": "../../x"},
        {"taken": "9999-99-99T99:99:99/../../../x"},
        {"title": ".hidden", "taken": ""},
        {"title": "", "name": "..", "taken": ""},
        {"title": "\u202egpj.exe"},
    ],
)
def test_no_title_leads_out_of_the_directory(hostile: dict[str, str]) -> None:
    """Whatever a document from another server says: names below the directory, each a possible file's."""
    for name in names_for({"_id": "ab" * 32, "extension": "jpg", **hostile}):
        assert not name.startswith("/") and all(part not in ("", ".", "..") for part in name.split("/"))
        assert all(len(part.encode()) + len(".xmp") <= 255 and not part.startswith(".") for part in name.split("/"))
        assert name.isprintable()
