"""Places that lie where items are taken from: what is put there would be taken again, and again."""

import os

from ..spool.names import is_hidden
from ..spool.places import Places

_OWN = ("tmp", "working", "deferred", "finished", "failed", "receipts")


def among_items(places: Places, others: Places | None = None) -> str:
    """The first place of the spool that lies in its own ``incoming/``, or in that of another; '' where none does.
    Another's ``incoming/`` may itself be one of the places: that makes a chain. What is below a dot directory is never
    an item.

    >>> among_items(Places.under("/s", failed="/s/incoming/failed")), among_items(Places.under("/s"))
    ('/s/incoming/failed', '')
    >>> among_items(Places.under("/s", finished="/t/incoming"), Places.under("/t"))
    ''
    """
    incoming = os.path.realpath((others or places).incoming)
    names = _OWN if others is None else ("incoming", *_OWN)
    for place in names:
        path = getattr(places, place)
        below = os.path.relpath(os.path.realpath(path), incoming)
        if below.startswith("..") or (is_hidden(below) and below != "."):
            continue
        if below != "." or others is None:
            return str(path)
    return ""
