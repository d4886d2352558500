"""Serves a website until it is told to stop: by uvicorn, with signals and TLS as we want them."""

import asyncio
import errno
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import uvicorn
from starlette.types import ASGIApp

FINISHES = 10
"""Seconds that requests in hand get when the server ends."""


class CannotListen(Exception):
    """There is no listening at that address and port. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    stop: asyncio.Event | None = None,
    ready: Callable[[str], object] = lambda url: None,
    ending: Callable[[], object] = lambda: None,
    certificate: str = "",
    key: str = "",
) -> None:
    """Serve until ``stop`` is set or this is cancelled, and finish the requests in hand. Without ``stop``: until
    SIGTERM or SIGINT (from the main thread only); a second one ends the requests as well.

    ``ready`` is called with the address once it can be asked (``port`` 0: any that is free), ``ending`` before the
    requests in hand are waited for: what streams without an end has to end then. By https where there is a
    ``certificate``. Raises :class:`OSError` where the port cannot be had, or the certificate not be read."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # who looks at what is nobody's business, and a proxy has a log of its own
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=FINISHES,
        ssl_certfile=certificate or None,
        ssl_keyfile=key or None,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    server = _Server(config)
    with socket.create_server((host, port), family=_family(host), backlog=256) as listening:
        name, number = listening.getsockname()[:2]
        ready(f"{'https' if certificate else 'http'}://{f'[{name}]' if ':' in name else name}:{number}/")
        with _signals(server) if stop is None else nullcontext(asyncio.Event()) as signalled:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            stopping = asyncio.create_task((stop or signalled).wait())
            try:
                await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                ending()
                server.should_exit = True
                await serving


def why_not(error: OSError, host: str, port: int, *, host_option: str, port_option: str) -> CannotListen:
    """Why there was no listening, with the options that the operator gives to change it."""
    where = f"{host} port {port}"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return CannotListen(
            f"cannot listen at {where}: {host} is no address of this machine",
            f"Give {host_option} one that it has: 127.0.0.1 for this machine only, 0.0.0.0 for all.",
        )
    if error.errno == errno.EADDRINUSE:
        return CannotListen(
            f"cannot listen at {where}: another program listens there",
            f"Give another one: {port_option}; 0 is any that is free.",
        )
    if error.errno == errno.EACCES:
        return CannotListen(f"cannot listen at {where}: we may not", f"Give one of 1024 or more: {port_option}.")
    return CannotListen(
        f"cannot listen at {where}: {error.strerror}", f"Give another: {host_option} ADDRESS, {port_option}."
    )


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
