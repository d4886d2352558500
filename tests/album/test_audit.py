"""Audit: every fault is found, what can be is repaired, and what was deleted stays deleted."""

import io
from pathlib import Path

import pytest
from PIL import Image

from jollyae.album import originals
from jollyae.album.audit import Audit, Fault, Finding
from jollyae.processors.photo import Pictures
from tests.album.scene import add, an_album, run


def _jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (400, 300), (20 * shade % 256, 80, 120)).save(file, "JPEG")
    return file.getvalue()


async def _findings(audit: Audit) -> list[Finding]:
    return [finding async for finding in audit.run()]


def test_a_whole_album_has_no_finding(tmp_path: Path) -> None:
    """All is there: counts, and nothing else."""

    async def go() -> None:
        async with an_album(tmp_path) as (store, place):
            for shade in range(3):
                await add(store, place, _jpeg(shade))
            audit = Audit(store, place)
            assert await _findings(audit) == []
            assert (audit.counts.photos, audit.counts.originals) == (3, 3) and audit.counts.bytes > 1000

    run(go())


@pytest.mark.parametrize("quick", [False, True])
def test_each_fault_is_found(tmp_path: Path, quick: bool) -> None:
    """Missing, of another size, of other bytes (not when quick), without renditions, of no photo."""

    async def go() -> None:
        async with an_album(tmp_path) as (store, place):
            missing, size, content, unshown, right = [(await add(store, place, _jpeg(n)))["_id"] for n in range(5)]
            paths = {id: Path(place.path(originals.key(id, "jpg"))) for id in (missing, size, content)}
            paths[missing].unlink()
            paths[size].write_bytes(b"short")
            paths[content].write_bytes(b"X" * paths[content].stat().st_size)
            await store.set_renditions(unshown, {})
            orphan = originals.key("ab" * 32, "jpg")
            Path(place.path(orphan)).parent.mkdir(parents=True, exist_ok=True)
            Path(place.path(orphan)).write_bytes(_jpeg(99))
            found = {finding.id: finding.fault for finding in await _findings(Audit(store, place, quick=quick))}
            expected = {missing: Fault.MISSING, size: Fault.DAMAGED, unshown: Fault.UNSHOWN, "ab" * 32: Fault.ORPHAN}
            assert found == expected | ({} if quick else {content: Fault.DAMAGED}) and right not in found

    run(go())


def test_what_can_be_is_repaired(tmp_path: Path) -> None:
    """Renditions are made again and an orphan gets a document; what is missing stays a finding."""

    async def go() -> None:
        async with an_album(tmp_path) as (store, place):
            missing, unshown, orphan = [(await add(store, place, _jpeg(n)))["_id"] for n in range(3)]
            Path(place.path(originals.key(missing, "jpg"))).unlink()
            await store.set_renditions(unshown, {})
        (tmp_path / "album.sqlite").rename(tmp_path / "old.sqlite")
        for file in tmp_path.glob("album.sqlite-*"):
            file.unlink()
        async with an_album(tmp_path, "old") as (store, place), an_album(tmp_path, "new") as (new, _):
            # A new album over the same originals: what it does not know are orphans.
            assert {one.fault for one in await _findings(Audit(new, place))} == {Fault.ORPHAN}
            found = await _findings(Audit(new, place, pictures=Pictures, by="audit"))
            assert {one.id for one in found if one.is_repaired} == {unshown, orphan}
            assert await _findings(Audit(new, place)) == []
            made = await new.get(orphan)
            assert made is not None and made["addedby"] == "audit" and made["original"]["url"].endswith(".jpg")

            found = await _findings(Audit(store, place, pictures=Pictures))
            assert {one.id: one.is_repaired for one in found} == {missing: False, unshown: True}
            rendition = await store.rendition(unshown, "thumb")
            assert rendition is not None and Image.open(io.BytesIO(rendition.body)).size == (320, 240)

    run(go())


def test_a_deleted_photo_does_not_come_back(tmp_path: Path) -> None:
    """Its original is kept and counted; a repair makes no document of it."""

    async def go() -> None:
        async with an_album(tmp_path) as (store, place):
            photo = await add(store, place, _jpeg(1))
            await store.remove(photo["_id"], photo["_rev"])
            audit = Audit(store, place, pictures=Pictures)
            assert await _findings(audit) == [] and audit.counts.deleted == 1
            assert await store.get(photo["_id"]) is None

    run(go())
