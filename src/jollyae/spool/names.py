"""Names of items: how they are written where bytes cannot be, and which files are not items.

An item's name is its path below ``incoming/``, as ``str`` in the file system's own encoding (what :func:`os.fsdecode`
gives: bytes that are not UTF-8 are lone surrogates). Such a name cannot be put into JSON, a log line or an S3 key as
it is, so :func:`encode` writes it with ``%XX`` for exactly what cannot stand there, and :func:`decode` takes it back.
No two names become one.
"""

import os
import re

MAX_COMPONENT = 255
"""Bytes in one path component on the file systems we know (Linux NAME_MAX; APFS and HFS+ allow as much)."""

# Not UTF-8 (lone surrogates of os.fsdecode), control characters C0, DEL and C1, and a percent sign that would read as
# an escape of ours. Nothing else: ``100%.txt`` stays as it is.
_UNSAFE = re.compile("[\udc80-\udcff\x00-\x1f\x7f-\x9f]|%(?=[0-9A-Fa-f]{2})")
_ESCAPE = re.compile(b"%([0-9A-Fa-f]{2})")

_PARTIAL_SUFFIXES = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", ".opdownload", "~")
_LITTER = frozenset({"thumbs.db", "desktop.ini", "icon\r"})


def _escape(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(text))


def encode(name: str) -> str:
    """The name as text that any JSON, log or object key can hold; :func:`decode` gives the name back.

    >>> encode("summer 2026/100%.txt")
    'summer 2026/100%.txt'
    >>> encode("line\\nbreak %41")
    'line%0Abreak %2541'
    """
    if name.isascii() and name.isprintable() and "%" not in name:  # most are, and this is quick to see
        return name
    return _UNSAFE.sub(lambda match: _escape(match.group()), name)


def decode(text: str) -> str:
    """The name that :func:`encode` or :func:`show` wrote as ``text``.

    >>> decode("line%0Abreak %2541") == "line\\nbreak %41"
    True
    """
    raw = os.fsencode(text)
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match.group(1), 16)]), raw))


def show(name: str) -> str:
    """The name as it may be printed on a terminal: like :func:`encode`, and invisible or direction-changing
    characters are escaped too, so that no name can pretend to be another or move the cursor.

    >>> show("evil\\u202egpj.exe")
    'evil%E2%80%AEgpj.exe'
    """
    return printable(encode(name))


def printable(text: str) -> str:
    """An encoded name (as receipts and notes have it) as it may be printed; :func:`decode` still gives the name.

    >>> printable(encode("caf\u00e9 \u202e"))
    'café %E2%80%AE'
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def is_ignored(name: str) -> bool:
    """Whether a file of this name is never an item: dotfiles (also below a dot directory), files that browsers and
    copy programs mark as unfinished, and what desktops leave behind.

    >>> [is_ignored(name) for name in (".hidden", "film.part", "a/.git/config", "Thumbs.db", "report.csv")]
    [True, True, True, True, False]
    """
    return not is_wanted(name)


def is_wanted(name: str) -> bool:
    """The contrary of :func:`is_ignored`."""
    if name.startswith(".") or "/." in name:
        return False
    last = name.rpartition("/")[2].lower()
    return not (last.endswith(_PARTIAL_SUFFIXES) or last in _LITTER or last.startswith("~$"))


def is_hidden(name: str) -> bool:
    """Whether any component of ``name`` begins with a dot; what lies below such a directory is never an item.

    >>> [is_hidden(name) for name in (".git", "a/.git/b", "a.part/b")]
    [True, True, False]
    """
    return name.startswith(".") or "/." in name


def why_impossible(name: str) -> str:
    """Why no item can have this name ('' if one can): empty, absolute, or with a component that is no file name.

    >>> why_impossible("../etc/passwd")
    "it has an empty, '.' or '..' component"
    >>> why_impossible("a/b.jpg")
    ''
    """
    if not name or "\0" in name:
        return "it is empty or holds a NUL"
    if name[0] != "." and "/" not in name and name.isascii() and len(name) <= MAX_COMPONENT:
        return ""  # as most are
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "it has an empty, '.' or '..' component"
    if any(len(os.fsencode(part)) > MAX_COMPONENT for part in parts):
        return f"a component is longer than {MAX_COMPONENT} bytes"
    return ""


def shorten(stem: str, extension: str, insert: str) -> str:
    """``stem`` + ``insert`` + ``extension`` in at most 255 bytes: the stem is cut, never the rest.

    >>> shorten("photo", ".jpg", "~1")
    'photo~1.jpg'
    """
    room = MAX_COMPONENT - len(os.fsencode(insert + extension))
    cut = os.fsencode(stem)[: max(room, 0)]
    while cut and os.fsdecode(cut) != stem[: len(os.fsdecode(cut))]:  # not in the middle of a UTF-8 character
        cut = cut[:-1]
    return os.fsdecode(cut) + insert + extension
