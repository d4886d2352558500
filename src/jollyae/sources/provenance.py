"""Which object an item is made of, for whoever takes it over after a crash and has only the file and what lies beside
it.

The key is the item's name, read backwards (:mod:`.naming`). So it takes no file for an item, only one for the spool: it
names the bucket of whatever lies there. Where that would be wrong (another bucket, or a store that meant the other
reading of a key), the item has a note which names its object; so has what failed or was deferred.
"""

import os
from contextlib import suppress

from ..spool import fs, notes
from ..spool.item import Item
from ..spool.places import Places
from .naming import key_of

FILE = ".bucket"
"""Beside the places: the bucket of what was fetched into them."""


def url_of(bucket: str, key: str) -> str:
    """The object's URL, for people: the key as it is.

    >>> url_of("photos", "2026/a b%.jpg")
    's3://photos/2026/a b%.jpg'
    """
    return f"s3://{bucket}/{key}"


class Provenance:
    """Of the items of one spool. ``is_empty``: nothing lies there that was fetched. ``bucket``: that of every item
    without a note that says otherwise; '' where that is not known."""

    def __init__(self, places: Places, *, is_empty: bool) -> None:
        self._file = str(places.control / FILE)
        self._incoming = str(places.incoming)
        self._written = self._read()
        self.bucket = "" if is_empty else self._written

    def _read(self) -> str:
        try:
            with open(self._file, encoding="utf-8") as file:
                return file.read().removesuffix("\n")
        except (FileNotFoundError, UnicodeDecodeError):
            return ""

    def settle(self, bucket: str) -> None:
        """All that comes from now on is of this bucket, if no note says otherwise; nothing is here of which that would
        be wrong. On the disk on return: a power cut must not leave the name of an earlier one. Raises
        :class:`OSError`."""
        if bucket != self._written:
            fs.write_beside(self._file, f"{bucket}\n".encode(), durable=True)
            self._written = bucket
        self.bucket = bucket

    def note(self, name: str, path: str, source: str) -> None:
        """The item ``name``, now the file ``path`` and soon in ``incoming/``, is made of this object. Raises
        :class:`OSError`."""
        note = notes.about(name, os.lstat(path))
        note.source, note.started = source, True  # as one without a note counts: its worker's death is seen by that
        notes.write(f"{self._incoming}/{name}", note, within=self._incoming)

    def of_stranger(self, item: Item, *, was_here: bool) -> str:
        """The URL of the object that an item is made of which this process did not fetch; '' where that is not known.
        ``was_here``: it lay in the spool when the process began. A note of it in ``incoming/`` is brought to where the
        item is."""
        if item.note is not None and item.note.source:
            return item.note.source
        with suppress(OSError):
            note = notes.read(f"{self._incoming}/{item.name}", item.stat)
            if note is not None and note.source:
                self.bring(item, note.source)
                return note.source
        return url_of(self.bucket, key_of(item.name)) if was_here and self.bucket else ""

    def bring(self, item: Item, source: str) -> None:
        """Have the item's note where it is, which lies in ``incoming/``. What the disk refuses costs this knowledge,
        after a crash, and not the item."""
        item.source = source
        item.noted().started = True
        with suppress(OSError):
            fs.replace(notes.path_of(f"{self._incoming}/{item.name}"), notes.path_of(item.where))
