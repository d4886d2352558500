"""From settings to what delivers: into a directory, a bucket of S3, or one of another cloud."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from ..processors.files import FileDelivery
from ..processors.keys import KeyTemplate, TemplateError
from ..processors.packing import PackedKeys, Packing, PackingError
from ..spool import ahead, users
from ..worker.attempt import Process
from ..worker.telling import notice
from . import machine
from .settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from ..processors.clouds import CloudDelivery
    from ..processors.s3 import BucketDelivery, S3Options

CLOUDS = ("gs", "az")
"""The schemes of what obstore delivers to."""


async def _nothing_to_say() -> str:
    return ""


async def _nothing_to_end() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Destination:
    """Where items go. ``key_of(name, mtime)``: where one would go; ``describe``: one sentence for the log; ``prepare``
    makes what must be there, and before that ``examine`` raises what can be known; ``doing``: what happens with an
    item, where that is no delivery; ``begin``: what must be done before the first; ``end``: what must be waited for
    when all is over."""

    name: str
    process: Process
    key_of: Callable[[str, float], str]
    describe: Callable[[], Awaitable[str]] = field(default=_nothing_to_say)
    close: Callable[[], None] = field(default=lambda: None)
    prepare: Callable[[], None] = field(default=lambda: None)
    doing: str = ""
    end: Callable[[], Awaitable[None]] = field(default=_nothing_to_end)
    begin: Callable[[], Awaitable[None]] = field(default=_nothing_to_end)
    examine: Callable[[], None] = field(default=lambda: None)


def file_delivery(settings: Settings, url: str, template: KeyTemplate) -> tuple[FileDelivery, Path]:
    """The delivery into the directory that the URL names, and that directory. Raises :class:`ConfigurationError`."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ConfigurationError(f"cannot deliver to {url}", "A directory is written file:///absolute/path.")
    if settings.bandwidth is not None:
        raise ConfigurationError("--bandwidth limits what is sent to S3, not copies into a directory")
    directory = Path(unquote(parts.path))
    made = FileDelivery(str(directory), template, if_exists=settings.if_exists, preserve=settings.preserve)
    return made, directory


def packing(settings: Settings) -> Packing | None:
    """How items are packed, where they are. Raises :class:`ConfigurationError`."""
    if settings.compress is None:
        return None
    suffix = settings.compress_as == "suffix"
    if settings.exec is not None or settings.call is not None or settings.album is not None:
        raise ConfigurationError("--compress goes with --to", "Leave it out.")
    if settings.to is not None and settings.to.startswith("file:") and not suffix:
        raise ConfigurationError(
            "a file has no Content-Encoding: --compress would leave it under its name, compressed",
            "Add: --compress-as suffix",
        )
    if settings.content_encoding and not suffix:
        raise ConfigurationError(
            "--compress and --content-encoding both say how objects are encoded",
            "Leave one of them out, or choose --compress-as suffix.",
        )
    try:
        return Packing(settings.compress, suffix=suffix)
    except PackingError as error:
        raise ConfigurationError(str(error)) from error


def keys(settings: Settings, prefix: str = "") -> KeyTemplate:
    """The template of the keys that the settings have. Raises :class:`TemplateError` and
    :class:`ConfigurationError`."""
    packed = packing(settings)
    return PackedKeys(settings.key, prefix, packing=packed) if packed else KeyTemplate(settings.key, prefix)


def make(directory: Path) -> None:
    """Make the directory that items shall be copied into. Only at the start: if it is gone later, its disk is."""
    if directory.is_dir():
        return
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make {directory}: {error.strerror}") from error
    notice("made %s", directory)


def examine(directory: Path) -> None:
    """Raise :class:`ConfigurationError` where :func:`make` would, as far as it can be known before."""
    try:
        ahead.look(directory)
    except OSError as error:
        there = ahead.deepest(directory)
        hint = users.right_to(there) if there.is_dir() else f"{there} is in the way: it is not a directory."
        raise ConfigurationError(f"cannot make {directory}: {error.strerror}", hint) from error


def s3_delivery(settings: Settings, template: KeyTemplate | None = None) -> "BucketDelivery":
    """The delivery into the bucket that the settings name; ``template``: of the keys, instead of the settings'. Raises
    :class:`ConfigurationError`."""
    from ..processors.s3 import BucketDelivery, OptionError, split_url

    try:
        return BucketDelivery(
            settings.to or "",
            s3_options(settings),
            key=template or keys(settings, split_url(settings.to or "")[1]),
            concurrency=settings.most_in_flight,
            limiter=settings.limiter(),
        )
    except (OptionError, TemplateError) as error:
        raise ConfigurationError(str(error)) from error


def cloud_delivery(settings: Settings, template: KeyTemplate | None = None) -> "CloudDelivery":
    """The delivery into the bucket or container that the settings name; ``template``: of the keys, instead of the
    settings'. Raises :class:`ConfigurationError`."""
    from ..processors.clouds import CloudDelivery, open_cloud, split_url
    from ..processors.s3 import OptionError

    try:
        scheme, bucket, prefix = split_url(settings.to or "")
        options = s3_options(settings)
        named = template or keys(settings, prefix)
        return CloudDelivery(open_cloud(scheme, bucket, options), named, options, settings.limiter())
    except (OptionError, TemplateError) as error:
        raise ConfigurationError(str(error)) from error


def s3_options(settings: Settings) -> Any:
    """What of the settings S3 must know. Raises :class:`~jollyae.processors.s3.OptionError`."""
    from ..processors.s3 import S3Options

    options = S3Options(
        endpoint_url=settings.endpoint_url or "",
        region=settings.region or "",
        profile=settings.profile or "",
        ca_bundle=settings.ca_bundle or "",
        storage_class=settings.storage_class or "",
        acl=settings.acl or "",
        sse=settings.sse or "",
        sse_kms_key_id=settings.sse_kms_key_id or "",
        content_type=settings.content_type or "",
        content_encoding=settings.content_encoding or "",
        preserve=settings.preserve,
        cache_control=settings.cache_control or "",
        no_sign_request=settings.no_sign_request,
        verify_ssl=not settings.no_verify_ssl,
        metadata=dict(settings.metadata),
        tags=dict(settings.tag),
        guess_mime_type=not settings.no_guess_mime_type,
        checksum_algorithm=settings.checksum_algorithm,
        if_exists=cast(Any, settings.if_exists),  # S3Options checks it
        head_first=settings.head_first,
        transport=cast(Any, settings.transport),
        verify=settings.deletes,
    )
    return _within_memory(options, settings.share.of_machine(machine.bodies(machine.memory_limit())))


def _within_memory(options: "S3Options", memory: int) -> "S3Options":
    """Where there is little of it, fewer and smaller bodies are in memory at once: parts of 5 MiB at the least."""
    part = max(5 << 20, min(options.part_size, memory // 3 >> 20 << 20))
    threshold = max(5 << 20, min(options.multipart_threshold, memory))
    return replace(options, memory=memory, part_size=part, multipart_threshold=threshold)
