"""Tags as text, positions, cameras, captions: plain functions of what was read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.TiffImagePlugin import IFDRational

from jollyae.processors.photo import tags
from jollyae.processors.photo.camera import camera, name
from jollyae.processors.photo.captions import Captions, captions, from_iptc, from_xmp
from jollyae.processors.photo.dates import taken
from jollyae.processors.photo.gps import position
from jollyae.processors.photo.tags import Tags, as_texts

XMP = """<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
<rdf:Description xmlns:dc='http://purl.org/dc/elements/1.1/'>
<dc:title><rdf:Alt><rdf:li xml:lang='de'>Abend</rdf:li><rdf:li xml:lang='x-default'>Dusk</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang='x-default'>At the sea</rdf:li></rdf:Alt></dc:description>
<dc:subject><rdf:Bag><rdf:li>beach</rdf:li><rdf:li> sea </rdf:li><rdf:li>beach</rdf:li></rdf:Bag></dc:subject>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"""


# --- text


def test_huge_values_are_cut() -> None:
    """A tag of a megabyte is a short text; a thousand tags are some."""
    texts = as_texts(Tags({270: "x" * 1_000_000, **dict.fromkeys(range(256, 60000), "y" * 1000)}))
    assert len(texts) <= tags.MOST
    assert max(map(len, texts.values())) == tags.LONGEST
    assert sum(map(len, texts)) + sum(map(len, texts.values())) < 50_000


def test_what_is_no_text_is_left_out() -> None:
    """Maker notes, binary values, other directories, the position, and numbers that are none."""
    found = Tags(
        {271: "Maker", 34853: {2: (48.0, 0.0, 0.0)}, 34665: 200, 700: b"<x/>", 33432: b"\x00\xff\x01"},
        {37500: b"readable but private", 33437: IFDRational(0, 0), 40961: 1, 37121: b"\1\2\3\0"},
    )
    assert as_texts(found) == {"Make": "Maker", "ColorSpace": "1"}


def test_text_has_no_control_characters() -> None:
    """Nor lone surrogates, nor characters that turn a page's text around."""
    assert tags.clean("a\x1b[31m\u202eb\ud800c\x85d") == "a [31m b c d"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"ASCII\0\0\0good light", "good light"),
        (b"UNICODE\0" + "grün".encode("utf-16-be"), "grün"),
        (b"UNICODE\0" + "grün".encode("utf-16-le"), "grün"),
        (b"\0\0\0\0\0\0\0\0   \0", ""),
        (b"\xff\xfe\1", ""),
        ("plain", "plain"),
        (None, ""),
    ],
)
def test_comments(value: object, text: str) -> None:
    """A user's comment, in the encoding that it names."""
    assert tags.comment(value) == text


_VALUES: st.SearchStrategy[object] = st.recursive(
    st.one_of(
        st.none(),
        st.text(max_size=30),
        st.binary(max_size=30),
        st.integers(),
        st.floats(),
        st.tuples(st.integers(-9, 9), st.integers(-9, 9)).map(lambda pair: IFDRational(*pair)),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4).map(tuple), st.dictionaries(st.integers(), inner, max_size=2)),
    max_leaves=6,
)
_TAGS = st.sampled_from([270, 271, 272, 274, 306, 33434, 33437, 34855, 36867, 36881, 37386, 37510, 40091, 40094, 42036])


@given(st.dictionaries(_TAGS, _VALUES), st.dictionaries(_TAGS, _VALUES), st.dictionaries(st.integers(1, 6), _VALUES))
def test_any_values_are_passed_over(first: dict[int, object], photo: dict[int, object], gps: dict[int, object]) -> None:
    """Whatever stands there: texts come out, and nothing is raised."""
    found = Tags(first, photo, gps)
    said = captions(found)
    texts = [*as_texts(found).values(), *camera(found).values(), said.title, said.descr, *said.keywords]
    for text in (*texts, taken(found, 0.0)):
        assert (text.encode() and text == text.strip()) or not text
    place = position(gps)
    assert place is None or all(map(math.isfinite, place.values()))


# --- position

PARIS = {1: "N", 2: (48.0, 51.0, 29.6), 3: "E", 4: (2.0, 17.0, 40.2)}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, {"latitude": 48.858222, "longitude": 2.2945}),
        ({1: "S"}, {"latitude": -48.858222, "longitude": 2.2945}),
        ({3: "W\0"}, {"latitude": 48.858222, "longitude": -2.2945}),
        ({2: (48.5,)}, {"latitude": 48.5, "longitude": 2.2945}),
        ({2: 48.5}, {"latitude": 48.5, "longitude": 2.2945}),
        ({5: b"\0", 6: 35.0}, {"latitude": 48.858222, "longitude": 2.2945, "altitude": 35.0}),
        ({5: b"\1", 6: 420.0}, {"latitude": 48.858222, "longitude": 2.2945, "altitude": -420.0}),
        ({6: IFDRational(1, 0)}, {"latitude": 48.858222, "longitude": 2.2945}),
        ({6: 4e9}, {"latitude": 48.858222, "longitude": 2.2945}),
        ({2: (IFDRational(0, 0), 0.0, 0.0)}, None),
        ({2: (math.nan, 0.0, 0.0)}, None),
        ({2: (91.0, 0.0, 0.0)}, None),
        ({4: (181.0, 0.0, 0.0)}, None),
        ({2: (48.0, 99.0, 0.0)}, None),
        ({2: (-48.0, 0.0, 0.0)}, None),
        ({2: ()}, None),
        ({2: "north"}, None),
        ({1: ""}, None),
        ({1: "X"}, None),
        ({1: None}, None),
        ({2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)}, None),
    ],
)
def test_positions(more: dict[int, object], expected: dict[str, float] | None) -> None:
    """Decimal degrees with their sign; rubbish is no position."""
    assert position(PARIS | more) == expected


def test_no_position() -> None:
    """Nothing written is nowhere."""
    assert position({}) is None


# --- camera


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [
        ("Canon", "Canon EOS R6", "Canon EOS R6"),
        ("NIKON CORPORATION", "NIKON Z 6", "NIKON Z 6"),
        ("OLYMPUS IMAGING CORP.  ", "E-M10", "OLYMPUS E-M10"),
        ("FUJIFILM", "X-T4", "FUJIFILM X-T4"),
        ("SAMSUNG TECHWIN CO., LTD.", "NX10", "SAMSUNG NX10"),
        ("", "X100", "X100"),
        ("Leica Camera AG", "M9", "Leica M9"),
        ("SONY", "", "SONY"),
        ("", "", ""),
    ],
)
def test_names(make: str, model: str, expected: str) -> None:
    """Make and model, the make once and without what its company is called."""
    assert name(make, model) == expected


def test_how_a_camera_was_set() -> None:
    """As photographers write it."""
    photo = {33434: IFDRational(1, 3), 33437: IFDRational(28, 10), 34855: (400, 0), 37386: IFDRational(425, 100)}
    found = camera(Tags({271: "Maker\0", 272: " One "}, photo | {42036: "A lens"}))
    assert found == {
        "name": "Maker One",
        "make": "Maker",
        "model": "One",
        "lens": "A lens",
        "exposure": "0.333 s",
        "aperture": "f/2.8",
        "iso": "400",
        "focal": "4.2 mm",
    }


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e30, IFDRational(1, 0), "x", b"\1", (), None])
def test_impossible_settings_are_left_out(value: object) -> None:
    """A camera with an old lens writes zeros."""
    assert camera(Tags({}, dict.fromkeys((33434, 33437, 34855, 37386), value))) == {}


# --- captions


def test_xmp() -> None:
    """The default language, each keyword once."""
    expected = Captions("Dusk", "At the sea", ("beach", "sea"))
    assert from_xmp(XMP) == from_xmp(XMP.encode()) == from_xmp(XMP.encode() + bytes(100)) == expected


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"<",
        b"\xff\xfe\0",
        b"<a>" * 100_000,
        b" " * 10_000_000,
        b'<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>',
        XMP.replace("<x:xmpmeta", "<!DOCTYPE x><x:xmpmeta").encode(),
        XMP.encode("utf-16"),
    ],
)
def test_damaged_or_hostile_xmp_says_nothing(packet: bytes) -> None:
    """No entity is ever expanded."""
    assert from_xmp(packet) == Captions()


def test_iptc() -> None:
    """UTF-8 where it is, else Latin-1; one keyword or several."""
    found = {(2, 5): "Dämmerung".encode("latin-1"), (2, 120): b"two\rlines", (2, 25): [b"a", "ü".encode(), b""]}
    assert from_iptc(found) == Captions("Dämmerung", "two\nlines", ("a", "ü"))
    assert from_iptc({(2, 25): b"one", (2, 5): None}) == Captions("", "", ("one",))


def test_xmp_before_iptc_before_exif() -> None:
    """Each for what it says; keywords of all."""
    exif = Tags({270: "by the camera's owner", 40094: "exif;beach".encode("utf-16-le")})
    found = captions(exif, {(2, 5): b"ignored", (2, 25): [b"iptc"]}, XMP)
    assert found == Captions("Dusk", "At the sea", ("beach", "sea", "iptc", "exif"))
    assert captions(exif, {(2, 5): b"a title"}).title == "a title"
    assert captions(exif).descr == "by the camera's owner"


@pytest.mark.parametrize(
    "words", ["OLYMPUS DIGITAL CAMERA         ", "SONY DSC", "DCIM\\100MEDIA\\DJI_0001.JPG", "Exif_JPEG_PICTURE"]
)
def test_what_cameras_write_is_no_description(words: str) -> None:
    """Nobody wants to see it below a photo."""
    assert captions(Tags({270: words})).descr == ""


def test_captions_are_bounded() -> None:
    """However much there is."""
    found = from_iptc(
        {(2, 5): b"x" * 99_999, (2, 120): b"y" * 99_999, (2, 25): [b"%d" % n + b"z" * 999 for n in range(999)]}
    )
    assert (len(found.title), len(found.descr), len(found.keywords)) == (200, 10_000, 100)
    assert max(map(len, found.keywords)) == 64
