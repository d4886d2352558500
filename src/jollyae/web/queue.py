"""A queue as the dashboard knows it, and how its items are called in a URL."""

import base64
import binascii
import os
from dataclasses import dataclass

from ..spool import names
from ..spool.places import Place
from ..spool.spool import Spool


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue. ``destination``: where its items go, as far as the configuration says; a live worker knows better.
    ``config``: the file that says how it is run, '' where none is known. ``is_wanted``: by that file a worker runs
    also while nothing waits."""

    name: str
    spool: Spool
    destination: str = ""
    config: str = ""
    is_wanted: bool = False


def identify(name: str, place: str = "") -> str:
    """An item's name (and the place where it is) as a part of a URL, whatever bytes it is made of; :func:`named` and
    :func:`placed` give it back.

    >>> identify("a/b.jpg"), named(identify("caf\\udce9 \\n/x")) == "caf\\udce9 \\n/x"
    ('YS9iLmpwZw', True)
    >>> placed(identify("a", "failed"))
    ('failed', 'a')
    """
    code = base64.urlsafe_b64encode(os.fsencode(name)).decode().rstrip("=")
    return f"{place}.{code}" if place else code


def named(identifier: str) -> str:
    """The name that ``identifier`` stands for. Raises :class:`ValueError` for what is none of ours, and for a name that
    no item can have."""
    try:
        raw = base64.b64decode(identifier + "=" * (-len(identifier) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("that is no item's identifier") from None
    name = os.fsdecode(raw)
    if reason := names.why_impossible(name):
        raise ValueError(f"that is no item's identifier: {reason}")
    return name


def placed(identifier: str) -> tuple[str, str]:
    """The place and the name that ``identifier`` stands for. Raises :class:`ValueError`, also where it has no place."""
    place, _, code = identifier.partition(".")
    if place not in set(Place):
        raise ValueError("that is no item's identifier")
    return place, named(code)
