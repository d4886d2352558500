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
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Unpack

import uvicorn

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
    config = uvicorn.Config(
        make_app(store, **options),
        log_level="warning",
        access_log=False,  # who looks at what is nobody's business, and a proxy has a log of its own
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=10,
    )
    server = _Server(config)
    with socket.create_server((host, port), family=_family(host), backlog=256) as listening:
        name, number = listening.getsockname()[:2]
        ready(f"http://{f'[{name}]' if ':' in name else name}:{number}/")
        with _signals(server) if stop is None else nullcontext(asyncio.Event()) as signalled:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            stopping = asyncio.create_task((stop or signalled).wait())
            try:
                await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                server.should_exit = True
                await serving


class _Server(uvicorn.Server):
    """A server that leaves signals alone: its own way with them is to raise them once more when all is done, which
    would end the program before its store is closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _signals(server: uvicorn.Server) -> Iterator[asyncio.Event]:
    """Set by the first SIGTERM or SIGINT; the second ends what is still going on."""
    loop, signalled = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        server.force_exit = signalled.is_set()
        signalled.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield signalled
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
