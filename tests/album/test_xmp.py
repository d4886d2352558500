"""XMP sidecars: what is written is read again, others' are understood, and no sidecar does any harm."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.album import xmp
from jollyae.album.document import CATEGORIES
from jollyae.album.xmp import Sidecar, XmpError

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))
LINES = st.text(
    st.characters(
        codec="utf-8", exclude_categories=["Cs", "Cc"], include_characters="\n\t\r", exclude_characters="\ufffe\uffff"
    )
)
MOMENT = st.datetimes().map(lambda time: f"{time.isoformat(timespec='microseconds'):0>26}Z")
WORD = st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents of photos, as far as a sidecar tells of them."""
    fields = draw(st.lists(st.sampled_from(["title", "descr", "keywords", "cat", "taken", "rotate"]), unique=True))
    return {
        "_id": draw(st.binary(min_size=32, max_size=32)).hex(),
        "title": draw(TEXT),
        "descr": draw(LINES),
        "keywords": draw(st.lists(TEXT, max_size=5)),
        "cat": draw(st.sampled_from(CATEGORIES)),
        "taken": draw(st.sampled_from(["2026-11-22T14:03:12", "1999-12-31T23:59:59+01:00"])),
        "rotate": draw(st.sampled_from([0, 90, 180, 270])),
        "gps": None,
        "name": draw(TEXT),
        "added": draw(MOMENT),
        "addedby": draw(TEXT),
        "stamps": {field: [draw(MOMENT), draw(WORD)] for field in fields},
    }


COMMENTS = st.lists(st.fixed_dictionaries({"_id": WORD, "author": TEXT, "text": LINES, "time": MOMENT}), max_size=3)


@given(documents(), COMMENTS)
def test_what_is_written_is_read_again(document: dict[str, Any], comments: list[dict[str, Any]]) -> None:
    """Every edited field, every stamp and every comment."""
    found = xmp.read(xmp.write(document, comments))
    editable = {key: document[key] for key in ("title", "descr", "keywords", "cat", "taken", "rotate")}
    assert found.fields() == editable
    assert found.is_ours and found.sha256 == document["_id"]
    assert (found.name, found.added, found.addedby) == (document["name"], document["added"], document["addedby"])
    assert found.stamps == {field: tuple(stamp) for field, stamp in document["stamps"].items()}
    told = [{"_id": one.id, "author": one.author, "text": one.text, "time": one.time} for one in found.comments]
    assert told == comments


@given(st.text(max_size=50))
def test_what_no_xml_can_hold_is_replaced(text: str) -> None:
    """Whatever a document from elsewhere holds, its sidecar can be written and read."""
    assert xmp.read(xmp.write({"_id": "00" * 32, "title": text.encode(errors="replace").decode()})).title is not None


def test_a_place_that_was_removed_stays_removed() -> None:
    """Sidecars tell that somebody took the place away; where there is one, they tell it."""
    stamps = {"gps": ["2026-11-22T14:03:12.000000Z", "home"]}
    assert xmp.read(xmp.write({"_id": "00" * 32, "gps": None, "stamps": stamps})).fields()["gps"] is None
    place = {"latitude": -33.8568, "longitude": 151.2153, "altitude": 4.5}
    written = xmp.write({"_id": "00" * 32, "gps": place}).decode()
    assert "33,51.40800000S" in written and "151,12.91800000E" in written and "450/100" in written
    assert "gps" not in xmp.read(written.encode()).fields()


OTHERS = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
    exif:DateTimeOriginal="2019-06-01T10:11:12.50" xmp:Rating="4" xmp:MetadataDate="2020-01-01T00:00:00Z"
    tiff:Orientation="6">
   <dc:title><rdf:Alt>
    <rdf:li xml:lang="de">Strand</rdf:li><rdf:li xml:lang="x-default">Beach</rdf:li>
   </rdf:Alt></dc:title>
   <dc:subject><rdf:Bag><rdf:li>sea</rdf:li><rdf:li>anna</rdf:li></rdf:Bag></dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>"""


def test_another_programs_sidecar_is_understood() -> None:
    """Properties as attributes or elements, alternatives of a language, a date with a fraction."""
    found = xmp.read(OTHERS.encode())
    expected = {"title": "Beach", "keywords": ["sea", "anna"], "taken": "2019-06-01T10:11:12"}
    assert found.fields() == expected
    assert not found.is_ours and found.changed == "2020-01-01T00:00:00Z"


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "document type"),
        (OUTSIDE, "document type"),
        ('<!DOCTYPE html PUBLIC "-//W3C//DTD" "http://example.invalid/x.dtd"><x/>', "document type"),
        ("<x>" * 5000, "nested"),
        ("", "no XML"),
        ("<x", "no XML"),
        ("<x>&a;</x>", "no XML"),
        ("<x/>", "describes nothing"),
        (" " * (xmp.MAX_BYTES + 1), "the most"),
        ("<?xml version='1.0' encoding='nonsense'?><x/>", "no"),
    ],
    ids=["bomb", "outside", "dtd", "deep", "empty", "half", "entity", "bare", "large", "encoding"],
)
def test_no_sidecar_does_harm(text: str, why: str) -> None:
    """Document types, entities, depth and size are refused, in a sentence."""
    with pytest.raises(XmpError, match=why):
        xmp.read(text.encode())


@given(st.binary(max_size=300))
def test_rubbish_is_refused(data: bytes) -> None:
    """Whatever the file holds: a sidecar, or a refusal."""
    with suppress(XmpError):
        assert isinstance(xmp.read(data), Sidecar)
