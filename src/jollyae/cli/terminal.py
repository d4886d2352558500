"""How wide the terminal is, and text that fits it. What goes into a pipe or a file stays as it is."""

import os
from typing import TextIO


def columns(stream: TextIO) -> int:
    """The columns of the terminal that ``stream`` writes to: what COLUMNS says, else the terminal, else 80."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said) > 0:
        return int(said)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def wrapped(line: str, stream: TextIO, indent: int) -> str:
    """The line, on a terminal broken between words; what follows is indented by so many columns. No word is broken, so
    a URL can be copied."""
    if not stream.isatty():
        return line
    return fill(line, columns(stream), indent)


def fill(line: str, width: int, indent: int) -> str:
    """The line in lines of at most ``width`` columns, as far as its words let it.

    >>> print(fill("failed: refused: s3://b/a-very-long-key: it exists", 30, 2))
    failed: refused:
      s3://b/a-very-long-key: it
      exists
    """
    import textwrap

    return textwrap.fill(
        line,
        max(width, 20),
        subsequent_indent=" " * indent,
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def cut(line: str, width: int) -> str:
    """The line's beginning, in at most ``width`` columns; where it is not all, it ends in an ellipsis, and in no half
    number.

    >>> cut("in flight 0 · delivered 1,234", 28), cut("waiting 0", 20)
    ('in flight 0 · delivered …', 'waiting 0')
    """
    if len(line) <= width:
        return line
    kept = line[: max(width - 1, 0)]
    return f"{kept.rpartition(' ')[0].rstrip(' ·')} …" if " " in kept else f"{kept}…"
