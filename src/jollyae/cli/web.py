"""``jollyae web``: the dashboard, in a browser."""

import argparse
import asyncio
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import where
from .options import OUTPUT, Option, UsageError, add_all

if TYPE_CHECKING:
    from ..web.queue import Queue

LISTEN = "127.0.0.1:8420"
NEEDED = ("starlette", "uvicorn", "jinja2", "itsdangerous", "multipart")
"""What the extra ``web`` brings."""


def listen(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[::1]:PORT`` or ``PORT`` (of this machine only). Raises :class:`ValueError`.

    >>> listen("0.0.0.0:80"), listen("[::1]:8420"), listen("8421"), listen("localhost:0")
    (('0.0.0.0', 80), ('::1', 8420), ('127.0.0.1', 8421), ('localhost', 0))
    """
    host, colon, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535 or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError(f"{text!r} must be HOST:PORT, as {LISTEN}")
    return host.strip("[]") if colon else "127.0.0.1", int(port)


def prefix(text: str) -> str:
    """A path, with a slash before and none after it. Raises :class:`ValueError`.

    >>> prefix("/jollyae/"), prefix("/")
    ('/jollyae', '')
    """
    found = text.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._~/-]*", found) or ".." in found or "//" in found:
        raise ValueError(f"{text!r} must be a path, as /jollyae")
    return f"/{found}" if found else ""


OPTIONS = (
    Option(("--listen",), "where to listen; this machine only, unless told", "HOST:PORT", LISTEN, listen),
    Option(("--read-only",), "nobody may do anything, only look", parse=None),
    Option(
        ("--prefix",), "a path that comes before all of its addresses, where a proxy has it there", "PATH", "", prefix
    ),
)
ACCESS = (
    Option(("--token-file",), "a file with the token to log in with; a line 'read-only TOKEN' only lets look", "FILE"),
    Option(("--certificate",), "serve by https with this certificate (PEM)", "FILE"),
    Option(("--certificate-key", "--key"), "the certificate's key (PEM), where it is not in the same file", "FILE"),
    Option(("--allow-host",), "a name under which browsers find it; *.example.org for all below; repeatable", "NAME",
           (), many=True),
)  # fmt: skip


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("spools", metavar="SPOOL", nargs="*", help="the spool's directory")
    add_all(parser, "the dashboard", OPTIONS)
    add_all(parser, "who gets in (all of it is needed beyond this machine)", ACCESS)
    add_all(parser, "output", OUTPUT)
    parser.add_argument("-v", "--verbose", action="count", default=0, help="more in the log")
    parser.add_argument("-q", "--quiet", action="count", default=0, help="only trouble")


def main(arguments: argparse.Namespace) -> int:
    """Serve, until told to stop."""
    from ..service.settings import ConfigurationError
    from . import run

    if any(importlib.util.find_spec(name) is None for name in NEEDED):
        hint = "Try: pip install '.[web]' in the checkout"
        raise ConfigurationError("the dashboard's libraries are not installed", hint)
    if not arguments.spools:
        raise UsageError("say what to show", hint="Try: jollyae web SPOOL…")
    run.logging_for(arguments)
    try:
        return asyncio.run(_main(arguments))
    except KeyboardInterrupt:
        return 130


async def _main(arguments: argparse.Namespace) -> int:
    from ..http.serving import CannotListen
    from ..web import serving
    from .album.common import complain

    host, port = arguments.listen
    options = serving.Serving(
        host=host,
        port=port,
        token_file=arguments.token_file or "",
        certificate=arguments.certificate or "",
        key=arguments.certificate_key or "",
        hosts=arguments.allow_host,
        is_read_only=arguments.read_only,
        prefix=arguments.prefix,
    )
    try:
        await serving.serve(_queues(arguments.spools), options, ready=_ready)
    except CannotListen as error:
        complain(error.message, error.hint)
        return 1
    return 0


def _queues(spools: Sequence[str]) -> "list[Queue]":
    """The spools as queues, each called by the last part of its path, or more of it where two would be called alike."""
    from ..spool import names
    from ..spool.places import Places
    from ..web.queue import Queue

    found: dict[str, Queue] = {}
    for text in spools:
        spool = where.made(Places.under(text))
        parts = [names.show(part) for part in Path(text).absolute().parts[1:]] or ["spool"]
        called = next((name for n in range(1, len(parts) + 1) if (name := "-".join(parts[-n:])) not in found), None)
        if called is not None:
            found[called] = Queue(called, spool)
    return list(found.values())


def _ready(address: str) -> None:
    print(f"The dashboard is at {address}", flush=True)
    if sys.stdout.isatty():
        print("Ctrl-C ends it.", flush=True)
