"""What CouchDB's documents say of revisions and attachments, and how those are sent. Pure functions of values."""

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from ..revisions import generation, strength
from ..store import Document, Leaf, Rendition


def make_multipart(body: Mapping[str, Any], renditions: Mapping[str, Rendition]) -> tuple[str, bytes]:
    """The type and the bytes of a ``multipart/related`` PUT: the document, then each rendition in the order in which it
    is named there. The MD5 that goes with each lets the server find damage."""
    follows = {
        name: {
            "follows": True,
            "content_type": one.mime,
            "length": len(one.body),
            "digest": f"md5-{base64.b64encode(hashlib.md5(one.body, usedforsecurity=False).digest()).decode()}",
        }
        for name, one in renditions.items()
    }
    head = json.dumps({**body, "_attachments": follows}, separators=(",", ":")).encode()
    boundary = secrets.token_hex(16).encode()
    parts = [b"--", boundary, b"\r\nContent-Type: application/json\r\n\r\n", head, b"\r\n"]
    for name, one in renditions.items():
        headers = (
            f'Content-Disposition: attachment; filename="{quote(name)}"\r\n'
            f"Content-Type: {one.mime}\r\nContent-Length: {len(one.body)}\r\n\r\n"
        )
        parts += [b"--", boundary, b"\r\n", headers.encode(), one.body, b"\r\n"]
    parts += [b"--", boundary, b"--"]
    return f'multipart/related; boundary="{boundary.decode()}"', b"".join(parts)


def inline(renditions: Mapping[str, Rendition]) -> dict[str, dict[str, Any]]:
    """Renditions as attachments within a document, in Base64."""
    return {
        name: {"content_type": one.mime, "data": base64.b64encode(one.body).decode()}
        for name, one in renditions.items()
    }


def plain(document: Mapping[str, Any], *without: str) -> Document:
    """The document without the store's own fields that are not of the interface, and without these."""
    left_out = {"_attachments", "_revisions", *without}
    return {name: value for name, value in document.items() if name not in left_out}


def winning(document: Mapping[str, Any]) -> tuple[bool, int, str]:
    """By this the leaf that wins is the greatest, on every server."""
    return strength(document["_rev"], deleted=bool(document.get("_deleted")))


def revisions_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The revisions that ``revs=true`` told, newest first."""
    told = document["_revisions"]
    return tuple(f"{told['start'] - back}-{id}" for back, id in enumerate(told["ids"]))


def told_revisions(revisions: Sequence[str]) -> dict[str, Any]:
    """Revisions, newest first, as CouchDB writes them; up to the first gap, since it knows no gaps."""
    start = generation(revisions[0])
    gap = next((back for back, rev in enumerate(revisions) if generation(rev) != start - back), len(revisions))
    return {"start": start, "ids": [rev.partition("-")[2] for rev in revisions[:gap]]}


def read_leaf(document: Mapping[str, Any]) -> Leaf:
    """The leaf that CouchDB tells, with its renditions' types and digests, and empty bodies."""
    renditions = {
        name: Rendition(b"", one["content_type"], read_digest(one.get("digest", ""), b""))
        for name, one in document.get("_attachments", {}).items()
    }
    return Leaf(plain(document), revisions_of(document), renditions)


def relatives(leaf: Leaf, there: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The leaves that are there, the nearest relative of the new one first: the one with the newest revision in common;
    of two the one that has renditions, then the winner."""
    known = {rev: place for place, rev in enumerate(leaf.revisions)}

    def distance(document: dict[str, Any]) -> tuple[int, bool]:
        common = [known[rev] for rev in revisions_of(document) if rev in known]
        return min(common, default=len(known)), not document.get("_attachments")

    return sorted((one for one in there if not one.get("_deleted")), key=distance)


def read_digest(told: str, body: bytes) -> str:
    """A rendition's digest in hex, from an ETag ('"Base64 of the MD5"') or a stub ('md5-Base64'); from the bytes where
    neither is given."""
    text = told.removeprefix("W/").strip('"').removeprefix("md5-")
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        digest = b""
    return (digest if len(digest) == 16 else hashlib.md5(body, usedforsecurity=False).digest()).hex()
