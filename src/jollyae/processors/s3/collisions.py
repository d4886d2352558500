"""Is the object that is in the way our own? Pure: a HEAD's answer against the bytes at hand.

After a lost answer a conditional PUT is refused because of itself, so a 412 says nothing yet. No state is needed to
tell: the digest in the object's metadata, else the store's checksum, else an ETag of MD5's shape must equal the bytes
at hand, whoever wrote them. A multipart object may be told by our own id of the upload.

The digest in the metadata is that of what was sent, not of what was stored: a checksum that the store computed and that
is not ours refutes it.
"""

import re

from . import checksums
from .checksums import Content
from .metadata import SHA256, SOURCE, UPLOAD
from .options import MiB
from .transport import Found

_MD5 = re.compile(r"[0-9a-f]{32}")
_COMPOSITE = re.compile(r"[0-9a-f]{32}-(\d{1,5})")
_USUAL_PARTS = (8 * MiB, 16 * MiB, 5 * MiB, 64 * MiB)
"""Part sizes that other programs use (aws-cli 8 MiB, mc 16, rclone 5, …)."""


def told(found: Found) -> bool:
    """Whether the metadata alone tells whose it is, so that stored checksums need not be asked for."""
    return SHA256 in found.metadata


def claims(found: Found, content: Content) -> bool:
    """Whether the metadata has our digest: of what was sent once, whatever is there now."""
    return found.metadata.get(SHA256) == content.sha256


def same_source(found: Found, content: Content) -> bool:
    """Whether both are packed from one file, to other bytes: the library that packs is another version now. Not where
    it has our digest: then it has our bytes, or damaged ones."""
    return bool(content.source) and found.metadata.get(SOURCE) == content.source and not claims(found, content)


def same(found: Found, content: Content, mark: str = "", part_size: int = 0) -> bool:
    """Whether what was found is what we have. ``mark``: our id of the upload, where there is one; ``part_size``: bytes.

    >>> same(Found(size=5, etag="5d41402abc4b2a76b9719d911017c592"), Content.of(b"hello"))
    True
    >>> same(Found(size=5, etag="5d41402abc4b2a76b9719d911017c592"), Content.of(b"jello"))
    False
    """
    if found.size != content.size:
        return False
    if mark and found.metadata.get(UPLOAD) == mark:
        return True
    by_checksum = _checksum_says_so(found, content)
    if told(found):
        return claims(found, content) and by_checksum is not False
    if by_checksum is not None:
        return by_checksum
    return etag_says_so(found.etag, content, part_size)


def _checksum_says_so(found: Found, content: Content) -> bool | None:
    """Whether the checksum that the store computed over the whole is ours; None where there is none to compare."""
    for algorithm, value in found.checksums.items():
        if "-" not in value and (equal := _equal(content, algorithm, value)) is not None:
            return equal
    return None


def _equal(content: Content, algorithm: str, value: str) -> bool | None:
    try:
        return content.checksum(algorithm) == value
    except checksums.ChecksumError:
        return None  # we cannot compute that one here: no evidence


def etag_says_so(etag: str, content: Content, part_size: int = 0) -> bool:
    """Equal proves it. Unequal would prove nothing under SSE-KMS, and then it is not ours to overwrite."""
    if _MD5.fullmatch(etag):
        return content.md5 == etag
    if not (match := _COMPOSITE.fullmatch(etag)):
        return False
    count = int(match.group(1))
    sizes = dict.fromkeys((part_size, *_USUAL_PARTS))
    return any(
        size > 0 and -(-content.size // size) == count and content.composite_etag(size) == etag for size in sizes
    )


def is_md5(etag: str) -> bool:
    """Whether an ETag may be an MD5."""
    return bool(_MD5.fullmatch(etag))
