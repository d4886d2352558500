"""Checksums and contents."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.processors.s3 import checksums
from jollyae.processors.s3.checksums import ChecksumError, Content, Digest

from .fake import b64

# The check values for b"123456789" of the CRC catalogue, and what md5sum says.
CHECK = {
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "md5": "25f9e794323b453885f5181f1b624d0b",
}


@pytest.mark.parametrize("algorithm", sorted(CHECK))
def test_check_values(algorithm: str) -> None:
    """As S3 writes them: base64 of the big-endian bytes."""
    if algorithm in ("crc32c", "crc64nvme"):
        pytest.importorskip("awscrt", reason=f"{algorithm} needs the extra jollyae[crt]")
    made = checksums.of(b"123456789", algorithm)
    assert made is not None and made.value == b64(bytes.fromhex(CHECK[algorithm]))


@pytest.mark.parametrize("algorithm", ["crc32c", "crc64nvme"])
def test_without_awscrt(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library is the configuration's error, and says how to mend it."""
    monkeypatch.setitem(sys.modules, "awscrt", None)
    with pytest.raises(ChecksumError, match=r"pip install 'jollyae\[crt\]'"):
        checksums.require(algorithm)


def test_an_unknown_algorithm() -> None:
    """The known ones are listed."""
    with pytest.raises(ChecksumError, match="sha256, crc32, crc32c, crc64nvme, md5, none"):
        checksums.require("sha512")


@given(st.lists(st.binary(max_size=50)), st.sampled_from(["sha256", "crc32", "md5"]))
def test_a_stream_is_its_bytes(blocks: list[bytes], algorithm: str) -> None:
    """In whatever blocks it passes."""
    digest = Digest(algorithm)
    for block in blocks:
        digest.update(block)
    whole = b"".join(blocks)
    made = checksums.of(whole, algorithm)
    assert made and digest.value(algorithm) == made.value == Content.of(whole).checksum(algorithm)
    assert digest.sha256 == Content.of(whole).sha256
