"""The album put together: from URLs and settings to the processor, the store and the originals."""

import asyncio
import importlib.util
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ...album.store import Query, Store, StoreError
from ...processors.finding import Finding, failed, ok, warning
from ...processors.keys import KeysByContent, KeyTemplate
from ...spool.item import Item
from ...spool.outcomes import Permanent
from ...worker.attempt import AsyncProcess, as_coroutine
from ...worker.telling import warn
from .. import machine
from ..deliveries import CLOUDS, Destination, cloud_delivery, file_delivery, make, s3_delivery
from ..settings import ConfigurationError, Settings
from ..units import counted
from .originals import PLACES

if TYPE_CHECKING:
    from ...album.importing import Importing
    from ...processors.photo import Pictures

URLS = (
    "An album is sqlite:///FILE (from where you are), sqlite:////DIR/FILE (from the root), or "
    "http(s)://[USER@]HOST/DATABASE (Apache CouchDB)."
)
INSTALL = "Try: pip install 'jollyae[album]' (in a checkout: pip install '.[album]')"
SECRETS = (
    "Put it into the environment (JOLLYAE_ALBUM_PASSWORD), or into a file that JOLLYAE_ALBUM_PASSWORD_FILE names, and "
    "write http(s)://USER@HOST/DATABASE."
)
_DAMAGED = "An original has the key of its content: what is there is damaged. Look at it, remove it, and retry this."
_NEEDED = ("PIL", "httpx", "starlette", "uvicorn", "jinja2", "multipart", "itsdangerous", "markdown_it", "nh3")
_FILE_THREADS = 4


def require() -> None:
    """Raise :class:`ConfigurationError` where the extra ``album`` is not installed."""
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise ConfigurationError("the album is an extra, which is not installed", INSTALL)


def check_url(url: str) -> str:
    """The URL, if an album can have it. Raises :class:`ConfigurationError`, which tells no password.

    >>> check_url("http://me:secret@db.example/album")
    Traceback (most recent call last):
    jollyae.service.settings.ConfigurationError: a password in a URL is seen by all users of the machine
    """
    try:
        parts = urlsplit(url)
        password, host = parts.password, parts.hostname
    except ValueError:
        raise ConfigurationError("this is no URL of an album", URLS) from None
    if password is not None:
        raise ConfigurationError("a password in a URL is seen by all users of the machine", SECRETS)
    if url.startswith("sqlite:///") and len(parts.path) > 1:
        return url
    if parts.scheme in ("http", "https") and host and parts.path.strip("/"):
        return url
    raise ConfigurationError(f"{url}: this is no URL of an album", URLS)


@asynccontextmanager
async def opened(url: str, *, create: bool = False) -> AsyncIterator[Store]:
    """The album at the URL, closed afterwards. Raises :class:`ConfigurationError` where it cannot be opened, and
    :class:`StoreError` where that may work later."""
    require()
    from ...album.open import open_store

    try:
        store = await open_store(check_url(url), create=create)
    except StoreError as error:
        if error.is_temporary:
            raise
        raise ConfigurationError(error.message, error.hint) from error
    try:
        yield store
    finally:
        await store.close()


@dataclass(frozen=True, slots=True)
class _Keeping:
    """How originals are delivered."""

    process: AsyncProcess
    describe: Callable[[], Awaitable[str]]
    close: Callable[[], None]
    prepare: Callable[[], None] = field(default=lambda: None)
    directory: Path | None = None


def destination(settings: Settings, importing: "Importing | None" = None) -> Destination:
    """The album as a destination of items; ``importing``: what takes them in with their sidecars. Raises
    :class:`ConfigurationError`."""
    require()
    from ...album.ingest import Ingest

    url = check_url(settings.album or "")
    if settings.originals is None:
        raise ConfigurationError("say where the originals go: --originals URL", PLACES)
    _refuse_what_does_not_apply(settings)
    keys, keeping = _keeping(replace(settings, to=settings.originals, album=None))

    async def keep(item: Item, sha256: str, key: str) -> dict[str, Any]:
        try:
            with keys.told(sha256, key):
                return await keeping.process(item) or {}
        except Permanent as error:  # the destination's own hint is about keys that are made of names
            raise Permanent(error.message, hint=_DAMAGED, reason="content") from error

    amend = importing.amend if importing is not None else None
    ingest = Ingest(lambda: pictures(settings), keep, lambda: open_quietly(url), by=settings.addedby or "", amend=amend)
    if importing is not None:
        importing.ingest = ingest
    where = f"{settings.originals.rstrip('/')}/{keys_of_all()}"
    return Destination(
        url,
        importing or ingest,
        lambda name, mtime: f"{where} and {url}",
        keeping.describe,
        keeping.close,
        lambda: _prepare(keeping, url),
        f"taking photos into {url}, originals into {settings.originals}",
        ingest.close,
    )


def keys_of_all() -> str:
    """What the keys of originals look like, for people."""
    return "originals/<2 hex>/<sha256>.<extension>"


def pictures(settings: Settings) -> "Pictures":
    """What decodes pictures: as many child processes as this one's share of the processors."""
    from ...processors.photo import Pictures

    most = settings.share.part(machine.processors())
    return Pictures(children=min(most, settings.concurrency or most))


async def open_quietly(url: str) -> Store:
    """The album, which must have been made, to write to it. Raises :class:`StoreError`."""
    from ...album import public_album
    from ...album.open import open_store

    store = await open_store(url)
    try:
        await public_album.refuse(store)
    except BaseException:
        await store.close()
        raise
    return store


async def refuse_public(store: Store) -> None:
    """Raise :class:`ConfigurationError` where this is a public album, which is about to be written to; and
    :class:`StoreError` where it cannot be asked now."""
    from ...album import public_album

    try:
        await public_album.refuse(store)
    except StoreError as error:
        if error.is_temporary:
            raise
        raise ConfigurationError(error.message, error.hint) from error


def _refuse_what_does_not_apply(settings: Settings) -> None:
    default = Settings()
    for name in ("key", "if_exists", "content_type"):
        if getattr(settings, name) != getattr(default, name):
            flag = "--" + name.replace("_", "-")
            raise ConfigurationError(
                f"{flag} does not go with --album", "An original's key is made of its content, so none meets another."
            )


def _prepare(keeping: _Keeping, url: str) -> None:
    """See that the album is there, and make what must be there besides. An album that cannot be reached now is waited
    for. The directory of originals is only made for an album without photos: otherwise it is a disk that is not
    mounted, or typed wrong."""

    async def count() -> int:
        async with opened(url) as store:
            await refuse_public(store)
            return await store.count(Query())

    photos = 0
    try:
        photos = asyncio.run(count())
    except StoreError as error:
        warn(error.message, error.hint)
    if photos and keeping.directory is not None and not keeping.directory.is_dir():
        raise ConfigurationError(
            f"{keeping.directory} is not there, and the album has {counted(photos, 'photo')}",
            f"Mount the disk of the originals, or correct --originals. For a new place: mkdir {keeping.directory}",
        )
    keeping.prepare()


def _keeping(settings: Settings) -> tuple[KeysByContent, _Keeping]:
    """The delivery to where the settings' ``to`` says, under keys that are told."""
    url = settings.to or ""
    scheme = url.partition("://")[0]
    if scheme == "file":
        keys = KeysByContent()
        delivery, directory = file_delivery(settings, url, keys)
        threads = ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="originals")

        async def nothing() -> str:
            return ""

        def close() -> None:
            threads.shutdown(wait=False, cancel_futures=True)

        return keys, _Keeping(as_coroutine(delivery, threads), nothing, close, lambda: make(directory), directory)
    if scheme == "s3":
        keys = KeysByContent(_prefix(url))
        bucket = s3_delivery(settings, keys)
        return keys, _Keeping(bucket, bucket.describe, bucket.close)
    if scheme in CLOUDS:
        keys = KeysByContent(_prefix(url))
        cloud = cloud_delivery(settings, keys)
        return keys, _Keeping(cloud, cloud.describe, cloud.close)
    raise ConfigurationError(f"there can be no originals at {url}", PLACES)


def _prefix(url: str) -> str:
    """What comes after the bucket, checked as a key's beginning. Raises :class:`TemplateError`."""
    prefix = url.partition("://")[2].partition("/")[2]
    return KeyTemplate(prefix=prefix).prefix


# --- check


async def check(settings: Settings) -> AsyncIterator[Finding]:
    """Can photos be taken in? Raises :class:`ConfigurationError`."""
    destination(settings).close()
    try:
        async with opened(settings.album or "") as store:
            await refuse_public(store)
            yield ok("album", f"opened {store.url}, as server {store.server}")
    except (StoreError, ConfigurationError) as error:
        yield failed("album", error.message, error.hint)
    for finding in decoders():
        yield finding


def decoders() -> list[Finding]:
    """What can be read beside what Pillow reads."""
    found = []
    for subject, module, extra in (("HEIC", "pillow_heif", "heic"), ("RAW", "rawpy", "raw")):
        if importlib.util.find_spec(module) is not None:
            found.append(ok(subject, f"read by {module}"))
        else:
            hint = f"Such files are kept, without a picture to show. Try: pip install 'jollyae[{extra}]'"
            found.append(warning(subject, f"{module} is not installed", hint))
    if program := shutil.which("ffmpeg"):
        found.append(ok("video", f"posters by {program}"))
    else:
        hint = "Videos are kept, without a picture to show. Install ffmpeg for one."
        found.append(warning("video", "ffmpeg is not installed", hint))
    return found
