"""Which troubles are alike: the error without what differs from item to item. Pure."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from ...spool import names
from ...spool.notes import Note

_LONGEST = 240  # characters of a title
_ELLIPSIS = "…"

# In this order. What stays is what tells one trouble from another: words, an exit code, a signal, a status of HTTP.
_VARIES = re.compile(
    r"""
    (?P<keep>\b(?:exit\ code|exit\ status|signal|errno|HTTP)\ \d+ | \b[1-5]\d\d\ (?=[A-Z][A-Za-z]))
    | \(request\ [^)]*\)
    | \b\w+://\S*[^\s:,;.!?)\]'"]
    | (?<![\w/])/[^\s:,;'"]+
    | '[^']*' | "[^"]*"
    | \b[0-9a-fA-F]{8}-[0-9a-fA-F-]{20,}\b
    | \b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{6,}\b
    | 0x[0-9a-fA-F]+
    | \d+(?:[.,:T-]\d+)*Z?
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A group of troubles. ``id``: for URLs; ``title``: what they have in common; ``hint``: of one of them."""

    id: str
    place: str
    title: str
    hint: str


def kind_of(place: str, note: Note | None) -> Kind:
    """The kind of the trouble that the note tells; without one, that nobody wrote why."""
    if note is None or not note.error:
        return _kind(place, "no note says why", "")
    return _kind(place, title(note.error, names.decode(note.name)), note.hint)


def one_line(text: str) -> str:
    """What a note says, in one line that can be shown anywhere.

    >>> one_line("ended with exit code 1:\\nno invoice\\n")
    'ended with exit code 1: / no invoice'
    """
    return " / ".join(names.printable(line.strip()) for line in text.splitlines() if line.strip())


def brief(error: str) -> str:
    """What happened, and of all that a command said the last line, which most often says why.

    >>> brief("sips ended with exit code 3:\\nreading…\\nbad byte")
    'sips ended with exit code 3: bad byte'
    """
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return " ".join(dict.fromkeys((*lines[:1], *lines[-1:])))


def title(error: str, name: str = "") -> str:
    """The error in brief, without the item's name, numbers, URLs, paths and identifiers.

    >>> title("there is no such bucket: s3://b/in/m1.txt: 404 NoSuchBucket (request tx001)", "m1.txt")
    'there is no such bucket: …: 404 NoSuchBucket'
    >>> title("convert ended with exit code 3: cannot read 'a 7.jpg' at byte 1024 of it", "a 7.jpg")
    'convert ended with exit code 3: cannot read … at byte … of it'
    """
    text = brief(error)
    if len(name) > 2:  # a shorter one is found in words that are not about it
        for form in {names.encode(name), names.show(name), name}:
            text = text.replace(form, _ELLIPSIS)
    text = _VARIES.sub(lambda match: match["keep"] or _ELLIPSIS, text)
    text = re.sub(r"…(?:[\s/…]*…)+", _ELLIPSIS, text)
    text = " ".join(text.split()).rstrip(" …:;,") or _ELLIPSIS
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + _ELLIPSIS


@lru_cache(1000)
def _kind(place: str, title: str, hint: str) -> Kind:
    code = hashlib.sha256(f"{place}\0{title}".encode(errors="replace")).hexdigest()[:12]
    return Kind(code, place, names.printable(title), hint)
