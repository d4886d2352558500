"""The album in a browser: pages made on the server, which work without JavaScript and are improved by a little of it.

:func:`make_app` is the app, :func:`serve` runs it. What its user has to know:

- **Who sees what.** Not logged in: photos whose category is Public, without place, serial numbers or private tags
  (those that begin with ``_``). A *friend* also sees Friends/Family and may comment. An *editor* sees and edits all,
  downloads originals, uploads, and adds users. The first editor is made by ``jollyae album init``.
- **A public server** (``public=True``, over a public database) answers GET and HEAD only, has no login, and reads
  nothing but that database.
- **Names.** It answers under ``localhost``, this machine's name, and addresses in numbers; for any other name, say it
  (``hosts``), or it answers 421.
- **https** is a proxy's work. A proxy on the same machine that sends ``X-Forwarded-Proto: https`` is believed; cookies
  are Secure then. Over plain http beyond this machine, passwords can be read on the way.
- **Upload** needs the spool (what is uploaded goes through it like everything else) and **downloads and videos** need
  the originals.
- **A store that does not answer** makes pages say so (503); the log says why. Nothing has to be restarted.
- Keys: arrows for previous and next, ``?`` for all others.
"""

import asyncio
from collections.abc import Callable
from typing import Unpack

from ...http import serving
from ..store import Store
from .app import Options, make_app
from .site import MAX_UPLOAD, Fetch, Submit, Trouble

__all__ = ["MAX_UPLOAD", "Fetch", "Options", "Submit", "Trouble", "make_app", "serve"]


async def serve(
    store: Store,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    stop: asyncio.Event | None = None,
    ready: Callable[[str], object] = lambda url: None,
    **options: Unpack[Options],
) -> None:
    """Serve the album until ``stop`` is set or this is cancelled, and finish the requests in hand. Without ``stop``:
    until SIGTERM or SIGINT (from the main thread only); a second one ends the requests as well.

    ``options`` are those of :func:`make_app`; ``ready`` is called with the album's URL once it can be asked (``port``
    0: any that is free). Raises :class:`OSError` where the port cannot be had. The store stays open."""
    await serving.serve(make_app(store, **options), host, port, stop=stop, ready=ready)
