"""Which links several servers need, and what is refused."""

import pytest

from jollyae.album.couch.address import Address
from jollyae.album.couch.topology import Kind, Link, Node, check, holder, links, pairs
from jollyae.album.store import StoreError


def node(number: int, server: str = "", user: str = "anna", database: str = "album", away: str = "") -> Node:
    """The server of that number, under one of its names."""
    address = Address(server or f"https://s{number}.example", database, user, "secret")
    return Node(address, address, f"uuid-{number}", away)


def nodes(count: int) -> list[Node]:
    """So many servers."""
    return [node(number) for number in range(count)]


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        (Kind.MESH, [0, 2, 6, 12, 20]),
        (Kind.RING, [0, 2, 6, 8, 10]),
        (Kind.STAR, [0, 2, 4, 6, 8]),
        (Kind.PUBLISH, [0, 1, 2, 3, 4]),
    ],
)
def test_how_many_links(kind: Kind, counts: list[int]) -> None:
    """For one to five servers; each link once, held by one of its ends."""
    for count, wanted in enumerate(counts, 1):
        found = links(kind, nodes(count))
        assert len({link.id for link in found}) == len(found) == wanted
        assert all(link.at in (link.source, link.target) for link in found)


@pytest.mark.parametrize("kind", [Kind.MESH, Kind.RING, Kind.STAR])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_each_edit_comes_everywhere(kind: Kind, count: int) -> None:
    """From each server to each; with a ring or a mesh also while one of them is away, with a star while it is not the
    first."""
    found = [(link.ends[0], link.ends[1]) for link in links(kind, nodes(count))]
    names = [one.name for one in nodes(count)]
    for away in [None, *range(1 if kind is Kind.STAR else 0, count)]:
        left = {name for number, name in enumerate(names) if number != away}
        for start in left:
            reached = {start}
            for _ in range(count):
                reached |= {target for source, target in found if source in reached and target in left}
            assert reached == left


def test_a_publication_sends_one_way() -> None:
    """The first holds all links and is the source of each."""
    found = links(Kind.PUBLISH, nodes(4))
    assert all(link.is_public and link.source == link.at == nodes(1)[0].address for link in found)


def test_a_link_is_the_same_whoever_asks() -> None:
    """Its id is a function of its ends' own uuids and databases; its text has no secret."""
    one, other = links(Kind.MESH, nodes(2))
    again = links(Kind.MESH, [node(1, "http://localhost:5984", "ben"), node(0, "https://elsewhere.example")])
    assert {link.id for link in again} == {one.id, other.id}
    assert one.id != other.id
    assert links(Kind.MESH, [node(0), node(1, database="more")])[0].id not in (one.id, other.id)
    assert "secret" not in f"{one} {one!r} {nodes(1)[0]} {nodes(1)[0]!r}"


def test_a_server_without_a_uuid_is_known_by_its_address() -> None:
    """As all were by an older jollyae."""
    addresses = [Address(f"https://s{number}", "album", "anna", "secret") for number in (0, 1)]
    unnamed = [Node(address, address) for address in addresses]
    assert {link.id for link in links(Kind.MESH, unnamed)} == {
        Link(addresses[0], addresses[1], addresses[0]).id,
        Link(addresses[1], addresses[0], addresses[0]).id,
    }


def test_who_is_named_localhost_holds_its_links() -> None:
    """Another one would find itself under that name."""
    here, there = node(0, "http://localhost:5984"), node(1)
    assert holder(Kind.MESH, there, here) is here
    assert holder(Kind.MESH, here, there) is here
    assert holder(Kind.MESH, node(2), there).name == node(2).name
    found = links(Kind.RING, [there, node(2), here])
    assert all(link.at == here.address for link in found if here.address in (link.source, link.target))


def test_what_cannot_be_is_refused() -> None:
    """One alone; one server twice, under two names; a public server as a source; a publisher that cannot find it."""
    with pytest.raises(StoreError, match="one server"):
        check(Kind.RING, nodes(1))
    with pytest.raises(StoreError, match="same database of the same server") as caught:
        check(Kind.RING, [*nodes(3), node(1, "http://10.0.0.1:5984")])
    assert "https://anna@s1.example/album" in caught.value.message and "10.0.0.1" in caught.value.message
    check(Kind.RING, [*nodes(3), node(1, database="another")])
    for kind in (Kind.MESH, Kind.RING, Kind.STAR):
        with pytest.raises(StoreError, match="only receives"):
            check(kind, nodes(3), [node(2).name])
    with pytest.raises(StoreError, match="only receives"):
        check(Kind.PUBLISH, nodes(2), [node(0).name])
    check(Kind.PUBLISH, nodes(2), [node(1).name])
    with pytest.raises(StoreError, match="own machine"):
        check(Kind.PUBLISH, [node(0), node(1, "http://127.0.0.1:5984")])


def test_a_pair_is_a_pair() -> None:
    """A ring, a mesh and a star of two are the same."""
    assert pairs(Kind.RING, 2) == pairs(Kind.MESH, 2) == pairs(Kind.STAR, 2) == [(0, 1)]
