"""XMP sidecars: what people wrote about a photo, in the form that other programs read (ISO 16684-1).

Written are all fields that can be edited, with when and on which server, and the comments. Read is what others write
too: title, description, keywords and date. A sidecar comes from anywhere, so it is read without document types and
entities, up to a size and a depth.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat
from xml.sax.saxutils import escape

MAX_BYTES = 16 << 20
"""A larger sidecar is not read; darktable's with long histories have some hundred KiB."""
_MAX_DEPTH = 100

_NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "jollyae": "urn:jollyae:album:1:",
}
"""ISO 16684-1 and Adobe's XMP specification, part 2; the last is our own."""
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML can hold (XML 1.0, "Char")."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?")


class XmpError(ValueError):
    """It is no XMP that we read; the text says why."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, as the sidecar keeps it; ``id`` is the whole of its document's."""

    id: str
    author: str
    text: str
    time: str


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar says. None: it says nothing of that. ``stamps``: for each edited field when and on which server,
    where it is one of ours (``is_ours``); ``changed``: when the sidecar as a whole was changed, '' where it does not
    say. ``is_gps_removed``: somebody took the place away. Times are ISO 8601."""

    title: str | None = None
    descr: str | None = None
    keywords: tuple[str, ...] | None = None
    taken: str | None = None
    cat: str | None = None
    rotate: int | None = None
    is_gps_removed: bool = False
    sha256: str = ""
    name: str = ""
    added: str = ""
    addedby: str = ""
    changed: str = ""
    is_ours: bool = False
    stamps: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    comments: tuple[Comment, ...] = ()

    def fields(self) -> dict[str, Any]:
        """What it says of the fields that can be edited."""
        said: dict[str, Any] = {
            "title": self.title,
            "descr": self.descr,
            "keywords": list(self.keywords) if self.keywords is not None else None,
            "taken": self.taken,
            "cat": self.cat,
            "rotate": self.rotate,
        }
        found = {name: value for name, value in said.items() if value is not None}
        return found | {"gps": None} if self.is_gps_removed else found


# --- writing


def write(document: Mapping[str, Any], comments: Iterable[Mapping[str, Any]] = ()) -> bytes:
    """The sidecar of a photo's document and its comments, in UTF-8."""
    stamps = document.get("stamps") or {}
    parts = [
        _alternative("dc:title", document.get("title", "")),
        _alternative("dc:description", document.get("descr", "")),
        _many("dc:subject", "Bag", document.get("keywords", ())),
        _one("exif:DateTimeOriginal", document.get("taken", "")),
        *_place(document.get("gps")),
        _one("xmp:MetadataDate", max((str(stamp[0]) for stamp in stamps.values()), default="")),
        _one("jollyae:sha256", document.get("_id", "")),
        _one("jollyae:cat", document.get("cat", "")),
        _one("jollyae:rotate", document.get("rotate", 0)),
        _one("jollyae:gps", "removed" if "gps" in stamps and not document.get("gps") else ""),
        _one("jollyae:name", document.get("name", "")),
        _one("jollyae:added", document.get("added", "")),
        _one("jollyae:addedby", document.get("addedby", "")),
        _many("jollyae:edits", "Seq", (f"{name} {when} {server}" for name, (when, server) in sorted(stamps.items()))),
        _comments(comments),
    ]
    spaces = "".join(f'\n    xmlns:{prefix}="{uri}"' for prefix, uri in _NAMESPACES.items() if prefix != "rdf")
    body = "\n".join(part for part in parts if part)
    return (
        "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>\n"
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="{_NAMESPACES["rdf"]}">\n'
        f'  <rdf:Description rdf:about=""{spaces}>\n{body}\n'
        "  </rdf:Description>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end='w'?>\n"
    ).encode()


def _text(value: Any) -> str:
    """Text as XML holds it. A carriage return would be read as a line feed."""
    return escape(_NO_XML.sub("\ufffd", str(value)), {"\r": "&#13;"})


def _one(name: str, value: Any) -> str:
    return f"   <{name}>{_text(value)}</{name}>" if value != "" else ""


def _alternative(name: str, value: Any) -> str:
    return f'   <{name}><rdf:Alt><rdf:li xml:lang="x-default">{_text(value)}</rdf:li></rdf:Alt></{name}>'


def _many(name: str, kind: str, values: Iterable[Any]) -> str:
    listed = "".join(f"<rdf:li>{_text(value)}</rdf:li>" for value in values)
    return f"   <{name}><rdf:{kind}>{listed}</rdf:{kind}></{name}>"


def _place(gps: Mapping[str, Any] | None) -> list[str]:
    if not gps or "latitude" not in gps or "longitude" not in gps:
        return []
    parts = [
        _one("exif:GPSLatitude", _degrees(float(gps["latitude"]), "NS")),
        _one("exif:GPSLongitude", _degrees(float(gps["longitude"]), "EW")),
    ]
    if gps.get("altitude") is not None:
        altitude = float(gps["altitude"])
        parts += [_one("exif:GPSAltitudeRef", int(altitude < 0)), _one("exif:GPSAltitude", f"{abs(altitude):.2f}")]
        parts[-1] = _one("exif:GPSAltitude", f"{round(abs(altitude) * 100)}/100")
    return parts


def _degrees(value: float, letters: str) -> str:
    """Degrees as XMP writes them: whole ones, minutes, and the direction.

    >>> _degrees(-33.8568, "NS")
    '33,51.40800000S'
    """
    whole, rest = divmod(abs(value), 1)
    return f"{whole:.0f},{rest * 60:.8f}{letters[value < 0]}"


def _comments(comments: Iterable[Mapping[str, Any]]) -> str:
    listed = []
    for one in comments:
        values = (("id", "_id"), ("author", "author"), ("time", "time"), ("text", "text"))
        told = "".join(f"<jollyae:{name}>{_text(one.get(key, ''))}</jollyae:{name}>" for name, key in values)
        listed.append(f'<rdf:li rdf:parseType="Resource">{told}</rdf:li>')
    return f"   <jollyae:comments><rdf:Seq>{''.join(listed)}</rdf:Seq></jollyae:comments>" if listed else ""


# --- reading


def read(data: bytes) -> Sidecar:
    """What a sidecar says. Raises :class:`XmpError`."""
    if len(data) > MAX_BYTES:
        raise XmpError(f"it has {len(data)} bytes, and {MAX_BYTES} are the most that is read")
    root = _parse(data)
    about = _Description(list(root.iter(_name("rdf:Description"))))
    if not about.descriptions:
        raise XmpError("it describes nothing (no rdf:Description)")
    edits = [edit.split(" ", 2) for edit in about.many("jollyae:edits") or ()]
    rotate = about.one("jollyae:rotate")
    return Sidecar(
        title=about.one("dc:title"),
        descr=about.one("dc:description"),
        keywords=about.many("dc:subject"),
        taken=_taken(about.one("exif:DateTimeOriginal")) or _taken(about.one("photoshop:DateCreated")),
        cat=about.one("jollyae:cat"),
        rotate=int(rotate) if rotate in ("0", "90", "180", "270") else None,
        is_gps_removed=about.one("jollyae:gps") == "removed",
        sha256=about.one("jollyae:sha256") or "",
        name=about.one("jollyae:name") or "",
        added=about.one("jollyae:added") or "",
        addedby=about.one("jollyae:addedby") or "",
        changed=about.one("xmp:MetadataDate") or "",
        is_ours=about.one("jollyae:sha256") is not None,
        stamps={edit[0]: (edit[1], edit[2]) for edit in edits if len(edit) == 3},
        comments=tuple(about.comments()),
    )


def _name(text: str) -> str:
    prefix, _, local = text.partition(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


def _parse(data: bytes) -> Element:
    """The tree. Nothing is expanded and nothing is fetched: a document type ends it."""
    builder = TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise XmpError(f"it is nested more than {_MAX_DEPTH} deep")
        builder.start(_braced(name), {_braced(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_braced(name))

    def refuse(*_: object) -> None:
        raise XmpError("it has a document type, which no XMP has")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
        return builder.close()
    except expat.ExpatError as error:
        raise XmpError(f"it is no XML: {error}") from error
    except (LookupError, ValueError) as error:
        if isinstance(error, XmpError):
            raise
        raise XmpError(f"it cannot be read: {error}") from error


def _braced(name: str) -> str:
    return f"{{{name}" if "}" in name else name


class _Description:
    """The properties of a resource, over all its rdf:Description elements; each may be an element or an attribute."""

    def __init__(self, descriptions: list[Element]) -> None:
        self.descriptions = descriptions

    def one(self, name: str) -> str | None:
        """A text: of an alternative its default language's, else the first."""
        for description in self.descriptions:
            if (text := description.get(_name(name))) is not None:
                return text
            if (found := description.find(_name(name))) is not None:
                listed = found.findall(f"{_name('rdf:Alt')}/{_name('rdf:li')}")
                listed = [one for one in listed if one.get(_LANGUAGE) == "x-default"] or listed
                return (listed[0].text or "") if listed else (found.text or "")
        return None

    def many(self, name: str) -> tuple[str, ...] | None:
        """The texts of a list."""
        for description in self.descriptions:
            if (found := description.find(_name(name))) is not None:
                kinds = (f"{_name(kind)}/{_name('rdf:li')}" for kind in ("rdf:Bag", "rdf:Seq", "rdf:Alt"))
                return tuple(one.text or "" for kind in kinds for one in found.findall(kind))
        return None

    def comments(self) -> Iterable[Comment]:
        """What we wrote of comments."""
        for description in self.descriptions:
            for one in description.findall(f"{_name('jollyae:comments')}/{_name('rdf:Seq')}/{_name('rdf:li')}"):
                said = {key: one.findtext(_name(f"jollyae:{key}")) or "" for key in ("id", "author", "text", "time")}
                yield Comment(**said)


def _taken(text: str | None) -> str | None:
    """A time as documents have it: to the second, with an offset where there is one; None for what is no time.

    >>> _taken("2026-11-22T14:03:12.50"), _taken("2026-11-22T14:03Z"), _taken("2026-11"), _taken("2026-99-99")
    ('2026-11-22T14:03:12', '2026-11-22T14:03:00+00:00', None, None)
    """
    match = _TIME.fullmatch(text or "")
    if not match:
        return None
    day, minute, second, zone = match.groups()
    found = f"{day}T{minute or '00:00'}:{second or '00'}" + ("+00:00" if zone == "Z" else zone or "")
    try:
        datetime.fromisoformat(found)
    except ValueError:
        return None
    return found
