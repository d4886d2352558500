"""What the public may know of the album, and what the public database must hold for that. Pure functions of values.

The public document has the fields that are named here and no other one: nobody has to remember to take something out.
Where it was taken, serial numbers, owners, who edited what and when, file names and the original's address stay at
home, as do keywords that begin with '_' and ``unprocessed``. It has the source's own revision, so that two servers that
project the same photo write the same, and replication between public databases finds nothing to do.

What the public database needs (:func:`projected`), for what the main one has:

| in the main database | in the public one |
|---|---|
| a Public photo | the projection, under the same revision |
| it is edited, its place removed… | the projection of the new revision. The old one never had anything to hide |
| made Private or Friends/Family | deleted, under the revision that made it so |
| deleted | deleted, under the same revision |
| several leaves that nobody has merged, all Public | the projection of the winner |
| several leaves, one of them not Public | deleted, by a tombstone after what is public there |
| never Public | nothing, not even its id |
| a comment | as its photo: there while that is |
| a user | never |

A tombstone may meet a photo that is Public again **without a new revision** (the leaf that was not Public is gone):
then the projection comes back as a revision after the tombstone, and goes when the source has a new revision.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .document import PUBLIC, is_private_keyword
from .revisions import LONGEST, child, content, deleted, is_deleted, ranked, tombstone, tombstone_rev
from .store import Document, Leaf

_TEXTS = ("title", "descr", "cat", "taken", "added", "kind", "extension", "mime")
_NUMBERS = ("width", "height", "rotate")
_CAMERA = ("name", "make", "model", "lens", "exposure", "aperture", "iso", "focal")
_EXIF = (
    # the camera
    "Make",
    "Model",
    "LensMake",
    "LensModel",
    "LensSpecification",
    # how it was exposed
    "ExposureTime",
    "FNumber",
    "ApertureValue",
    "MaxApertureValue",
    "ShutterSpeedValue",
    "ExposureBiasValue",
    "ExposureProgram",
    "ExposureMode",
    "ISOSpeedRatings",
    "PhotographicSensitivity",
    "ISO",
    "FocalLength",
    "FocalLengthIn35mmFilm",
    "Flash",
    "MeteringMode",
    "WhiteBalance",
    "LightSource",
    "SceneCaptureType",
    "DigitalZoomRatio",
    # when
    "DateTime",
    "DateTimeOriginal",
    "DateTimeDigitized",
    "OffsetTimeOriginal",
)
_COMMENT = ("type", "photo", "author", "text", "time")
_LONGEST = 500
"""Characters of a camera's or an EXIF value: no more is needed to name a lens."""


def whitelisted(document: Document) -> Document:
    """Of a photo, what everybody may know who may see it, with ``_id`` and ``_rev``. Whether they may is not asked."""
    found: Document = {key: document[key] for key in ("_id", "_rev") if key in document}
    found["type"] = "photo"
    found |= {key: document[key] for key in _TEXTS if isinstance(document.get(key), str)}
    found |= {key: document[key] for key in _NUMBERS if type(document.get(key)) is int}
    words = document.get("keywords")
    words = words if isinstance(words, list) else []
    found["keywords"] = [word for word in words if isinstance(word, str) and not is_private_keyword(word)]
    found["camera"] = _short_texts(document.get("camera"), _CAMERA)
    found["exif"] = _short_texts(document.get("exif"), _EXIF)
    return found


def public(document: Document) -> Document | None:
    """The public document of a photo or comment that nothing else withholds; None where it has none."""
    if document.get("_deleted"):
        return None
    if document.get("type") == "photo" and document.get("cat") == PUBLIC:
        return whitelisted(document)
    if document.get("type") == "comment":
        kept = {key: document[key] for key in _COMMENT if isinstance(document.get(key), str)}
        return {key: document[key] for key in ("_id", "_rev") if key in document} | kept
    return None


def is_public(leaves: Sequence[Leaf]) -> bool:
    """Whether a photo with these leaves is public: it is there, and all of them are."""
    live = [leaf for leaf in leaves if not is_deleted(leaf)]
    return bool(live) and all(
        leaf.document.get("type") == "photo" and public(leaf.document) is not None for leaf in live
    )


def projected(source: Sequence[Leaf], there: Sequence[Leaf], *, photo_is_public: bool = True) -> list[Leaf]:
    """What the public database has to take, in this order, so that it shows what the main one's leaves allow.

    ``source`` and ``there`` are what :meth:`.store.Store.leaves` tells of the document in the main and in the public
    database ([] for none). For a comment, ``photo_is_public`` says whether its photo is. A live leaf among the answer
    comes without renditions: the caller adds them. It is asked again when either database has changed (replication may
    have brought what another server projected, knowing less than we do); where all is well the answer is empty.
    """
    shown = [leaf for leaf in ranked(there) if not is_deleted(leaf)]
    wanted = _wanted(source) if photo_is_public else None
    if wanted is None:
        return [_withdrawn(leaf, source) for leaf in shown]
    if any(_is_ahead(leaf, wanted) for leaf in there):
        return []
    kept = next((leaf for leaf in shown if _shows(leaf, wanted)), None)
    ends = [tombstone(leaf) for leaf in shown if leaf is not kept and _rev(leaf) not in wanted.revisions[1:]]
    if kept is not None:
        return ends
    spent = next((leaf for leaf in ranked(there) if _rev(wanted) in leaf.revisions), None)
    return [wanted, *ends] if spent is None else [*ends, _again(wanted, spent)]


def _wanted(source: Sequence[Leaf]) -> Leaf | None:
    """The winner's projection, if nothing withholds it."""
    live = [leaf for leaf in ranked(source) if not is_deleted(leaf)]
    projections = [public(leaf.document) for leaf in live]
    if not projections or projections[0] is None or None in projections:
        return None
    return Leaf(projections[0], live[0].revisions)


def _withdrawn(shown: Leaf, source: Sequence[Leaf]) -> Leaf:
    """The end of what the public database shows: the revision by which it left, or, where that is none of the source's
    own, a tombstone of ours."""
    for leaf in ranked(source):
        if public(leaf.document) is None and _rev(shown) in leaf.revisions[1:]:
            return deleted(shown.document["_id"], leaf.revisions)
    return tombstone(shown)


def _is_ahead(there: Leaf, wanted: Leaf) -> bool:
    """Whether another server has projected what came after our revision and we have not seen yet: what it published or
    withdrew is not ours to undo."""
    path, rev = there.revisions, _rev(wanted)
    return rev in path[1:] and path[path.index(rev) - 1] != tombstone_rev(rev)


def _shows(there: Leaf, wanted: Leaf) -> bool:
    """Whether it is the projection that is wanted, under its own revision or back after a tombstone."""
    return _rev(wanted) in there.revisions and content(there.document) == content(wanted.document)


def _again(wanted: Leaf, spent: Leaf) -> Leaf:
    """The projection once more, after the tombstone that ended the one of its own revision."""
    path = spent.revisions if is_deleted(spent) else tombstone(spent).revisions
    own = content(wanted.document)
    rev = child(path[:1], own, of=path[0])
    return Leaf({"_id": wanted.document["_id"], "_rev": rev, **own}, (rev, *path)[:LONGEST])


def _rev(leaf: Leaf) -> str:
    return str(leaf.document["_rev"])


def _short_texts(value: object, keys: Sequence[str]) -> dict[str, Any]:
    known: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    return {key: known[key] for key in keys if isinstance(known.get(key), str) and len(known[key]) <= _LONGEST}
