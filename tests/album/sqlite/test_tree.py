"""Leaves come in any order: the store holds what CouchDB would."""

import asyncio
import random
from pathlib import Path

import pytest

from jollyae.album.revisions import deleted
from jollyae.album.sqlite import open_sqlite
from jollyae.album.store import Leaf, Query
from tests.album.samples import id_of, photo
from tests.album.servers import Tree


def some_leaves(chance: random.Random) -> list[Leaf]:
    """Revisions of one document from a random tree, each with its path: leaves of some time, and of another."""
    paths: list[tuple[str, ...]] = [(f"1-{chance.randint(0, 2)}",)]
    for number in range(chance.randint(1, 14)):
        parent = chance.choice(paths)
        paths.append((f"{len(parent) + 1}-{chance.randint(0, 9)}{number}", *parent))
    taken = chance.sample(paths, chance.randint(1, len(paths)))
    ended = {path for path in paths if chance.random() < 0.2}
    return [
        deleted(id_of(1), path) if path in ended else Leaf(photo(1, _rev=path[0], title=path[0]), path)
        for path in taken + chance.sample(taken, len(taken) // 2)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_it_holds_what_the_model_holds(tmp_path: Path, seed: int) -> None:
    """After each leaf: the same leaves in the same order, the same winner, and it alone is listed."""
    leaves = some_leaves(random.Random(seed))

    async def check() -> None:
        store = await open_sqlite(str(tmp_path / "album.db"), create=True)
        tree = Tree()
        for leaf in leaves:
            await store.take(leaf)
            tree.take(leaf)
            live = [one.document for one in tree.live()]
            there = await store.leaves(id_of(1))
            assert [one.document for one in there if "_deleted" not in one.document] == live
            found = await store.get(id_of(1))
            assert (found is None) == (not live)
            if found is not None:
                assert found.get("_conflicts", []) == [one["_rev"] for one in live[1:]]
            titles = [card.title for card in await store.photos(Query())]
            assert titles == [one["title"] for one in live[:1]]
            assert await store.conflicts() == ([id_of(1)] if len(live) > 1 else [])
        await store.close()

    asyncio.run(check())
