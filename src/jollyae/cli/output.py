"""What people and programs see: the log on stderr, the live line on a terminal, data on stdout."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

from ..service.units import ago, human
from ..spool.names import printable
from ..worker.state import Snapshot
from . import terminal

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEVELS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    25: "notice",
    logging.WARNING: "warning",
    logging.ERROR: "error",
}
_ERASE = "\r\x1b[2K"
_COLOURS = {"notice": "\x1b[36m", "warning": "\x1b[33m", "error": "\x1b[31m", "info": "\x1b[32m", "debug": "\x1b[2m"}


def wants_colour(when: str, stream: TextIO) -> bool:
    """``--color``: 'auto' means on a terminal, unless NO_COLOR is set or the terminal is dumb."""
    if when != "auto":
        return when == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def level(verbose: int, quiet: int) -> int:
    """The log level: changes of state by default; ``-v`` also each item, ``-vv`` all; ``-q`` only trouble."""
    if quiet:
        return logging.WARNING
    return (25, logging.INFO, logging.DEBUG)[min(verbose, 2)]


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that were logged beside the message, the empty ones left out."""
    found = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    return {key: value for key, value in found.items() if value not in ("", None)}


class TextFormatter(logging.Formatter):
    """``TIME LEVEL message key=value…``, the hint on a line of its own, unless the record before had the same.
    ``terminal``: where the lines are shown; they are broken to its width, and have the local time of day with its
    distance from UTC."""

    def __init__(self, colour: bool, terminal: TextIO | None = None) -> None:
        super().__init__()
        self._colour = colour
        self._terminal = terminal
        self._last_hint = ""

    def format(self, record: logging.LogRecord) -> str:
        fields = extras(record)
        hint = fields.pop("hint", "")
        name = _LEVELS.get(record.levelno, record.levelname.lower())
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        if self._terminal is not None:
            when = local(record.created)
        told = [when, name, record.getMessage(), *(f"{key}={_quoted(value)}" for key, value in fields.items())]
        line = self._fitting(" ".join(told))
        if self._colour and name in _COLOURS:
            line = line.replace(name, f"{_COLOURS[name]}{name}\x1b[0m", 1)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        if hint and hint != self._last_hint:
            line += "\n" + self._fitting(f"    {hint}")
        self._last_hint = hint
        return line

    def _fitting(self, line: str) -> str:
        return line if self._terminal is None else terminal.wrapped(line, self._terminal, 4)


def local(seconds: float) -> str:
    """A time in seconds since 1970 as a clock on the wall shows it, with its distance from UTC."""
    zone = time.strftime("%z", time.localtime(seconds))
    zone = "Z" if zone in ("+0000", "") else zone.removesuffix("00")
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + zone


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, message, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        name = _LEVELS.get(record.levelno, record.levelname.lower())
        entry = {"time": when, "level": name, "message": record.getMessage(), **extras(record)}
        return json.dumps(entry, default=str)


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(char in text for char in ' "=\n') else text


class Live:
    """The live line at the bottom of a terminal. ``waiting``: counts what lies in incoming/, up to a bound;
    ``shared``: other processes write to the terminal too, so it may be gone."""

    def __init__(self, stream: TextIO, waiting: Callable[[], str], *, shared: bool = False) -> None:
        self._stream = stream
        self._shared = shared
        self._waiting = waiting
        self._line = ""
        self._last: tuple[float, int] = (time.monotonic(), 0)
        self._rate = 0.0

    def show(self, snapshot: Snapshot) -> None:
        """Draw the line anew."""
        self._measure(snapshot)
        columns = terminal.columns(self._stream)
        self.draw(terminal.cut(render(snapshot, self._waiting(), self._rate), max(columns - 1, 10)))

    def draw(self, line: str) -> None:
        """Put this line where the last one was."""
        if line != self._line or self._shared:
            self._line = line
            self._put(f"\r{line}\x1b[K")

    def _measure(self, snapshot: Snapshot) -> None:
        now = time.monotonic()
        before, count = self._last
        if now - before >= 1.0:
            self._rate = (snapshot.delivered - count) / (now - before)
            self._last = (now, snapshot.delivered)

    def clear(self) -> None:
        """Remove the line, so that something else can be written."""
        if self._line:
            self._put(_ERASE)
            self._line = ""

    def _put(self, text: str) -> None:
        with suppress(OSError):  # the terminal is gone: nobody watches any more
            self._stream.write(text)
            self._stream.flush()


class StreamHandler(logging.StreamHandler[TextIO]):
    """Writes log lines above the live line."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.live: Live | None = None
        self._before = ""

    def step_aside(self) -> None:
        """In a process beside the one that draws the live line: each line of the log first erases that."""
        if self.live is not None:
            self.live, self._before = None, _ERASE

    def format(self, record: logging.LogRecord) -> str:
        """The record as it is written: with what erases the live line in one write."""
        return self._before + super().format(record)

    def emit(self, record: logging.LogRecord) -> None:
        if self.live is not None:
            self.live.clear()
        super().emit(record)


def render(snapshot: Snapshot, waiting: str, rate: float) -> str:
    """The live line's text; what matters most comes first, since a narrow terminal cuts the rest."""
    parts = []
    if snapshot.paused is not None:
        seconds = f" {ago(max(time.time() - snapshot.paused.since, 0))} ago" if snapshot.paused.since else ""
        parts.append(f"PAUSED{seconds}: {snapshot.paused.error.partition(': ')[0]}")
    for word, count in (("failed", snapshot.failed), ("deferred", snapshot.deferred), ("held", snapshot.held)):
        if count:
            parts.append(f"{word} {count:,}")
    parts += [f"waiting {waiting}", f"in flight {len(snapshot.in_flight)}"]
    parts.append(f"delivered {snapshot.delivered:,} ({human(snapshot.delivered_bytes)})")
    if rate:
        parts.append(f"{rate:,.0f} files/s")
    large = max(snapshot.in_flight, key=lambda flight: flight.size, default=None)
    if large is not None and large.sent and large.size >= 8 << 20:
        parts.append(f"{printable(large.name)} {100 * large.sent // large.size} %")
    return " · ".join(parts)


def set_up_logging(*, form: str, colour: str, verbose: int, quiet: int) -> StreamHandler:
    """Send the log to stderr; boto's own loggers stay quiet whatever is asked (they would tell secrets)."""
    handler = StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form, colour))
    logger = logging.getLogger("jollyae")
    logger.handlers[:] = [handler]
    logger.setLevel(level(verbose, quiet))
    logger.propagate = False
    return handler


def formatter(form: str, colour: str) -> logging.Formatter:
    """What writes the lines of the log: 'text' or 'json'."""
    if form == "json":
        return JsonFormatter()
    return TextFormatter(wants_colour(colour, sys.stderr), sys.stderr if sys.stderr.isatty() else None)
