"""What goes with an object."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.processors.s3.metadata import NAME, attributes, content_type, mtime
from jollyae.processors.s3.options import MAX_METADATA, S3Options

NAMES = st.binary(min_size=1, max_size=200).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"x")))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "image/jpeg"),
        ("a.JPEG", "image/jpeg"),
        ("d/a.heic", "image/heic"),
        ("a.json", "application/json"),
        ("a.csv", "text/csv"),
        ("a.csv.gz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.xz", "application/x-xz"),
        ("a.qqq", ""),
        ("a", ""),
        (".jpg", "image/jpeg"),
        ("http://x/a.jpg", "image/jpeg"),
        ("data:text/html,x", ""),
        ("x\udcff.png", "image/png"),
    ],
)
def test_content_type(name: str, expected: str) -> None:
    """By the extension, the same on every machine; packed files are what they are packed with."""
    assert content_type(name) == expected


@given(NAMES)
def test_no_name_breaks_it(name: str) -> None:
    """Any bytes may be a name; what is sent is ASCII and small enough."""
    made = attributes(S3Options(), name, "k", mtime_ns=1, mode=0o100644, sha256="0" * 64)
    text = "".join([*made.metadata, *made.metadata.values()])
    assert text.isascii() and text.isprintable() and len(text) <= MAX_METADATA


@given(st.integers(-(10**18), 4 * 10**18))
def test_mtime_is_exact(nanoseconds: int) -> None:
    """Not a nanosecond is lost, and rclone can read it: decimal seconds."""
    from decimal import Decimal

    assert Decimal(mtime(nanoseconds)) * 10**9 == nanoseconds


def test_the_user_comes_first() -> None:
    """Asked for is asked for: content type and metadata are not guessed over."""
    options = S3Options(content_type="x/y", metadata={"mode": "0", "a": "b"}, tags={"t": "1"}, acl="private")
    made = attributes(options, "a.jpg", "a.jpg", mtime_ns=0, mode=0o100644)
    assert (made.content_type, made.acl, made.tags) == ("x/y", "private", {"t": "1"})
    assert made.metadata == {"mtime": "0", "mode": "0", "a": "b"}


def test_no_guess() -> None:
    """--no-guess-mime-type sends none."""
    assert attributes(S3Options(guess_mime_type=False), "a.jpg", "a", mtime_ns=0, mode=0).content_type == ""


def test_the_name_is_left_out_where_it_has_no_room() -> None:
    """Ours never makes the metadata too large for S3."""
    options = S3Options(metadata={"a": "x" * 1500})
    short = attributes(options, "n" * 300, "other", mtime_ns=0, mode=0o100644, sha256="0" * 64)
    assert NAME in short.metadata
    assert NAME not in attributes(options, "n" * 500, "other", mtime_ns=0, mode=0o100644, sha256="0" * 64).metadata
    assert NAME not in attributes(S3Options(), "n" * 600, "other", mtime_ns=0, mode=0o100644).metadata
