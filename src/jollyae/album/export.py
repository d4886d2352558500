"""Leaving with everything: originals under readable names by date, and beside each an XMP sidecar with all edits.

``2026/11/2026-11-22 14.03.12 The beach.jpg`` and the same with ``.xmp`` after it. What the directory has is in
``.jollyae-export.json``, so an export is repeatable: what is there and right stays, what got another title gets another
name, and nothing of anybody else's is overwritten.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import disk, originals, xmp
from .fetched import Fetched
from .originals import Originals
from .store import Document, Missing, Store

INDEX = ".jollyae-export.json"
_TAKEN = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)", re.ASCII)
_SAVE_EVERY = 200
"""Photos between two times that the index is written; a crash between costs looking at so many files again."""


@dataclass(slots=True)
class Exported(Fetched):
    """What an export did besides: photos that are new in the directory, or renamed, and sidecars written."""

    added: int = 0
    renamed: int = 0
    sidecars: int = 0
    gone: int = 0
    """Files of photos that are no longer in the album; they stay."""


class Export:
    """An album's export into ``directory``, which is made where it is not there. ``done``: where it counts, for who
    wants to look meanwhile."""

    def __init__(self, store: Store, place: Originals, directory: Path, *, done: Exported | None = None) -> None:
        self._store = store
        self._originals = place
        self._root = directory
        self._names: dict[str, str] = {}  # id → path below the directory
        self._taken: dict[str, str] = {}  # path, as a file system without upper case sees it → id
        self.done = done if done is not None else Exported()

    async def run(self) -> Exported:
        """Export all photos. Raises :class:`OSError` where the directory cannot be written, and :class:`StoreError`."""
        self._root.mkdir(parents=True, exist_ok=True)
        self._load()
        seen: set[str] = set()
        count = 0
        try:
            async for id in self._store.ids():
                document = await self._store.get(id)
                if document is not None and document.get("type") == "photo":
                    seen.add(id)
                    await self._one(document)
                    count += 1
                    if count % _SAVE_EVERY == 0:
                        self._save()
        finally:
            self._save()
        self.done.gone = len(self._names.keys() - seen)
        return self.done

    async def _one(self, document: Document) -> None:
        try:
            path = await self._bring(document)
        except (Missing, disk.Damaged, ValueError) as error:
            self.done.fail(document, error)
        else:
            comments = await self._store.comments(document["_id"])
            data = xmp.write(document, comments)
            self.done.sidecars += disk.write(path.with_name(path.name + ".xmp"), data)

    async def _bring(self, document: Document) -> Path:
        """The original under its name. Raises :class:`ValueError` for a document that tells of none."""
        id, key = document["_id"], originals.key_of(document)
        name = self._name(document)
        path, before = self._root / name, self._names.get(id)
        if before is not None and before != name and (self._root / before).exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rename(self._root / before, path)
            self.done.renamed += 1
        elif path.exists():
            if path.stat().st_size != document["size"]:
                raise ValueError(f"{name} is not the original: somebody changed it; move it away, and export again")
            self.done.kept += 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            read = await disk.fetch(self._originals, key, path, id)
            self.done.bytes += read
            self.done.added += 1
        self._know(id, name)
        return path

    def _rename(self, before: Path, path: Path) -> None:
        os.rename(before, path)
        sidecar = before.with_name(before.name + ".xmp")
        if sidecar.exists():
            os.rename(sidecar, path.with_name(path.name + ".xmp"))
        disk.fsync_directory(path.parent)

    def _name(self, document: Document) -> str:
        """The name that is the photo's: its present one where that fits; else the first that is nobody else's."""
        id = document["_id"]
        for name in names_for(document):
            owner = self._taken.get(_folded(name))
            if owner == id or (owner is None and self._is_free(name, id)):
                return name
        raise ValueError("no name is free for it")

    def _is_free(self, name: str, id: str) -> bool:
        """Whether nothing of somebody else's is there. What a crash kept out of the index is known by its bytes."""
        path = self._root / name
        return not os.path.lexists(path) or (path.is_file() and disk.digest_of_file(path) == id)

    def _know(self, id: str, name: str) -> None:
        if (before := self._names.get(id)) is not None:
            self._taken.pop(_folded(before), None)
        self._names[id] = name
        self._taken[_folded(name)] = id

    def _load(self) -> None:
        try:
            found = json.loads((self._root / INDEX).read_bytes())
            photos = found["photos"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return  # it is made anew, by looking at the files
        for id, name in photos.items():
            if isinstance(name, str) and _is_below(name) and (self._root / name).is_file():
                self._know(id, name)

    def _save(self) -> None:
        disk.write(self._root / INDEX, json.dumps({"photos": self._names}, indent=0, sort_keys=True).encode() + b"\n")


def names_for(document: dict[str, Any]) -> Iterator[str]:
    """The names that a photo may get, the best first; all but the first have a part of its id, and the last has all.

    >>> photo = {"_id": "ab" * 32, "taken": "2026-11-22T14:03:12", "title": "The beach", "extension": "jpg"}
    >>> list(names_for(photo))[0], list(names_for(photo))[1]
    ('2026/11/2026-11-22 14.03.12 The beach.jpg', '2026/11/2026-11-22 14.03.12 The beach ~abababab.jpg')
    """
    taken = _TAKEN.match(str(document.get("taken", "")))
    day, clock = (taken.group(1), taken.group(2).replace(":", ".")) if taken else ("", "")
    folder = f"{day[:4]}/{day[5:7]}" if day else "undated"
    words = disk.name_part(str(document.get("title", ""))) or disk.name_part(_stem(str(document.get("name", ""))))
    begin = " ".join(part for part in (day, clock, words) if part) or "photo"
    id = document["_id"]
    for mark in ("", f" ~{id[:8]}", f" ~{id}"):
        yield f"{folder}/{disk.name_part(begin, 160) if mark else begin}{mark}.{document['extension']}"


def _stem(name: str) -> str:
    return os.path.splitext(name.rpartition("/")[2])[0]


def _folded(name: str) -> str:
    """As file systems see it that know no upper case."""
    return name.casefold()


def _is_below(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")
