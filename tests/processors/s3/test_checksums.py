"""Checksums and contents."""

import hashlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.processors.s3 import checksums
from jollyae.processors.s3.checksums import ChecksumError

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
    with pytest.raises(ChecksumError, match=r"pip install '\.\[crt\]'"):
        checksums.require(algorithm)


def test_an_unknown_algorithm() -> None:
    """The known ones are listed."""
    with pytest.raises(ChecksumError, match="sha256, crc32, crc32c, crc64nvme, md5, none"):
        checksums.require("sha512")


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1), st.sampled_from(["crc32", "crc32c", "crc64nvme"]))
def test_crcs_of_parts_make_the_crc_of_the_whole(parts: list[bytes], algorithm: str) -> None:
    """Whatever the parts' sizes."""
    if algorithm != "crc32":
        pytest.importorskip("awscrt", reason=f"{algorithm} needs the extra jollyae[crt]")
    made = [checksums.of(part, algorithm) for part in parts]
    whole = checksums.of(b"".join(parts), algorithm)
    assert whole is not None
    values = [(one.value, len(part)) for one, part in zip(made, parts, strict=True) if one is not None]
    assert checksums.of_parts(algorithm, values) == whole.value


SPLIT = {"crc32": 0xCBF43926, "crc32c": 0xE3069283, "crc64nvme": 0xAE8B14860A799888}


@pytest.mark.parametrize("algorithm", sorted(SPLIT))
def test_the_polynomials(algorithm: str) -> None:
    """Also where awscrt is not there: an empty part changes nothing, and x to the power of what a byte-wise computation
    by the catalogue's definition makes of it."""
    width, polynomial = checksums._POLYNOMIALS[algorithm]

    def crc(data: bytes) -> int:
        value = (1 << width) - 1
        for byte in data:
            value ^= byte
            for _ in range(8):
                value = value >> 1 ^ (polynomial if value & 1 else 0)
        return value ^ (1 << width) - 1

    assert crc(b"123456789") == SPLIT[algorithm]
    parts = [(b64(crc(part).to_bytes(width // 8, "big")), len(part)) for part in (b"1234", b"", b"56789")]
    assert checksums.of_parts(algorithm, parts) == b64(SPLIT[algorithm].to_bytes(width // 8, "big"))


def test_the_digest_of_digests() -> None:
    """As S3 writes it, with the number of parts; md5 and none have nothing of the kind."""
    parts = [(b64(hashlib.sha256(part).digest()), len(part)) for part in (b"a", b"b")]
    joined = hashlib.sha256(hashlib.sha256(b"a").digest() + hashlib.sha256(b"b").digest()).digest()
    assert checksums.of_parts("sha256", parts) == f"{b64(joined)}-2"
    assert checksums.of_parts("md5", [("", 1)]) == checksums.of_parts("none", [("", 1)]) == ""


@pytest.mark.parametrize("secure", [True, False])
def test_the_automatic_choice(secure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs least: the signed SHA-256, and over TLS a CRC that can be computed here."""
    monkeypatch.setitem(sys.modules, "awscrt", None)
    assert checksums.for_parts("auto", secure=secure) == ("crc32" if secure else "sha256")
    assert checksums.for_parts("md5", secure=secure) == checksums.for_whole("md5") == "md5"
