"""Checksums: SHA-256 always, and the one that goes to the store in a header.

sha256, crc32 and md5 come with Python; crc32c and crc64nvme need awscrt (the extra ``crt``). Headers and
never trailers: trailers switch on aws-chunked, which several stores refuse or keep inside the object (boto3#4435).
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from .transport import Checksum

ALGORITHMS = ("sha256", "crc32", "crc32c", "crc64nvme", "md5", "none")
FULL_OBJECT = frozenset({"crc32", "crc32c", "crc64nvme"})
"""Those that S3 keeps for the whole of a multipart object (AWS S3 user guide, "Checking object integrity")."""

AUTO = "auto"
"""The algorithm that costs least where it is used; see :func:`for_whole` and :func:`for_parts`."""

_Bytes = bytes | bytearray | memoryview


class ChecksumError(ValueError):
    """An algorithm that is not known, or whose library is missing. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}. {hint}")
        self.hint = hint


class Hash(Protocol):
    """What :func:`new` gives."""

    def update(self, data: _Bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    """A CRC with the interface of hashlib's objects; big-endian bytes, as S3 wants them."""

    def __init__(self, step: Callable[[_Bytes, int], int], width: int) -> None:
        self._step = step
        self._width = width
        self._value = 0

    def update(self, data: _Bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def _crt(name: str, width: int) -> _Crc:
    try:
        from awscrt import checksums
    except ImportError as error:
        raise ChecksumError(
            f"checksum algorithm {name!r}: awscrt is not installed",
            "Try: pip install '.[crt]' in the checkout, or --checksum-algorithm sha256.",
        ) from error
    return _Crc(getattr(checksums, name), width)


def new(algorithm: str) -> Hash:
    """A hash object for the algorithm. Raises :class:`ChecksumError`.

    >>> hash = new("crc32")
    >>> hash.update(b"123456789")
    >>> hash.digest().hex()
    'cbf43926'
    """
    if algorithm == "sha256":
        return hashlib.sha256()
    if algorithm == "md5":
        return hashlib.md5(usedforsecurity=False)
    if algorithm == "crc32":
        return _Crc(zlib.crc32, 4)
    if algorithm in ("crc32c", "crc64nvme"):
        return _crt(algorithm, 4 if algorithm == "crc32c" else 8)
    raise ChecksumError(f"checksum algorithm {algorithm!r}: not known", f"Known are {', '.join(ALGORITHMS)}.")


def require(algorithm: str) -> None:
    """Return if the algorithm can be used here (``none`` can); raises :class:`ChecksumError`."""
    if algorithm not in ("none", AUTO):
        new(algorithm)


def for_whole(algorithm: str) -> str:
    """The algorithm for what is sent in one piece: its SHA-256 is known anyway.

    >>> for_whole("auto"), for_whole("md5")
    ('sha256', 'md5')
    """
    return "sha256" if algorithm == AUTO else algorithm


def for_parts(algorithm: str, *, secure: bool) -> str:
    """The algorithm for parts. Without TLS their SHA-256 is signed, so it is known; over TLS (``secure``) it need not
    be, and a CRC costs a third or less.

    >>> for_parts("auto", secure=False), for_parts("md5", secure=True)
    ('sha256', 'md5')
    """
    if algorithm != AUTO:
        return algorithm
    if not secure:
        return "sha256"
    try:
        new("crc64nvme")
    except ChecksumError:
        return "crc32"
    return "crc64nvme"


def of(data: bytes, algorithm: str) -> Checksum | None:
    """The checksum of ``data``, or None for ``none``.

    >>> of(b"hello", "md5")
    Checksum(algorithm='md5', value='XUFAKrxLKna5cZ2REBfFkg==')
    """
    if algorithm == "none":
        return None
    hash = new(algorithm)
    hash.update(data)
    return Checksum(algorithm, base64.b64encode(hash.digest()).decode())


class Content:
    """An item's bytes at hand, to be compared with an object. ``size`` in bytes, ``sha256`` in hex; the rest is
    computed when asked for, by reading again: ``blocks(n)`` gives the bytes in blocks of n.

    >>> Content.of(b"hello").md5
    '5d41402abc4b2a76b9719d911017c592'
    """

    source = ""
    """The digest of what this was packed from, where it was."""

    def __init__(self, size: int, sha256: str, blocks: Callable[[int], Iterator[bytes | bytearray]]) -> None:
        self.size = size
        self.sha256 = sha256
        self._blocks = blocks

    @classmethod
    def of(cls, data: bytes | bytearray, sha256: str = "") -> "Content":
        """The content that is ``data``; ``sha256`` where it is known."""
        return cls(
            len(data),
            sha256 or hashlib.sha256(data).hexdigest(),
            lambda size: (data[start : start + size] for start in range(0, len(data), size)),
        )

    @property
    def md5(self) -> str:
        """MD5 in hex: the ETag of an object that was sent in one piece and without KMS."""
        return base64.b64decode(self.checksum("md5")).hex()

    def checksum(self, algorithm: str) -> str:
        """The checksum over the whole, in base64. Raises :class:`ChecksumError`."""
        hash = new(algorithm)
        for block in self._blocks(1 << 20):
            hash.update(block)
        return base64.b64encode(hash.digest()).decode()

    def composite_etag(self, part_size: int) -> str:
        """The ETag that S3 gives an object sent in parts of ``part_size`` bytes."""
        return composite([hashlib.md5(part, usedforsecurity=False).hexdigest() for part in self._blocks(part_size)])


def composite(part_etags: list[str]) -> str:
    """The ETag of a multipart object from the MD5 (hex) of its parts.

    >>> composite(["5d41402abc4b2a76b9719d911017c592"])
    '62109206880d38a4010a98e11243924a-1'
    """
    joined = b"".join(bytes.fromhex(etag) for etag in part_etags)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(part_etags)}"


def of_parts(algorithm: str, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum of a multipart object, as S3 keeps it, from its parts' (base64) and their sizes: a CRC of the whole,
    for sha256 the digest of the digests with their number. '' for md5 and none.

    >>> halves = [of(half, "crc32") for half in (b"hel", b"lo")]
    >>> of_parts("crc32", [(halves[0].value, 3), (halves[1].value, 2)]) == of(b"hello", "crc32").value
    True
    """
    if algorithm in _POLYNOMIALS:
        return _combined(algorithm, parts)
    if algorithm != "sha256":
        return ""
    joined = hashlib.sha256(b"".join([base64.b64decode(value) for value, _ in parts]))
    return f"{base64.b64encode(joined.digest()).decode()}-{len(parts)}"


# CRCs of parts make the CRC of the whole by arithmetic over GF(2), as zlib's crc32_combine() does it: so parts can be
# hashed at the same time. Width in bits, and the polynomial, bits reversed (the CRC catalogue's CRC-32/ISO-HDLC,
# CRC-32/ISCSI and CRC-64/NVME).
_POLYNOMIALS = {
    "crc32": (32, 0xEDB88320),
    "crc32c": (32, 0x82F63B78),
    "crc64nvme": (64, 0x9A6C9329AC4BC9B5),
}


def _combined(algorithm: str, parts: Sequence[tuple[str, int]]) -> str:
    width = _POLYNOMIALS[algorithm][0]
    whole = 0
    for value, size in parts:
        shifted = _multiply(algorithm, whole, _power(algorithm, 8 * size))
        whole = shifted ^ int.from_bytes(base64.b64decode(value), "big")
    return base64.b64encode(whole.to_bytes(width // 8, "big")).decode()


def _multiply(algorithm: str, a: int, b: int) -> int:
    """The product of two polynomials, modulo the algorithm's."""
    width, polynomial = _POLYNOMIALS[algorithm]
    product = 0
    for bit in range(width - 1, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (polynomial if b & 1 else 0)
    return product


@lru_cache(maxsize=64)
def _power(algorithm: str, exponent: int) -> int:
    """x to the power of ``exponent``, modulo the algorithm's polynomial."""
    width = _POLYNOMIALS[algorithm][0]
    result, square = 1 << (width - 1), 1 << (width - 2)  # 1 and x: the first bit is the constant's
    while exponent:
        if exponent & 1:
            result = _multiply(algorithm, result, square)
        square = _multiply(algorithm, square, square)
        exponent >>= 1
    return result
