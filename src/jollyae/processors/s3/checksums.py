"""Checksums: SHA-256 always, and the one that goes to the store in a header.

sha256, crc32 and md5 come with Python; crc32c and crc64nvme need awscrt (``pip install 'jollyae[crt]'``). Headers and
never trailers: trailers switch on aws-chunked, which several stores refuse or keep inside the object (boto3#4435).
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from .transport import Checksum

ALGORITHMS = ("sha256", "crc32", "crc32c", "crc64nvme", "md5", "none")
FULL_OBJECT = frozenset({"crc32", "crc32c", "crc64nvme"})
"""Those that S3 keeps for the whole of a multipart object (AWS S3 user guide, "Checking object integrity")."""


class ChecksumError(ValueError):
    """An algorithm that is not known, or whose library is missing. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}. {hint}")
        self.hint = hint


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    """A CRC with the interface of hashlib's objects; big-endian bytes, as S3 wants them."""

    def __init__(self, step: Callable[[bytes, int], int], width: int) -> None:
        self._step = step
        self._width = width
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def _crt(name: str, width: int) -> _Crc:
    try:
        from awscrt import checksums
    except ImportError as error:
        raise ChecksumError(
            f"checksum algorithm {name!r}: awscrt is not installed",
            "Try: pip install 'jollyae[crt]', or --checksum-algorithm sha256.",
        ) from error
    return _Crc(getattr(checksums, name), width)


def new(algorithm: str) -> _Hash:
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
    if algorithm != "none":
        new(algorithm)


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


class Digest:
    """Digests of a stream, computed while it passes: SHA-256 always, and those in ``algorithms`` (and not ``none``).

    >>> digest = Digest("md5")
    >>> digest.update(b"hel"); digest.update(b"lo")
    >>> digest.sha256[:8], digest.value("md5")
    ('2cf24dba', 'XUFAKrxLKna5cZ2REBfFkg==')
    """

    def __init__(self, *algorithms: str) -> None:
        wanted = {"sha256", *algorithms} - {"none"}
        self._hashes = {algorithm: new(algorithm) for algorithm in sorted(wanted)}

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        for hash in self._hashes.values():
            hash.update(data)

    @property
    def sha256(self) -> str:
        """The SHA-256 so far, in hex."""
        return self._hashes["sha256"].digest().hex()

    def value(self, algorithm: str) -> str:
        """The checksum so far, in base64."""
        return base64.b64encode(self._hashes[algorithm].digest()).decode()


class Content:
    """An item's bytes at hand, to be compared with an object. ``size`` in bytes, ``sha256`` in hex; the rest is
    computed when asked for, by reading again: ``blocks(n)`` gives the bytes in blocks of n.

    >>> Content.of(b"hello").md5
    '5d41402abc4b2a76b9719d911017c592'
    """

    def __init__(self, size: int, sha256: str, blocks: Callable[[int], Iterator[bytes]]) -> None:
        self.size = size
        self.sha256 = sha256
        self._blocks = blocks

    @classmethod
    def of(cls, data: bytes, sha256: str = "") -> "Content":
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
