"""Names beside a taken one, for ``finished/`` and ``failed/``: ``report~20261121T220000-x7k.csv``."""

import os
import secrets
import time
from collections.abc import Iterator

from . import names

TRIES = 2
"""Names with a suffix that are tried; never a search."""


def targets(directory: str, name: str) -> Iterator[str]:
    """The paths that an item may get in ``directory``, in the order of trying: its own name, then others."""
    yield f"{directory}/{name}"
    for _ in range(TRIES):
        yield _beside(directory, name)


def _beside(directory: str, name: str) -> str:
    """A path beside ``name``: the first component that is in the way gets the suffix."""
    mark = time.strftime("~%Y%m%dT%H%M%S-", time.gmtime()) + secrets.token_hex(2)[:3]
    parts = name.split("/")
    for index in range(len(parts) - 1):
        path = os.path.join(directory, *parts[: index + 1])
        if os.path.lexists(path) and not os.path.isdir(path):
            parts[index] = names.shorten(parts[index], "", mark)
            return os.path.join(directory, *parts)
    stem, extension = os.path.splitext(parts[-1])
    parts[-1] = names.shorten(stem, extension, mark)
    return os.path.join(directory, *parts)
