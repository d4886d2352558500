"""``jollyae web``: the dashboard, in a browser."""

import argparse
import asyncio
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import where
from .options import OUTPUT, Option, UsageError, add_all, address, was_given
from .run_options import KEYS

if TYPE_CHECKING:
    from ..service.config import Config, Web
    from ..spool.spool import Spool
    from ..web.model import Find
    from ..web.queue import Queue
    from ..web.serving import Serving

LISTEN = "127.0.0.1:8420"
NEEDED = ("starlette", "uvicorn", "jinja2", "itsdangerous", "multipart")
"""What the extra ``web`` brings."""


def prefix(text: str) -> str:
    """A path, with a slash before and none after it. Raises :class:`ValueError`.

    >>> prefix("/jollyae/"), prefix("/")
    ('/jollyae', '')
    """
    found = text.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._~/-]*", found) or ".." in found or "//" in found:
        raise ValueError(f"{text!r} must be a path, as /jollyae")
    return f"/{found}" if found else ""


LISTENING = Option(("--listen",), "where to listen; a port alone is on loopback", "HOST:PORT", LISTEN, address)
READ_ONLY = Option(("--read-only",), "nobody may do anything, only look", parse=None)
PREFIX = Option(("--prefix",), "a path that comes before all of its addresses, behind a proxy", "PATH", "", prefix)
TOKEN_FILE = Option(("--token-file",), "the token to log in with; a line 'read-only TOKEN' only lets look", "FILE")
CERTIFICATE = Option(("--certificate",), "serve by https with this certificate (PEM)", "FILE")
KEY = Option(("--certificate-key", "--key"), "the certificate's key (PEM), where it is not in the same file", "FILE")
ALLOW_HOST = Option(
    ("--allow-host",), "a name under which browsers find it; *.example.org for all below; repeatable", "NAME", (),
    many=True,
)  # fmt: skip
OPTIONS = (LISTENING, READ_ONLY, PREFIX)
ACCESS = (TOKEN_FILE, CERTIFICATE, KEY, ALLOW_HOST)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument("spools", metavar="SPOOL", nargs="*", help="the spool's directory; or -c FILE")
    where.CONFIG.add_to(parser)
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
    if arguments.spools and was_given(where.CONFIG, arguments, environment=False):
        raise UsageError(f"both {arguments.spools[0]} and -c {arguments.config}: say only one of them")
    run.logging_for(arguments)
    config = None if arguments.spools else _config(arguments)
    queues = _of_config(config) if config else _of_spools(arguments.spools)
    try:
        return asyncio.run(_serve(queues, arguments, config.web if config else None, _finder(arguments, config)))
    except KeyboardInterrupt:
        return 130


async def _serve(queues: "Sequence[Queue]", arguments: argparse.Namespace, web: "Web | None", find: "Find") -> int:
    from ..http.serving import CannotListen
    from ..web import serving
    from .album.common import complain

    try:
        await serving.serve(queues, _serving(arguments, web), find=find, ready=_ready)
    except CannotListen as error:
        complain(error.message, error.hint)
        return 1
    return 0


def _serving(arguments: argparse.Namespace, web: "Web | None") -> "Serving":
    """What the command line and the environment say, else the file, else the defaults."""
    from ..service.observing import exporter
    from ..web.serving import Serving

    def said(option: Option, key: str) -> Any:
        is_filed = web is not None and not was_given(option, arguments)
        return getattr(web, key) if is_filed else getattr(arguments, option.dest)

    host, port = exporter.address(said(LISTENING, "listen"))
    return Serving(
        host=host,
        port=port,
        token_file=said(TOKEN_FILE, "token_file") or "",
        certificate=said(CERTIFICATE, "certificate") or "",
        key=said(KEY, "key") or "",
        hosts=said(ALLOW_HOST, "hosts"),
        is_read_only=said(READ_ONLY, "read_only"),
        prefix=prefix(said(PREFIX, "prefix")),
    )


def _config(arguments: argparse.Namespace) -> "Config":
    """The configuration that is meant."""
    from ..service import config
    from ..service.settings import ConfigurationError

    try:
        path = config.find({config.VARIABLE: arguments.config} if arguments.config else os.environ)
    except ConfigurationError as error:
        raise UsageError(f"name a SPOOL or -c FILE; {error.message}", hint="Try: jollyae web SPOOL") from error
    return config.load(path, KEYS)


def _finder(arguments: argparse.Namespace, config: "Config | None") -> "Find":
    """Finds the queues again: a notification's comes later than its queue, and a configuration is changed. A file that
    cannot be used changes nothing, and raises what is told then, :class:`ConfigurationError`."""

    def find() -> "Sequence[Queue] | None":
        try:
            return _of_config(_config(arguments)) if config else _of_spools(arguments.spools)
        except (UsageError, OSError):
            return None

    return find


def _of_config(config: "Config") -> "list[Queue]":
    """The queues of a configuration; one whose spool is not there is shown as that."""
    from ..spool.spool import Spool
    from ..web.queue import Queue

    found: list[Queue] = []
    for one in config.queues:
        to = one.settings.to or one.settings.exec or one.settings.album or ""
        spool = Spool(places=one.places, make=False)
        path, is_wanted = os.path.abspath(config.path), one.settings.idle_exit is None
        found += _processes(Queue(one.name, spool, to, path, is_wanted), one.settings.processes)
        told = {target.name for target in one.settings.targets()}
        for queue in _messages(one.name, spool):  # of a target that was removed from the file nobody sends the rest
            is_told = queue.spool.places.control.name in told
            found.append(replace(queue, config=path, is_wanted=is_wanted) if is_told else queue)
    return found


def _of_spools(spools: Sequence[str]) -> "list[Queue]":
    """The spools as queues, each called by the last part of its path, or more of it where two would be called alike."""
    from ..spool import names
    from ..spool.places import Places
    from ..web.queue import Queue

    found: dict[str, list[Queue]] = {}
    for text in spools:
        spool = where.made(Places.under(text))
        parts = [names.show(part) for part in Path(text).absolute().parts[1:]] or ["spool"]
        called = next((name for n in range(1, len(parts) + 1) if (name := "-".join(parts[-n:])) not in found), None)
        if called is not None:  # else it is named a second time
            found[called] = [*_processes(Queue(called, spool), 0), *_messages(called, spool)]
    return [queue for queues in found.values() for queue in queues]


def _processes(whole: "Queue", wanted: int) -> "Iterator[Queue]":
    """The queue; or, where several processes take from a broker into its directory, the spool of each. ``wanted``: of
    so many a worker should run. A command line names such a one by its directory: in the file it has no name."""
    from ..service import workdirs
    from ..spool.spool import Spool

    control = whole.spool.places.control
    is_whole = whole.is_wanted and wanted == 1  # one process works in the directory itself
    spools = workdirs.spools(whole.spool.places, is_wanted=is_whole)
    for places in spools:
        if places.control == control:
            yield whole if len(spools) == 1 else replace(whole, is_wanted=is_whole)
        else:
            name, number = f"{whole.name}/{places.control.name}", int(places.control.name)
            is_wanted = whole.is_wanted and number < wanted != 1
            part = Spool(places=places, make=False)
            yield replace(whole, name=name, spool=part, config="", is_wanted=is_wanted)


def _messages(name: str, about: "Spool") -> "Iterator[Queue]":
    """The queues of the messages about a queue's deliveries, where there are any."""
    from ..service.notifications import DIRECTORY
    from ..spool.places import Places
    from ..spool.spool import Spool
    from ..web.queue import Queue

    for directory in sorted((about.places.control / DIRECTORY).glob("*/incoming")):
        yield Queue(f"{name}/{directory.parent.name}", Spool(places=Places.under(directory.parent), make=False))


def _ready(address: str) -> None:
    print(f"The dashboard is at {address}", flush=True)
    if sys.stdout.isatty():
        print("Ctrl-C ends it.", flush=True)
