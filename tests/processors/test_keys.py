"""Keys: pure, reversible, never two names in one."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.processors.keys import MAX_KEY, KeysByContent, KeyTemplate, TemplateError, beside
from jollyae.spool import names
from jollyae.spool.outcomes import Permanent, Temporary

SHA = "0123456789abcdef" * 4
COMPONENTS = (
    st.binary(min_size=1, max_size=40)
    .map(lambda raw: os.fsdecode(raw.replace(b"/", b"%").replace(b"\0", b"%4")))
    .filter(lambda text: text not in (".", ".."))
)
NAMES = st.lists(COMPONENTS, min_size=1, max_size=3).map("/".join)


@pytest.mark.parametrize(
    ("text", "prefix", "key"),
    [
        ("{path}", "", "a/b.tar.gz"),
        ("{path}", "/p/q/", "p/q/a/b.tar.gz"),
        ("{name}", "p", "p/b.tar.gz"),
        ("{stem}|{ext}", "", "b.tar|.gz"),
        ("{stem}{ext}", "", "b.tar.gz"),
        ("/{name}", "p", "p/b.tar.gz"),
        ("{host}/{name}", "", "box/b.tar.gz"),
        ("{date:%Y/%m/%d}/{name}", "", "2026/11/21/b.tar.gz"),
        ("{date}/{name}", "", "2026/11/21/b.tar.gz"),
        ("{date:%H:%M:%S.%f%%}", "", "23:59:58.000000%"),
        ("{sha256}{ext}", "", SHA + ".gz"),
        ("{{{name}}}", "", "{b.tar.gz}"),
    ],
)
def test_fields(text: str, prefix: str, key: str) -> None:
    """Each field means what the documentation says, and one slash joins prefix and key."""
    assert KeyTemplate(text, prefix, host="box").key("a/b.tar.gz", 1795305598.0, SHA) == key


@pytest.mark.parametrize(
    "text",
    [
        *("{nme}", "{}", "{name.x}", "{name!r}", "{name:x}", "{name", "name}", "{date:%Q}", "{date:%c}", "{date:%}"),
        *("{date:Y}", "{date:{name}}", "", "a//{name}", "{name}/", "./{name}", "{name}/..", "a\nb", "\udcff{name}"),
    ],
)
def test_a_bad_template_is_a_configuration_error(text: str) -> None:
    """What could never make a key is refused at the start, not item by item."""
    with pytest.raises(TemplateError, match="key template"):
        KeyTemplate(text)


def test_an_unknown_field_lists_the_valid_ones() -> None:
    """The error names every field there is."""
    with pytest.raises(ValueError, match=r"\{name\} \{path\} \{stem\} \{ext\} \{host\} \{date:%Y/%m/%d\} \{sha256\}"):
        KeyTemplate("{file}")


def test_needs_digest() -> None:
    """Only {sha256} needs the content before the key."""
    assert KeyTemplate("x/{sha256}").needs_digest
    assert not KeyTemplate("{host}/{date}/{path}").needs_digest


def test_date_is_the_mtime_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone of the machine changes nothing."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    assert KeyTemplate("{date:%Y-%m-%d %H}").key("x", 0.5) == "1970-01-01 00"


@pytest.mark.parametrize(
    ("text", "name", "mtime"),
    [
        ("{path}", "a" * 1025, 0.0),
        ("{path}", "é" * 513, 0.0),
        ("{ext}/x", "none", 0.0),
        ("{ext}", "a.", 0.0),
        ("{date}/{name}", "x", 1e18),
    ],
)
def test_an_impossible_key_is_permanent(text: str, name: str, mtime: float) -> None:
    """Too long, an empty or dot component, no date: never, for this item."""
    with pytest.raises(Permanent, match="no key is possible"):
        KeyTemplate(text).key(name, mtime)


def test_the_longest_key_is_possible() -> None:
    """1,024 bytes are allowed, prefix included."""
    assert len(KeyTemplate(prefix="p").key("a" * 1022, 0.0)) == MAX_KEY


@given(NAMES, NAMES)
def test_two_names_never_give_one_key(first: str, second: str) -> None:
    """With {path} a key belongs to one name."""
    one, two = KeyTemplate().key(first, 0.0), KeyTemplate().key(second, 0.0)
    assert (one == two) == (first == second)


@given(NAMES)
def test_the_key_gives_the_name_back(name: str) -> None:
    """decode takes back what was encoded, and no control character is left."""
    key = KeyTemplate().key(name, 0.0)
    assert names.decode(key) == name
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in key)


@given(COMPONENTS)
def test_stem_and_ext_make_the_name(name: str) -> None:
    """{stem}{ext} is {name}, escapes included."""
    assert KeyTemplate("x{stem}{ext}").key(name, 0.0) == KeyTemplate("x{name}").key(name, 0.0)


@given(NAMES)
def test_only_what_must_be_is_encoded(name: str) -> None:
    """A name of printable text without an escape-like percent sign is its own key."""
    if name.isprintable() and "%" not in name and not any("\ud800" <= char <= "\udfff" for char in name):
        assert KeyTemplate().key(name, 0.0) == name


def test_a_percent_sign_stays() -> None:
    """100%.txt is no escape."""
    assert KeyTemplate().key("100%.txt", 0.0) == "100%.txt"
    assert KeyTemplate().key("100%41.txt", 0.0) == "100%2541.txt"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b.jpg", "a/b-01234567.jpg"),
        ("b", "b-01234567"),
        ("x" * 1020 + ".txt", "x" * (1024 - 13) + "-01234567.txt"),
        ("a/" + "é" * 511, "a/" + "é" * 506 + "-01234567"),
        ("d/" + "x" * 1008 + "%0A" + "%0A.bin", "d/" + "x" * 1008 + "-01234567.bin"),
    ],
)
def test_beside(key: str, expected: str) -> None:
    """The eight digits go before the extension; a long stem is cut, at no half character and no half escape."""
    assert beside(key, SHA) == expected
    assert len(expected.encode()) <= MAX_KEY


def test_beside_with_a_component_limit() -> None:
    """A file system's limit on the last component can be kept too."""
    assert beside("d/" + "x" * 251 + ".txt", SHA, longest=255) == "d/" + "x" * 242 + "-01234567.txt"
    assert len(beside("d/x." + "e" * 253, SHA, longest=255)) == 257


@given(NAMES)
def test_beside_is_another_possible_key(name: str) -> None:
    """It differs from the taken key and is never too long."""
    key = KeyTemplate().key(name, 0.0)
    assert beside(key, SHA) != key
    assert len(beside(key, SHA).encode()) <= MAX_KEY
    assert beside(key, SHA) == beside(key, SHA)


def test_keys_that_are_told_are_those_of_their_content() -> None:
    """Below the prefix, as long as somebody tells; content that nobody read has none, for the file has changed."""
    keys = KeysByContent("/p/")
    assert keys.needs_digest
    with keys.told(SHA, "k/1.jpg"):
        with keys.told(SHA, "k/1.jpg"):
            assert keys.key("a", 0.0, SHA) == "p/k/1.jpg"
        assert keys.key("b", 1.0, SHA) == "p/k/1.jpg"
        with pytest.raises(Temporary, match="changed"):
            keys.key("a", 0.0, SHA[::-1])
    with pytest.raises(Temporary, match="changed"):
        keys.key("a", 0.0, SHA)
