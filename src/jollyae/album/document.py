"""What a photo's document holds, and how it is made and edited. Pure functions of values.

A photo's ``_id`` is the SHA-256 of its original, so the same photo dropped twice is one photo. Its fields:

| field | |
|---|---|
| ``type`` | ``photo`` |
| ``title``, ``descr`` | text, the second in Markdown; '' where nobody wrote one |
| ``keywords`` | list of texts, sorted, each once; a new photo has ``unprocessed`` |
| ``cat`` | ``Private`` (a new photo), ``Friends/Family`` or ``Public`` |
| ``taken`` | ISO 8601 to the second, local time as taken; with an offset only if the file says so |
| ``added``, ``addedby`` | when (UTC, ISO 8601 with ``Z``) and by whom it came in |
| ``name`` | the name under which it came, without directories |
| ``kind`` | ``image`` or ``video`` |
| ``width``, ``height``, ``size``, ``extension``, ``mime`` | of the original; upright; bytes; ``jpg`` (no dot) |
| ``rotate`` | 0, 90, 180, 270: how it was turned by an edit, clockwise, beyond upright |
| ``camera`` | texts, those that are known: ``name`` (what lists show), ``make``, ``model``, ``lens``, ``exposure``… |
| ``gps`` | ``latitude``, ``longitude`` (degrees, WGS 84), ``altitude`` (m) where known; or None |
| ``exif`` | all readable tags, as text |
| ``original`` | ``url``, ``size``, ``sha256``, ``md5`` |
| ``stamps`` | for each edited field: [time of the edit in UTC, server] |
| ``edited`` | for each edited field: the generation of the revision in which it was (see :mod:`.merge`) |
| ``seen`` | for each edited field: {server: time} of the edits by others that its value replaced, knowing them |
| ``trouble`` | why there are no renditions, where there are none |

A comment: ``type`` ``comment``, ``photo`` (the photo's id), ``author``, ``text`` (Markdown), ``time``; its id is
``comment:PHOTO:TIME-RANDOM``. A user: ``type`` ``user``, ``name``, ``role`` (``editor`` sees and edits all; ``friend``
sees Friends/Family and comments), ``password`` (hashed), ``changed`` (when); its id is ``user:NAME``.

Moments are written as :func:`.times.now` writes them.
"""

import hashlib
import math
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from . import texts, times
from .revisions import generation
from .store import MEDIUM, THUMB, Audience, Card, Cursor, Document, Order, Query, Rendition
from .texts import InvalidText

PRIVATE, FRIENDS, PUBLIC = "Private", "Friends/Family", "Public"
CATEGORIES = (PRIVATE, FRIENDS, PUBLIC)
UNPROCESSED = "unprocessed"
"""The keyword of photos nobody has looked at yet: the inbox."""
EDITABLE = ("title", "descr", "keywords", "cat", "taken", "rotate", "gps")
"""What a person may change. ``gps`` can only be removed."""

FRIEND, EDITOR = "friend", "editor"
ROLES = (FRIEND, EDITOR)

LEVELS = {PUBLIC: 0, FRIENDS: 1, PRIVATE: 2}
"""How private a category is; what is unknown is :data:`PRIVATE`."""
SEES = {Audience.PUBLIC: 0, Audience.FRIENDS: 1, Audience.ALL: 2}
"""Up to which level an audience sees."""

_TAGS, _TAG = 2000, 2000
"""The most tags of a file that are kept, and the most characters of one."""
_WHERE = re.compile(
    r"gps|latitude|longitude|altitude|geotag|geoloc|location|country|province|^city$|^state$", re.IGNORECASE
)
"""Tags that tell where a photo was taken."""
_USER = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class InvalidEdit(ValueError):
    """It cannot be changed to that. ``sentence`` says why, for the person who wanted it; ``field`` is whose fault."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(f"{field}: {sentence}")
        self.field = field
        self.sentence = sentence


class PictureLike(Protocol):
    """What is known of a photo's file, as :class:`jollyae.processors.photo.Picture` has it."""

    @property
    def sha256(self) -> str: ...
    @property
    def md5(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def extension(self) -> str: ...
    @property
    def mime(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def taken(self) -> str: ...
    @property
    def camera(self) -> Mapping[str, str]: ...
    @property
    def gps(self) -> Mapping[str, float] | None: ...
    @property
    def exif(self) -> Mapping[str, str]: ...
    @property
    def title(self) -> str: ...
    @property
    def descr(self) -> str: ...
    @property
    def keywords(self) -> list[str]: ...
    @property
    def renditions(self) -> Mapping[str, bytes]: ...
    @property
    def trouble(self) -> str: ...


# --- making


def called(photo: dict[str, Any]) -> str:
    """How a person knows the photo: its name (else its title) and when it was taken; '' where it tells neither.

    >>> called({"name": "IMG_1.jpg", "title": "The beach", "taken": "2026-11-22T14:03:12"})
    'IMG_1.jpg, taken 2026-11-22 14:03:12'
    """
    name, taken = str(photo.get("name") or photo.get("title") or ""), str(photo.get("taken", ""))[:19]
    return ", ".join(part for part in (name, f"taken {taken.replace('T', ' ')}" if taken else "") if part)


def new_photo(picture: PictureLike, *, original: str, name: str, added: str, addedby: str, id: str = "") -> Document:
    """The document of a photo that came in under that ``name`` at the moment ``added``; ``original`` is the URL of its
    original. It is Private and unprocessed. What the file itself tells is kept as far as it can be."""
    return {
        "_id": id or picture.sha256,
        "type": "photo",
        "title": texts.cleaned(picture.title, texts.TITLE),
        "descr": texts.cleaned(picture.descr, texts.DESCRIPTION, several=True),
        "keywords": sorted({*texts.cleaned_keywords(picture.keywords), UNPROCESSED}),
        "cat": PRIVATE,
        "taken": _readable_time(picture.taken),
        "added": times.moment(added),
        "addedby": texts.cleaned(addedby, texts.NAME),
        "name": texts.cleaned(name.replace("\\", "/").rpartition("/")[2], 255),
        "kind": picture.kind,
        "width": int(picture.width or 0),
        "height": int(picture.height or 0),
        "size": int(picture.size),
        "extension": picture.extension,
        "mime": picture.mime,
        "rotate": 0,
        "camera": _tags(picture.camera),
        "gps": _place(picture.gps),
        "exif": _tags(picture.exif),
        "original": {"url": original, "size": int(picture.size), "sha256": picture.sha256, "md5": picture.md5},
        "stamps": {},
        "edited": {},
        **({"trouble": texts.cleaned(picture.trouble, _TAG)} if picture.trouble else {}),
    }


def renditions(picture: PictureLike) -> dict[str, Rendition]:
    """The renditions to keep with a new photo's document."""
    return {name: rendition(body) for name, body in picture.renditions.items() if name in (THUMB, MEDIUM)}


def rendition(body: bytes, mime: str = "image/jpeg") -> Rendition:
    """A rendition of these bytes."""
    return Rendition(body, mime, hashlib.sha256(body).hexdigest()[:32])


def new_comment(photo: str, author: str, text: str, *, now: str, token: str = "") -> Document:
    """A comment on the photo of that id. Raises :class:`InvalidEdit`."""
    moment = times.moment(now)
    written = _checked("text", lambda: texts.paragraphs(text, texts.COMMENT))
    if not written.strip():
        raise InvalidEdit("text", "Write something first.")
    return {
        "_id": f"comment:{photo}:{moment}-{token or secrets.token_hex(4)}",
        "type": "comment",
        "photo": photo,
        "author": _checked("author", lambda: texts.line(author, texts.NAME)),
        "text": written,
        "time": moment,
    }


def new_user(name: str, role: str, password: str, *, now: str) -> Document:
    """A user, with the ``password`` hashed already. Raises :class:`InvalidEdit`."""
    if not _USER.fullmatch(name):
        raise InvalidEdit("name", "A name has 1 to 64 of a–z, 0–9, “.”, “_”, “@” and “-”, the first a letter or digit.")
    if role not in ROLES:
        raise InvalidEdit("role", f"A role is one of: {', '.join(ROLES)}.")
    return {
        "_id": user_id(name),
        "type": "user",
        "name": name,
        "role": role,
        "password": password,
        "changed": times.moment(now),
    }


def user_id(name: str) -> str:
    """The id of a user's document."""
    return f"user:{name}"


def _readable_time(text: str) -> str:
    try:
        return times.taken(text)
    except ValueError:
        return ""


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags as texts that every store can hold."""
    pairs = ((texts.cleaned(str(key), 200), texts.cleaned(str(value), _TAG)) for key, value in tags.items())
    return dict([(key, value) for key, value in pairs if key and value][:_TAGS])


def _place(gps: Mapping[str, float] | None) -> dict[str, float] | None:
    """The place on earth, if it is one."""
    known = {key: float(gps[key]) for key in ("latitude", "longitude", "altitude") if gps and gps.get(key) is not None}
    found = {key: value for key, value in known.items() if math.isfinite(value)}
    if abs(found.get("latitude", math.inf)) > 90 or abs(found.get("longitude", math.inf)) > 180:
        return None
    return found


# --- editing

_NOTHING = object()


def edited(document: Document, changes: Mapping[str, Any], *, now: str, server: str) -> Document:
    """The photo with these fields changed by that server at that moment, ready to be put. Where nothing changes it is
    the document that was given. Raises :class:`InvalidEdit`.

    ``gps`` can only be removed (None), and takes the place out of ``exif``."""
    if document.get("type") != "photo":
        raise InvalidEdit("type", "Only photos are edited.")
    # What a form sends back as it got it is no edit, whatever it is: an older file may have what is refused today.
    wanted = {name: checked(name, value) for name, value in changes.items() if value != document.get(name, _NOTHING)}
    changed = {name: value for name, value in wanted.items() if value != value_of(document, name)}
    if not changed:
        return document
    after = {key: value for key, value in document.items() if key != "_conflicts"} | changed
    time = moment_of_edit(document, times.moment(now), server)
    histories = {field: {**history(document, field), server: time} for field in changed}
    after |= stamped(
        document, dict.fromkeys(changed, (time, server)), histories, generation(document.get("_rev", "")) + 1
    )
    return without_place(after) if "gps" in changed else after


def checked(field: str, value: object) -> Any:
    """The value as it is kept in that field. Raises :class:`InvalidEdit`."""
    check = _CHECKS.get(field)
    if check is None:
        raise InvalidEdit(field, "This cannot be edited.")
    return _checked(field, lambda: check(value))


def value_of(document: Mapping[str, Any], field: str) -> Any:
    """What an editable field holds; what it would hold if nobody had written anything, where it is not there."""
    found = document.get(field)
    return _EMPTY.get(field) if found is None else found


def history(document: Mapping[str, Any], field: str) -> dict[str, str]:
    """For each server, its newest edit that the field's value is or has replaced. {} where it was never edited."""
    known = dict(_mapping(_mapping(document.get("seen")).get(field)))
    if found := stamp(document, field):
        time, server = found
        known[server] = max(time, known.get(server, ""))
    return known


def stamp(document: Mapping[str, Any], field: str) -> tuple[str, str] | None:
    """When and on which server the field was last edited; None where it never was."""
    found = _mapping(document.get("stamps")).get(field)
    return (str(found[0]), str(found[1])) if isinstance(found, list | tuple) and len(found) == 2 else None


def moment_of_edit(document: Mapping[str, Any], now: str, server: str) -> str:
    """``now``, or just after that server's last edit of the document if its clock was put back."""
    fields = {*_mapping(document.get("stamps")), *_mapping(document.get("seen"))}
    last = max((history(document, field).get(server, "") for field in fields), default="")
    return now if now > last else times.just_after(last)


def stamped(
    document: Mapping[str, Any],
    stamps: Mapping[str, tuple[str, str]],
    histories: Mapping[str, Mapping[str, str]],
    generation: int,
) -> Document:
    """The fields that say who edited what, after edits with these stamps and histories in that generation."""
    seen = dict(_mapping(document.get("seen")))
    for field, known in histories.items():
        time, server = stamps[field]
        others = {one: last for one, last in sorted(known.items()) if (last, one) != (time, server)}
        seen.pop(field, None)
        seen |= {field: others} if others else {}
    return {
        "stamps": {**_mapping(document.get("stamps")), **{field: list(stamps[field]) for field in stamps}},
        "edited": {**_mapping(document.get("edited")), **dict.fromkeys(stamps, generation)},
        **({"seen": seen} if seen or document.get("seen") else {}),
    }


def without_place(document: Document) -> Document:
    """It without anything that tells where the photo was taken."""
    exif = {tag: text for tag, text in _mapping(document.get("exif")).items() if not _WHERE.search(tag)}
    return {**document, "gps": None, "exif": exif}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _checked(field: str, check: Callable[[], Any]) -> Any:
    try:
        return check()
    except InvalidText as error:
        raise InvalidEdit(field, error.sentence) from None


def _one_of(choices: tuple[object, ...]) -> Callable[[object], object]:
    def check(value: object) -> object:
        for choice in choices:
            if choice == value and not isinstance(value, bool):
                return choice
        raise InvalidText(f"This is one of: {', '.join(map(str, choices))}.")

    return check


def _check_taken(value: object) -> str:
    try:
        return times.taken(texts.line(value, 40))
    except InvalidText:
        raise
    except ValueError:
        raise InvalidText("Write the time like this: 2026-11-22T15:04:05, with +01:00 behind it if known.") from None


def _check_gps(value: object) -> None:
    if value is not None:
        raise InvalidText("The place can only be removed.")


_CHECKS: dict[str, Callable[[object], Any]] = {
    "title": lambda value: texts.line(value, texts.TITLE),
    "descr": lambda value: texts.paragraphs(value, texts.DESCRIPTION),
    "keywords": texts.keywords,
    "cat": _one_of(CATEGORIES),
    "taken": _check_taken,
    "rotate": _one_of((0, 90, 180, 270)),
    "gps": _check_gps,
}
_EMPTY: dict[str, Any] = {"title": "", "descr": "", "keywords": [], "cat": PRIVATE, "taken": "", "rotate": 0}


# --- looking


def level(document: Mapping[str, Any]) -> int:
    """How private a photo is: see :data:`LEVELS`."""
    return LEVELS.get(str(document.get("cat")), LEVELS[PRIVATE])


def is_visible(document: Mapping[str, Any], audience: Audience) -> bool:
    """Whether the audience may see that photo."""
    return level(document) <= SEES[audience]


def is_private_keyword(keyword: str) -> bool:
    """Whether only those who see everything may know of the keyword."""
    return keyword.startswith("_") or keyword == UNPROCESSED


def keyword_level(document: Mapping[str, Any], keyword: str) -> int:
    """From which level on it is seen that the photo has this keyword."""
    return LEVELS[PRIVATE] if is_private_keyword(keyword) else level(document)


def visible_keywords(document: Mapping[str, Any], audience: Audience) -> list[str]:
    """The photo's keywords, as far as the audience may know them."""
    words = document.get("keywords")
    known = [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
    return [word for word in known if keyword_level(document, word) <= SEES[audience]]


def camera_name(document: Mapping[str, Any]) -> str:
    """The camera, as lists show it; '' where it is not known."""
    return str(_mapping(document.get("camera")).get("name") or "")


def month(document: Mapping[str, Any]) -> str:
    """The month in which it was taken ('2026-11'); '' where that is not known."""
    found = str(document.get("taken") or "")[:7]
    return found if re.fullmatch(r"\d{4}-\d\d", found) else ""


def card(document: Mapping[str, Any], has_renditions: bool) -> Card:
    """What a list shows of the photo."""
    return Card(
        id=document["_id"],
        title=str(document.get("title") or ""),
        taken=str(document.get("taken") or ""),
        added=str(document.get("added") or ""),
        cat=str(document.get("cat") or PRIVATE),
        width=int(document.get("width") or 0),
        height=int(document.get("height") or 0),
        rotate=int(document.get("rotate") or 0),
        kind=str(document.get("kind") or "image"),
        has_renditions=has_renditions,
    )


def place(document: Mapping[str, Any], order: Order) -> Cursor:
    """Its place in a list of that order."""
    return card(document, False).cursor(order)


def matches(document: Mapping[str, Any], query: Query) -> bool:
    """Whether the query asks for that document: what every store must agree with."""
    if document.get("type") != "photo" or not is_visible(document, query.audience):
        return False
    words = visible_keywords(document, query.audience)
    return (
        all(word in words for word in query.having)
        and not any(word in words for word in query.lacking)
        and (not query.camera or camera_name(document) == query.camera)
        and str(document.get("taken") or "").startswith(query.period)
    )
