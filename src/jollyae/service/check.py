"""Can this run? Each thing is tried for real; one finding a line."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..processors.finding import Finding, failed, ok, warning
from ..spool import fs, mount, readiness, watch
from ..spool.places import Places
from ..spool.spool import Spool, SpoolError
from .compose import destination
from .deliveries import CLOUDS, cloud_delivery, s3_delivery
from .settings import ConfigurationError, Settings

_LITTLE_ROOM = 0.05


def spool(places: Places, *, copy: bool) -> Iterator[Finding]:
    """The spool: its places, rights, file system, room, and what the kernel tells about it."""
    place = Spool(places=places, make=False, copy=copy)
    if missing := place.missing():
        names = ", ".join(str(path) for path in missing)
        what = f"missing: {names}" if places.control.is_dir() else f"there is no directory {places.control}"
        yield failed("places", what, f"Try: jollyae init {places.control}")
        return
    try:
        place.prove()
        yield ok("places", "a file can be renamed through all of them")
    except SpoolError as error:
        yield failed("places", error.message, error.hint)
        return
    yield _room(places.working)
    yield _watch(places.incoming)
    yield _lease(places.tmp)


def _room(directory: Path) -> Finding:
    usage = shutil.disk_usage(directory)
    text = f"{usage.free / (1 << 30):.1f} GiB free"
    if usage.free < _LITTLE_ROOM * usage.total:
        return warning("room", f"{text}, under 5 %", "Free some: a full disk stops the spool (and loses nothing).")
    return ok("room", text)


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


async def store(settings: Settings, *, network: bool = True) -> AsyncIterator[Finding]:
    """The destination. Without ``network``, of one that needs it only whether its settings can be. Raises nothing: what
    cannot work is a finding."""
    try:
        if not network and settings.exec is None and not (settings.to or "").startswith("file://"):
            yield ok("settings", f"{destination(settings).name}: not asked, for nothing was to need the network")
            return
        if settings.album is not None:
            from . import album

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
        program = settings.exec.split()[0]
        found = shutil.which(program)
        if found is None:
            return failed("command", f"{program} is not found", "Install it, or write its whole path.")
        return ok("command", found)
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
