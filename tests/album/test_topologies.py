"""Servers that replicate along the links of a topology only, in any order: they come to the same as any others do."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jollyae.album import merge
from jollyae.album.couch.topology import Kind, pairs
from jollyae.album.document import EDITABLE
from jollyae.album.store import Leaf

from .samples import photo
from .servers import World, different
from .test_merge import _check_nothing_is_lost

SERVERS = "abcde"
KINDS = (Kind.MESH, Kind.RING, Kind.STAR)
_edits = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([name for name in EDITABLE if name != "gps"]), st.integers(0, 3)),
    min_size=1,
    max_size=12,
)
_order = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 31), st.booleans()), max_size=30)


def ways(kind: Kind, count: int) -> list[tuple[str, str]]:
    """From whom to whom, in both directions."""
    couples = [(SERVERS[one], SERVERS[other]) for one, other in pairs(kind, count)]
    return [*couples, *((other, one) for one, other in couples)]


def after(count: int, edits: list[Any], kind: Kind, order: list[Any], *, merges: bool = True) -> World:
    """Edits on servers that do not hear of each other, then parts of replications and merges in that order, and then
    all links until nothing changes."""
    world = World(photo(1), SERVERS[:count], together=True)
    for server, name, value in edits:
        world.edit(SERVERS[server % count], 0, **{name: different(name, value)})
    links = ways(kind, count)
    for number, parts, is_merged in order:
        source, target = links[number % len(links)]
        world.replicate(source, target, parts)
        if merges and is_merged:
            world.merge(target)
    for _ in range(100):
        before = {server: set(tree.known) for server, tree in world.trees.items()}
        for source, target in links:
            world.replicate(source, target, 31)
            if merges:
                world.merge(target)
        if before == {server: tree.known for server, tree in world.trees.items()}:
            return world
    raise AssertionError("it never ends")


def said(leaves: list[Leaf]) -> dict[str, list[str]]:
    """Of each field, all values that a person may see: one where nobody disagrees."""
    disputed = {one.field: [repr(candidate.value) for candidate in one.candidates] for one in merge.differing(leaves)}
    found = {name: sorted(disputed.get(name, [])) for name in EDITABLE}
    if len(leaves) == 1:
        found = {name: [repr(leaves[0].document[name])] for name in EDITABLE}
    return found


@settings(max_examples=150)
@given(st.integers(2, 5), _edits, st.sampled_from(KINDS), _order, st.sampled_from(KINDS), _order)
def test_any_topology_and_order_come_to_the_same(
    count: int, edits: list[Any], kind: Kind, order: list[Any], other_kind: Kind, other_order: list[Any]
) -> None:
    """All servers have the same leaves and so the same winner; whatever the way was, all is merged to the
    same values, or the same fields are in conflict with the same values; each edit that nobody replaced is there."""
    one, other = after(count, edits, kind, order), after(count, edits, other_kind, other_order)
    leaves, others = one.agree(), other.agree()
    _check_nothing_is_lost(one, leaves)
    _check_nothing_is_lost(other, others)
    assert (len(leaves) == 1) == (len(others) == 1)
    assert said(leaves) == said(others)


@settings(max_examples=100)
@given(st.integers(2, 5), _edits, st.sampled_from(KINDS), _order, st.sampled_from(KINDS), _order)
def test_without_a_keeper_all_have_the_same_leaves(
    count: int, edits: list[Any], kind: Kind, order: list[Any], other_kind: Kind, other_order: list[Any]
) -> None:
    """Replication alone: not only the same values but the same revisions and winner, whatever the topology; and what
    they merge to is the same revision whoever does it."""
    one = after(count, edits, kind, order, merges=False)
    other = after(count, edits, other_kind, other_order, merges=False)
    leaves = one.agree()
    assert [leaf.document for leaf in leaves] == [leaf.document for leaf in other.agree()]
    found = merge.merged(leaves)
    assert found == merge.merged(leaves[::-1])
    assert found == merge.merged(other.agree())


@pytest.mark.parametrize("away", range(4))
def test_a_ring_of_which_one_is_away(away: int) -> None:
    """The others agree meanwhile; when it is back, all do, with what it wrote alone."""
    world = World(photo(1), SERVERS[:4], together=True)
    links = ways(Kind.RING, 4)
    left = [(one, other) for one, other in links if SERVERS[away] not in (one, other)]
    for number, name in enumerate(("title", "descr", "keywords", "rotate")):
        world.edit(SERVERS[number], 0, **{name: different(name, number + 1)})
    for _ in range(6):
        for source, target in left:
            world.replicate(source, target, 31)
            world.merge(target)
    there = [world.trees[server].live() for number, server in enumerate(SERVERS[:4]) if number != away]
    assert all(len(leaves) == 1 and leaves[0].revisions[0] == there[0][0].revisions[0] for leaves in there)
    for _ in range(6):
        for source, target in links:
            world.replicate(source, target, 31)
            world.merge(target)
    (leaf,) = world.agree()
    for number, name in enumerate(("title", "descr", "keywords", "rotate")):
        assert leaf.document[name] == different(name, number + 1)
