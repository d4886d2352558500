"""What the public may know: nothing private, ever; and the public database follows the main one."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jollyae.album import document as documents
from jollyae.album import merge, projection
from jollyae.album.document import PRIVATE, PUBLIC, is_private_keyword
from jollyae.album.revisions import content, deleted, is_deleted, next_leaf, ranked, tombstone, tombstone_rev
from jollyae.album.store import Document, Leaf

from .samples import NOW, edited, id_of, moment, photo
from .servers import Tree

SECRET = "s3cr3t"

PLAIN: Document = photo(1, _rev="1-aaa", cat=PUBLIC, keywords=["sea"], title="Sea")
FIRST = Leaf(PLAIN, ("1-aaa",))


def after(leaf: Leaf, seconds: int = 0, server: str = "here", **changes: Any) -> Leaf:
    """The leaf after an edit."""
    return next_leaf(leaf, edited(leaf.document, seconds, server, **changes))


# --- the document


def _planted() -> st.SearchStrategy[Any]:
    """Anything in JSON, with the secret in all of its texts and keys."""
    secret = st.text(max_size=3).map(lambda text: f"{SECRET}{text}")
    return st.recursive(
        secret,
        lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(secret, inner, min_size=1, max_size=3),
        max_leaves=5,
    )


def _no_text() -> st.SearchStrategy[Any]:
    """The same, where a text belongs."""
    return _planted().filter(lambda found: not isinstance(found, str))


PRIVATE_FIELDS = (
    *("addedby", "name", "original", "stamps", "edited", "seen", "gps", "trouble", "md5", "owner", "_conflicts"),
    *("_attachments", "new field", "size"),
)
NESTED = (
    ("camera", "serial"),
    ("camera", "owner"),
    ("exif", "GPSLatitude"),
    ("exif", "BodySerialNumber"),
    ("exif", "LensSerialNumber"),
    ("exif", "CameraOwnerName"),
    ("exif", "Artist"),
    ("exif", "Copyright"),
    ("exif", "UserComment"),
    ("exif", "ImageUniqueID"),
    ("exif", "HostComputer"),
    ("exif", "Software"),
    ("exif", "MakerNote"),
)


@given(
    st.dictionaries(st.sampled_from(PRIVATE_FIELDS), _planted()),
    st.dictionaries(st.sampled_from(NESTED), _planted()),
    st.dictionaries(
        st.sampled_from(projection._TEXTS + projection._NUMBERS), _planted().filter(lambda x: not isinstance(x, str))
    ),
    st.lists(st.one_of(st.text(max_size=3).map(lambda text: f"_{SECRET}{text}"), st.just(["s3cr3t"]))),
    st.dictionaries(st.sampled_from(("camera", "exif", "keywords")), st.just([SECRET])),
    st.dictionaries(st.sampled_from(("Model", "DateTime")), _no_text()),
)
def test_nothing_private_is_in_it(
    fields: dict[str, Any],
    nested: dict[tuple[str, str], Any],
    wrong: dict[str, Any],
    words: list[Any],
    instead: dict[str, Any],
    in_exif: dict[str, Any],
) -> None:
    """Wherever it was planted: in a field that is not on the list, inside of one that is, in a place where a text or a
    number belongs."""
    document: Document = {**PLAIN, **fields, "keywords": ["sea", *words]}
    for (field, key), value in nested.items():
        document[field] = {**document[field], key: value}
    document["exif"] = {**document["exif"], **in_exif}
    document |= {key: value for key, value in wrong.items() if key != "cat"}
    document |= {key: value if key != "keywords" else {SECRET: value} for key, value in instead.items()}
    found = projection.public(document)
    assert found is not None
    assert SECRET not in json.dumps(found)
    assert SECRET not in json.dumps(projection.whitelisted(document))


def test_what_the_public_sees() -> None:
    """The photo, how it was taken, when; and nothing else."""
    full = photo(
        1,
        _rev="4-abc",
        cat=PUBLIC,
        keywords=["_mine", "sea", "unprocessed"],
        title="Sea",
        descr="*calm*",
        exif={"FNumber": "2.8", "Model": "R5", "DateTimeOriginal": "2026", "BodySerialNumber": "1", "GPSLatitude": "4"},
        camera={"name": "Canon EOS R5", "lens": "50 mm", "serial": "123", "iso": "100"},
    )
    assert projection.public(full) == {
        "_id": id_of(1),
        "_rev": "4-abc",
        "type": "photo",
        "title": "Sea",
        "descr": "*calm*",
        "keywords": ["sea"],
        "cat": PUBLIC,
        "taken": "2026-11-21T15:04:05",
        "added": NOW,
        "kind": "image",
        "extension": "jpg",
        "mime": "image/jpeg",
        "width": 4032,
        "height": 3024,
        "rotate": 0,
        "camera": {"name": "Canon EOS R5", "lens": "50 mm", "iso": "100"},
        "exif": {"Model": "R5", "FNumber": "2.8", "DateTimeOriginal": "2026"},
    }


def test_comments_and_users() -> None:
    """Of a comment who said what, when; of users nothing."""
    comment = documents.new_comment(id_of(1), "anna", "nice", now=NOW, token="x") | {"_rev": "1-a", "address": SECRET}
    assert projection.public(comment) == {
        "_id": f"comment:{id_of(1)}:{NOW}-x",
        "_rev": "1-a",
        "type": "comment",
        "photo": id_of(1),
        "author": "anna",
        "text": "nice",
        "time": NOW,
    }
    assert projection.public(documents.new_user("anna", "editor", SECRET, now=NOW)) is None
    for document in (
        {},
        {"type": "other"},
        {**PLAIN, "cat": "public"},
        {**PLAIN, "cat": None},
        {**PLAIN, "_deleted": True},
    ):
        assert projection.public(document) is None


# --- the database


class Public:
    """A public database, kept by one server or more."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.ever: list[Document] = []

    def there(self) -> list[Leaf]:
        """As :meth:`jollyae.album.store.Store.leaves` tells them."""
        return self.tree.live() or ranked(self.tree.leaves.values())[:1]

    def follow(self, *source: Leaf, photo_is_public: bool = True) -> "Public":
        """Do what is needed for the main database's leaves; then nothing is needed any more."""
        for _ in range(2):
            wanted = projection.projected(source, self.there(), photo_is_public=photo_is_public)
            for leaf in wanted:
                self.take(leaf)
        assert wanted == []
        return self

    def take(self, leaf: Leaf) -> None:
        """Write a leaf."""
        self.tree.take(leaf)
        self.ever.append(leaf.document)

    @property
    def shown(self) -> Document | None:
        """What visitors see."""
        live = self.tree.live()
        assert len(live) < 2
        return live[0].document if live else None


def test_a_public_photo_is_shown_under_its_own_revision() -> None:
    """So that two servers write the same; each edit follows."""
    public = Public().follow(FIRST)
    assert public.shown == projection.whitelisted(PLAIN)
    second = after(FIRST, 1, title="Lake")
    assert public.follow(second).shown == projection.whitelisted(second.document)
    assert [leaf.revisions for leaf in public.there()] == [second.revisions]


def test_a_photo_that_was_never_public() -> None:
    """Leaves no trace, not even its id; nor does a user, or one that was deleted."""
    private = Leaf({**PLAIN, "cat": PRIVATE}, ("1-aaa",))
    user = Leaf(documents.new_user("anna", "editor", "x", now=NOW) | {"_rev": "1-a"}, ("1-a",))
    public = Public().follow(private).follow(after(private, title="x")).follow(tombstone(private)).follow(user).follow()
    assert public.ever == []


def test_a_photo_made_private_again_is_gone() -> None:
    """Deleted under the revision that made it so; and comes back under its own."""
    public = Public().follow(FIRST)
    hidden = after(FIRST, 1, cat=PRIVATE)
    assert public.follow(hidden).shown is None
    [end] = public.there()
    assert end.document == {"_id": id_of(1), "_rev": hidden.revisions[0], "_deleted": True}
    again = after(after(hidden, 2, title="x"), 3, cat=PUBLIC)
    assert public.follow(again).shown == projection.whitelisted(again.document)


def test_a_deleted_photo_is_gone() -> None:
    """Under the revision of its deletion."""
    public = Public().follow(FIRST).follow(tombstone(FIRST))
    assert public.shown is None and public.there()[0].revisions == tombstone(FIRST).revisions


def test_the_place_was_never_there() -> None:
    """In no revision, before or after the edit that removed it."""
    public = Public().follow(FIRST).follow(after(FIRST, 1, gps=None))
    assert public.shown is not None
    assert len(public.ever) == 2 and "47.1" not in json.dumps(public.ever) and "gps" not in json.dumps(public.ever)


def test_leaves_that_are_all_public() -> None:
    """The winner is shown; after the merge what was merged, and nothing is left of the others."""
    one, other = after(FIRST, 1, "a", title="Lake"), after(FIRST, 2, "b", descr="calm")
    public = Public().follow(one).follow(one, other)
    winner = ranked([one, other])[0]
    assert public.shown == projection.whitelisted(winner.document)
    found = merge.merged([one, other])
    assert found is not None
    assert public.follow(found[0]).shown == projection.whitelisted(found[0].document)
    assert public.follow(after(found[0], 3, cat=PRIVATE)).shown is None


@pytest.mark.parametrize("which", ["winner", "loser"])
def test_a_leaf_that_is_not_public_withholds_the_photo(which: str) -> None:
    """Nobody has decided yet: so it is not shown, whichever leaf wins. It comes back when somebody has."""
    one, other = after(FIRST, 1, "a", cat=PRIVATE), after(after(FIRST, 2, "b", title="x"), 3, "b", cat=PUBLIC)
    if which == "winner":
        one = after(after(one, 4, "a", rotate=90), 5, "a", rotate=180)
    public = Public().follow(FIRST).follow(other).follow(one, other)
    assert public.shown is None
    chosen = merge.resolved([one, other], {}, now=moment(9), server="a")
    assert public.follow(*(leaf for leaf in merge.leaves_to_take(chosen) if not is_deleted(leaf))).shown is None
    back = after(chosen[0], 9, cat=PUBLIC)
    assert public.follow(back).shown == projection.whitelisted(back.document)


def test_public_again_without_a_new_revision() -> None:
    """The leaf that withheld it is gone, and the winner is what it was: it comes back, and goes, as often as that."""
    second = after(FIRST, 1, "a", title="Lake")
    private = after(FIRST, 2, "b", cat=PRIVATE)
    public = Public().follow(second)
    for _ in range(3):
        assert public.follow(second, private).shown is None
        shown = public.follow(second).shown
        assert shown is not None and content(shown) == content(projection.whitelisted(second.document))
    third = after(second, 3, title="x")
    assert public.follow(third).shown == projection.whitelisted(third.document)


def test_comments_go_with_their_photo() -> None:
    """And come with it, as often as it does; a deleted one is gone for good."""
    made = documents.new_comment(id_of(1), "anna", "nice", now=NOW) | {"_rev": "1-a"}
    comment = Leaf(made, ("1-a",))
    public = Public().follow(comment, photo_is_public=False)
    assert public.ever == []
    for _ in range(3):
        public.follow(comment)
        assert public.shown is not None and public.shown["text"] == "nice"
        assert public.follow(comment, photo_is_public=False).shown is None
    assert public.follow(comment).shown is not None
    assert public.follow(tombstone(comment)).shown is None
    assert public.follow(tombstone(comment), photo_is_public=False).shown is None


def test_a_server_that_is_behind_undoes_nothing() -> None:
    """Another one published or withdrew what came after: its word stays."""
    hidden = after(FIRST, 1, cat=PRIVATE)
    for ahead in (hidden, after(FIRST, 1, title="Lake"), tombstone(after(FIRST, 1, title="Lake"))):
        public = Public().follow(FIRST).follow(ahead)
        before = public.shown
        assert public.follow(FIRST).shown == before


def test_a_new_list_of_fields_is_used_for_what_is_there() -> None:
    """A projection that an older program wrote under the same revision is replaced."""
    public = Public()
    public.take(Leaf({**projection.whitelisted(PLAIN), "gps": SECRET}, ("1-aaa",)))
    shown = public.follow(FIRST).shown
    assert shown is not None and content(shown) == content(projection.whitelisted(PLAIN))


def test_whether_a_photo_is_public() -> None:
    """All of its leaves are, and there is one."""
    one, private = after(FIRST, 1, "a", title="x"), after(FIRST, 2, "b", cat=PRIVATE)
    assert projection.is_public([one]) and projection.is_public([one, tombstone(private)])
    assert not projection.is_public([]) and not projection.is_public([one, private])
    assert not projection.is_public([tombstone(one)])
    assert not projection.is_public([Leaf(documents.new_comment("x", "a", "b", now=NOW) | {"_rev": "1-a"}, ("1-a",))])


# --- two servers

_moves = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.integers(0, 1), st.sampled_from(("title", "cat", "cat")), st.integers(0, 3)),
        st.tuples(st.just("replicate"), st.integers(0, 1)),
        st.tuples(st.just("merge"), st.integers(0, 1)),
        st.tuples(st.just("end"), st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("project"), st.integers(0, 1)),
        st.tuples(st.just("publish"), st.integers(0, 1)),
    ),
    max_size=30,
)


@settings(max_examples=300)
@given(_moves)
def test_two_servers_keep_their_public_databases(moves: list[Any]) -> None:
    """Edits, deletions, merges, projections and both replications in any order: in the end both public databases show
    what the main one allows, and never did they hold what was not Public."""
    mains, publics = [Tree(), Tree()], [Public(), Public()]
    for main in mains:
        main.take(FIRST)
    for clock, move in enumerate([*moves, *[("replicate", 0), ("replicate", 1)] * 2]):
        main, public = mains[move[1]], publics[move[1]]
        live = main.live()
        match move:
            case ("edit", server, name, number) if live:
                value = documents.CATEGORIES[number % 3] if name == "cat" else f"title {clock}"
                leaf = live[number % len(live)]
                document = documents.edited(leaf.document, {name: value}, now=moment(clock), server=str(server))
                if document is not leaf.document:
                    main.take(next_leaf(leaf, document))
            case ("end", _, number) if live:
                main.take(tombstone(live[number % len(live)]))
            case ("merge", _) if found := merge.merged(live):
                for leaf in merge.leaves_to_take(found):
                    main.take(leaf)
            case ("replicate", server):
                for leaf in list(main.leaves.values()):
                    mains[1 - server].take(leaf)
            case ("publish", server):
                for leaf in list(public.tree.leaves.values()):
                    publics[1 - server].tree.take(leaf)
            case ("project", _):
                _project(main, public)
    for _ in range(4):
        for server in (0, 1):
            _project(mains[server], publics[server])
            for leaf in list(publics[server].tree.leaves.values()):
                publics[1 - server].tree.take(leaf)
    assert ranked(mains[0].leaves.values()) == ranked(mains[1].leaves.values())
    live = mains[0].live()
    for public in publics:
        shown = public.tree.live()
        if not projection.is_public(live):
            assert shown == []
        else:
            assert content(shown[0].document) == content(projection.whitelisted(live[0].document))
        for document in public.ever:
            assert document.get("_deleted") or document["cat"] == PUBLIC
            assert not any(map(is_private_keyword, document.get("keywords", [])))


def _project(main: Tree, public: Public) -> None:
    """What the keeper does."""
    source = main.live() or ranked(main.leaves.values())[:1]
    for leaf in projection.projected(source, public.there()):
        public.take(leaf)


def test_tombstones_are_the_same_everywhere() -> None:
    """The main database's deletion of a leaf is the public one's."""
    assert tombstone(FIRST).revisions == (tombstone_rev("1-aaa"), "1-aaa")
    assert deleted(id_of(1), ["2-b", "1-a"]).document == {"_id": id_of(1), "_rev": "2-b", "_deleted": True}
