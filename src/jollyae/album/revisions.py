"""Revisions as CouchDB has them: ``N-HASH``, where N is the *generation*. Those that we compute ourselves are functions
of content and parents alone, so two servers that do the same make the same one. Pure functions of values.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .store import Document, Leaf

LONGEST = 1000
"""Revisions that a leaf remembers behind it; CouchDB's ``_revs_limit``."""


def generation(rev: str) -> int:
    """The number a revision begins with; 0 for none.

    >>> generation("12-9f86d081884c7d659a2feaa0c55ad015"), generation("")
    (12, 0)
    """
    number = rev.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def child(parents: Iterable[str], content: object, *, of: str) -> str:
    """The revision that has this content and comes after ``of``; ``parents`` are all that went into it."""
    text = json.dumps([sorted(parents), content], sort_keys=True, separators=(",", ":"))
    return f"{generation(of) + 1}-{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def content(document: Mapping[str, Any]) -> Document:
    """What is the document's own: all but the keys that begin with '_'."""
    return {key: value for key, value in document.items() if not key.startswith("_")}


def strength(rev: str, *, deleted: bool) -> tuple[bool, int, str]:
    """What CouchDB compares to find the winner: not deleted, then the longer path, then the greater text."""
    number, _, digest = rev.partition("-")
    return not deleted, generation(number), digest


def rank(leaf: Leaf) -> tuple[bool, int, str]:
    """The :func:`strength` of a leaf: the winner has the greatest."""
    return strength(leaf.document["_rev"], deleted=is_deleted(leaf))


def ranked(leaves: Iterable[Leaf]) -> list[Leaf]:
    """The leaves, the winner first."""
    return sorted(leaves, key=rank, reverse=True)


def is_deleted(leaf: Leaf) -> bool:
    """Whether the leaf is a tombstone."""
    return bool(leaf.document.get("_deleted"))


def fork(one: Sequence[str], other: Sequence[str]) -> int:
    """The generation of the newest revision that two paths have in common; 0 where they have none.

    >>> fork(["3-c", "2-b", "1-a"], ["2-d", "1-a"])
    1
    """
    known = set(other)
    return next((generation(rev) for rev in one if rev in known), 0)


def next_leaf(base: Leaf, document: Mapping[str, Any], *, parents: Iterable[str] = ()) -> Leaf:
    """The leaf that has the document's content and comes after ``base``, having its renditions."""
    rev = base.document["_rev"]
    own = content(document)
    made = child({rev, *parents}, own, of=rev)
    return Leaf({"_id": base.document["_id"], "_rev": made, **own}, (made, *base.revisions)[:LONGEST])


def tombstone_rev(rev: str) -> str:
    """The revision by which that one is deleted, on whichever server."""
    return child((rev,), {"_deleted": True}, of=rev)


def tombstone(leaf: Leaf) -> Leaf:
    """The leaf that deletes another one."""
    return deleted(leaf.document["_id"], (tombstone_rev(leaf.document["_rev"]), *leaf.revisions))


def deleted(id: str, revisions: Sequence[str]) -> Leaf:
    """A deleted leaf of these revisions, newest first."""
    return Leaf({"_id": id, "_rev": revisions[0], "_deleted": True}, tuple(revisions)[:LONGEST])
