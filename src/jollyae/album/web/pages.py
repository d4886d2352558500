"""The album's templates, and what is said in them by a word."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ...http.pages import Pages
from ...http.texts import plain
from . import markdown, orientation, texts


@cache
def pages() -> Pages:
    """The templates and static files of the album, read once in a process."""
    filters: dict[str, Callable[..., Any]] = {
        "plain": plain,
        "date": texts.written_date,
        "clock": texts.written_time,
        "offset": texts.written_offset,
        "month": texts.written_month,
        "short_month": texts.short_month,
        "bytes": texts.written_size,
        "markdown": markdown.render,
    }
    functions: dict[str, Callable[..., Any]] = {
        "counted": texts.counted,
        "alternative": texts.alternative,
        "shown_size": orientation.shown_size,
    }
    return Pages(Path(__file__).parent, filters, functions)
