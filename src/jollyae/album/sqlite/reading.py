"""Documents and their leaves, read: each function asks one connection."""

import json
import sqlite3
from collections.abc import Iterator

from ..revisions import strength
from ..store import Change, Document, Leaf, Rendition
from .tree import find

_WINNERS = """
    SELECT document.id, leaf.rev, leaf.deleted, leaf.body, document.leaves, document.seq
    FROM document JOIN leaf ON leaf.key = document.winner
"""


def get(db: sqlite3.Connection, id: str) -> Document | None:
    """See :meth:`..store.Store.get`."""
    row = db.execute(f"{_WINNERS} WHERE document.id = ? AND NOT leaf.deleted", (id,)).fetchone()
    return None if row is None else _document(db, row)


def _document(db: sqlite3.Connection, row: tuple[str, str, int, str, int, int]) -> Document:
    id, rev, deleted, body, leaves, _ = row
    if deleted:
        return {"_id": id, "_rev": rev, "_deleted": True}
    found = {"_id": id, "_rev": rev, **json.loads(body)}
    if leaves > 1:
        rows = db.execute(
            "SELECT rev FROM leaf WHERE document = (SELECT key FROM document WHERE id = ?) AND NOT deleted", (id,)
        )
        revs = sorted((other for (other,) in rows), key=lambda other: strength(other, deleted=False), reverse=True)
        found["_conflicts"] = [other for other in revs if other != rev]
    return found


def rendition(db: sqlite3.Connection, id: str, name: str, rev: str) -> Rendition | None:
    """See :meth:`..store.Store.rendition`."""
    which = "leaf.rev = ?3" if rev else "leaf.key = document.winner"
    row = db.execute(
        f"""
        SELECT blob.body, blob.mime, blob.digest FROM document
        JOIN leaf ON leaf.document = document.key AND {which}
        JOIN rendition ON rendition.leaf = leaf.key AND rendition.name = ?2
        JOIN blob ON blob.key = rendition.blob
        WHERE document.id = ?1
        """,
        (id, name, *([rev] if rev else [])),
    ).fetchone()
    return None if row is None else Rendition(*row)


def leaves(db: sqlite3.Connection, id: str) -> list[Leaf]:
    """See :meth:`..store.Store.leaves`."""
    held = find(db, id)
    if held is None:
        return []
    found = []
    for row in held.rows[:1] if held.is_deleted else [row for row in held.rows if not row.deleted]:
        kept = db.execute(
            "SELECT name, mime, digest FROM rendition JOIN blob ON blob.key = rendition.blob WHERE leaf = ?",
            (row.key,),
        )
        own = {"_deleted": True} if row.deleted else json.loads(row.body)
        renditions = {name: Rendition(b"", mime, digest) for name, mime, digest in kept}
        found.append(Leaf({"_id": id, "_rev": row.rev, **own}, row.path, renditions))
    return found


def beginning_with(db: sqlite3.Connection, prefix: str) -> list[Document]:
    """The documents whose ids begin so, in the order of their ids."""
    rows = db.execute(
        f"{_WINNERS} WHERE document.id >= ? AND document.id < ? AND NOT leaf.deleted ORDER BY document.id",
        (prefix, prefix + "\U0010ffff"),
    ).fetchall()
    return [_document(db, row) for row in rows]


def photo_ids(db: sqlite3.Connection, after: str, limit: int) -> list[str]:
    """The ids of photos after that one."""
    return [id for (id,) in db.execute("SELECT id FROM photo WHERE id > ? ORDER BY id LIMIT ?", (after, limit))]


def conflicts(db: sqlite3.Connection) -> list[str]:
    """See :meth:`..store.Store.conflicts`."""
    return [id for (id,) in db.execute("SELECT id FROM document WHERE leaves > 1 ORDER BY id")]


def changes(db: sqlite3.Connection, since: int, limit: int) -> list[Change]:
    """What was changed after that number, oldest first."""

    def each() -> Iterator[Change]:
        for row in db.execute(f"{_WINNERS} WHERE seq > ? ORDER BY seq LIMIT ?", (since, limit)).fetchall():
            yield Change(str(row[5]), _document(db, row))

    return list(each())


def remembered(db: sqlite3.Connection, name: str) -> Document:
    """See :meth:`..store.Store.remembered`."""
    row = db.execute("SELECT value FROM own WHERE name = ?", (name,)).fetchone()
    return {} if row is None else dict(json.loads(row[0]))


def remember(db: sqlite3.Connection, name: str, value: Document) -> None:
    """See :meth:`..store.Store.remember`."""
    db.execute("INSERT OR REPLACE INTO own VALUES (?, ?)", (name, json.dumps(value, ensure_ascii=False)))


def name_server(db: sqlite3.Connection, key: str, value: Document) -> Document:
    """Keep that name and inode, unless another process just did for the same file; what is kept."""
    found = remembered(db, key)
    if found.get("inode") == value["inode"]:
        return found
    remember(db, key, value)
    return value
