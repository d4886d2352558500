"""An album by its URL: ``sqlite:///path`` (from the working directory), ``sqlite:////path`` (from the root), or
``http(s)://[user@]host[:port]/database`` for CouchDB, whose password is in ``JOLLYAE_ALBUM_PASSWORD`` or in the file
that ``JOLLYAE_ALBUM_PASSWORD_FILE`` names.
"""

import os
from urllib.parse import unquote, urlsplit

from .store import Store, StoreError

_VALID = "Write sqlite:///path/to/album.db, or http(s)://user@host:5984/database."
_EXTRA = "pip install 'jollyae[album]'"


async def open_store(url: str, *, create: bool = False) -> Store:
    """The album at that URL, open. ``create``: make it if it is missing. Raises :class:`StoreError`."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme == "sqlite":
        return await _open_sqlite(url, create)
    if scheme in ("http", "https"):
        return await _open_couch(url, create)
    # Not the whole URL: there may be a password in it.
    raise StoreError(f"not an album's URL: {f'{scheme}://…' if scheme else url}", _VALID)


async def _open_sqlite(url: str, create: bool) -> Store:
    from .sqlite import open_sqlite

    path = sqlite_path(url)
    _refuse_one_slash_too_few(path)
    return await open_sqlite(path, create=create)


def _refuse_one_slash_too_few(path: str) -> None:
    """``file:///srv`` is from the root; ``sqlite:///srv`` by custom from here. Say so to who mixes them up."""
    here, root = (os.path.dirname(os.path.join(base, path)) for base in (os.getcwd(), "/"))
    if not os.path.isabs(path) and not os.path.isdir(here) and os.path.isdir(root):
        raise StoreError(f"there is no directory {here}", f"From the root it has four slashes: sqlite:////{path}")


async def _open_couch(url: str, create: bool) -> Store:
    try:
        import httpx  # noqa: F401 - asked for here, so that its absence is told in one sentence
    except ImportError:
        raise StoreError(
            "an album in CouchDB needs packages that are not installed", f"Install them: {_EXTRA}"
        ) from None
    from .couch import open_couch

    return await open_couch(url, create=create)


def sqlite_path(url: str) -> str:
    """The path that a ``sqlite:`` URL names. Raises :class:`StoreError`.

    >>> sqlite_path("sqlite:///photos/album.db"), sqlite_path("sqlite:////var/lib/album.db")
    ('photos/album.db', '/var/lib/album.db')
    """
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"), errors="surrogateescape")
    if parts.netloc:
        raise StoreError(
            f"a file has no host: {url}", f"Write three slashes: sqlite:///{parts.netloc}{parts.path}, or four for /…"
        )
    if parts.query or parts.fragment:
        raise StoreError(f"“?” and “#” in a path are written %3F and %23: {url}", _VALID)
    if not path or path.endswith("/") or "\0" in path:
        raise StoreError(f"no file is named: {url}", _VALID)
    return path
