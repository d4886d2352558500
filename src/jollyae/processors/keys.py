"""Keys: the name an item gets at its destination, from a template.

A key is a pure function of the item (name, modification time, content) and the configuration, so it survives a crash,
an adoption and another worker without being stored. ``{date}`` is the item's modification time in UTC, never "now".
What comes from the item's name is written as :func:`jollyae.spool.names.encode` writes it: the bytes of the name, and
``%XX`` only for what cannot stand in a key. It can be taken back, and no two names become one.
"""

import os
import re
import socket
import string
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from jollyae.spool import names
from jollyae.spool.outcomes import Permanent, Temporary

MAX_KEY = 1024
"""Bytes of UTF-8 in an object key (AWS S3 user guide, "Naming Amazon S3 objects")."""

DEFAULT = "{path}"
FIELDS = ("name", "path", "stem", "ext", "host", "date", "sha256")
_DATE = "%Y/%m/%d"
_DIRECTIVES = frozenset("YymdHIMSfpjGVuUWwaAbB%")
"""What ``{date:…}`` may use: strftime's directives that depend on neither locale, zone nor C library."""
_HINT = (
    "Fields are {name} {path} {stem} {ext} {host} {date:%Y/%m/%d} {sha256}; "
    f"in a date: {' '.join('%' + letter for letter in sorted(_DIRECTIVES))}."
)
_SHORT = 500  # bytes: two of them make a key
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*\Z")
"""Names that are keys as they are."""
_CUT_ESCAPE = re.compile(r"%[0-9A-F]?$")


class TemplateError(ValueError):
    """A key template, or the prefix before it, that cannot be used. ``hint`` lists what is valid."""

    def __init__(self, why: str, hint: str = _HINT) -> None:
        super().__init__(f"{why} {hint}")
        self.hint = hint


class KeyTemplate:
    """A key template, parsed once.

    ``text`` is literal text with fields in braces: ``{path}`` (the whole name, with subdirectories), ``{name}`` (its
    last component), ``{stem}`` and ``{ext}`` (the two parts of that, the dot in the second), ``{host}``,
    ``{date:%Y/%m/%d}``, ``{sha256}`` (of the content, 64 hex digits). ``prefix`` comes before, with one slash between.
    Raises :class:`TemplateError`.

    >>> KeyTemplate("{date:%Y/%m}/{stem}{ext}", prefix="in").key("a/b.jpg", 0.0, "")
    'in/1970/01/b.jpg'
    """

    def __init__(self, text: str = DEFAULT, prefix: str = "", *, host: str | None = None) -> None:
        self.text = text
        self.prefix = prefix.strip("/")
        self._host = names.encode(host if host is not None else socket.gethostname())
        self._parts = _parse(text.lstrip("/"))
        self._check()
        self._before = self._join("")
        self._is_path = self._parts == [("", "path", "")] and len(self._before.encode()) < _SHORT

    @property
    def needs_digest(self) -> bool:
        """Whether the content's SHA-256 must be known before the key is."""
        return any(field == "sha256" for _, field, _ in self._parts)

    def key(self, name: str, mtime: float, sha256: str = "") -> str:
        """The key of the item ``name``; ``mtime`` in seconds since 1970, ``sha256`` in hex (where it is needed).

        Raises :class:`Permanent` where the item can have no key: over 1,024 bytes, or with an empty, '.' or '..'
        component.
        """
        if self._is_path and len(name) < _SHORT and _PLAIN.match(name):
            return f"{self._before}{name}"
        key = self._join(self._render(name, mtime, sha256))
        if why := _why_impossible(key):
            raise Permanent(
                f"no key is possible: {names.show(key[:200])}: {why}", hint="Rename it, or change --key.", reason="key"
            )
        return key

    def _join(self, rest: str) -> str:
        return f"{self.prefix}/{rest}" if self.prefix else rest

    def _render(self, name: str, mtime: float, sha256: str) -> str:
        last = name.rpartition("/")[2]
        stem, ext = os.path.splitext(last)
        values = {"name": last, "path": name, "stem": stem, "ext": ext}
        written = []
        for literal, field, form in self._parts:
            written.append(literal)
            if field in values:
                written.append(names.encode(values[field]))
            elif field == "date":
                written.append(_date(mtime, form))
            elif field:
                written.append(self._host if field == "host" else sha256)
        return "".join(written)

    def _check(self) -> None:
        """A template that no item could pass is the configuration's fault and must never send items to failed/."""
        for what, text in (("key template", self.text), ("prefix", self.prefix)):
            if re.search("[\ud800-\udfff\x00-\x1f\x7f]", text):
                raise TemplateError(f"{what} {text!r}: it holds a control character or bytes that are not UTF-8.", "")
        sample = self._join(self._render("a/b.c", 0.0, "0" * 64))
        if why := _why_impossible(sample):
            raise TemplateError(f"key template {self.text!r}: every key, like {sample!r}, is impossible: {why}.", "")


class KeysByContent(KeyTemplate):
    """Keys that are told, for each content, by whoever has read it before it is delivered (``prefix`` comes before).

    >>> keys = KeysByContent("album")
    >>> with keys.told("ab12", "originals/ab12.jpg"):
    ...     keys.key("any name", 0.0, "ab12")
    'album/originals/ab12.jpg'
    """

    def __init__(self, prefix: str = "") -> None:
        super().__init__("{sha256}", prefix)
        self._told: dict[str, tuple[str, int]] = {}

    @contextmanager
    def told(self, sha256: str, key: str) -> Iterator[None]:
        """Meanwhile, content of that digest has that key. The same may be told by several at a time."""
        self._told[sha256] = key, self._told.get(sha256, ("", 0))[1] + 1
        try:
            yield
        finally:
            _, count = self._told.pop(sha256)
            if count > 1:
                self._told[sha256] = key, count - 1

    def key(self, name: str, mtime: float, sha256: str = "") -> str:
        """See :meth:`KeyTemplate.key`. Raises :class:`Temporary` for content that nobody has told of: the file is not
        what was read before."""
        if sha256 not in self._told:
            raise Temporary(f"the file changed while it was read: {names.show(name)}", after=0.5, reason="content")
        return self._join(self._told[sha256][0])


def beside(key: str, sha256: str, longest: int = MAX_KEY) -> str:
    """The key for other content that wants the taken ``key``: ``stem-<8 of sha256>.ext``, the same at every retry.

    Where that is over 1,024 bytes, or its last component over ``longest``, the stem is cut; the rest never is.

    >>> beside("2026/report.csv", "0123456789abcdef")
    '2026/report-01234567.csv'
    """
    directory, slash, last = key.rpartition("/")
    stem, ext = os.path.splitext(last)
    insert = f"-{sha256[:8]}"
    room = min(MAX_KEY - len((directory + slash).encode()), longest) - len((insert + ext).encode())
    if room < 1:  # an extension as long as a key is none
        stem, ext, room = last, "", room + len(ext.encode())
    if len(stem.encode()) > room:
        cut = stem.encode()[: max(room, 0)].decode(errors="ignore")
        stem = _CUT_ESCAPE.sub("", cut)
    return f"{directory}{slash}{stem}{insert}{ext}"


def _parse(text: str) -> list[tuple[str, str, str]]:
    """(literal text, field or '', format) in order."""
    try:
        found = list(string.Formatter().parse(text))
    except ValueError as error:
        raise TemplateError(f"key template {text!r}: {error}.") from error
    return [_part(text, *part) for part in found]


def _part(text: str, literal: str, field: str | None, form: str | None, conversion: str | None) -> tuple[str, str, str]:
    if field is None:
        return literal, "", ""
    if field not in FIELDS or conversion:
        raise TemplateError(f"key template {text!r}: there is no field {{{field}{'!' if conversion else ''}}}.")
    if field == "date":
        return literal, field, _date_form(text, form or _DATE)
    if form:
        raise TemplateError(f"key template {text!r}: only {{date:…}} takes a format, {{{field}}} does not.")
    return literal, field, ""


def _date_form(text: str, form: str) -> str:
    for directive in re.findall("%(.?)", form):
        if directive not in _DIRECTIVES or not directive:
            raise TemplateError(f"key template {text!r}: a date has no %{directive}.")
    if "%" not in form or "{" in form:
        raise TemplateError(f"key template {text!r}: {form!r} is no date format.")
    return form


def _date(mtime: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(mtime, UTC).strftime(form)
    except (OverflowError, ValueError, OSError) as error:
        raise Permanent(
            f"no key is possible: its modification time {mtime:.0f} is no date: {error}",
            hint="Try: touch the file.",
            reason="key",
        ) from error


def _why_impossible(key: str) -> str:
    if len(key.encode()) > MAX_KEY:
        return f"it is {len(key.encode())} bytes long, and {MAX_KEY} are the most"
    if any(component in ("", ".", "..") for component in key.split("/")):
        return "it has an empty, '.' or '..' component"
    return ""
