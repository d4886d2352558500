"""What can be configured about S3, in aws-cli's words where it has one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from . import checksums

MiB = 1 << 20
MIN_PART = 5 * MiB
MAX_PART = 5 << 30
MAX_PARTS = 10_000
"""Limits of a multipart upload (AWS S3 user guide, "Amazon S3 multipart upload limits")."""
MAX_SINGLE = 5 << 30
"""Bytes that one PUT may have (the same guide)."""
MAX_METADATA = 2048
"""Bytes of user-defined metadata, names and values (AWS S3 user guide, "Working with object metadata")."""
_OWN_METADATA = 512
"""Bytes kept free for ours: digest or upload id, mtime, mode."""

TransportName = Literal["auto", "boto3"]
IfExists = Literal["refuse", "overwrite", "keep-both"]
_TOKEN = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]+")


class OptionError(ValueError):
    """An option that cannot be used; the text says which, why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """Sizes are bytes. '' and None: not sent, or found by the AWS chain. Raises :class:`OptionError`.

    >>> S3Options(if_exists="ask")
    Traceback (most recent call last):
    jollyae.processors.s3.options.OptionError: --if-exists 'ask': choose one of refuse, overwrite, keep-both
    """

    endpoint_url: str = ""
    region: str = ""
    profile: str = ""
    no_sign_request: bool = False
    ca_bundle: str = ""
    verify_ssl: bool = True
    storage_class: str = ""
    acl: str = ""
    sse: str = ""
    sse_kms_key_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    content_encoding: str = ""
    cache_control: str = ""
    guess_mime_type: bool = True
    checksum_algorithm: str = checksums.AUTO
    if_exists: IfExists = "refuse"
    head_first: bool = False
    transport: TransportName = "auto"
    """'auto': small PUTs by the hot path where it can; 'boto3': everything by boto3."""
    preserve: bool = False
    """User and group of the file are kept in the metadata too."""
    verify: bool = False
    """The item's file will be deleted: prove that the object is right before."""
    part_size: int = 16 * MiB
    multipart_threshold: int = 64 * MiB
    """Files of at least this size go in parts."""
    memory: int = 256 * MiB
    """Most bytes of bodies held at once (a single larger part is let through alone)."""

    @property
    def whole_algorithm(self) -> str:
        """The checksum of what is sent in one piece."""
        return checksums.for_whole(self.checksum_algorithm)

    def __post_init__(self) -> None:
        if self.if_exists not in get_args(IfExists):
            raise OptionError(f"--if-exists {self.if_exists!r}: choose one of {', '.join(get_args(IfExists))}")
        if not MIN_PART <= self.part_size <= MAX_PART:
            raise OptionError(f"part size {self.part_size}: S3 takes parts of 5 MiB to 5 GiB")
        if not MIN_PART <= self.multipart_threshold <= MAX_SINGLE:
            raise OptionError(f"multipart threshold {self.multipart_threshold}: choose 5 MiB to 5 GiB")
        if self.sse_kms_key_id and not self.sse.startswith("aws:kms"):
            raise OptionError("--sse-kms-key-id: it needs --sse aws:kms")
        check_endpoint(self.endpoint_url, "--endpoint-url")
        try:
            checksums.require(self.checksum_algorithm)
        except checksums.ChecksumError as error:
            raise OptionError(f"--checksum-algorithm: {error}") from error
        self._check_metadata()
        self._check_tags()

    def _check_metadata(self) -> None:
        for name, value in self.metadata.items():
            if not _TOKEN.fullmatch(name) or name.lower().startswith("jollyae-"):
                raise OptionError(f"--metadata {name!r}: not a name for metadata (letters, digits, '-'; not jollyae-…)")
            if not (value.isascii() and value.isprintable()):
                raise OptionError(f"--metadata {name}: the value {value!r} must be printable ASCII")
        if sum(len(name) + len(value) for name, value in self.metadata.items()) > MAX_METADATA - _OWN_METADATA:
            raise OptionError(f"--metadata: over {MAX_METADATA - _OWN_METADATA} bytes (S3 takes 2 KB, ours included)")

    def _check_tags(self) -> None:
        if len(self.tags) > 10:
            raise OptionError("--tag: S3 takes 10 tags at most")
        for name, value in self.tags.items():
            if not 1 <= len(name) <= 128 or len(value) > 256:
                raise OptionError(f"--tag {name!r}: a tag's name has 1 to 128 characters, its value 256 at most")


def without_password(text: str) -> str:
    """A text in which URLs are (or one that is one), without what stands before their @: it may be a password.

    >>> without_password("http://user:secret@host:9000/path")
    'http://***@host:9000/path'
    """
    return re.sub(r"(//|^)[^/@\s]*@", r"\1***@", text)


def check_endpoint(url: str, source: str) -> None:
    """Raise :class:`OptionError` for an endpoint that is no URL. ``source``: the setting that it came from.

    >>> check_endpoint("127.0.0.1:9000", "AWS_ENDPOINT_URL")
    Traceback (most recent call last):
    jollyae.processors.s3.options.OptionError: AWS_ENDPOINT_URL '127.0.0.1:9000': it must begin with http:// or https://
    """
    if url and not re.match(r"https?://[^/]", url):
        raise OptionError(f"{source} {without_password(url)!r}: it must begin with http:// or https://")


def split_url(url: str) -> tuple[str, str]:
    """Bucket and prefix of an ``s3://bucket[/prefix]`` URL. Raises :class:`OptionError`.

    >>> split_url("s3://photos/2026/summer/")
    ('photos', '2026/summer')
    """
    match = re.fullmatch(r"s3://([^/?#\s]+)(?:/(.*))?", url)
    if not match:
        raise OptionError(f"{url!r}: a destination in S3 is written s3://bucket or s3://bucket/prefix")
    return match.group(1), (match.group(2) or "").strip("/")


def part_size_for(size: int, wished: int) -> int:
    """The bytes per part for a file of ``size`` bytes: what was wished, or as much (in whole MiB) as 10,000 parts need.
    A pure function of file and configuration, so that a resumed upload has the same parts.

    >>> part_size_for(1 << 30, 16 * MiB) // MiB, part_size_for(1 << 40, 16 * MiB) // MiB
    (16, 105)
    """
    needed = -(-size // MAX_PARTS)
    return max(wished, -(-needed // MiB) * MiB)
