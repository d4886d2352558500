"""Can this run? Each thing is tried for real; one finding a line."""

import ipaddress
import os
import shlex
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..processors.finding import Finding, State, failed, ok, warning
from ..sources.source import Seen
from ..spool import ahead, fs, leases, mount, readiness, sharing, survey, users, watch
from ..spool.floor import NO_FLOOR, Floor
from ..spool.outcomes import Temporary
from ..spool.places import Places
from ..spool.sharing import Shared
from ..spool.spool import Spool, SpoolError
from . import intakes, notifications, origins
from .compose import APART, destination, examined
from .config import Config
from .deliveries import CLOUDS, cloud_delivery, s3_delivery
from .nesting import among_items
from .observing import exporter
from .settings import ConfigurationError, Queue, Settings
from .units import counted, human

_LITTLE_ROOM = 0.05
_CAP_LEASE = 28  # capability.h
_OF_PLACES = ("places", "rights", "sharing")
_UNPROVED = "What leases need of a file system is in docs/SHARED.md."


def spool(
    places: Places, *, copy: bool, floor: Floor = NO_FLOOR, makes: bool = False, shared: str = "auto"
) -> Iterator[Finding]:
    """The spool: its places, rights, file system, room, and what the kernel tells about it. ``makes``: who will run
    makes what is missing; ``shared``: as for run."""
    place = Spool(places=places, make=False, copy=copy)
    if nested := among_items(places):
        text = f"{nested} lies in {places.incoming}: what is there would be taken as an item"
        yield failed("places", text, APART)
        return
    try:
        missing = place.missing()
    except PermissionError as error:
        closed = ahead.deepest(Path(error.filename).parent)
        yield failed("rights", f"cannot look into {closed}", users.right_to(closed))
        return
    if missing:
        yield _missing(place, missing, makes=makes)
        return
    if (refused := _refused(places)) is not None:
        yield refused
        return
    try:
        place.prove()
        yield ok("places", "a file can be renamed through all of them")
    except SpoolError as error:
        yield failed("places", error.message, error.hint)
        return
    yield from _sharing(places, Shared(shared))
    yield from _room(places.working, floor)
    yield _watch(places.incoming)
    yield _lease(places.tmp)
    if (others := _others(places.incoming)) is not None:
        yield others


def _sharing(places: Places, wanted: Shared) -> Iterator[Finding]:
    """Whether several hosts can work on it, where that is a question."""
    found = sharing.look(places, wanted)
    if found.refusal:
        yield failed("sharing", found.refusal, found.hint)
    elif found.by_leases:
        living = [holder == os.path.basename(path) for path, holder in survey.workers(places) if holder]
        dead = sum(not holder for _, holder in survey.workers(places))
        text = f"shared, lease {leases.LEASE:g} s; {counted(sum(living), 'worker')} running, {dead} dead"
        yield warning("sharing", f"{text}; {found.remark}", _UNPROVED) if found.remark else ok("sharing", text)
    elif found.remark:
        yield warning("sharing", found.remark, "Let no other host work on it (docs/SHARED.md).")


def _missing(place: Spool, missing: list[Path], *, makes: bool) -> Finding:
    shown = ", ".join(str(path) for path in missing)
    places = place.places
    what = f"missing: {shown}" if places.control.is_dir() else f"there is no directory {places.control}"
    if not makes:
        return failed("places", what, f"Try: jollyae init {places.words}")
    try:
        place.foresee()
    except SpoolError as error:
        return failed("places", error.message, error.hint)
    return warning("places", f"{what}: run makes what is missing", "If a disk belongs there, mount it first.")


def _refused(places: Places) -> Finding | None:
    """Where we have no right to write, said in the numbers that a container knows."""
    for path in places.all():
        if not _may_write(path):
            if users.is_read_only(path):
                return failed("rights", f"{path} is read-only", users.right_to(path))
            return failed("rights", f"cannot write in {path}", users.right_to(path))
    return None


def _may_write(directory: Path) -> bool:
    return os.access(directory, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids)


def _room(directory: Path, floor: Floor) -> Iterator[Finding]:
    found = os.statvfs(directory)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    inodes = f", {found.f_favail:,} inodes" if found.f_files else ""
    text = f"{human(free)} free{inodes}"
    if why := floor.shortage(directory).why:
        yield warning("room", f"below the floor: {why}", "submit refuses until there is more; deliveries go on.")
    elif free < _LITTLE_ROOM * total:
        yield warning("room", f"{text}, under 5 %", "Free some: a full disk stops the spool (and loses nothing).")
    elif found.f_files and found.f_favail < _LITTLE_ROOM * found.f_files:
        hint = "Remove small files: each item is one, and where none can be made the spool stops."
        yield warning("room", f"{text}, under 5 % of them", hint)
    else:
        yield ok("room", text)


def _others(incoming: Path) -> Finding | None:
    """Whether files of other owners may come, whose writers the kernel does not tell us of."""
    found = incoming.stat()
    if _has(_CAP_LEASE) or (found.st_uid == os.geteuid() and not found.st_mode & 0o022):
        return None
    text = "others may put files here, and the kernel tells only of our own whether they are still written"
    hint = (
        "Theirs are taken after 3 s of rest. Give us CAP_LEASE (AmbientCapabilities= in the unit) for the lease test."
    )
    return warning("other owners", text, hint)


def _has(capability: int) -> bool:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return bool(int(next(line for line in lines if line.startswith("CapEff:")).split()[1], 16) >> capability & 1)
    return True  # no Linux, no leases


def _watch(incoming: Path) -> Finding:
    found = watch.watch(str(incoming))
    try:
        if found.fileno() is None:
            hint = "Files are found within a second; give --settle if producers are slow."
            return warning("events", found.why, hint)
        return ok("events", f"{found.why} on {mount.kind(incoming) or 'this file system'}")
    finally:
        found.close()


def _lease(directory: Path) -> Finding:
    """Whether the kernel tells that somebody still writes."""
    hint = "Files that are not renamed in are taken after 3 s of rest; let producers rename."
    if not readiness.ignore_lease_signal():
        return warning("lease test", "not on this system", hint)
    path = fs.temporary_name(str(directory))
    writer = fs.create(path)
    try:
        reader = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            held = readiness.test_lease(reader) is readiness.Lease.HELD
        finally:
            os.close(reader)
    finally:
        os.close(writer)
        fs.discard(path)
    if held:
        return ok("lease test", "a file that somebody writes is left alone")
    return warning("lease test", "not on this file system", hint)


async def broker(settings: Settings, *, network: bool = True) -> AsyncIterator[Finding]:
    """The broker's queue that the items come from, where they do: whether it is there, and where dead letters go. No
    message is taken. Raises nothing: what cannot work is a finding."""
    try:
        intakes.prepare(settings)
        source = intakes.source(settings)
    except ConfigurationError as error:
        yield failed("settings", error.message, error.hint)
        return
    if source is None:
        return
    if told := intakes.exposure(settings):
        yield warning("password", *told)
    if not network:
        yield ok("broker", f"{source.name}: not asked, for nothing was to need the network")
        return
    try:
        seen = await source.look()
    except Temporary as error:
        doubtful = error.reason == "denied" and not origins.is_amqp(
            settings.source or ""
        )  # to look needs a right of its own
        yield (warning if doubtful else failed)("broker", error.message, error.hint)
        return
    finally:
        await source.close()
    yield _waiting(source.name, seen)
    if seen.dead:
        yield ok("dead letters", f"go to {seen.dead}")
    else:
        text = "the queue has no RedrivePolicy: what fails for good is in failed/ on this machine, and nowhere else"
        yield warning("dead letters", text, "Give the queue a dead-letter queue (its RedrivePolicy).")


async def objects(settings: Settings, *, network: bool = True) -> AsyncIterator[Finding]:
    """Whether the store answers that has the objects which a broker's messages name; nothing where no broker brings
    them. Raises nothing: what cannot work is a finding."""
    if settings.source is None:
        return
    if not network:
        yield ok("store", "the objects' store: not asked, for nothing was to need the network")
        return
    from ..processors.s3.check import answering

    try:
        yield await answering(intakes.store(settings))
    except ConfigurationError as error:
        yield failed("settings", error.message, error.hint)


def _waiting(name: str, seen: Seen) -> Finding:
    takers = "" if seen.consumers is None else f", {counted(seen.consumers, 'consumer')}"
    text = f"{name}: {counted(seen.waiting, 'message')} waiting{takers}"
    return ok("broker", f"{text}; {seen.more}" if seen.more else text)


async def store(settings: Settings, *, network: bool = True) -> AsyncIterator[Finding]:
    """The destination. Without ``network``, of one that needs it only whether its settings can be. Raises nothing: what
    cannot work is a finding."""
    try:
        if (
            not network
            and settings.exec is None
            and settings.call is None
            and not (settings.to or "").startswith("file://")
        ):
            yield ok("settings", f"{destination(settings).name}: not asked, for nothing was to need the network")
            return
        if settings.album is not None:
            from .albums import opening as album

            async for finding in album.check(settings):
                yield finding
            async for finding in store(replace(settings, album=None, to=settings.originals)):
                yield finding
            return
        scheme = (settings.to or "").partition("://")[0]
        if scheme in ("s3", *CLOUDS):
            delivery = s3_delivery(settings) if scheme == "s3" else cloud_delivery(settings)
            try:
                async for finding in delivery.check():
                    yield finding
            finally:
                delivery.close()
        else:
            yield _local(settings)
    except ConfigurationError as error:
        yield failed("settings", error.message, error.hint)


def _local(settings: Settings) -> Finding:
    where = destination(settings)
    if settings.exec is not None:
        program = shlex.split(settings.exec)[0]
        found = shutil.which(program)
        if found is None:
            return failed("command", f"{program} is not found", "Install it, or write its whole path.")
        return ok("command", found)
    if settings.call is not None:
        return ok("function", settings.call)
    directory = unquote(urlsplit(where.name).path)
    if not os.path.isdir(directory):
        return warning("write", f"{directory} is not there", "run makes it; if a disk belongs there, mount it.")
    path = fs.temporary_name(directory)
    try:
        os.close(fs.create(path))
        fs.fsync_directory(directory)
        fs.discard(path)
    except OSError as error:
        return failed("write", f"cannot write to {directory}: {error.strerror}", "Give us the right to write there.")
    return ok("write", f"wrote to {directory}, and removed it")


def refusal(places: Places, settings: Settings) -> Finding | None:
    """What ``run`` would refuse to begin with; None where it would begin."""
    try:
        examined(places, settings).close()
    except ConfigurationError as error:
        return failed("settings", error.message, error.hint)
    except SpoolError as error:
        return failed("places", error.message, error.hint)
    return None


def refusals(queues: Iterable[Queue]) -> Iterator[Finding]:
    """Of all queues."""
    for queue in queues:
        if (found := refusal(queue.places, queue.settings)) is not None:
            yield replace(found, queue=queue.name)


def untold(refused: Finding | None, told: Iterable[Finding]) -> Iterator[Finding]:
    """What is refused, unless that was told in the course of trying it: the same, or what is wrong with the places."""
    failures = [one for one in told if one.state is State.FAILED]
    if refused is not None and not any(
        one.text == refused.text or (refused.subject == "places" and one.subject in _OF_PLACES) for one in failures
    ):
        yield refused


async def everything(config: Config, *, network: bool = True) -> AsyncIterator[Finding]:
    """All queues of a configuration, and what is beside them."""
    yield ok("configuration", f"{config.path}: {counted(len(config.queues), 'queue')}")
    for queue in config.queues:
        told = []
        async for finding in _queue(queue, network=network):
            told.append(finding)
            yield replace(finding, queue=queue.name)
        for finding in untold(refusal(queue.places, queue.settings), told):
            yield replace(finding, queue=queue.name)
    for finding in _beside(config):
        yield finding


async def _queue(queue: Queue, *, network: bool) -> AsyncIterator[Finding]:
    settings = queue.settings
    for finding in spool(
        queue.places, copy=settings.copy, floor=settings.rules().floor, makes=True, shared=settings.shared
    ):
        yield finding
    async for finding in broker(settings, network=network):
        yield finding
    async for finding in objects(settings, network=network):
        yield finding
    async for finding in store(settings, network=network):
        yield finding
    for target in settings.targets():
        yield await notifications.tried(target, network=network)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _beside(config: Config) -> Iterator[Finding]:
    metrics, web = config.metrics, config.web
    if metrics.addr is not None:
        try:
            exporter.listen(metrics.addr).close()
            yield ok("metrics", f"{metrics.addr} is free")
        except ConfigurationError as error:
            yield warning("metrics", error.message, "If that is this service, which runs already, all is well.")
    if metrics.file is not None:
        directory = os.path.dirname(metrics.file)
        if _may_write(Path(directory)):
            yield ok("metrics", f"{metrics.file} can be written")
        else:
            yield failed("metrics", f"cannot write in {directory}", "Make it, or give us the right to.")
    host, _ = exporter.address(web.listen)
    lacking = [key for key in ("token_file", "certificate") if not getattr(web, key)]
    if lacking and not _is_loopback(host):
        text = f"{web.listen} is beyond this machine, and [web] has no {' and no '.join(lacking)}"
        yield warning("web", text, "jollyae web refuses to start so, unless its command line has them.")
    for path in (web.token_file, web.certificate, web.key):
        if path is not None and not os.access(path, os.R_OK):
            yield warning("web", f"cannot read {path}", "Its reader is jollyae web: who runs that must be able to.")
