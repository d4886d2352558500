"""From settings to spool, destination, processor and worker: the one place where the rooms are put together."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from ..processors.command import Command, CommandError
from ..processors.files import FileDelivery
from ..processors.keys import DEFAULT, KeyTemplate, TemplateError
from ..spool import owner
from ..spool.outcomes import Permanent, Temporary
from ..spool.places import Places
from ..spool.spool import Spool
from ..worker.attempt import Process
from ..worker.loop import loop_factory
from ..worker.rules import OnDone, Rules, Share
from ..worker.summary import Summary
from ..worker.telling import notice, warn
from ..worker.worker import Listener, Worker
from . import machine
from .bandwidth import Limiter
from .units import timetable

if TYPE_CHECKING:
    from ..processors.clouds import CloudDelivery
    from ..processors.s3 import BucketDelivery, S3Options

CLOUDS = ("gs", "az")
"""The schemes of what obstore delivers to."""


DELIVERIES, COMMANDS = 64, 32
"""The most items in flight where nobody says another number. With 64 a small file costs a tenth less CPU than with 32,
for more of them are dealt with in one turn of the loop; more than that gave nothing (docs/PERFORMANCE.md)."""


class ConfigurationError(Exception):
    """The settings cannot work; exit code 78. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of ``run``, by their names. '' and None: not given. ``share``: what of it is for one of several
    processes."""

    to: str | None = None
    exec: str | None = None
    album: str | None = None
    originals: str | None = None
    addedby: str | None = None
    once: bool = False
    concurrency: int | None = None
    settle: float | None = None
    grace: float = 30.0
    on_done: str = "keep"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    prune_empty: float | None = None
    copy: bool = False
    bandwidth: str | None = None
    key: str = DEFAULT
    if_exists: str = "refuse"
    head_first: bool = False
    storage_class: str | None = None
    acl: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    tag: tuple[tuple[str, str], ...] = ()
    content_type: str | None = None
    no_guess_mime_type: bool = False
    content_encoding: str | None = None
    cache_control: str | None = None
    checksum_algorithm: str = "auto"
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False
    ca_bundle: str | None = None
    no_verify_ssl: bool = False
    transport: str = "auto"
    processes: int = 1
    share: Share = field(default_factory=Share)

    @property
    def most_in_flight(self) -> int:
        """As told; else 64, with a command for each 32; but no more than there may be files open for."""
        return min(self._wished, machine.items(machine.file_limit()) or self._wished)

    @property
    def _wished(self) -> int:
        if self.concurrency is None and self.album is not None:
            return 2 * machine.processors() + 2  # those that are decoded, and as many that are sent or next
        return self.concurrency or (COMMANDS if self.exec is not None else DELIVERIES)

    @property
    def is_short_of_files(self) -> bool:
        """Whether fewer items are in flight than wished, for want of open files."""
        return self.most_in_flight < self._wished

    def rules(self) -> Rules:
        """What of it the worker must know."""
        return Rules(
            once=self.once,
            concurrency=self.most_in_flight,
            settle=self.settle,
            grace=self.grace,
            on_done=OnDone(self.on_done),
            include=self.include,
            exclude=self.exclude,
            prune_empty=self.prune_empty,
            share=self.share,
        )

    def divided(self, share: Share) -> "Settings":
        """The settings of one of several processes."""
        return replace(self, share=share, concurrency=share.part(self.most_in_flight))

    def limiter(self) -> Limiter | None:
        """What bounds the bandwidth of this process, where it is bounded."""
        return Limiter(timetable(self.bandwidth).divided(self.share.of)) if self.bandwidth else None


async def _nothing_to_say() -> str:
    return ""


async def _nothing_to_end() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Destination:
    """Where items go. ``key_of(name, mtime)``: where one would go; ``describe``: one sentence for the log; ``prepare``
    makes what must be there; ``doing``: what happens with an item, where that is no delivery; ``end``: what must be
    waited for when all is over."""

    name: str
    process: Process
    key_of: Callable[[str, float], str]
    describe: Callable[[], Awaitable[str]] = field(default=_nothing_to_say)
    close: Callable[[], None] = field(default=lambda: None)
    prepare: Callable[[], None] = field(default=lambda: None)
    doing: str = ""
    end: Callable[[], Awaitable[None]] = field(default=_nothing_to_end)


def destination(settings: Settings) -> Destination:
    """The destination that the settings name. Raises :class:`ConfigurationError`."""
    named = [name for name in ("to", "exec", "album") if getattr(settings, name) is not None]
    if not named:
        raise ConfigurationError("say where to deliver: --to URL, or --exec COMMAND", "Try: --to s3://BUCKET/PREFIX")
    if len(named) > 1:
        raise ConfigurationError(f"both --{named[0]} and --{named[1]}: say only one of them")
    try:
        if settings.album is not None:
            from . import album

            return album.destination(settings)
        if settings.exec is not None:
            command = Command(settings.exec)
            doing = f"running {command.name} for each item"
            return Destination(f"exec {command.name}", command, lambda name, mtime: command.name, doing=doing)
        assert settings.to is not None
        scheme = settings.to.partition("://")[0]
        if scheme == "s3":
            return _s3(settings, settings.to)
        if scheme in CLOUDS:
            return _cloud(settings)
        if scheme == "file":
            return _files(settings, settings.to)
    except (TemplateError, CommandError) as error:
        raise ConfigurationError(str(error)) from error
    raise ConfigurationError(
        f"cannot deliver to {settings.to}",
        "Destinations are s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX], az://CONTAINER[/PREFIX] and file:///DIR.",
    )


def _files(settings: Settings, url: str) -> Destination:
    template = KeyTemplate(settings.key)
    delivery, directory = file_delivery(settings, url, template)
    return Destination(
        delivery.name,
        delivery,
        lambda name, mtime: f"{delivery.name}/{template.key(name, mtime, '<sha256>')}",
        prepare=lambda: make(directory),
    )


def file_delivery(settings: Settings, url: str, template: KeyTemplate) -> tuple[FileDelivery, Path]:
    """The delivery into the directory that the URL names, and that directory. Raises :class:`ConfigurationError`."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ConfigurationError(f"cannot deliver to {url}", "A directory is written file:///absolute/path.")
    if settings.bandwidth is not None:
        raise ConfigurationError("--bandwidth limits what is sent to S3, not copies into a directory")
    directory = Path(unquote(parts.path))
    return FileDelivery(str(directory), template, if_exists=settings.if_exists), directory


def make(directory: Path) -> None:
    """Make the directory that items shall be copied into. Only at the start: if it is gone later, its disk is."""
    if directory.is_dir():
        return
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make {directory}: {error.strerror}") from error
    notice("made %s", directory)


def _s3(settings: Settings, url: str) -> Destination:
    delivery = s3_delivery(settings)
    return Destination(
        url,
        delivery,
        lambda name, mtime: f"s3://{delivery.bucket}/{delivery.template.key(name, mtime, '<sha256>')}",
        delivery.describe,
        delivery.close,
    )


def s3_delivery(settings: Settings, template: KeyTemplate | None = None) -> "BucketDelivery":
    """The delivery into the bucket that the settings name; ``template``: of the keys, instead of the settings'. Raises
    :class:`ConfigurationError`."""
    from ..processors.s3 import BucketDelivery, OptionError

    try:
        return BucketDelivery(
            settings.to or "",
            s3_options(settings),
            key=template or settings.key,
            concurrency=settings.most_in_flight,
            limiter=settings.limiter(),
        )
    except (OptionError, TemplateError) as error:
        raise ConfigurationError(str(error)) from error


def _cloud(settings: Settings) -> Destination:
    delivery = cloud_delivery(settings)
    return Destination(
        settings.to or "",
        delivery,
        lambda name, mtime: delivery.url(delivery.key(name, mtime, "<sha256>")),
        delivery.describe,
        delivery.close,
    )


def cloud_delivery(settings: Settings, template: KeyTemplate | None = None) -> "CloudDelivery":
    """The delivery into the bucket or container that the settings name; ``template``: of the keys, instead of the
    settings'. Raises :class:`ConfigurationError`."""
    from ..processors.clouds import CloudDelivery, open_cloud, split_url
    from ..processors.s3 import OptionError

    try:
        scheme, bucket, prefix = split_url(settings.to or "")
        options = s3_options(settings)
        keys = template or KeyTemplate(settings.key, prefix)
        return CloudDelivery(open_cloud(scheme, bucket, options), keys, options, settings.limiter())
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
        verify=settings.on_done == "delete",
    )
    return _within_memory(options, settings.share.part(machine.bodies(machine.memory_limit())))


def _within_memory(options: "S3Options", memory: int) -> "S3Options":
    """Where there is little of it, fewer and smaller bodies are in memory at once: parts of 5 MiB at the least."""
    part = max(5 << 20, min(options.part_size, memory // 3 >> 20 << 20))
    threshold = max(5 << 20, min(options.multipart_threshold, memory))
    return replace(options, memory=memory, part_size=part, multipart_threshold=threshold)


def spool(places: Places, *, copy: bool = False) -> Spool:
    """The spool at these places, made where it is missing and proved. Raises :class:`SpoolError`."""
    made = Spool(places=places, copy=copy)
    made.prove()
    return made


def run(places: Places, settings: Settings, listeners: tuple[Listener, ...] = ()) -> Summary:
    """Work until told to stop, or with ``once`` until all is done. Raises :class:`ConfigurationError` and
    :class:`SpoolError`."""
    return work(*prepared(places, settings), settings.rules(), listeners)


def prepared(places: Places, settings: Settings) -> tuple[Spool, Destination]:
    """The spool and the destination, with all there that must be. Raises :class:`ConfigurationError` and
    :class:`SpoolError`."""
    where = destination(settings)
    _refuse_circles(places, settings)
    where.prepare()
    if settings.is_short_of_files:
        warn(
            f"at most {settings.most_in_flight} items in flight: a process may have {machine.file_limit()} files open",
            "Allow more: ulimit -n 1024, or LimitNOFILE=1024 in the unit.",
        )
    return spool(places, copy=settings.copy), where


def _refuse_circles(places: Places, settings: Settings) -> None:
    """A directory of the spool as destination would deliver into what is delivered from."""
    url = settings.to or settings.originals
    if url is None or not url.startswith("file://"):
        return
    target = Path(unquote(urlsplit(url).path)).resolve()
    for place in (*places.for_items(), places.receipts):
        if target.is_relative_to(place.resolve()) or place.resolve().is_relative_to(target):
            raise ConfigurationError(f"{url} and the spool's {place} lie in each other", "Deliver elsewhere.")


def work(place: Spool, where: Destination, rules: Rules, listeners: tuple[Listener, ...] = ()) -> Summary:
    """Run a worker between a spool and a destination."""
    worker = Worker(place, where.process, rules, destination=where.name, listeners=listeners)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(serve(worker, where))


def _spare_the_collector() -> None:
    """What was imported stays, so Python's collector need not walk it again and again; and what one item makes is freed
    by its reference counts, so it need not look after every 700 objects, which are those of some twenty items."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def serve(worker: Worker, where: Destination, *, silent: bool = False) -> Summary:
    """Have the worker serve. ``silent``: others have told what is delivered to."""
    _spare_the_collector()
    told = None if silent else asyncio.create_task(_announce(where))
    try:
        return await worker.serve()
    finally:
        if told is not None:
            told.cancel()
        where.close()  # here: its connections belong to this event loop
        await where.end()


async def _announce(where: Destination) -> None:
    """Say in the log what we deliver to, and which settings won. Where that cannot be told yet, the first item will."""
    try:
        said = await where.describe()
    except (Temporary, Permanent) as error:
        warn(error.message, error.hint)
        return
    notice("%s%s", where.doing or f"delivering to {where.name}", f": {said}" if said else "")


def plan(places: Places, settings: Settings) -> Iterator[tuple[str, str]]:
    """What would be delivered, and where (or why not): each name in ``incoming/``. Changes nothing."""
    where = destination(settings)
    wanted = settings.rules().wanted()
    for name in owner.items_below(str(places.incoming)):
        if not wanted(name):
            continue
        try:
            mtime = (places.incoming / name).lstat().st_mtime
            yield name, where.key_of(name, mtime)
        except Permanent as error:
            yield name, f"would fail: {error.message}"
        except FileNotFoundError:
            continue  # a worker took it
