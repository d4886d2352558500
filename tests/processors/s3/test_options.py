"""Options, URLs and part sizes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.processors.s3.options import (
    MAX_PART,
    MAX_PARTS,
    MIN_PART,
    OptionError,
    S3Options,
    part_size_for,
    split_url,
)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"if_exists": "maybe"}, "--if-exists"),
        ({"part_size": 1}, "part size"),
        ({"multipart_threshold": 6 << 30}, "multipart threshold"),
        ({"sse_kms_key_id": "k"}, "--sse aws:kms"),
        ({"endpoint_url": "localhost:9000"}, "http://"),
        ({"checksum_algorithm": "crc7"}, "sha256, crc32"),
        ({"metadata": {"a b": "x"}}, "--metadata"),
        ({"metadata": {"Jollyae-Sha256": "x"}}, "--metadata"),
        ({"metadata": {"a": "ä"}}, "printable ASCII"),
        ({"metadata": {"a": "x\n"}}, "printable ASCII"),
        ({"metadata": {"a": "x" * 1600}}, "2 KB"),
        ({"tags": {str(n): "" for n in range(11)}}, "10 tags"),
        ({"tags": {"": "x"}}, "--tag"),
    ],
)
def test_what_cannot_be_is_refused(options: Any, text: str) -> None:
    """At the start, with the option's name."""
    with pytest.raises(OptionError, match=text):
        S3Options(**options)


@pytest.mark.parametrize(
    ("url", "found"),
    [("s3://b", ("b", "")), ("s3://b/", ("b", "")), ("s3://b/p/q/", ("b", "p/q")), ("s3://b/%C3 x", ("b", "%C3 x"))],
)
def test_split_url(url: str, found: tuple[str, str]) -> None:
    """A prefix is taken as it is written."""
    assert split_url(url) == found


@pytest.mark.parametrize("url", ["s3:/b", "s3://", "s3:///p", "b/p", "https://b", "s3://b?x"])
def test_no_s3_url(url: str) -> None:
    """Anything else is an error that shows the form."""
    with pytest.raises(OptionError, match="s3://bucket/prefix"):
        split_url(url)


@given(st.integers(1, MAX_PART * MAX_PARTS), st.integers(MIN_PART, MAX_PART))
def test_parts_are_never_too_many_or_too_large(size: int, wished: int) -> None:
    """10,000 parts of 5 GiB at most, whatever was wished."""
    part = part_size_for(size, wished)
    assert -(-size // part) <= MAX_PARTS
    assert MIN_PART <= part <= MAX_PART
    assert part == wished or part > wished
