"""How values are written on a page: numbers, sizes, times. Pure functions; what they return is text, not HTML, but for
:func:`unbroken`."""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from ..http.pages import Pages
from ..http.texts import plain
from ..service.units import ago, counted, human

WORDS = {"ok": "OK", "waits": "waits", "trouble": "trouble"}
"""What a level is called beside its shape."""
SHAPES = {"ok": "●", "waits": "◆", "trouble": "▲"}
"""Its shape, for those who do not tell colours apart."""

REASONS = {
    "hand": "paused by hand",
    "gone": "cannot be read",
    "hangs": "the disk hangs",
    "absent": "no worker",
    "silent": "no answer from the worker",
    "stuck": "cannot be taken",
    "failed": "items failed",
    "deferred": "tried again later",
    "late": "an item is late",
    "slow": "an attempt hangs",
    "unready": "still being written",
    "destination": "the destination",
    "spool": "the spool",
    "source": "the broker",
    "network": "no connection",
    "timeout": "no answer in time",
    "tls": "TLS",
    "throttled": "asked to slow down",
    "server": "the server is unwell",
    "credentials": "credentials",
    "denied": "access denied",
    "clock": "the clock is wrong",
    "bucket": "the bucket",
    "full": "disk full",
    "collision": "the key is taken",
    "command": "the command",
    "machine": "this machine",
    "fault": "a fault of ours",
}
"""What a reason is called beside the level: one word or two that tell troubles apart at a glance."""


@lru_cache(4)
def pages(prefix: str = "") -> Pages:
    """The templates and static files of the dashboard, read once in a process."""
    filters: dict[str, Callable[..., Any]] = {
        "plain": plain,
        "said": said,
        "number": number,
        "bytes": human,
        "ago": ago,
        "rate": rate,
        "lasts": lasts,
        "moment": moment,
        "clock": clock,
        "iso": iso,
        "counted": counted,
        "unbroken": unbroken,
    }
    functions: dict[str, Callable[..., Any]] = {
        "words": WORDS.__getitem__,
        "shapes": SHAPES.__getitem__,
        "reason_words": lambda reason: REASONS.get(reason, ""),
    }
    return Pages(Path(__file__).parent, filters, functions, prefix)


def said(text: str, limit: int = 0) -> str:
    """A sentence or an error on one line; the ends of lines in what a command said, which notes write as escapes, as
    strokes.

    >>> said("exit code 1:%0Ano invoice%0A")
    'exit code 1: / no invoice'
    """
    return plain(text.replace("%0A", " / ").rstrip(" /"), limit)


_OPTION = re.compile(r"(?<![^\s(])--?[a-z][\w-]{0,30}")


def unbroken(text: str) -> Markup:
    """The text with options of command lines kept whole: a browser breaks a line after each hyphen.

    >>> unbroken("give <b> --no-acl.")
    Markup('give &lt;b&gt; <span class="whole">--no-acl</span>.')
    """
    return Markup(_OPTION.sub(r'<span class="whole">\g<0></span>', str(escape(text))))


def number(value: int | float) -> str:
    """A whole number.

    >>> number(12000)
    '12,000'
    """
    return f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Items a second, a minute or an hour, whichever is read best; a dash where it is not known.

    >>> [rate(value) for value in (1234.5, 2.5, 0.05, 0.001, 0, None)]
    ['1,234/s', '2.5/s', '3/min', '3.6/h', '0/s', '–']
    """
    if value is None:
        return "–"
    for unit, factor in (("s", 1), ("min", 60), ("h", 3600)):
        found = value * factor
        if found >= 1 or value == 0:
            return f"{found:,.0f}/{unit}" if found >= 10 or found == int(found) else f"{found:.1f}/{unit}"
    return "less than 1/h"


def lasts(seconds: float | None) -> str:
    """A duration, short ones too; a dash where there is none.

    >>> [lasts(value) for value in (0.0004, 0.0123, 1.25, 42, 600, None)]
    ['0.4 ms', '12 ms', '1.2 s', '42 s', '10 min', '–']
    """
    if seconds is None:
        return "–"
    if seconds < 0.001:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else ago(seconds)


def moment(at: float) -> str:
    """A time, for people: local, to the second, with its offset; '' for 0."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at)) if at else ""


def clock(at: float) -> str:
    """The time of day, UTC."""
    return time.strftime("%H:%M", time.gmtime(at)) if at else ""


def iso(at: float) -> str:
    """A time for programs: ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
