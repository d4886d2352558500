"""``jollyae web``: the dashboard, in a browser."""

import argparse
import asyncio
import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .options import OUTPUT, Option, UsageError, add_all

if TYPE_CHECKING:
    from ..web.queue import Queue

LISTEN = "127.0.0.1:8420"


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
    Option(("--config", "-c"), "show the queues of this configuration", "FILE"),
    Option(("--listen",), f"where to listen; this machine only, unless told (default: {LISTEN})", "HOST:PORT",
           None, listen),
    Option(("--read-only",), "nobody may do anything, only look", parse=None),
    Option(("--prefix",), "a path that comes before all of its addresses, where a proxy has it there", "PATH",
           "", prefix),
)
ACCESS = (
    Option(("--token-file",), "a file with the token to log in with; a line 'read-only TOKEN' only lets look", "FILE"),
    Option(("--certificate",), "serve by https with this certificate (PEM)", "FILE"),
    Option(("--key",), "the certificate's key (PEM), where it is not in the same file", "FILE"),
    Option(("--allow-host",), "a name under which browsers find it; *.example.org for all below; repeatable", "NAME",
           (), many=True),
)  # fmt: skip


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("spools", metavar="SPOOL", nargs="*", help="the spool's directory")
    add_all(parser, "the dashboard", OPTIONS)
    add_all(parser, "who gets in (all of it is needed beyond this machine)", ACCESS)
    add_all(parser, "output", OUTPUT)


def main(arguments: argparse.Namespace) -> int:
    """Serve, until told to stop."""
    from ..service.settings import ConfigurationError
    from . import output

    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn", "jinja2", "itsdangerous")):
        raise ConfigurationError("the dashboard is not installed", "Try: pip install 'jollyae[web]'")
    if bool(arguments.spools) == bool(arguments.config):
        raise UsageError("say what to show", hint="Try: jollyae web SPOOL…, or jollyae web -c FILE")
    return asyncio.run(_main(arguments))
