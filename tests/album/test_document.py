"""A photo's document: how it is made and edited, and who sees what of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.album import document as documents
from jollyae.album import texts
from jollyae.album.document import EDITABLE, FRIENDS, PRIVATE, PUBLIC, InvalidEdit
from jollyae.album.store import Audience, Query

from .samples import NOW, Picture, edited, moment, photo


def test_a_new_photo() -> None:
    """It is Private and unprocessed, and has what the file tells."""
    made = photo(1)
    assert (made["cat"], made["keywords"], made["rotate"], made["title"]) == (PRIVATE, ["unprocessed"], 0, "")
    assert made["original"] == {
        "url": "file:///1.jpg",
        "size": 1_234_567,
        "sha256": made["_id"],
        "md5": "cd" * 16,
    }
    assert made["name"] == "1.jpg" and made["added"] == NOW and made["stamps"] == made["edited"] == {}


def test_what_a_file_tells_is_kept_as_far_as_it_can_be() -> None:
    """Titles that are too long, control characters, halves of pairs, places that are none: nothing is refused."""
    picture = Picture(
        title="a\0b" + "x" * 1000,
        descr="one\r\ntwo\ud800",
        keywords=["sea, beach", "", " sea ", "\x07"],
        taken="not at all",
        gps={"latitude": float("nan"), "longitude": 5.0},
        exif={"Note\0": "x" * 100_000, "Empty": ""},
        trouble="no codec",
    )
    made = documents.new_photo(picture, original="s3://b/k", name="C:\\a\\dir/b.jpg", added=NOW, addedby="")
    assert made["title"].startswith("abxxx") and len(made["title"]) == texts.TITLE
    assert (made["descr"], made["keywords"]) == ("one\ntwo", ["beach", "sea", "unprocessed"])
    assert (made["taken"], made["gps"], made["trouble"], made["name"]) == ("", None, "no codec", "b.jpg")
    assert list(made["exif"]) == ["Note"] and len(made["exif"]["Note"]) == 2000
    json.dumps(made, allow_nan=False, ensure_ascii=False).encode()


def test_an_edit_is_stamped() -> None:
    """What changed gets time, server and the generation of the revision that it will have; what did not, does not."""
    before = photo(1, _rev="3-abc", _conflicts=["3-aaa"])
    after = edited(before, 5, title="Sea", descr="")
    assert (after["title"], after["_rev"]) == ("Sea", "3-abc") and "_conflicts" not in after
    assert after["stamps"] == {"title": [moment(5), "here"]} and after["edited"] == {"title": 4}
    again = edited(after | {"_rev": "4-abc"}, 9, title="Sea", descr="calm")
    assert again["stamps"] == {"title": [moment(5), "here"], "descr": [moment(9), "here"]}
    assert again["edited"] == {"title": 4, "descr": 5}
    assert before["title"] == "" and before["stamps"] == {}


def test_an_edit_that_changes_nothing_is_none() -> None:
    """The document itself comes back, so nothing is put."""
    before = photo(1, _rev="3-abc", _conflicts=["3-aaa"])
    assert edited(before, title=" ", keywords=["unprocessed"], rotate=0, cat=PRIVATE) is before


def test_an_edit_remembers_whose_edits_it_replaced() -> None:
    """The newest of each other server is kept: who replaced it knew it."""
    after = edited(edited(edited(photo(1), 1, "here", title="a"), 2, "there", title="b"), 3, "here", title="c")
    assert documents.history(after, "title") == {"here": moment(3), "there": moment(2)}
    assert after["seen"] == {"title": {"there": moment(2)}}


def test_a_clock_that_was_put_back() -> None:
    """A server's later edit has a later stamp, whatever its clock says."""
    after = edited(edited(photo(1), 9, title="a"), 3, title="b")
    assert after["stamps"]["title"] == ["2026-11-22T12:00:09.000001Z", "here"]


def test_what_is_there_already_is_not_checked() -> None:
    """A form may send back what a file told, or an older program kept."""
    before = photo(1, taken="", title="x" * 600)
    after = edited(before, taken="", title="x" * 600, descr="calm")
    assert after["descr"] == "calm" and list(after["stamps"]) == ["descr"]


def test_removing_unprocessed_is_an_edit() -> None:
    """The inbox is a keyword."""
    after = edited(photo(1), keywords=[])
    assert after["keywords"] == [] and "keywords" in after["stamps"]


def test_the_place_can_only_be_removed() -> None:
    """With it go the tags that tell it; other tags stay."""
    tags = {"GPSLatitude": "47", "XMP:GpsAltitude": "1", "City": "Wien", "FNumber": "2.8", "Velocity": "1"}
    before = photo(1, exif=tags)
    after = edited(before, gps=None)
    assert after["gps"] is None and after["exif"] == {"FNumber": "2.8", "Velocity": "1"}
    assert after["stamps"] == {"gps": [moment(0), "here"]}
    with pytest.raises(InvalidEdit, match="only be removed"):
        edited(before, gps={"latitude": 1.0, "longitude": 1.0})


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("title", "  two \n words ", "two words"),
        ("title", "e\u0301", "é"),
        ("descr", "one  \r\n\r\ntwo\n", "one\n\ntwo"),
        ("keywords", ["b", " a  c ", "b", "", "B"], ["B", "a c", "b"]),
        ("keywords", ("👩\u200d👩\u200d👧", "\U0001fadf"), ["👩\u200d👩\u200d👧", "\U0001fadf"]),
        ("taken", "2026-11-22 15:04", "2026-11-22T15:04:00"),
        ("taken", "2026-11-22T15:04:05.25+01:00", "2026-11-22T15:04:05+01:00"),
        ("rotate", 90.0, 90),
        ("cat", FRIENDS, FRIENDS),
    ],
)
def test_values_are_normalised(field: str, value: Any, kept: Any) -> None:
    """Blanks, Unicode, order and doubles."""
    found = edited(photo(1), **{field: value})[field]
    assert found == kept and type(found) is type(kept)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("title", 5, "must be a text"),
        ("title", "x" * 501, "501 characters; at most 500"),
        ("title", "a\0b", r"U\+0000"),
        ("title", "a\u202eb", r"U\+202E"),
        ("descr", "\ud800", r"U\+D800"),
        ("keywords", "beach", "list of texts"),
        ("keywords", ["a,b"], "no comma"),
        ("keywords", [5], "must be a text"),
        ("keywords", None, "list of texts"),
        ("keywords", ["x" * 101], "at most 100"),
        ("keywords", [str(n) for n in range(201)], "at most 200 keywords"),
        ("cat", "public", "one of: Private, Friends/Family, Public"),
        ("cat", ["Public"], "one of"),
        ("taken", "yesterday", "like this"),
        ("taken", "2026-13-01T00:00:00", "like this"),
        ("taken", "2026-02-30T00:00:00", "like this"),
        ("taken", "٢٠٢٦-11-22T15:04:05", "like this"),
        ("rotate", 45, "0, 90, 180, 270"),
        ("rotate", True, "0, 90, 180, 270"),
        ("rotate", "90", "0, 90, 180, 270"),
        ("original", {}, "cannot be edited"),
        ("_rev", "1-a", "cannot be edited"),
    ],
)
def test_what_cannot_be_is_refused(field: str, value: Any, sentence: str) -> None:
    """With the field and a sentence for the person."""
    with pytest.raises(InvalidEdit, match=sentence) as caught:
        edited(photo(1), **{"title": "good", field: value} if field != "title" else {field: value})
    assert caught.value.field == field and caught.value.sentence.endswith(".")


def test_only_photos_are_edited() -> None:
    """A comment is not."""
    with pytest.raises(InvalidEdit, match="Only photos"):
        edited(documents.new_comment("p", "anna", "hm", now=NOW), title="x")


@given(st.text())
def test_texts_stay_what_they_are(text: str) -> None:
    """What was kept once is kept as it is again; what cannot be kept is refused, or cleaned where nobody is there."""
    for keep in (
        lambda value: texts.line(value, 1000),
        lambda value: texts.paragraphs(value, 1000),
        lambda value: texts.cleaned(value, 10),
        texts.keyword,
    ):
        try:
            kept = keep(text)
        except texts.InvalidText:
            continue
        assert keep(kept) == kept
        kept.encode()


def test_a_comment() -> None:
    """Its id sorts by time, and two of one moment are two."""
    one, two = (documents.new_comment("p1", " anna ", "very\r\nnice", now=moment(3)) for _ in range(2))
    assert one["_id"].startswith(f"comment:p1:{moment(3)}-") and one["_id"] != two["_id"]
    assert (one["author"], one["text"], one["time"], one["photo"]) == ("anna", "very\nnice", moment(3), "p1")
    with pytest.raises(InvalidEdit, match="Write something"):
        documents.new_comment("p1", "anna", " \n ", now=NOW)
    with pytest.raises(InvalidEdit, match="at most 10,000"):
        documents.new_comment("p1", "anna", "x" * 10_001, now=NOW)


def test_a_user() -> None:
    """With a name that can be part of an id, and a role that there is."""
    made = documents.new_user("anna", "editor", "scrypt$…", now=NOW)
    assert (made["_id"], made["role"], made["changed"]) == ("user:anna", "editor", NOW)
    for name, role in (("", "editor"), ("An na", "editor"), ("../x", "friend"), ("anna", "king"), ("a" * 65, "friend")):
        with pytest.raises(InvalidEdit):
            documents.new_user(name, role, "x", now=NOW)


def test_who_sees_what() -> None:
    """Each audience sees what those before it see. A category that nobody knows is Private."""
    seen = {
        cat: [audience for audience in Audience if documents.is_visible({"cat": cat}, audience)]
        for cat in (PUBLIC, FRIENDS, PRIVATE, "public", None)
    }
    everyone, family, me = Audience.PUBLIC, Audience.FRIENDS, Audience.ALL
    assert list(seen.values()) == [[everyone, family, me], [family, me], [me], [me], [me]]


def test_private_keywords() -> None:
    """Those that begin with '_', and the inbox, are for those who see everything."""
    shown = photo(1, cat=PUBLIC, keywords=["_divorce", "sea", "unprocessed"])
    assert documents.visible_keywords(shown, Audience.PUBLIC) == ["sea"]
    assert documents.visible_keywords(shown, Audience.FRIENDS) == ["sea"]
    assert documents.visible_keywords(shown, Audience.ALL) == ["_divorce", "sea", "unprocessed"]
    assert not documents.matches(shown, Query(Audience.PUBLIC, having=("_divorce",)))
    assert documents.matches(shown, Query(Audience.PUBLIC, lacking=("_divorce",)))
    assert documents.matches(
        shown, Query(Audience.ALL, having=("_divorce", "sea"), camera="Canon EOS R5", period="2026")
    )


def test_every_editable_field_has_a_check() -> None:
    """None is forgotten."""
    for field in EDITABLE:
        with pytest.raises(InvalidEdit) as caught:
            documents.checked(field, object())
        assert caught.value.sentence != "This cannot be edited."
