"""The album in browsers, put together: the pages, the spool that uploads go through, the originals, and the keeper."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ...album import originals as keys
from ...album.originals import Originals
from ...album.store import Missing, Store, StoreError
from ...spool import notes, survey
from ...spool.places import Place, Places
from ...spool.spool import Spool
from ...worker import state
from ...worker.telling import notice, warn
from ..observing.exporter import Wanted
from ..settings import ConfigurationError, Settings
from . import opening as album
from .originals import open_originals
from .watching import watched

if TYPE_CHECKING:
    from ...album.web import Fetch, Submit, Trouble

KEEP_AGAIN = 60.0
"""Seconds until the keeper is started again that met what it cannot go on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The options of ``album serve``. ``project``: the public album to keep; ``is_kept``: whether a keeper runs."""

    host: str = "127.0.0.1"
    port: int = 8080
    is_public: bool = False
    spool: Places | None = None
    project: str | None = None
    is_kept: bool = True
    title: str = "Album"
    hosts: tuple[str, ...] = ()
    metrics: Wanted = field(default_factory=Wanted)


async def serve(url: str, serving: Serving, settings: Settings, ready: Callable[[str], object]) -> None:
    """Serve the album until SIGTERM or SIGINT; ``ready`` is called with its address. Raises

    :class:`ConfigurationError`, :class:`~..http.serving.CannotListen`, :class:`StoreError` and :class:`OSError`."""
    from ...album import web
    from ...album.keeper import check
    from ...http.serving import why_not

    is_ready = False

    def listening(address: str) -> None:
        nonlocal is_ready
        is_ready = True
        ready(address)

    _refuse_what_cannot_be(serving, settings)
    options: dict[str, Any] = {"public": serving.is_public, "title": serving.title, "hosts": serving.hosts}
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(album.opened(url))
        if settings.originals is not None:
            place = open_originals(settings.originals, settings)
            stack.push_async_callback(place.close)
            options["originals"] = fetch_from(place)
        if serving.spool is not None:
            options |= {"spool": submit_to(serving.spool), "trouble": trouble_in(serving.spool)}
        if serving.is_kept and not serving.is_public:
            public = None
            if serving.project is not None:
                public = await stack.enter_async_context(album.opened(serving.project, create=True))
                await check(store, public)
            keeper = asyncio.create_task(_keep(store, public))
            stack.push_async_callback(_end, keeper)
        watch = await stack.enter_async_context(watched(store, serving.metrics, is_public=serving.is_public))
        if watch is not None:
            options["servers"] = watch.recent
        try:
            await web.serve(store, serving.host, serving.port, ready=listening, **options)
        except OSError as error:
            if is_ready:
                raise
            raise why_not(error, serving.host, serving.port, host_option="--host", port_option="--port N") from error


def _refuse_what_cannot_be(serving: Serving, settings: Settings) -> None:
    if serving.is_public and (serving.spool is not None or serving.project is not None):
        raise ConfigurationError(
            "a public server takes nothing and keeps nothing: --spool and --project are not for it"
        )
    if serving.is_public and settings.originals is not None:
        raise ConfigurationError(
            "a public server gives no originals away, since they tell where they were taken: leave --originals out"
        )
    if serving.spool is not None and not serving.spool.incoming.is_dir():
        raise ConfigurationError(f"{serving.spool.control} is not a spool", f"Try: jollyae init {serving.spool.words}")


async def _keep(store: Store, public: Store | None) -> None:
    """Have the album kept, for ever, whatever it meets."""
    from ...album.keeper import keep

    while True:
        try:
            await keep(store, public)
        except StoreError as error:
            warn(f"the album is not kept at this moment: {error.message}", error.hint)
        await asyncio.sleep(KEEP_AGAIN)


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def project(url: str, public_url: str, *, once: bool) -> Any:
    """Keep a public album of this one; what was done, with ``once``."""
    from ...album.keeper import check, keep

    async with album.opened(url) as store, album.opened(public_url, create=True) as public:
        await check(store, public)  # before it is told what is not done
        notice("keeping %s as the public album of %s", public.url, store.url)
        return await keep(store, public, once=once)


# --- what the pages are given


def fetch_from(place: Originals) -> "Fetch":
    """What reads a photo's original for the pages."""

    async def fetch(document: dict[str, Any], start: int, end: int) -> AsyncIterator[bytes]:
        try:
            async for piece in place.read(keys.key_of(document), start, end):
                yield piece
        except (Missing, ValueError) as error:
            raise FileNotFoundError(str(error)) from error
        except StoreError as error:
            warn(error.message, error.hint)
            raise OSError(error.message) from error

    return fetch


def submit_to(places: Places) -> "Submit":
    """What puts uploads into the spool."""
    spool = Spool(places=places, make=False)

    def submit(file: BinaryIO, name: str) -> object:
        return spool.submit(file, name)

    return submit


def trouble_in(places: Places) -> "Trouble":
    """What says why an upload does not appear."""

    def trouble(name: str) -> str:
        for place, word in ((Place.FAILED, ""), (Place.DEFERRED, "It is tried again: ")):
            path = str(Path(places.of(place)) / name)
            if (note := notes.read(path)) is not None and note.error:
                return f"{word}{note.error}{'. ' + note.hint if note.hint else ''}"
        return _why_all_waits(places)

    return trouble


def _why_all_waits(places: Places) -> str:
    live = [path for path, holder in survey.workers(places) if holder == os.path.basename(path)]
    if not live:
        return "It waits: no worker is running. Start: jollyae run"
    paused = [found.paused for path in live if (found := state.read(path)) is not None and found.paused is not None]
    return f"It waits: {paused[0].error}" if len(paused) == len(live) else ""
