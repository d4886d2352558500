"""The merge: servers agree, and no edit is lost."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jollyae.album import document as documents
from jollyae.album import merge
from jollyae.album.document import EDITABLE, InvalidEdit
from jollyae.album.revisions import deleted, next_leaf, tombstone
from jollyae.album.store import Document, Leaf, Rendition

from .samples import NOW, edited, id_of, moment, photo
from .servers import World, different

ROOT = Leaf(photo(1, _rev="1-aaa"), ("1-aaa",))


def after(leaf: Leaf, seconds: int = 0, server: str = "here", **changes: Any) -> Leaf:
    """The leaf after an edit."""
    return next_leaf(leaf, edited(leaf.document, seconds, server, **changes))


def merged(*leaves: Leaf) -> Document:
    """What they become, whatever their order."""
    found = merge.merged(leaves)
    assert found is not None and found == merge.merged(leaves[::-1])
    assert sorted(leaf.revisions[1] for leaf in found[1]) == sorted(
        rev for leaf in leaves if (rev := leaf.revisions[0]) not in found[0].revisions
    )
    return found[0].document


def test_different_fields() -> None:
    """Both edits are there; what was taken counts as edited in the merged revision."""
    one, other = after(ROOT, 1, "a", title="Sea"), after(ROOT, 2, "b", descr="calm")
    found = merged(one, other)
    assert (found["title"], found["descr"]) == ("Sea", "calm")
    assert found["stamps"] == {"title": [moment(1), "a"], "descr": [moment(2), "b"]}
    assert sorted(found["edited"].values()) == [2, 3]
    assert found["_rev"].startswith("3-")


def test_the_same_field() -> None:
    """Two people wrote different things: nothing is done, and both values are shown with who wrote them when."""
    one, other = after(ROOT, 1, "a", title="Sea", descr="x"), after(ROOT, 2, "b", title="Lake", rotate=90)
    assert merge.merged([one, other]) is None
    [found] = merge.differing([one, other])
    assert found.field == "title"
    assert {(candidate.value, candidate.stamp) for candidate in found.candidates} == {
        ("Sea", (moment(1), "a")),
        ("Lake", (moment(2), "b")),
    }


def test_the_same_value() -> None:
    """Two who wrote the same agree; and whoever replaces it elsewhere must have known both."""
    one, other = after(ROOT, 1, "a", title="Sea"), after(ROOT, 2, "b", title="Sea")
    found = merge.merged([one, other])
    assert found is not None and found[0].document["title"] == "Sea"
    assert documents.history(found[0].document, "title") == {"a": moment(1), "b": moment(2)}
    third = after(ROOT, 9, "b", title="Lake")
    assert merge.merged([found[0], third]) is None


def test_the_later_of_one_server() -> None:
    """A server's later edit replaces its earlier one, on whichever leaf it was."""
    one = after(after(ROOT, 1, "b", descr="x"), 5, "a", title="first")
    other = after(after(ROOT, 2, "c", rotate=90), 6, "a", title="second")
    assert merged(one, other)["title"] == "second"


def test_who_knew_the_other_edit_replaces_it() -> None:
    """An edit of a leaf that another server has merged meanwhile is no conflict."""
    one, other = after(ROOT, 1, "a", title="Sea"), after(ROOT, 2, "b", descr="calm")
    found = merge.merged([one, other])
    assert found is not None
    later = after(other, 3, "c", descr="stormy")
    assert merged(found[0], later)["descr"] == "stormy"


def test_an_edit_of_the_base_meets_the_merge() -> None:
    """What the merge took from the other leaf is a change to whom knew only the base."""
    one, other = after(after(ROOT, 1, "a", title="Sea"), 2, "a", rotate=90), after(ROOT, 3, "b", descr="calm")
    found = merge.merged([one, other])
    assert found is not None
    later = after(one, 4, "c", title="Lake")
    assert {name: merged(found[0], later)[name] for name in ("title", "descr", "rotate")} == {
        "title": "Lake",
        "descr": "calm",
        "rotate": 90,
    }


def test_an_edit_of_the_base_does_not_replace_what_was_taken() -> None:
    """Who edited the base knew nothing of what the merge took from the other leaf."""
    one, other = after(after(ROOT, 1, "a", title="Sea"), 2, "a", rotate=90), after(ROOT, 3, "b", descr="calm")
    found = merge.merged([one, other])
    assert found is not None
    assert [one.field for one in merge.differing([found[0], after(one, 4, "c", descr="stormy")])] == ["descr"]


def test_a_leaf_that_holds_everything_stays() -> None:
    """Then there is no new revision: only the others end."""
    one = after(after(ROOT, 1, "a", title="Sea"), 2, "a", title="Lake")
    other = after(ROOT, 1, "a", title="Sea")
    found = merge.merged([one, Leaf(other.document | {"_rev": "2-zzz"}, ("2-zzz", "1-aaa"))])
    assert found is not None and found[0] is one
    assert [leaf.revisions[1] for leaf in found[1]] == ["2-zzz"]


def test_a_half_done_merge_is_finished() -> None:
    """After a crash between the merged leaf and the tombstones: the tombstones come, and nothing else."""
    one, other = after(ROOT, 1, "a", title="Sea"), after(ROOT, 2, "b", descr="calm")
    found = merge.merged([one, other])
    assert found is not None
    left = [leaf for leaf in (one, other) if leaf.revisions[0] not in found[0].revisions]
    again = merge.merged([found[0], *left])
    assert again == found


def test_the_place_that_was_removed_stays_removed() -> None:
    """Also from the tags, on whichever leaf they were."""
    there = Leaf(photo(1, _rev="1-aaa", exif={"GPSLatitude": "47", "FNumber": "2.8"}), ("1-aaa",))
    one, other = after(there, 1, "a", gps=None), after(after(there, 2, "b", title="Sea"), 3, "b", rotate=90)
    found = merged(one, other)
    assert found["gps"] is None and found["exif"] == {"FNumber": "2.8"} and found["title"] == "Sea"


def test_the_same_photo_added_on_two_servers() -> None:
    """It came in when and by whom it came first; what the file told is no edit and no conflict."""
    one = Leaf(photo(1, _rev="1-aaa", added=moment(1), addedby="anna", name="a.jpg", title="x"), ("1-aaa",))
    other = Leaf(photo(1, _rev="1-bbb", added=moment(2), addedby="otto", name="b.jpg", title="y"), ("1-bbb",))
    found = merged(one, after(other, 5, "b", descr="calm"))
    assert (found["added"], found["addedby"], found["name"], found["descr"]) == (moment(1), "anna", "b.jpg", "calm")
    assert found["title"] == "y"


def test_the_leaf_with_renditions_is_the_base() -> None:
    """A photo that could be shown by one server is not blank again."""
    shown = {"thumb": Rendition(b"", "image/jpeg", "x")}
    one = after(after(ROOT, 1, "a", title="Sea"), 2, "a", rotate=90)
    other = Leaf(ROOT.document | {"_rev": "2-bbb"}, ("2-bbb", "1-aaa"), shown)
    found = merge.merged([one, other])
    assert found is not None and found[0].revisions[1:] == ("2-bbb", "1-aaa")
    assert (found[0].document["title"], found[0].document["rotate"]) == ("Sea", 90)


def test_nothing_to_merge() -> None:
    """One leaf, or others that are deleted."""
    assert merge.merged([]) is None and merge.merged([ROOT]) is None and merge.differing([ROOT]) == []
    assert merge.merged([ROOT, deleted(id_of(1), ("9-ddd", "1-bbb"))]) is None
    assert [leaf.revisions for leaf in merge.deletions([ROOT, tombstone(ROOT)])] == [tombstone(ROOT).revisions]


def test_users_and_comments() -> None:
    """Of whole documents the one that was changed last is taken."""
    old, new = (documents.new_user("anna", role, "hash", now=moment(n)) for n, role in enumerate(("friend", "editor")))
    one, other = Leaf(old | {"_rev": "2-zzz"}, ("2-zzz",)), Leaf(new | {"_rev": "2-aaa"}, ("2-aaa",))
    assert merged(one, other)["role"] == "editor"
    assert merge.differing([one, other]) == []
    assert merge.resolved([one, other], {}, now=NOW, server="here")[0] == other


def test_a_person_resolves() -> None:
    """With one of the values, or another; what is in no conflict is merged by itself."""
    one, other = after(ROOT, 1, "a", title="Sea", descr="x"), after(ROOT, 2, "b", title="Lake", rotate=90)
    leaf, ends = merge.resolved([one, other], {"title": " Sea or  lake "}, now=moment(5), server="here")
    found = leaf.document
    assert (found["title"], found["descr"], found["rotate"]) == ("Sea or lake", "x", 90)
    assert found["stamps"]["title"] == [moment(5), "here"] and found["seen"]["title"] == {
        "a": moment(1),
        "b": moment(2),
    }
    assert len(ends) == 1
    assert merge.resolved([one, other], {"title": "Lake"}, now=moment(5), server="here")[0].document["title"] == "Lake"


def test_a_resolution_is_checked() -> None:
    """Each field in conflict needs a value that can be; nothing else can be smuggled in."""
    one, other = after(ROOT, 1, "a", title="Sea"), after(ROOT, 2, "b", title="Lake")
    for choices in ({}, {"title": 5}, {"title": "a\0"}, {"descr": "x"}):
        with pytest.raises(InvalidEdit) as caught:
            merge.resolved([one, other], choices, now=NOW, server="here")
        assert caught.value.field == "title"
    found = merge.resolved([one, other], {"title": "Sea", "original": {}, "_id": "x"}, now=NOW, server="here")
    assert found[0].document["original"] == ROOT.document["original"] and found[0].document["_id"] == id_of(1)


def test_documents_of_another_hand() -> None:
    """Without ``seen``: who changed a field since the fork replaces it, and stamps of one server are in order."""
    base = ROOT.document | {"title": "old", "stamps": {"title": [moment(1), "a"]}, "edited": {"title": 1}}
    one = Leaf(base | {"_rev": "2-aaa", "descr": "x", "stamps": base["stamps"] | {"descr": [moment(2), "a"]},
                       "edited": {"title": 1, "descr": 2}}, ("2-aaa", "1-aaa"))  # fmt: skip
    other = Leaf(
        base | {"_rev": "2-bbb", "title": "new", "stamps": {"title": [moment(3), "b"]}, "edited": {"title": 2}},
        ("2-bbb", "1-aaa"),
    )
    assert {name: merged(one, other)[name] for name in ("title", "descr")} == {"title": "new", "descr": "x"}


@pytest.mark.parametrize("junk", [None, 5, [], {"title": 5}, {"title": [1]}, {"title": {"a": "b"}}])
def test_what_says_who_edited_may_be_anything(junk: Any) -> None:
    """A damaged document is merged or in conflict, never an error."""
    one = Leaf(ROOT.document | {"_rev": "2-aaa", "title": "a", "stamps": junk, "edited": junk}, ("2-aaa", "1-aaa"))
    other = after(ROOT, 1, title="b")
    merge.merged([one, other])
    merge.differing([one, other])


# --- many servers

SERVERS = "abc"
_server = st.sampled_from(SERVERS)
_small = st.integers(0, 31)
_field = st.sampled_from([name for name in EDITABLE if name != "gps"])
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), _server, st.sampled_from((0, 0, 0, 1, 2)), _field, st.integers(0, 2)),
        st.tuples(st.just("edit"), _server, st.just(0), st.just("title"), st.integers(0, 2)),
        st.tuples(st.just("replicate"), _server, _server, _small),
        st.tuples(st.just("replicate"), _server, _server, st.just(31)),
        st.tuples(st.just("merge"), _server, st.sampled_from((1000, 1000, 1, 2))),
        st.tuples(st.just("resolve"), _server, _small),
    ),
    max_size=40,
)


_DELETED_BEFORE_MERGED = [
    ("edit", "a", 0, "title", 0),
    ("edit", "a", 0, "title", 1),
    ("edit", "b", 0, "title", 0),
    ("replicate", "b", "a", 31),
    ("resolve", "a", 0),
    ("edit", "a", 0, "title", 1),
    ("replicate", "a", "b", 2),
    ("edit", "b", 0, "title", 0),
]
"""Of a merge the deleted leaf arrives alone: there is nothing to edit at that server."""


@settings(max_examples=600)
@example(_DELETED_BEFORE_MERGED, False)
@given(_steps, st.booleans())
def test_servers_agree_and_lose_nothing(steps: list[Any], together: bool) -> None:
    """Random edits, replication in parts and in any order, merges on several servers at once and killed half-way,
    resolutions. In the end all have the same single leaf or the same conflict; each edit that nobody replaced knowingly
    is to be seen; and no conflict is shown where nobody disagreed."""
    world = _after(steps, World(photo(1), SERVERS, together=together))
    leaves = world.agree()
    _check_nothing_is_lost(world, leaves)
    assert len(leaves) == 1 or merge.merged(leaves) is None
    for difference in merge.differing(leaves):
        values = [edit.value for edit in world.last(difference.field, by_server=False)]
        assert any(value != values[0] for value in values), difference
    assert len(leaves) == 1 or merge.differing(leaves)


@settings(max_examples=100)
@given(_steps, st.booleans(), st.sampled_from((2, 3)))
def test_nothing_is_lost_where_ancestors_are_forgotten(steps: list[Any], together: bool, remembers: int) -> None:
    """Servers whose paths are too short show leaves that others know to be old, and still every edit."""
    world = _after(steps, World(photo(1), SERVERS, together=together, remembers=remembers))
    for tree in world.trees.values():
        _check_nothing_is_lost(world, tree.live())


def _after(steps: list[Any], world: World) -> World:
    for step in steps:
        match step:
            case ("edit", server, which, name, kind):
                value = different(name, world.clock) if kind else different(name, 0)
                world.edit(server, which, **{name: value})
            case ("replicate", source, target, parts):
                world.replicate(source, target, parts)
            case ("merge", server, many):
                world.merge(server, many)
            case ("resolve", server, value):
                world.resolve(server, value)
    world.settle()
    return world


def _check_nothing_is_lost(world: World, leaves: list[Leaf]) -> None:
    for name in EDITABLE:
        for edit in world.last(name):
            assert edit.value in [leaf.document[name] for leaf in leaves], edit
