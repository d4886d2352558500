"""Documents and their leaves, written: each function is a part of one transaction.

A leaf's row is replaced by what comes after it, so only leaves have content. Its ``path`` names what came before, as
far back as is known: CouchDB's tree of revisions, without what CouchDB itself would compact away.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import document as documents
from ..revisions import LONGEST, child, content, strength, tombstone_rev
from ..store import Audience, Document, Leaf, Missing, Rendition, Stale, StoreError

AGAIN = "Read it again."


@dataclass(frozen=True, slots=True)
class Row:
    """A leaf as it is kept. ``key`` is 0 for one that is not there yet."""

    key: int
    rev: str
    deleted: bool
    path: tuple[str, ...]
    body: str = "{}"

    @property
    def strength(self) -> tuple[bool, int, str]:
        """The winner has the greatest."""
        return strength(self.rev, deleted=self.deleted)


@dataclass(frozen=True, slots=True)
class Held:
    """A document that is there, with its leaves, the winner first."""

    key: int
    id: str
    rows: tuple[Row, ...]

    @property
    def is_deleted(self) -> bool:
        """Whether it has deleted leaves only."""
        return self.rows[0].deleted

    def row(self, rev: str) -> Row | None:
        """The leaf of that revision."""
        return next((row for row in self.rows if row.rev == rev), None)


def find(db: sqlite3.Connection, id: str) -> Held | None:
    """The document of that id."""
    found = db.execute("SELECT key FROM document WHERE id = ?", (id,)).fetchone()
    if found is None:
        return None
    rows = db.execute("SELECT key, rev, deleted, path, body FROM leaf WHERE document = ?", found)
    leaves = (Row(key, rev, bool(deleted), tuple(path.split()), body) for key, rev, deleted, path, body in rows)
    return Held(found[0], id, tuple(sorted(leaves, key=lambda row: row.strength, reverse=True)))


# --- what a store does


def add(db: sqlite3.Connection, document: Document, renditions: Mapping[str, Rendition]) -> bool:
    """See :meth:`..store.Store.add`."""
    held = find(db, document["_id"])
    if held is not None and not held.is_deleted:
        return False
    _follow(db, held, held.rows[0] if held else None, document, renditions)
    return True


def put(db: sqlite3.Connection, document: Document) -> str:
    """See :meth:`..store.Store.put`."""
    id, rev = document["_id"], document.get("_rev")
    held = find(db, id)
    before = None
    if rev:
        before = held.row(rev) if held else None
        if before is None:
            raise Stale(f"revision {rev} of the document is no more: {id}", AGAIN)
    elif held is not None:
        if not held.is_deleted:
            raise Stale(f"there is such a document already: {id}", AGAIN)
        before = held.rows[0]
    return _follow(db, held, before, document, None)


def set_renditions(db: sqlite3.Connection, id: str, renditions: Mapping[str, Rendition]) -> None:
    """See :meth:`..store.Store.set_renditions`."""
    held = find(db, id)
    if held is None or held.is_deleted:
        raise Missing(f"there is no such photo: {id}")
    _follow(db, held, held.rows[0], {"_id": id, **json.loads(held.rows[0].body)}, renditions)


def remove(db: sqlite3.Connection, id: str, rev: str) -> None:
    """See :meth:`..store.Store.remove`."""
    held = find(db, id)
    row = held.row(rev) if held else None
    if held is None or row is None or row.deleted:
        raise Stale(f"revision {rev} of the document is no more: {id}", AGAIN)
    after = tombstone_rev(rev)
    _keep(db, held, Row(row.key, after, True, (after, *row.path)), {})


def take(db: sqlite3.Connection, leaf: Leaf) -> None:
    """See :meth:`..store.Store.take`."""
    rev = leaf.document["_rev"]
    if not leaf.revisions or leaf.revisions[0] != rev:
        raise StoreError(
            f"a leaf without its revision: {leaf.document['_id']}", "This is a defect of jollyae: report it."
        )
    held = find(db, leaf.document["_id"])
    rows = held.rows if held else ()
    if any(rev in row.path for row in rows):
        return
    before = next((row for row in rows if row.rev in leaf.revisions), None)
    body = "{}" if leaf.document.get("_deleted") else _json(content(leaf.document))
    row = Row(
        before.key if before else 0, rev, bool(leaf.document.get("_deleted")), _longest(leaf.revisions, rows), body
    )
    held = held or _new(db, leaf.document["_id"])
    _keep(db, held, row, {} if row.deleted else _brought(db, leaf, rows))


# --- how


def _follow(
    db: sqlite3.Connection,
    held: Held | None,
    before: Row | None,
    document: Document,
    renditions: Mapping[str, Rendition] | None,
) -> str:
    """Put the document after that leaf, or as a new one; None keeps the leaf's renditions. Its revision."""
    own = content(document)
    blobs = None if renditions is None else _store(db, renditions)
    what = own if renditions is None else [own, sorted((name, digest(one)) for name, one in renditions.items())]
    rev = child([before.rev] if before else [], what, of=before.rev if before else "")
    row = Row(before.key if before else 0, rev, False, (rev, *(before.path if before else ())), _json(own))
    _keep(db, held or _new(db, document["_id"]), row, blobs)
    return rev


def _new(db: sqlite3.Connection, id: str) -> Held:
    return Held(_insert(db, "INSERT INTO document (id, seq) VALUES (?, ?)", (id, _next_seq(db))), id, ())


def _insert(db: sqlite3.Connection, statement: str, values: tuple[Any, ...]) -> int:
    """Insert a row; its key."""
    key = db.execute(statement, values).lastrowid
    assert key is not None
    return key


def _next_seq(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(seq), 0) + 1 FROM document").fetchone()[0])


def _keep(db: sqlite3.Connection, held: Held, row: Row, blobs: Mapping[str, int] | None) -> None:
    """Write a leaf, in the place of the one whose key it has, with these renditions (None: as they are)."""
    row = replace(row, path=row.path[:LONGEST])
    values = (held.key, row.rev, row.deleted, " ".join(row.path), row.body)
    if row.key:
        db.execute(
            "UPDATE leaf SET document = ?, rev = ?, deleted = ?, path = ?, body = ? WHERE key = ?", (*values, row.key)
        )
    else:
        key = _insert(db, "INSERT INTO leaf (document, rev, deleted, path, body) VALUES (?, ?, ?, ?, ?)", values)
        row = replace(row, key=key)
    if blobs is not None:
        _set_blobs(db, row.key, blobs)
    rows = [row, *(other for other in held.rows if other.key != row.key)]
    _settle(db, held, max(rows, key=lambda one: one.strength), sum(not one.deleted for one in rows))


def _settle(db: sqlite3.Connection, held: Held, winner: Row, living: int) -> None:
    """Say which leaf is the winner, and list it."""
    db.execute(
        "UPDATE document SET seq = ?, winner = ?, leaves = ? WHERE key = ?",
        (_next_seq(db), winner.key, living, held.key),
    )
    db.execute("DELETE FROM photo WHERE document = ?", (held.key,))
    document = {"_id": held.id, **json.loads(winner.body)}
    if winner.deleted or document.get("type") != "photo":
        return
    [has] = db.execute("SELECT EXISTS (SELECT 1 FROM rendition WHERE leaf = ?)", (winner.key,)).fetchone()
    _list(db, held.key, document, bool(has))


def _list(db: sqlite3.Connection, key: int, document: Document, has_renditions: bool) -> None:
    card = documents.card(document, has_renditions)
    level, camera, month = documents.level(document), documents.camera_name(document), documents.month(document)
    db.execute(
        "INSERT INTO photo VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(key, card.id, level, card.taken, card.added, camera, month, card.title, card.cat),
            *(card.width, card.height, card.rotate, card.kind, has_renditions),
        ),
    )
    words = dict.fromkeys(documents.visible_keywords(document, Audience.ALL))
    db.executemany(
        "INSERT INTO tag (document, keyword, level, taken, added, id) VALUES (?, ?, ?, ?, ?, ?)",
        [(key, word, documents.keyword_level(document, word), card.taken, card.added, card.id) for word in words],
    )


def _longest(path: Sequence[str], rows: Iterable[Row]) -> tuple[str, ...]:
    """The path, as far back as any leaf knows it."""
    for row in rows:
        if path[-1] in row.path:
            return (*path, *row.path[row.path.index(path[-1]) + 1 :])
    return tuple(path)


def _json(own: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(own, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()  # half of a surrogate pair is no text
        return text
    except (ValueError, TypeError) as error:
        raise StoreError(f"this document cannot be kept: {error}", "This is a defect of jollyae: report it.") from error


# --- renditions


def digest(rendition: Rendition) -> str:
    """What names the bytes, whatever another store called them."""
    return hashlib.sha256(rendition.body).hexdigest()[:32]


def _store(db: sqlite3.Connection, renditions: Mapping[str, Rendition]) -> dict[str, int]:
    """Keep the bytes that are not there yet; the keys by name."""
    keys = {}
    for name, one in renditions.items():
        known = (digest(one), one.mime)
        found = db.execute("SELECT key FROM blob WHERE digest = ? AND mime = ?", known).fetchone()
        values = (*known, one.body)
        keys[name] = (
            found[0] if found else _insert(db, "INSERT INTO blob (digest, mime, body) VALUES (?, ?, ?)", values)
        )
    return keys


def _set_blobs(db: sqlite3.Connection, leaf: int, blobs: Mapping[str, int]) -> None:
    before = [key for (key,) in db.execute("SELECT blob FROM rendition WHERE leaf = ?", (leaf,))]
    db.execute("DELETE FROM rendition WHERE leaf = ?", (leaf,))
    db.executemany("INSERT INTO rendition VALUES (?, ?, ?)", [(leaf, name, key) for name, key in blobs.items()])
    for key in before:
        db.execute("DELETE FROM blob WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM rendition WHERE blob = ?1)", (key,))


def _brought(db: sqlite3.Connection, leaf: Leaf, rows: Sequence[Row]) -> dict[str, int]:
    """The renditions of a leaf that comes from elsewhere: those whose bytes it brings, and for the others those of its
    nearest relative here."""
    brought = _store(db, {name: one for name, one in leaf.renditions.items() if one.body})
    named = set(leaf.renditions)
    relatives = [row for row in rows if not row.deleted and set(row.path) & set(leaf.revisions)]
    if not relatives or (named and named <= set(brought)):
        return brought
    nearest = min(relatives, key=lambda row: next(n for n, rev in enumerate(leaf.revisions) if rev in row.path))
    kept = db.execute("SELECT name, blob FROM rendition WHERE leaf = ?", (nearest.key,)).fetchall()
    return {**{name: key for name, key in kept if not named or name in named}, **brought}
