"""The companion that tells others how the queues are: /metrics, /livez and /readyz over HTTP, a textfile for the node
exporter, and a sign of life for who waits for one.

It is a process of its own, fed through a socket with ``(queue, snapshot)`` by the parent of the workers, so nothing
that asks it can hold up an item, and what it answers is what it was told last: it never looks at a spool. At the end of
the feed it ends.
"""

import asyncio
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from ...spool import fs, names
from ...worker.state import Snapshot
from ...worker.telling import notice, warn
from ..processes.companions import Companion
from ..processes.siblings import Line
from ..settings import ConfigurationError
from . import metrics, standing
from .metrics import Reload, Seen
from .totals import Totals

FILE_EVERY = 15.0
"""Seconds between two writings of the textfile."""
BEAT_EVERY = 300.0
"""Seconds between two signs of life."""
BEAT_WITHIN = 30.0
"""Seconds for the answer to one."""
BEAT_AGAIN = 30.0
"""Seconds until the next try where there was none to be given, or nobody took it."""
BEAT_PATIENCE = 60.0
"""Seconds for which that is no news: the queues have just begun, or a try was lost."""
FIRST_LOOK = 1.0
"""Seconds after the start until the first file and sign of life, so that the queues have been heard of."""
_HEAD_MOST = 16 * 1024  # bytes of a request
_HEAD_WITHIN = 60.0  # seconds until it is there: as long as a scraper keeps its connection between two scrapes
_CONNECTIONS = 64
_BACKLOG = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Where to tell it. ``addr``: HOST:PORT, or :PORT on loopback; ``file``: a path that ends with .prom;
    ``heartbeat_url``: gets a GET now and then while all queues move."""

    addr: str | None = None
    file: str | None = None
    heartbeat_url: str | None = None

    def __bool__(self) -> bool:
        return any((self.addr, self.file, self.heartbeat_url))


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``, ``:PORT`` or ``PORT``; without a host it is loopback. Raises :class:`ValueError`.

    >>> address("9464"), address("[::1]:9464"), address("0.0.0.0:9464")
    (('127.0.0.1', 9464), ('::1', 9464), ('0.0.0.0', 9464))
    """
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} must be HOST:PORT, such as 127.0.0.1:9464")
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare and bare == host:
        raise ValueError(f"{text!r}: write an IPv6 address as [ADDRESS]:PORT")
    return bare or "127.0.0.1", int(port)


def textfile(text: str) -> str:
    """The path of a textfile. Raises :class:`ValueError`."""
    if not text.endswith(".prom"):
        raise ValueError(f"{text!r} must end with .prom: the node exporter reads no other file")
    return text


def heartbeat(text: str) -> str:
    """The URL of who waits for a heartbeat. Raises :class:`ValueError`."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{text!r} must be http://… or https://…")
    return text


def listen(addr: str) -> socket.socket:
    """A socket that listens there. Raises :class:`ConfigurationError`."""
    host, port = address(addr)
    try:
        (family, kind, protocol, _, where), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(where)
            found.listen(_BACKLOG)
        except OSError:
            found.close()
            raise
    except OSError as error:
        hint = "Does another program listen there? Give --metrics-addr another port." if error.errno else ""
        raise ConfigurationError(f"cannot listen on {addr} for metrics: {error.strerror}", hint) from error
    return found


# --- what was heard


class Check(NamedTuple):
    """What is looked at; what is against it, '' where nothing is; and what there is to say though it is well."""

    what: str
    against: str
    remark: str = ""

    def __str__(self) -> str:
        return f"[{'-' if self.against else '+'}]{self.what} {self.against or self.remark or 'ok'}"


class Page(Protocol):
    """What is told to who asks."""

    def text(self, *, open_metrics: bool = False) -> str:
        """The page of metrics."""

    def alive(self, now: float) -> Iterator[Check]:
        """What is looked at, and what is against its being alive."""

    def ready(self, now: float) -> Iterator[Check]:
        """What is looked at, and what is against its being ready."""


class Heard:
    """What the feed told last, of each queue."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
        self._totals = Totals()
        self.reload: Reload | None = None

    def hear(self, queue: str, told: Snapshot | Reload | None) -> None:
        """One message: a queue's snapshot, None where the queue is gone, or how the configuration was read. A queue of
        messages about another one's deliveries is called QUEUE/TARGET."""
        if isinstance(told, Reload):
            self.reload = told
        elif told is None:
            self._seen.pop(queue, None)
            self._totals.forget(queue)
        else:
            self._seen[queue] = Seen(queue, self._totals.add(queue, told), queue.partition("/")[2])

    def text(self, *, open_metrics: bool = False) -> str:
        """The page of metrics."""
        return metrics.text(self._seen.values(), self.reload, open_metrics=open_metrics)

    def alive(self, now: float) -> Iterator[Check]:
        """Of each queue, what is against its being alive."""
        for one in self._seen.values():
            lives = standing.lives(one.snapshot, now)
            against = "" if lives else f"silent for {standing.silence(one.snapshot, now):.0f} s"
            yield Check(f"queue {one.queue}", against)

    def ready(self, now: float) -> Iterator[Check]:
        """As :meth:`alive`, with how the destinations are. That somebody cannot be notified is said, and is no reason
        not to be ready: it keeps no item from being delivered."""
        if not self._seen:
            yield Check("queues", "none has been heard of yet")
        yield from self.alive(now)
        for one in self._seen.values():
            paused = one.snapshot.paused
            why = "" if paused is None or paused.by == "hand" else f"paused: {paused.reason or metrics.OTHER}"
            if one.target:
                yield Check(f"notifications {one.queue}", "", f"{why}; they wait, items do not" if why else "")
            else:
                yield Check(f"destination of {one.queue}", why)

    def why_still(self, now: float) -> str:
        """Why there is no sign of life to be given; '' where all is well."""
        if not self._seen:
            return "no queue has been heard of yet"
        reasons = ((one.queue, self._against(one, now)) for one in self._seen.values())
        return "; ".join(f"{queue}: {why}" for queue, why in reasons if why)

    def _against(self, one: Seen, now: float) -> str:
        if one.target and standing.lives(one.snapshot, now):
            return ""  # that a message waits keeps no item from being delivered
        return standing.why_still(one.snapshot, now)


# --- HTTP


def answer(heard: Page, method: str, target: str, accept: str, now: float) -> tuple[int, str, str]:
    """The status, the type and the body for a request."""
    path, _, query = target.partition("?")
    if path not in ("/metrics", "/livez", "/readyz", "/"):
        return 404, "text/plain; charset=utf-8", "not found: there are /metrics, /livez and /readyz\n"
    if method not in ("GET", "HEAD"):
        return 405, "text/plain; charset=utf-8", "only GET\n"
    if path == "/":
        return 200, "text/plain; charset=utf-8", "jollyae: /metrics /livez /readyz\n"
    if path == "/metrics":
        wants_open = metrics.wants_open_metrics(accept)
        return 200, metrics.OPEN_METRICS if wants_open else metrics.TEXT, heard.text(open_metrics=wants_open)
    checks = list(heard.alive(now) if path == "/livez" else heard.ready(now))
    well = not any(check.against for check in checks)
    lines = [str(check) for check in checks]
    verbose = any(word.partition("=")[0] == "verbose" for word in query.split("&"))
    body = [*lines, f"{path[1:]} check {'passed' if well else 'failed'}"] if verbose or not well else ["ok"]
    return 200 if well else 503, "text/plain; charset=utf-8", "\n".join(body) + "\n"


_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class _Server:
    def __init__(self, heard: Page, now: Callable[[], float] = time.time) -> None:
        self._heard = heard
        self._now = now
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until its end."""
        self._open += 1
        try:
            while self._open <= _CONNECTIONS:
                async with asyncio.timeout(_HEAD_WITHIN):
                    head = await reader.readuntil(b"\r\n\r\n")
                    if not await self._reply(head.decode("latin-1"), writer):
                        break
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # TimeoutError is an OSError: whoever asked is gone, or asks nothing
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _reply(self, head: str, writer: asyncio.StreamWriter) -> bool:
        """Answer; whether the connection may be used again."""
        first, *rest = head.split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        words = first.split(" ")
        stays = len(words) == 3 and words[2] == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            status, kind, text = 400, "text/plain; charset=utf-8", "bad request\n"
        else:
            status, kind, text = answer(self._heard, words[0], words[1], fields.get("accept", ""), self._now())
        if "content-length" in fields or "transfer-encoding" in fields:
            stays = False  # a body is not read
        body = text.encode()
        lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        lines += ["Cache-Control: no-store", "X-Content-Type-Options: nosniff"]
        lines += [] if stays else ["Connection: close"]
        lines += ["Allow: GET, HEAD"] if status == 405 else []
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        if words[0] != "HEAD":
            writer.write(body)
        await writer.drain()
        return stays


async def answering(page: Page, listening: socket.socket) -> asyncio.Server:
    """Answer who asks there, until the server is closed."""
    server = await asyncio.start_server(_Server(page).serve, sock=listening, limit=_HEAD_MOST)
    notice("metrics on http://%s/metrics", _shown(listening))
    return server


# --- file and heartbeat


def write_file(path: str, text: str) -> None:
    """Put the page where the node exporter finds it: whole or not at all, and readable for all. Raises
    :class:`OSError`."""
    beside = f"{path}.{os.getpid()}.tmp"  # .tmp: the node exporter does not read it
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o644)  # whatever the umask says
            file.write(text)
        os.rename(beside, path)
    except BaseException:
        fs.discard(beside)
        raise


async def keep_file(path: str, page: Page) -> None:
    """Write it every 15 s, for ever; what fails is told once, and tried again."""
    teller = _Teller(f"cannot write {path}", "See that its directory is there and that we may write in it.")
    await _every(FILE_EVERY, FILE_EVERY, lambda: write_file(path, page.text()), teller)


def beat(url: str) -> None:
    """One sign of life. Raises :class:`OSError`."""
    request = urllib.request.Request(url, headers={"User-Agent": "jollyae"})
    with urllib.request.urlopen(request, timeout=BEAT_WITHIN) as reply:
        reply.read(1024)


class _Teller:
    """Tells in the log what goes wrong, once, if it does so for ``patience`` seconds, and when it is well again."""

    def __init__(self, what: str, hint: str, patience: float = 0.0) -> None:
        self._what, self._hint, self._patience = what, hint, patience
        self._told = ""
        self._since = float("inf")

    def tell(self, trouble: str) -> None:
        """How the last try went; '' where it did."""
        now = time.monotonic()
        self._since = min(self._since, now) if trouble else float("inf")
        kind = re.sub(r"\d+", "", trouble)  # that it lasts longer is no news
        if trouble and kind != self._told and now - self._since >= self._patience:
            warn(f"{self._what}: {names.printable(trouble)}", self._hint)
            self._told = kind
        elif self._told and not trouble:
            notice("%s: well again", self._what)
            self._told = ""


async def _every(seconds: float, again: float, chore: Callable[[], None], teller: _Teller) -> None:
    """Do it every ``seconds``; where it failed, ``again`` seconds later. In a thread of its own, for which nobody waits
    at the end: it may hang with a disk or a server."""
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    await asyncio.sleep(min(FIRST_LOOK, seconds))
    while True:
        try:
            await loop.run_in_executor(thread, chore)
        except Exception as error:  # also HTTPException, which is no OSError: the next try may go well
            said = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
            teller.tell(str(said) or type(error).__name__)
            await asyncio.sleep(min(again, seconds))
        else:
            teller.tell("")
            await asyncio.sleep(seconds)


# --- the companion

_LISTENING: dict[str, socket.socket] = {}  # by address; the parent's, so one that is started again need not wait for it


def companions(wanted: Wanted, *, strict: bool = True) -> tuple[Companion, ...]:
    """The companions for a plan: one, or none where nothing is wanted. What listens already goes on, and what is not
    wanted any more is closed, when the new is had. Raises :class:`ConfigurationError` where nothing can listen; if not
    ``strict`` the companion tries it itself, again and again."""
    if wanted.addr and wanted.addr not in _LISTENING:
        try:
            _LISTENING[wanted.addr] = listen(wanted.addr)
        except ConfigurationError:
            if strict:
                raise
    for addr in [addr for addr in _LISTENING if addr != wanted.addr]:
        _LISTENING.pop(addr).close()
    if not wanted:
        return ()
    return (Companion("metrics", serve, (wanted, _LISTENING.get(wanted.addr or ""))),)


def try_out(wanted: Wanted) -> None:
    """See whether a companion could listen there. Raises :class:`ConfigurationError`."""
    if wanted.addr and wanted.addr not in _LISTENING:
        listen(wanted.addr).close()


def serve(feed: Line, wanted: Wanted, listening: socket.socket | None = None) -> int:
    """Be the companion: tell what the feed says, as wanted, until its end; the exit code. ``feed``: our end of the line
    to the parent. ``listening``: what :func:`listen` gave for ``wanted.addr``."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # the workers finish, and are told of meanwhile: the feed's end is ours
    try:
        if wanted.addr and listening is None:
            listening = listen(wanted.addr)
    except ConfigurationError as error:
        warn(error.message, error.hint)
        return os.EX_UNAVAILABLE
    asyncio.run(_serve(feed, wanted, listening))
    return 0


async def _serve(feed: Line, wanted: Wanted, listening: socket.socket | None) -> None:
    heard, over = Heard(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hear() -> None:
        for message in feed.reports():
            if message is None:
                loop.remove_reader(feed.fileno())
                over.set()
            else:
                heard.hear(*message)

    loop.add_reader(feed.fileno(), hear)
    chores = []
    server = None
    if listening is not None:
        server = await answering(heard, listening)
    if wanted.file:
        chores.append(keep_file(wanted.file, heard))
    if wanted.heartbeat_url:
        url = wanted.heartbeat_url
        hint = "Whoever waits for it will tell you that it is missing."
        teller = _Teller(f"no heartbeat to {urlsplit(url).hostname}", hint, BEAT_PATIENCE)
        chores.append(_every(BEAT_EVERY, BEAT_AGAIN, lambda: _beat_if_well(heard, url), teller))
    tasks = [asyncio.create_task(chore) for chore in chores]
    await over.wait()
    for task in tasks:
        task.cancel()
    if server is not None:
        server.close()
    if wanted.file:
        with suppress(OSError):
            write_file(wanted.file, heard.text())  # the last counts are told as well


class Still(OSError):
    """There is no sign of life to be given."""


def _beat_if_well(heard: Heard, url: str) -> None:
    if why := heard.why_still(time.time()):
        raise Still(why)
    beat(url)


def _shown(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
