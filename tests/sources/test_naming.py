"""Names of items for keys of objects: whatever a bucket can hold has a name, and no two have one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.sources.naming import key_of, name_of
from jollyae.spool import names

ODD: tuple[str, ...] = (
    ".part",
    "Thumbs.db",
    "a.tmp",
    "~",
    "~$a",
    "desktop.ini",
    "icon\r",
    "..",
    ".",
    "é" * 400,
    "%" * 300,
    "%key/a",
)
ODD += ("%key", "a.part/b", "x" * 199 + ".part", "/", "a/", "//a", "a\0b", "x" * 1024, "%2E", "100%.txt")
KEYS = st.one_of(
    st.text(alphabet="./%~$aA2Ekypart\x00é𝄞", min_size=1, max_size=30),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=1000),
    st.sampled_from(ODD),
)


@given(KEYS)
def test_every_key_has_a_name_that_gives_it_back(key: str) -> None:
    """The name can be an item's, is not ignored, and tells the key."""
    name = name_of(key)
    assert not names.why_impossible(name)
    assert names.is_wanted(name)
    assert key_of(name) == key


@pytest.mark.parametrize("key", ["a.jpg", "2026/11/a b.jpg", "100%.txt", "%41", "bad%FF.jpg", "a\nb"])
def test_an_ordinary_key_is_the_name(key: str) -> None:
    """What an item can be called is its name as it is."""
    assert name_of(key) == key
