"""What the album's verbs do, put together: stores, originals, what decodes, and what is done with them."""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...album.audit import Audit
from ...album.export import Export, Exported
from ...album.importing import Imported, Importing, pictures_in
from ...album.originals import FOLDER, Originals, directory_of
from ...album.store import Store, StoreError
from ...album.syncing import Sync, Synced
from ...spool import notes
from ...spool.owner import items_below
from ...spool.readiness import Lease
from ...spool.spool import Spool
from ...worker.rules import OnDone
from ...worker.summary import Summary
from ...worker.worker import Worker
from ..settings import ConfigurationError, Settings
from . import opening as album
from .originals import open_originals

if TYPE_CHECKING:
    from ...album.copy import Progress, Report

BATCH = 64
"""Pictures that an import has in its spool at a time."""
AGAIN = 3
"""More attempts at the pictures of an import that were deferred."""
_IMPORT = ".jollyae-import"


@asynccontextmanager
async def both(url: str, settings: Settings) -> AsyncIterator[tuple[Store, Originals]]:
    """The album and its originals, closed afterwards. Raises :class:`ConfigurationError` and
    :class:`~jollyae.album.store.StoreError`."""
    place = open_originals(settings.originals or "", settings)
    try:
        async with album.opened(url) as store:
            yield store, place
    finally:
        await place.close()


async def copy(source: str, target: str, progress: "Progress | None" = None) -> "Report":
    """Copy all of an album into another, which is made where it is not there."""
    album.require()
    from ...album.copy import copy, silent

    async with album.opened(source) as one, album.opened(target, create=True) as other:
        return await copy(one, other, progress or silent)


# --- users


async def make(url: str, members: Sequence[str] = ()) -> tuple[str, str, list[str]]:
    """Make the album, where it is not there; its URL, this server's name, and its users' names. In CouchDB it is closed
    to all but the server's admins and these ``members``."""
    async with album.opened(url, create=True) as store:
        found = store.url, store.server, [user["name"] for user in await store.users()]
    await _close_to_others(url, members)
    return found


async def _close_to_others(url: str, members: Sequence[str]) -> None:
    if url.startswith("sqlite:"):
        if members:
            raise ConfigurationError("--member is CouchDB's: a file has an owner and a mode")
        return
    from ...album.couch.address import parse_address
    from ...album.couch.replication import find_exposure, secure

    address = parse_address(url)
    if members or await find_exposure(address):
        await secure(address, members=members)


async def set_user(url: str, name: str, role: str, password: str) -> bool:
    """Add a user, or give one another role and password; whether it is a new one. Raises
    :class:`ConfigurationError` for a name or password that cannot be."""
    from ...album import document, times
    from ...album.web.passwords import hash_password

    try:
        hashed = await asyncio.to_thread(hash_password, password)
        made = document.new_user(name, role, hashed, now=times.now())
    except document.InvalidEdit as error:
        raise ConfigurationError(f"{error.field} {name!r}: {error.sentence}") from error
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    async with album.opened(url) as store:
        await album.refuse_public(store)
        before = await store.get(made["_id"])
        await store.put(made | ({"_rev": before["_rev"]} if before else {}))
    return before is None


async def remove_user(url: str, name: str) -> bool:
    """Remove a user; whether there was one. Raises :class:`StoreError` for the last editor, as the pages refuse it."""
    from ...album import document

    async with album.opened(url) as store:
        before = await store.get(document.user_id(name))
        if before is not None:
            editors = [user["name"] for user in await store.users() if user.get("role") == document.EDITOR]
            if editors == [name]:
                raise StoreError(
                    f"{name} is the last editor, and stays: nobody could edit any more",
                    f"Add another first: jollyae album user {store.url} NAME",
                )
            await store.remove(before["_id"], before["_rev"])
    return before is not None


async def users(url: str) -> list[tuple[str, str]]:
    """Names and roles."""
    async with album.opened(url) as store:
        return [(str(user["name"]), str(user["role"])) for user in await store.users()]


# --- originals


@asynccontextmanager
async def audit(url: str, settings: Settings, *, quick: bool, repair: bool) -> AsyncIterator[Audit]:
    """An audit, to be run."""
    async with both(url, settings) as (store, place):
        if repair:
            await album.refuse_public(store)
        pictures = (lambda: album.pictures(settings)) if repair else None
        yield Audit(store, place, quick=quick, pictures=pictures, by=settings.addedby or "")


async def sync(url: str, directory: Path, settings: Settings, done: Synced, *, quick: bool) -> None:
    """A local copy of every original; ``done`` counts. Raises :class:`ConfigurationError` where the directory is where
    the originals are."""
    _refuse_what_is_no_directory(directory)
    _refuse_itself(settings.originals or "", directory)
    async with both(url, settings) as (store, place):
        await Sync(store, place, directory, quick=quick, done=done).run()


def _refuse_what_is_no_directory(directory: Path) -> None:
    if os.path.lexists(directory) and not directory.is_dir():
        raise ConfigurationError(
            f"{directory} is there, and is no directory", "Give a directory's name; it is made where it is not there."
        )


def _refuse_itself(place: str, directory: Path) -> None:
    """A copy onto itself would tell of originals that are there twice, and there is one of each."""
    if not place.startswith("file:"):
        return
    for below in "", FOLDER:
        try:
            is_same = os.path.samefile(Path(directory_of(place)) / below, directory / below)
        except (OSError, ValueError):  # not there, or told by who opens it
            continue
        if is_same:
            raise ConfigurationError(
                f"{directory} is where the originals are: nothing was copied", "Give a directory on another disk."
            )


async def export(url: str, directory: Path, settings: Settings, done: Exported) -> None:
    """Originals under readable names, with sidecars; ``done`` counts. Raises :class:`ConfigurationError` where a file
    is in the directory's place."""
    _refuse_what_is_no_directory(directory)
    async with both(url, settings) as (store, place):
        await Export(store, place, directory, done=done).run()


# --- import


async def import_directory(url: str, directory: Path, settings: Settings, done: Imported) -> int:
    """Take a directory's pictures in, by way of a spool of its own: links to them where that can be, else copies, some
    at a time; ``done`` counts. Ends early where the destination stays unwell: how many pictures wait. Raises
    :class:`ConfigurationError`."""
    importing = Importing(directory, done)
    where = album.destination(replace(settings, album=url), importing)
    async with album.opened(url):  # somebody waits for it: what cannot be reached is told at once
        pass
    await asyncio.to_thread(where.prepare)  # it has an event loop of its own
    rules = replace(settings, album=url).rules()
    rules = replace(rules, once=True, settle=0.0, on_done=OnDone.DELETE)
    try:
        with _spool_for(directory) as spool:
            return await _drain(spool, importing, directory, lambda: Worker(spool, importing, rules))
    finally:
        where.close()
        await where.end()


async def _drain(spool: Spool, importing: Importing, directory: Path, worker: Callable[[], Worker]) -> int:
    """Hand all pictures over and have them taken in; what was deferred gets some more attempts at the end. How many
    wait: where the destination is unwell, the rest is not even begun."""
    waiting = 0
    for batch in _batches(pictures_in(directory, importing.done)):
        for name in batch:
            await asyncio.to_thread(_hand_over, directory / name, spool, name)
        summary = await worker().serve()
        waiting = summary.waiting
        if summary.signal:
            raise KeyboardInterrupt
        if summary.gave_up:
            return waiting
        importing.done.held = _held(spool, summary)
    for _ in range(AGAIN if waiting else 0):
        deferred = str(spool.places.deferred)
        list(spool.retry(list(items_below(deferred))))
        summary = await worker().serve()
        waiting = summary.waiting
        if summary.signal:
            raise KeyboardInterrupt
        importing.done.held = _held(spool, summary)
        if summary.gave_up or not waiting:
            break
    return waiting


def _held(spool: Spool, summary: Summary) -> dict[str, str]:
    """What waits for a reason of its own, and why."""
    deferred = str(spool.places.deferred)
    known = {name: notes.read(os.path.join(deferred, name)) for name in items_below(deferred)}
    return dict.fromkeys(summary.growing, str(Lease.HELD.value)) | {
        name: note.error for name, note in known.items() if note is not None and note.error
    }


def _batches(names: Iterator[str]) -> Iterator[list[str]]:
    """Some at a time; first none, for what a killed import left in the spool."""
    yield []
    batch: list[str] = []
    for name in names:
        batch.append(name)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@contextmanager
def _spool_for(directory: Path) -> Iterator[Spool]:
    """A spool for the import: beside the pictures where we may write there, so that they need not be copied. It is
    removed at the end; after a kill the next import finds it."""
    root = directory / _IMPORT
    try:
        root.mkdir(exist_ok=True)
    except OSError:
        with tempfile.TemporaryDirectory(prefix="jollyae-import-") as elsewhere:
            yield Spool(Path(elsewhere) / "spool")
            return
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another import of {directory} is under way", "Let it end first.") from None
        try:
            yield Spool(root / "spool")
        finally:
            shutil.rmtree(root, ignore_errors=True)
    finally:
        os.close(descriptor)


def _hand_over(file: Path, spool: Spool, name: str) -> None:
    """Put a picture into the spool: a link, else a copy. What is there already was left by a killed import."""
    target = spool.places.incoming / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        try:
            os.link(file, target, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            spool.submit(file, name)
