"""Runs the dashboard: what may be asked of it from where, and until when."""

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..http import serving as server
from ..service.settings import ConfigurationError
from . import access
from .access import Access
from .app import make_app
from .model import Find
from .queue import Queue

LOG = logging.getLogger("jollyae.web")
PORT = 8420


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The options of ``jollyae web``. ``prefix``: '' or a path that begins with a slash and does not end with one."""

    host: str = "127.0.0.1"
    port: int = PORT
    token_file: str = ""
    certificate: str = ""
    key: str = ""
    hosts: tuple[str, ...] = ()
    is_read_only: bool = False
    prefix: str = ""


async def serve(
    queues: Sequence[Queue],
    serving: Serving,
    *,
    find: Find | None = None,
    stop: asyncio.Event | None = None,
    ready: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve the dashboard of those queues until ``stop`` is set, or SIGTERM or SIGINT; ``ready`` is called with its
    address. Raises :class:`ConfigurationError`, and :class:`~..http.serving.CannotListen` where the port cannot be
    had."""
    who = allowed(serving)
    app = make_app(queues, find=find, access=who, hosts=serving.hosts, prefix=serving.prefix)
    site = app.state.site
    is_ready = False

    def listening(address: str) -> None:
        nonlocal is_ready
        is_ready = True
        ready(address.rstrip("/") + serving.prefix + "/")

    try:
        await server.serve(
            app,
            serving.host,
            serving.port,
            stop=stop,
            ready=listening,
            ending=site.stopping.set,
            certificate=serving.certificate,
            key=serving.key,
        )
    except OSError as error:
        if is_ready:
            raise
        raise server.why_not(
            error, serving.host, serving.port, host_option="--listen", port_option="--listen HOST:PORT"
        ) from error
    finally:
        site.dashboard.close()


def allowed(serving: Serving) -> Access:
    """Who may come in. Raises :class:`ConfigurationError` where others could who should not."""
    if serving.key and not serving.certificate:
        raise ConfigurationError("--key without --certificate", "Give both: --certificate FILE --key FILE")
    if serving.certificate:
        readable(serving.certificate, serving.key)
    if not is_loopback(serving.host):
        lacking = [
            text for text, is_there in (("a token", serving.token_file), ("TLS", serving.certificate)) if not is_there
        ]
        if lacking:
            raise ConfigurationError(
                f"at {serving.host or 'all addresses'} other machines reach the dashboard, and it has no "
                f"{' and no '.join(word.removeprefix('a ') for word in lacking)}",
                "Give --token-file FILE, --certificate FILE and --key FILE; or listen at 127.0.0.1, with an ssh tunnel "
                "or a proxy that has them: docs/DASHBOARD.md",
            )
    if not serving.token_file:
        return Access(is_read_only=serving.is_read_only)
    tokens, warning = access.read(serving.token_file)
    if warning:
        LOG.warning("%s", warning)
    return Access(tokens, serving.is_read_only)


def readable(certificate: str, key: str) -> None:
    """Try the certificate before anything listens. Raises :class:`ConfigurationError`."""
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        said = error.strerror or str(error)
        what = certificate if not key else f"{certificate} with the key {key}"
        raise ConfigurationError(
            f"cannot use the certificate {what}: {said}",
            "Both must be PEM files that this user may read, and belong together",
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", "example.org")]
    [True, True, True, False, False, False]
    """
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
