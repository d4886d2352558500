"""From settings to spool, destination, processor and worker: the one place where the rooms are put together."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..processors.command import Command, CommandError
from ..processors.keys import KeyTemplate, TemplateError
from ..processors.packing import Packed, PackedCopy
from ..spool import names, owner
from ..spool.outcomes import Permanent, Temporary
from ..spool.places import Places
from ..spool.spool import Spool
from ..worker.loop import loop_factory
from ..worker.news import Listener
from ..worker.rules import Rules
from ..worker.summary import Summary
from ..worker.supply import Supply
from ..worker.telling import notice, warn
from ..worker.worker import Worker
from . import calls, intakes, machine, manifests, notifications, workdirs
from .deliveries import CLOUDS, Destination, cloud_delivery, examine, file_delivery, keys, make, packing, s3_delivery
from .nesting import among_items
from .observing.tracing import traced
from .settings import ConfigurationError, Settings

APART = "Put the places side by side, or below a directory whose name begins with a dot."


def destination(settings: Settings) -> Destination:
    """The destination that the settings name. Raises :class:`ConfigurationError`."""
    if settings.target is not None:
        return notifications.destination(settings.target)
    named = [name for name in ("to", "exec", "call", "album") if getattr(settings, name) is not None]
    if not named:
        raise ConfigurationError("say where to deliver: --to URL, or --exec COMMAND", "Try: --to s3://BUCKET/PREFIX")
    if len(named) > 1:
        raise ConfigurationError(f"both --{named[0]} and --{named[1]}: say only one of them")
    try:
        if settings.compress is not None:
            packing(settings)  # what cannot be is told before anything else
        if settings.album is not None:
            from .albums import opening as album

            return album.destination(settings)
        if settings.call is not None:
            return calls.destination(settings.call)
        if settings.exec is not None:
            template = KeyTemplate(settings.key)
            command = Command(settings.exec, template=template, timeout=settings.exec_timeout)
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
    template = keys(settings)
    delivery, directory = file_delivery(settings, url, template)
    packed = packing(settings)
    return Destination(
        delivery.name,
        PackedCopy(delivery, packed) if packed else delivery,
        lambda name, mtime: f"{delivery.name}/{template.key(name, mtime, '<sha256>')}",
        prepare=lambda: make(directory),
        examine=lambda: examine(directory),
    )


def _s3(settings: Settings, url: str) -> Destination:
    delivery = s3_delivery(settings)
    packed = packing(settings)
    process = Packed(delivery, packed) if packed else delivery
    return Destination(
        url,
        process,
        lambda name, mtime: f"s3://{delivery.bucket}/{delivery.template.key(name, mtime, '<sha256>')}",
        delivery.describe,
        process.close,
    )


def _cloud(settings: Settings) -> Destination:
    delivery = cloud_delivery(settings)
    packed = packing(settings)
    process = Packed(delivery, packed) if packed else delivery
    return Destination(
        settings.to or "",
        process,
        lambda name, mtime: delivery.url(delivery.key(name, mtime, "<sha256>")),
        delivery.describe,
        process.close,
    )


def spool(places: Places, *, copy: bool = False) -> Spool:
    """The spool at these places, made where it is missing and proved. Raises :class:`SpoolError`."""
    made = Spool(places=places, copy=copy)
    _tell_made(made)
    made.prove()
    return made


def _tell_made(spool: Spool) -> None:
    """What was mistyped is made, too: say so."""
    control = spool.places.control
    beside = [path for path in spool.made if path != control and control not in path.parents]
    if control in spool.made:
        notice("made a new spool, %s", names.show(str(control)))
    elif within := [path for path in spool.made if control in path.parents]:
        beside = [*within, *beside]
    if beside:
        notice("made %s", ", ".join(names.show(str(path)) for path in beside))


def run(places: Places, settings: Settings, listeners: tuple[Listener, ...] = ()) -> Summary:
    """Work until told to stop, or with ``once`` until all is done. Raises :class:`ConfigurationError` and
    :class:`SpoolError`."""
    return work(*prepared(places, settings), settings.rules(), listeners, intakes.supply(settings))


def examined(places: Places, settings: Settings) -> Destination:
    """The destination, after a look at all that :func:`prepared` would refuse, as far as it can be known before
    anything is made; nothing that stays is. Raises :class:`ConfigurationError` and :class:`SpoolError`."""
    where = destination(settings)
    intakes.prepare(settings)
    if nested := among_items(places):
        raise ConfigurationError(f"{nested} lies in {places.incoming}: what is there would be taken as an item", APART)
    _refuse_circles(places, settings)
    notifications.examine(places, settings)
    for queue in manifests.queues(places, settings):
        _refuse_circles(places, queue.settings)
        destination(queue.settings).examine()
    where.examine()
    Spool(places=places, make=False, copy=settings.copy).foresee()
    return where


def prepared(places: Places, settings: Settings) -> tuple[Spool, Destination]:
    """The spool and the destination, with all there that must be. Raises :class:`ConfigurationError` and
    :class:`SpoolError`."""
    where = examined(places, settings)
    if told := intakes.exposure(settings):
        warn(*told)
    where.prepare()
    if settings.is_short_of_files:
        warn(
            f"at most {settings.most_in_flight} items in flight: a process may have {machine.file_limit()} files open",
            "Allow more: ulimit -n 1024, or LimitNOFILE=1024 in the unit.",
        )
    made = spool(places, copy=settings.copy)
    if told := workdirs.left_behind(places, settings):
        warn(*told)
    notifications.prepare(places, settings)
    for queue in manifests.queues(places, settings):
        destination(queue.settings).prepare()
        spool(queue.places)
    return made, where


def _refuse_circles(places: Places, settings: Settings) -> None:
    """A directory of the spool as destination would deliver into what is delivered from."""
    url = settings.to or settings.originals
    if url is None or not url.startswith("file://"):
        return
    target = Path(unquote(urlsplit(url).path)).resolve()
    for place in (*places.for_items(), places.receipts):
        if target.is_relative_to(place.resolve()) or place.resolve().is_relative_to(target):
            raise ConfigurationError(f"{url} and the spool's {place} lie in each other", "Deliver elsewhere.")


def work(
    place: Spool,
    where: Destination,
    rules: Rules,
    listeners: tuple[Listener, ...] = (),
    supply: Supply | None = None,
) -> Summary:
    """Run a worker between a spool and a destination. ``supply``: what brings the items, if no producers do."""
    where = traced(where)
    worker = Worker(place, where.process, rules, destination=where.name, listeners=listeners, supply=supply)
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
        await where.begin()
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
