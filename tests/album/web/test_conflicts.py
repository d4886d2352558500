"""Two servers changed one photo: both values side by side, to be picked from or merged."""

from typing import Any

import pytest

from jollyae.album.document import edited
from jollyae.album.revisions import next_leaf
from tests.album.web.conftest import Served
from tests.album.web.support import Shot


def diverge(album: Served, id: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Have two servers edit the photo at the same time, and both edits replicated to here."""

    async def take() -> None:
        (leaf,) = await album.store.leaves(id)
        for number, (server, changes) in enumerate((("attic", one), ("cellar", other))):
            after = edited(leaf.document, changes, now=f"2026-11-22T12:00:0{number}.000000Z", server=server)
            await album.store.take(next_leaf(leaf, after))

    album.runner.run(take())
    assert album.runner.run(album.store.conflicts()) == [id]


@pytest.fixture
def disputed(album: Served) -> str:
    """A photo whose title and tags were changed on two servers."""
    id = album.add(Shot(1), title="Old", keywords=["sea"])
    diverge(
        album, id, {"title": "Pier", "keywords": ["sea", "pier"]}, {"title": "The pier", "keywords": ["sea", "anna"]}
    )
    return id


def _revs(album: Served, id: str) -> list[str]:
    return [leaf.document["_rev"] for leaf in album.runner.run(album.store.leaves(id))]


def test_both_values_are_shown_side_by_side(album: Served, disputed: str) -> None:
    """With the server and the time of each; the navigation and the photo's page lead there."""
    ann = album.surfer("ann")
    assert "Conflicts (1)" in ann.get("/timeline").text
    assert (
        f"/conflicts/{disputed}" in ann.get("/conflicts").text
        and f"/conflicts/{disputed}" in ann.get(f"/photo/{disputed}").text
    )
    page = ann.get(f"/conflicts/{disputed}").text
    for text in ("Pier", "The pier", "on attic, 22 November 2026, 12:00 UTC", "on cellar", "anna, pier, sea"):
        assert text in page


def test_one_is_picked_and_the_other_field_merged(album: Served, disputed: str) -> None:
    """The photo has what was chosen, one leaf, and its pictures; nothing else changed."""
    ann = album.surfer("ann")
    data: dict[str, Any] = {
        "rev": _revs(album, disputed),
        "title": "0",
        "keywords": "own",
        "own_keywords": "sea, pier, anna",
    }
    picked = ann.get(f"/conflicts/{disputed}").text.split('class="value"')[1].split(">")[1].split("<")[0]
    answer = ann.post(f"/conflicts/{disputed}", **data)
    assert answer.headers["location"] == f"/photo/{disputed}"
    document = album.document(disputed)
    assert document["title"] == picked and document["keywords"] == ["anna", "pier", "sea"]
    assert "_conflicts" not in document and album.runner.run(album.store.conflicts()) == []
    assert ann.get(f"/image/thumb/{disputed}-0.jpg").status_code == 200
    assert "All servers agree" in ann.get("/conflicts").text


def test_nothing_is_written_where_something_was_not_chosen(album: Served, disputed: str) -> None:
    """The page says which field."""
    answer = album.surfer("ann").post(f"/conflicts/{disputed}", rev=_revs(album, disputed), title="1")
    assert answer.status_code == 400 and "Tags: Choose one" in answer.text
    assert album.runner.run(album.store.conflicts()) == [disputed]


def test_nothing_is_written_where_it_changed_meanwhile(album: Served, disputed: str) -> None:
    """A decision about leaves that are no longer there is no decision."""
    answer = album.surfer("ann").post(f"/conflicts/{disputed}", rev=["1-x"], title="1", keywords="0")
    assert answer.status_code == 409 and "look again" in answer.text
    assert album.runner.run(album.store.conflicts()) == [disputed]


def test_a_conflict_that_is_gone_is_not_found(album: Served) -> None:
    """404."""
    ann = album.surfer("ann")
    for id in ("0" * 64, "_design/album", "_local/x", "x", "user:nobody"):
        assert ann.get(f"/conflicts/{id}").status_code == 404
