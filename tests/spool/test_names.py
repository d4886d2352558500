"""Names: written so that anything can hold them, taken back without loss, and which are no items."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.spool import names

COMPONENTS = st.binary(min_size=1, max_size=255).map(lambda raw: raw.replace(b"/", b"%").replace(b"\0", b"%"))
NAMES = COMPONENTS.map(os.fsdecode)


@given(NAMES)
def test_encode_is_reversible_and_can_stand_anywhere(name: str) -> None:
    """Any name of the file system can be written as UTF-8 without control characters, and be read back."""
    for written in (names.encode(name), names.show(name)):
        assert names.decode(written) == name
        assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in written)
        written.encode()


@given(NAMES)
def test_show_is_printable(name: str) -> None:
    """No name can move the cursor, break a line or change the direction of text."""
    assert names.show(name).isprintable()


@pytest.mark.parametrize("name", ["summer 2026", "100%.txt", "a+b", "emoji 🎉", "-rf", "%zz", "ü"])
def test_usual_names_stay_as_they_are(name: str) -> None:
    """What can stand in a key and on a terminal is not changed."""
    assert names.encode(name) == names.show(name) == name


@given(NAMES, st.sampled_from(["", ".jpg", ".é"]), st.just("~20261121T220000-x7k"))
def test_shorten_fits_and_cuts_only_the_stem(stem: str, extension: str, insert: str) -> None:
    """A suffixed name has at most 255 bytes, and what was inserted is whole."""
    short = names.shorten(stem, extension, insert)
    assert len(os.fsencode(short)) <= 255
    assert short.endswith(insert + extension)
    assert stem.startswith(short[: -len(insert + extension)])


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        *((name, True) for name in (".x", "a/.x", ".a/x", "x.part", "x.TMP", "x~", "a.crdownload", ".DS_Store", "~$x")),
        *((name, True) for name in ("Thumbs.db", "a/desktop.ini", "Icon\r")),
        *((name, False) for name in ("x", "a/b", "x.", "a..b", "part", "x.parted", "a.part/x", "-x", "Icon")),
    ],
)
def test_which_are_ignored(name: str, ignored: bool) -> None:
    """Dotfiles, unfinished files and litter are no items; a directory's name takes nothing from what is below."""
    assert names.is_ignored(name) is ignored


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", ".", "a/..", "../a", "a\0b", "x" * 256, "é" * 128])
def test_impossible_names(name: str) -> None:
    """What no file below incoming/ can be called has a reason why."""
    assert names.why_impossible(name)


@pytest.mark.parametrize("name", ["x" * 255, "a/b/c", "...", "-", "\udcff", "\n"])
def test_possible_names(name: str) -> None:
    """Everything else is possible."""
    assert names.why_impossible(name) == ""
