"""What an object has beside its bytes: content type, metadata that lets a file be brought back, and what was asked for.

``mtime`` is written as rclone does (seconds with up to nine decimals) and ``mode`` in octal, so rclone restores both.
``jollyae-sha256`` tells a repeat from a collision; ``jollyae-upload`` does so for a multipart upload, whose digest
is not known when it begins. ``jollyae-name`` is there only where the key does not tell the name. With ``--preserve``
there are ``uid`` and ``gid``, as rclone and s3fs write them. What is packed has ``jollyae-packed``, and size and digest
of its source. Metadata is printable ASCII.
"""

import mimetypes
import os
from functools import lru_cache
from urllib.parse import quote

from jollyae.spool import names
from jollyae.spool.item import Form

from .options import MAX_METADATA, S3Options
from .transport import Attributes

SHA256 = "jollyae-sha256"
UPLOAD = "jollyae-upload"
NAME = "jollyae-name"
PACKED = "jollyae-packed"
SOURCE_SIZE = "jollyae-source-size"
SOURCE = "jollyae-source-sha256"
MAX_NAME = 512
"""Bytes of ``jollyae-name``; a longer one is left out."""

_PACKED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
    "br": "application/x-brotli",
}
_MORE = {
    ".7z": "application/x-7z-compressed",
    ".avif": "image/avif",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".flac": "audio/flac",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".jsonl": "application/x-ndjson",
    ".log": "text/plain",
    ".m4a": "audio/mp4",
    ".md": "text/markdown",
    ".mkv": "video/x-matroska",
    ".ndjson": "application/x-ndjson",
    ".ogg": "audio/ogg",
    ".parquet": "application/vnd.apache.parquet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}
# Python's own table and ours, not the machine's /etc/mime.types: every worker sends the same.
_types = mimetypes.MimeTypes()
for _extension, _type in _MORE.items():
    _types.add_type(_type, _extension)


def content_type(name: str) -> str:
    """The media type by the name's extension, '' if unknown (the store then says binary/octet-stream).

    >>> content_type("a/photo.JPG"), content_type("backup.tar.gz"), content_type("data")
    ('image/jpeg', 'application/gzip', '')
    """
    _, dot, extension = name.rpartition(".")
    if not dot or "/" in extension:
        return ""
    return _type_of(extension)


@lru_cache(1024)
def _type_of(extension: str) -> str:
    found, packed = _types.guess_type(f"x.{extension[:255].replace(':', '_')}")
    return _PACKED.get(packed, "application/octet-stream") if packed else found or ""


def mtime(nanoseconds: int) -> str:
    """A time since 1970 as rclone writes it.

    >>> mtime(1354040105123456700), mtime(1354040105000000000), mtime(-500000000)
    ('1354040105.1234567', '1354040105', '-0.5')
    """
    digits = str(nanoseconds)
    if len(digits) < 11:
        digits = f"{nanoseconds:011d}" if nanoseconds < 0 else f"{nanoseconds:010d}"  # at least one before the point
    whole, rest = digits[:-9], digits[-9:].rstrip("0")
    return f"{whole}.{rest}" if rest else whole


def name_if_needed(name: str, key: str) -> str:
    """The item's name for the metadata, percent-encoded; '' where the key ends with it or it is too long.

    >>> name_if_needed("a/b.jpg", "2026/a/b.jpg"), name_if_needed("a/bä.jpg", "2026/bä.jpg")
    ('', 'a/b%C3%A4.jpg')
    """
    written = names.encode(name)
    if key == written or key.endswith("/" + written):
        return ""
    encoded = quote(os.fsencode(name))
    return encoded if len(encoded) < MAX_NAME else ""


def attributes(
    options: S3Options,
    name: str,
    key: str,
    *,
    mtime_ns: int,
    mode: int,
    sha256: str = "",
    upload: str = "",
    form: Form | None = None,
    owner: tuple[int, int] | None = None,
) -> Attributes:
    """Everything that goes with the object of the item ``name`` at ``key``: a single PUT has ``sha256`` (hex), a
    multipart upload ``upload`` (our id of it). ``form``: how it is packed; ``owner``: user and group, where they shall
    be kept."""
    metadata = {"mtime": mtime(mtime_ns), "mode": f"{mode:o}", **options.metadata}
    if owner is not None:
        metadata["uid"], metadata["gid"] = str(owner[0]), str(owner[1])
    if sha256:
        metadata[SHA256] = sha256
    if upload:
        metadata[UPLOAD] = upload
    encoding, sent = options.content_encoding, name
    if form is not None:
        metadata |= {PACKED: form.method, SOURCE_SIZE: str(form.size), SOURCE: form.sha256}
        encoding, sent = ("", name + form.suffix) if form.suffix else (form.method, name)
    told = name_if_needed(name, key)
    if told and sum(map(len, [*metadata, *metadata.values()])) + len(NAME) + len(told) <= MAX_METADATA:
        metadata[NAME] = told
    guessed = content_type(sent) if options.guess_mime_type else ""
    return Attributes(
        content_type=options.content_type or guessed,
        content_encoding=encoding,
        cache_control=options.cache_control,
        storage_class=options.storage_class,
        acl=options.acl,
        sse=options.sse,
        sse_kms_key_id=options.sse_kms_key_id,
        metadata=metadata,
        tags=options.tags,
    )
