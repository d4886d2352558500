"""What is to be done, of what is there and what is wanted: pure, so every list after every other is tried."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from jollyae.album.couch.address import Address
from jollyae.album.couch.plan import (
    CHANGED,
    KEPT,
    MADE,
    REMOVED,
    WAITS,
    Held,
    Step,
    dissolution,
    make_document,
    plan,
    url_of,
)
from jollyae.album.couch.topology import Kind, Node, links

from .test_topology import node, nodes

KINDS = st.sampled_from([Kind.MESH, Kind.RING, Kind.STAR])


class Replicators:
    """The ``_replicator`` databases of all servers, by the servers' names."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}

    def held(self, known: Sequence[Node]) -> list[Held]:
        """What those of them hold that can be asked."""
        by_name = {node.name: node for node in known if not node.away}
        return [Held(by_name[at], one) for (at, _), one in self.documents.items() if at in by_name]

    def carry_out(self, steps: list[Step], known: Sequence[Node]) -> None:
        """Do it."""
        at = {node.address.url: node.name for node in known}
        for step in steps:
            if step.done in (MADE, CHANGED):
                assert step.link is not None
                self.documents[at[step.at.url], step.link.id] = make_document(step.link)
            elif step.done == REMOVED:
                assert step.held is not None
                del self.documents[at[step.at.url], step.held.id]

    def arrange(self, kind: Kind, nodes: Sequence[Node], leaving: Sequence[Node] = ()) -> list[str]:
        """Plan and do; what was done."""
        known = [*nodes, *leaving]
        steps = plan(kind, nodes, self.held(known), leaving)
        self.carry_out(steps, known)
        return [step.done for step in steps]

    def connected(self) -> set[tuple[str, str]]:
        """Who sends to whom."""
        return {(one["jollyae"]["ends"][0], one["jollyae"]["ends"][1]) for one in self.documents.values()}


def wanted(kind: Kind, nodes: Sequence[Node]) -> set[tuple[str, str]]:
    """Who shall send to whom."""
    return {link.ends for link in links(kind, nodes)}


LISTS = st.lists(st.integers(0, 5), min_size=2, max_size=6, unique=True)


@given(KINDS, LISTS, KINDS, LISTS)
def test_any_list_after_any_other(before: Kind, first: list[int], after: Kind, second: list[int]) -> None:
    """What the second list wants is there then, and nothing else, each link once; what both want was not touched; and
    a third time nothing is done."""
    all_of_them = nodes(6)
    world = Replicators()
    world.arrange(before, [all_of_them[number] for number in first])
    here = [all_of_them[number] for number in second]
    leaving = [all_of_them[number] for number in first if number not in second]
    kept = wanted(before, [all_of_them[number] for number in first]) & wanted(after, here)
    done = world.arrange(after, here, leaving)
    assert world.connected() == wanted(after, here) and len(world.documents) == len(world.connected())
    assert done.count(KEPT) == len(kept) and CHANGED not in done
    assert set(world.arrange(after, here)) == {KEPT}


@given(KINDS, LISTS, st.integers(0, 5))
def test_two_administrators_make_the_same(kind: Kind, order: list[int], other: int) -> None:
    """Each at a server of their own, which they call localhost, with the list in an order of their own."""
    first = [node(number, "http://localhost:5984" if number == order[0] else "") for number in order]
    other = order[other % len(order)]
    second = [node(number, "http://localhost:5984" if number == other else "") for number in sorted(order)]
    if kind is Kind.STAR:
        second.sort(key=lambda one: one.uuid != first[0].uuid)
    if kind is Kind.RING:
        second.sort(key=lambda one: [one.name for one in first].index(one.name))
    world = Replicators()
    world.arrange(kind, first)
    before = dict(world.documents)
    assert set(world.arrange(kind, second)) == {KEPT}
    assert world.documents == before


def test_a_server_that_is_renamed_is_the_same() -> None:
    """Its links are changed, and no others."""
    world = Replicators()
    world.arrange(Kind.MESH, nodes(3))
    renamed = [*nodes(2), node(2, "https://new.example")]
    assert sorted(world.arrange(Kind.MESH, renamed)) == sorted([KEPT, KEPT, CHANGED, CHANGED, CHANGED, CHANGED])
    ends = {url_of(one[end]) for one in world.documents.values() for end in ("source", "target")}
    assert ends == {"https://s0.example/album", "https://s1.example/album", "https://new.example/album"}


def test_a_changed_password_is_written() -> None:
    """Of that server alone; also where it is we who call it localhost."""
    world = Replicators()
    world.arrange(Kind.RING, nodes(3))
    local = node(1, "http://localhost:5984")
    changed = Address(local.address.server, "album", "anna", "another")
    there = replace(local, address=changed, end=changed)
    assert sorted(world.arrange(Kind.RING, [node(0), there, node(2)])) == sorted([KEPT] * 2 + [CHANGED] * 4)
    texts = [str(one) for one in world.documents.values()]
    assert sum("another" in text for text in texts) == 4 and not any("localhost" in text for text in texts[:2])


def test_who_is_away_waits() -> None:
    """Its links are not made and, those that are there, not touched; all others are; and it is told why."""
    world = Replicators()
    gone = node(1, away="https://s1.example/album is away: no answer")
    trio = [node(0), gone, node(2)]
    steps = plan(Kind.MESH, trio, [], [])
    assert sorted(step.done for step in steps) == sorted([MADE] * 2 + [WAITS] * 4)
    assert all(step.why == gone.away for step in steps if step.done == WAITS)
    world.arrange(Kind.MESH, nodes(3))
    assert sorted(world.arrange(Kind.MESH, trio)) == sorted([KEPT] * 4 + [WAITS] * 2)
    unknown = replace(gone, uuid="")
    before = dict(world.documents)
    assert REMOVED not in world.arrange(Kind.MESH, [node(0), unknown, node(2)])
    assert world.documents == before


def test_what_a_server_holds_that_left() -> None:
    """It is removed there; where that server is away, it is said that this is still to be done."""
    world = Replicators()
    world.arrange(Kind.MESH, nodes(3))  # the first holds its links with both others
    rest = [node(1), node(2)]
    gone = node(0, away="https://s0.example/album is away: no answer")
    steps = plan(Kind.MESH, rest, world.held([*rest, gone]), [gone])
    assert [step.done for step in steps] == [KEPT, KEPT, WAITS]
    assert "still to be removed" in steps[-1].why and str(steps[-1]) == f"what {gone} holds"
    assert sorted(world.arrange(Kind.MESH, rest, [node(0)])) == sorted([KEPT] * 2 + [REMOVED] * 4)


def test_others_documents_and_other_albums_stay() -> None:
    """Another database of the same servers, and what was published."""
    world = Replicators()
    others = [node(number, database="second") for number in range(3)]
    world.arrange(Kind.MESH, others)
    public = [node(number, database="public") for number in range(3)]
    world.arrange(Kind.PUBLISH, public[:2])
    before = dict(world.documents)
    assert set(world.arrange(Kind.MESH, nodes(3))) == {MADE}
    assert set(world.arrange(Kind.MESH, nodes(2), [node(2)])) == {KEPT, REMOVED}
    assert {key: one for key, one in world.documents.items() if key in before} == before
    assert world.arrange(Kind.PUBLISH, [public[0], public[2]]) == [MADE, REMOVED]


def test_links_of_an_older_jollyae_are_replaced() -> None:
    """They were known by their addresses. They go before the new ones come, which do the same: CouchDB would give up on
    those."""
    world = Replicators()
    unnamed = [replace(one, uuid="") for one in nodes(2)]
    for link in links(Kind.MESH, unnamed):
        document = make_document(link)
        del document["jollyae"]
        world.documents[node(0).name, link.id] = document
    assert world.arrange(Kind.MESH, nodes(2)) == [REMOVED, REMOVED, MADE, MADE]
    assert world.arrange(Kind.MESH, nodes(2)) == [KEPT, KEPT]


def test_what_couchdb_gave_up_is_written_again() -> None:
    """It tries again only what is written again."""
    world = Replicators()
    world.arrange(Kind.MESH, nodes(2))
    key = next(iter(world.documents))
    world.documents[key] |= {"_replication_state": "failed", "_replication_state_reason": "it was wrong"}
    assert sorted(world.arrange(Kind.MESH, nodes(2))) == [CHANGED, KEPT]
    assert world.arrange(Kind.MESH, nodes(2)) == [KEPT, KEPT]


def test_one_link_held_by_both_ends() -> None:
    """Two administrators were quick: one of the two goes."""
    world = Replicators()
    world.arrange(Kind.MESH, nodes(2))
    twice = Replicators()
    twice.arrange(Kind.MESH, nodes(2)[::-1])
    world.documents |= twice.documents
    assert world.arrange(Kind.MESH, nodes(2)) == [KEPT, KEPT, REMOVED, REMOVED]


def test_the_end_of_it() -> None:
    """All links between these go, those with others stay."""
    world = Replicators()
    world.arrange(Kind.MESH, nodes(3))
    steps = dissolution(nodes(2), world.held(nodes(2)))
    world.carry_out(steps, nodes(2))
    assert [step.done for step in steps] == [REMOVED, REMOVED] and len(world.documents) == 4
    away = dissolution([node(0), node(1, away="away")], [])
    assert [step.done for step in away] == [WAITS]
