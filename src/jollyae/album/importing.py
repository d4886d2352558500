"""Bringing a directory of pictures in, with what their XMP sidecars say: an export of ours, or another album's.

Each picture goes the way of all items (:mod:`.ingest`); what its sidecar says goes into a new document in the same
write. Into one that was there already goes only what is newer than what it has: an import undoes nobody's edit.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..spool import names
from ..spool.item import Item
from ..spool.outcomes import Permanent
from . import document, times, xmp
from .document import UNPROCESSED, InvalidEdit
from .ingest import Fields, Ingest, explain
from .store import Document, Stale, Store, StoreError
from .xmp import Sidecar, XmpError

BESIDE = frozenset({".xmp", ".json", ".aae", ".thm", ".txt", ".html", ".htm", ".ini", ".db", ".csv", ".md", ".pp3"})
"""Extensions of what lies beside pictures and is none: passed over."""
_TRIES = 5


@dataclass(slots=True)
class Imported:
    """What an import did: photos that are new, that were there, and of those the ones that got newer edits; files that
    were passed over; and per file that is no photo of the album now, why. ``sidecars``: those that could not be read,
    or only in part, and why; ``held``: files that wait for another import, and why."""

    added: int = 0
    known: int = 0
    edited: int = 0
    passed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    sidecars: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)


class Importing:
    """The processor of an import from ``directory``: an item's name is its path below that. ``done``: where it counts,
    for who wants to look meanwhile."""

    def __init__(self, directory: Path, done: Imported | None = None) -> None:
        self._directory = directory
        self.done = done if done is not None else Imported()
        self.ingest: Ingest | None = None
        """Takes the photos in, with :meth:`amend`; to be set before the first item."""

    async def __call__(self, item: Item) -> Fields:
        """Take it in, with its sidecar."""
        assert self.ingest is not None
        try:
            fields = await self.ingest(item)
        except Permanent as error:
            self.done.failed[item.name] = error.message
            raise
        self.done.failed.pop(item.name, None)
        found = self._sidecar(item)
        try:
            store = await self.ingest.store()
            if fields["added"]:
                self.done.added += 1
                await self._comment(store, fields["document"], found)
            else:
                self.done.known += 1
                self.done.edited += await self._edit(store, fields["document"], found, item)
        except StoreError as error:
            raise explain(error) from error
        return fields

    def amend(self, item: Item, made: Document, store: Store) -> Document:
        """The new document with what the sidecar says."""
        found = self._sidecar(item)
        if found is None:
            return made
        if found.sidecar.sha256 == made["_id"]:
            made = made | _restored(found.sidecar)
        return self._edited(made, found, item, store.server)

    async def _edit(self, store: Store, id: str, found: "_Found | None", item: Item) -> bool:
        """Put what is newer into the document that was there; whether anything was."""
        for _ in range(_TRIES):
            before = await store.get(id)
            if before is None or found is None:
                break
            after = self._edited(before, found, item, store.server)
            if after is before:
                return False
            try:
                await store.put(after)
            except Stale:
                continue
            return True
        return False

    async def _comment(self, store: Store, id: str, found: "_Found | None") -> None:
        """The comments of a photo that is new here."""
        for one in found.sidecar.comments if found is not None else ():
            try:
                token = one.id.rpartition("-")[2]
                made = document.new_comment(id, one.author, one.text, now=one.time, token=token)
            except (InvalidEdit, ValueError) as error:
                self.done.sidecars[one.id] = str(error)
            else:
                await store.add(made, {})

    def _edited(self, before: Document, found: "_Found", item: Item, server: str) -> Document:
        """The document with each field of the sidecar that is newer there, at the time that it has there."""
        sidecar, after = found.sidecar, before
        for when, name, value in sorted(edits(sidecar, found.mtime), key=lambda edit: edit[:2]):
            known = document.stamp(before, name)
            if known is not None and known[0] >= when:
                continue
            if name == "keywords" and not sidecar.is_ours and UNPROCESSED in before.get("keywords", ()):
                value = [*value, UNPROCESSED]
            if name == "taken" and str(before.get("taken", ""))[:19] == value[:19]:
                continue  # other programs write the zone of the machine that they ran on
            try:
                after = document.edited(after, {name: value}, now=when, server=server)
            except InvalidEdit as error:
                self.done.sidecars[item.name] = f"{error.field}: {error.sentence}"
        return after

    def _sidecar(self, item: Item) -> "_Found | None":
        for path in sidecars_of(self._directory / item.name):
            try:
                return _Found(xmp.read(path.read_bytes()), path.stat().st_mtime)
            except FileNotFoundError:
                continue
            except XmpError as error:
                self.done.sidecars[item.name] = f"{path.name}: {error}"
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    continue  # no file can have that name
                self.done.sidecars[item.name] = f"{path.name}: {error.strerror}"
        return None


@dataclass(frozen=True, slots=True)
class _Found:
    """A sidecar, and when its file was changed (seconds since 1970)."""

    sidecar: Sidecar
    mtime: float


def edits(sidecar: Sidecar, mtime: float) -> Iterator[tuple[str, str, Any]]:
    """The edits that a sidecar tells: when, which field, what. One of ours tells when each was; in another's all were
    when it says that it was changed, or else when its file was (``mtime``, seconds since 1970)."""
    said = sidecar.fields()
    for name, value in said.items():
        if not sidecar.is_ours:
            yield _moment(sidecar.changed) or times.moment(_iso(mtime)), name, value
        elif name in sidecar.stamps and (when := _moment(sidecar.stamps[name][0])):
            yield when, name, value


def sidecars_of(path: Path) -> list[Path]:
    """Where a picture's sidecar may be: ``a.jpg.xmp``, else ``a.xmp``.

    >>> [path.name for path in sidecars_of(Path("a.jpg"))]
    ['a.jpg.xmp', 'a.jpg.XMP', 'a.xmp', 'a.XMP']
    """
    stem = os.path.splitext(path.name)[0]
    return [path.with_name(f"{name}{ending}") for name in (path.name, stem) for ending in (".xmp", ".XMP")]


def pictures_in(directory: Path, done: Imported) -> Iterator[str]:
    """The paths below the directory of what may be pictures, in order; what is none by its name, and no sidecar of one
    that may be, is counted as passed over. Links are not followed."""
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        beside = {path.name for file in files if not _is_beside(file) for path in sidecars_of(Path(file))}
        for file in sorted(files):
            path = os.path.join(folder, file)
            name = os.path.relpath(path, directory)
            if names.is_ignored(name):
                continue
            if _is_beside(file) or os.path.islink(path) or not os.path.isfile(path):
                done.passed += file not in beside
                continue
            yield name


def _is_beside(file: str) -> bool:
    return os.path.splitext(file)[1].lower() in BESIDE


def _restored(sidecar: Sidecar) -> dict[str, str]:
    """What an export keeps of how a photo first came in."""
    found = {"addedby": sidecar.addedby, "added": _moment(sidecar.added), "name": sidecar.name.rpartition("/")[2]}
    return {key: value for key, value in found.items() if value}


def _moment(text: str) -> str:
    try:
        return times.moment(text)
    except ValueError:
        return ""


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(max(seconds, 0.0), UTC).isoformat()
