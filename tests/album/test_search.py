"""The language of searches."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.album import texts
from jollyae.album.document import matches
from jollyae.album.search import parse, write
from jollyae.album.store import Audience

from .samples import photo


def _keywords() -> st.SearchStrategy[list[str]]:
    """Keywords that a photo can have, odd ones not seldom."""
    letters = st.one_of(st.sampled_from("ab +-\"'_#%&/\\ä👩"), st.characters(exclude_categories=["Cs"]))

    def kept(text: str) -> str:
        try:
            return texts.keyword(text)
        except texts.InvalidText:
            return "x"

    return st.lists(st.text(letters, min_size=1, max_size=8).map(kept), max_size=10, unique=True)


@pytest.mark.parametrize(
    ("text", "having", "lacking"),
    [
        ("", (), ()),
        ("  ", (), ()),
        ("beach", ("beach",), ()),
        ("beach+anna-night", ("beach", "anna"), ("night",)),
        (" + beach anna - night ", ("beach", "anna"), ("night",)),
        ("-night", (), ("night",)),
        ('"new york"-"t-shirt"', ("new york",), ("t-shirt",)),
        ('"say ""hi"""', ('say "hi"',), ()),
        ('a"b c"', ("a", "b c"), ()),
        ("beach+", ("beach",), ()),
        ("beach+beach", ("beach",), ()),
        ("Straße+日本+e\u0301", ("Straße", "日本", "é"), ()),
    ],
)
def test_what_is_read(text: str, having: tuple[str, ...], lacking: tuple[str, ...]) -> None:
    """Wanted and refused keywords, in the order in which they stand."""
    found = parse(text, Audience.FRIENDS)
    assert (found.problem, found.query.having, found.query.lacking) == ("", having, lacking)
    assert found.query.audience is Audience.FRIENDS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('"new york', "not closed"),
        ("beach--night", "between “-” and “-”"),
        ("beach+-night", "between"),
        ("beach-", "after “-”"),
        ('""', "at least one character"),
        ("a,b", "no comma"),
        ("a\0b", r"U\+0000"),
        ("\ud800", r"U\+D800"),
        ("beach-beach", "at once"),
        ("x" * 101, "at most 100"),
        ("x" * 3000, "2,000"),
        ("+".join("abcdefghijklmnopqrstuvwxyz"), "20 keywords"),
    ],
)
def test_what_cannot_be_read_finds_nothing_and_says_why(text: str, problem: str) -> None:
    """It is never an error for who asks."""
    found = parse(text)
    assert re.search(problem, found.problem) and found.problem.endswith(".")
    assert not matches(photo(1, keywords=[]), found.query) and found.query.having == (",",)


@given(_keywords(), _keywords())
def test_what_is_written_is_read_back(having: list[str], lacking: list[str]) -> None:
    """Whatever the keywords are."""
    lacking = [word for word in lacking if word not in having]
    found = parse(write(having, lacking))
    assert (found.problem, list(found.query.having), list(found.query.lacking)) == ("", having, lacking)


@given(st.text(st.one_of(st.sampled_from('ab+- "'), st.characters())))
def test_no_text_is_an_error(text: str) -> None:
    """What is read is written and read again the same."""
    found = parse(text)
    if not found.problem:
        again = parse(write(found.query.having, found.query.lacking))
        assert again == found
