"""An album copied into another: what conformance does not show, since it needs to look behind the store."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jollyae.album.copy import AT_ONCE, copy
from jollyae.album.sqlite import SqliteStore, open_sqlite
from jollyae.album.store import Query, StoreError

from .conformance import add, get, put
from .samples import id_of, photo, renditions
from .writer import large

MANY = 5 * AT_ONCE


def run(directory: Path, check: Callable[[SqliteStore, SqliteStore], Awaitable[None]]) -> None:
    """The check with two albums."""

    async def both() -> None:
        stores = [await open_sqlite(str(directory / name), create=True) for name in ("from.db", "to.db")]
        try:
            await check(*stores)
        finally:
            for store in stores:
                await store.close()

    asyncio.run(both())


def test_what_is_written_meanwhile_is_copied_too(tmp_path: Path) -> None:
    """Edits of what was copied already, new photos, deletions: the copy ends when nothing is new."""

    async def check(source: SqliteStore, target: SqliteStore) -> None:
        for number in range(MANY):
            await add(source, number)
        more: list[asyncio.Task[None]] = []

        async def write(number: int) -> None:
            await put(source, await get(source, id_of(number)), number, title="edited")
            await source.remove(id_of(number + 1), (await get(source, id_of(number + 1)))["_rev"])
            await add(source, MANY + number)

        def progress(step: str, number: int) -> None:
            if step == "copied" and number % AT_ONCE == 0 and len(more) < 3:
                more.append(asyncio.ensure_future(write(2 * len(more))))

        report = await copy(source, target, progress)
        await asyncio.gather(*more)
        again = await copy(source, target)
        assert report.wrong == again.wrong == {}
        assert again.documents == {"photo": MANY, "deleted": 3}
        for number in range(MANY + 10):
            assert await target.get(id_of(number)) == await source.get(id_of(number))

    run(tmp_path, check)


def test_a_target_that_has_gone_on(tmp_path: Path) -> None:
    """What it has besides stays; what it edited or deleted since is neither undone nor wrong."""

    async def check(source: SqliteStore, target: SqliteStore) -> None:
        for number in (1, 2, 3):
            await add(source, number)
        await copy(source, target)
        after = await put(target, await get(target, id_of(1)), 1, title="edited there")
        await target.remove(id_of(2), (await get(target, id_of(2)))["_rev"])
        await add(target, 4)
        await put(source, await get(source, id_of(3)), 1, title="edited here")
        report = await copy(source, target)
        assert (report.wrong, report.leaves) == ({}, 1)
        assert await get(target, id_of(1)) == after and await target.get(id_of(2)) is None
        assert (await get(target, id_of(3)))["title"] == "edited here"
        assert await target.count(Query()) == 3 and await target.conflicts() == []

    run(tmp_path, check)


def test_what_was_deleted_there_is_told(tmp_path: Path) -> None:
    """A copy does not bring it back, and must not be taken for having done so."""

    async def check(source: SqliteStore, target: SqliteStore) -> None:
        await add(source, 1)
        await add(source, 2)
        await copy(source, target)
        await target.remove(id_of(1), (await get(target, id_of(1)))["_rev"])
        report = await copy(source, target)
        assert (report.gone, report.wrong) == ([id_of(1)], {})

    run(tmp_path, check)


def test_damage_is_found(tmp_path: Path) -> None:
    """Renditions that have other bytes, and documents that have other fields: each is named."""

    async def check(source: SqliteStore, target: SqliteStore) -> None:
        for number in (1, 2, 3):
            await add(source, number)
        await copy(source, target)
        db = sqlite3.connect(tmp_path / "to.db")
        with db:
            db.execute("UPDATE blob SET body = x'00' WHERE body = ?", (renditions(1)["thumb"].body,))
            db.execute("UPDATE leaf SET body = replace(body, '2.jpg', '9.jpg')")
        db.close()
        report = await copy(source, target)
        assert set(report.wrong) == {id_of(1), id_of(2)} and report.leaves == 0
        assert "other renditions" in report.wrong[id_of(1)] and "other content" in report.wrong[id_of(2)]

    run(tmp_path, check)


def test_an_interrupted_copy_is_gone_on_with(tmp_path: Path) -> None:
    """What was copied is not copied again."""

    async def check(source: SqliteStore, target: SqliteStore) -> None:
        for number in range(MANY):
            await source.add(photo(number), large(number))
        enough = asyncio.Event()
        task = asyncio.ensure_future(copy(source, target, lambda _, number: enough.set() if number > 10 else None))
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        there = len([id async for id in target.ids()])
        assert 0 < there < MANY
        report = await copy(source, target)
        assert report.wrong == {} and report.leaves <= MANY - there and report.documents == {"photo": MANY}

    run(tmp_path, check)


def test_an_album_onto_itself(tmp_path: Path) -> None:
    """It is refused."""

    async def check(source: SqliteStore, _: SqliteStore) -> None:
        with pytest.raises(StoreError, match="onto itself"):
            await copy(source, source)

    run(tmp_path, check)
