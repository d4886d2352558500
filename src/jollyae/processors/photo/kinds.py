"""What a file is, by its content. The name it came under is believed only where contents are alike: some makers' raw
files are TIFFs like any other."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

HEAD = 4096
"""Bytes at a file's beginning that tell what it is."""

Read = Callable[[int, int], bytes]
"""``read(offset, size)``: bytes of the file, fewer at its end."""


class How(StrEnum):
    """By what it is read."""

    PILLOW = "pillow"
    HEIF = "pillow-heif"
    RAW = "rawpy"
    VIDEO = "ffmpeg"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file. ``name``: what people call it; for :attr:`How.PILLOW` the name of Pillow's plugin, for
    :attr:`How.VIDEO` that of ffmpeg's demuxer is ``demuxer``."""

    name: str
    extension: str
    mime: str
    how: How = How.PILLOW
    demuxer: str = ""

    @property
    def is_video(self) -> bool:
        """Whether it is a video."""
        return self.how is How.VIDEO


JPEG = Kind("JPEG", "jpg", "image/jpeg")
PNG = Kind("PNG", "png", "image/png")
GIF = Kind("GIF", "gif", "image/gif")
WEBP = Kind("WebP", "webp", "image/webp")
TIFF = Kind("TIFF", "tif", "image/tiff")
AVIF = Kind("AVIF", "avif", "image/avif")
HEIC = Kind("HEIC", "heic", "image/heic", How.HEIF)
HEIF = Kind("HEIF", "heif", "image/heif", How.HEIF)


def _raw(extension: str, mime: str) -> Kind:
    return Kind(extension.upper(), extension, mime, How.RAW)


RAWS = {
    one.extension: one
    for one in (
        _raw("dng", "image/x-adobe-dng"),
        _raw("cr2", "image/x-canon-cr2"),
        _raw("cr3", "image/x-canon-cr3"),
        _raw("nef", "image/x-nikon-nef"),
        _raw("nrw", "image/x-nikon-nrw"),
        _raw("arw", "image/x-sony-arw"),
        _raw("sr2", "image/x-sony-sr2"),
        _raw("pef", "image/x-pentax-pef"),
        _raw("srw", "image/x-samsung-srw"),
        _raw("orf", "image/x-olympus-orf"),
        _raw("rw2", "image/x-panasonic-rw2"),
        _raw("raf", "image/x-fuji-raf"),
        _raw("3fr", "image/x-hasselblad-3fr"),
        _raw("iiq", "image/x-phaseone-iiq"),
        _raw("dcr", "image/x-kodak-dcr"),
        _raw("erf", "image/x-epson-erf"),
        _raw("mef", "image/x-mamiya-mef"),
        _raw("mrw", "image/x-minolta-mrw"),
        _raw("x3f", "image/x-sigma-x3f"),
        _raw("rwl", "image/x-leica-rwl"),
    )
}


def _video(name: str, extension: str, mime: str, demuxer: str) -> Kind:
    return Kind(name, extension, mime, How.VIDEO, demuxer)


MP4 = _video("MP4 video", "mp4", "video/mp4", "mov")
MOV = _video("QuickTime video", "mov", "video/quicktime", "mov")
PHONE = _video("3GP video", "3gp", "video/3gpp", "mov")
WEBM = _video("WebM video", "webm", "video/webm", "matroska")
MATROSKA = _video("Matroska video", "mkv", "video/x-matroska", "matroska")
AVI = _video("AVI video", "avi", "video/x-msvideo", "avi")
ASF = _video("Windows Media video", "wmv", "video/x-ms-wmv", "asf")
FLV = _video("Flash video", "flv", "video/x-flv", "flv")
OGG = _video("Ogg video", "ogv", "video/ogg", "ogg")
MPEG = _video("MPEG video", "mpg", "video/mpeg", "mpeg")
STREAM = _video("MPEG transport stream", "ts", "video/mp2t", "mpegts")

_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"IIRO", RAWS["orf"]),
    (b"IIRS", RAWS["orf"]),
    (b"MMOR", RAWS["orf"]),
    (b"IIU\0", RAWS["rw2"]),
    (b"FUJIFILMCCD-RAW", RAWS["raf"]),
    (b"FOVb", RAWS["x3f"]),
    (b"\0MRM", RAWS["mrw"]),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", ASF),
    (b"FLV\1", FLV),
    (b"\0\0\1\xba", MPEG),
    (b"\0\0\1\xb3", MPEG),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_BRANDS: dict[bytes, Kind | None] = {
    **dict.fromkeys((b"avif", b"avis"), AVIF),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), HEIC),
    b"crx ": RAWS["cr3"],
    b"qt  ": MOV,
    **dict.fromkeys((b"isom", b"avc1", b"mp41", b"mp42", b"mp71", b"MSNV", b"M4V ", b"M4VH", b"f4v ", b"dash"), MP4),
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P ", b"f4a "), None),  # sound
}
"""Brands of ISO base media files (ISO 14496-12, 'ftyp')."""
_VAGUE = (b"mif1", b"msf1")  # some HEIF; the compatible brands say which

_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")

_MAKES = {
    "NIKON": "nef",
    "SONY": "arw",
    "PENTAX": "pef",
    "RICOH": "pef",
    "SAMSUNG": "srw",
    "HASSELBLAD": "3fr",
    "PHASE": "iiq",
    "KODAK": "dcr",
    "EASTMAN": "dcr",
    "SEIKO": "erf",
    "MAMIYA": "mef",
    "LEICA": "rwl",
}
"""What the raw files of makers are called who use a plain TIFF's beginning."""


def recognise(read: Read, extension: str = "") -> Kind | None:
    """What the file is; None: no picture or video that is known. ``extension`` (lower case, no dot) is the one it came
    under.

    >>> recognise(lambda offset, size: b"GIF89a"[offset : offset + size], "jpg").name
    'GIF'
    """
    head = read(0, HEAD)
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head.startswith(_TIFF):
        return _tiff(head, read, extension)
    if head[4:8] == b"ftyp":
        return _branded(head)
    return _framed(head)


def _framed(head: bytes) -> Kind | None:
    if head[:4] == b"RIFF":
        return {b"WEBP": WEBP, b"AVI ": AVI}.get(head[8:12])
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return WEBM if b"webm" in head[:64] else MATROSKA
    if head.startswith(b"OggS"):
        return OGG if b"\x80theora" in head[:512] else None  # else sound
    if head[4:8] in _OLD_QUICKTIME:
        return MOV
    if head[:1] == b"G" and all(head[place : place + 1] == b"G" for place in (188, 376, 564)):
        return STREAM
    return None


def _branded(head: bytes) -> Kind | None:
    """By the major brand, else by the first compatible one that is known."""
    end = min(struct.unpack(">I", head[:4])[0], len(head))
    brands = [head[8:12], *(head[place : place + 4] for place in range(16, end, 4))]
    for brand in brands:
        if brand in _BRANDS:
            return _BRANDS[brand]
    if any(brand in _VAGUE for brand in brands):
        return HEIF
    if any(brand.startswith((b"3gp", b"3g2")) for brand in brands):
        return PHONE
    return MP4 if any(brand.startswith((b"iso", b"mp4")) for brand in brands) else None


# --- raw files that begin as a TIFF does

_SUBFILE, _MAKE, _SUB_IFDS, _DNG_VERSION = 254, 271, 330, 50706
_MOST_TAGS = 200


def _tiff(head: bytes, read: Read, extension: str) -> Kind:
    if head[8:10] == b"CR":
        return RAWS["cr2"]
    if head[8:12] == b"IIII":
        return RAWS["iiq"]
    tags = _first_tags(head, read) if b"*" in head[2:4] else {}
    if _DNG_VERSION in tags:
        return RAWS["dng"]
    make = _make(tags.get(_MAKE), head, read)
    # A camera's raw file shows a small picture first and keeps the sensor's elsewhere.
    is_preview = _value(tags.get(_SUBFILE), head) & 1 and _SUB_IFDS in tags
    if make and (is_preview or extension in RAWS):
        return RAWS.get(extension) or RAWS[make]
    return TIFF


def _order(head: bytes) -> str:
    return "<" if head[:1] == b"I" else ">"


def _first_tags(head: bytes, read: Read) -> dict[int, bytes]:
    """The first directory's entries without their tag: type, count, value or its offset."""
    order = _order(head)
    if len(head) < 8:
        return {}
    (start,) = struct.unpack(f"{order}I", head[4:8])
    counted = read(start, 2)
    if len(counted) < 2:
        return {}
    count = min(struct.unpack(f"{order}H", counted)[0], _MOST_TAGS)
    entries = read(start + 2, 12 * count)
    whole = range(0, len(entries) - 11, 12)
    return {struct.unpack_from(f"{order}H", entries, place)[0]: entries[place + 2 : place + 12] for place in whole}


def _value(entry: bytes | None, head: bytes) -> int:
    if entry is None:
        return 0
    order = _order(head)
    is_short = struct.unpack_from(f"{order}H", entry)[0] == 3
    return int(struct.unpack_from(f"{order}{'H' if is_short else 'I'}", entry, 6)[0])


def _make(entry: bytes | None, head: bytes, read: Read) -> str:
    """The extension of the raw files of the maker who is named; '' where none is known."""
    if entry is None:
        return ""
    _, count, place = struct.unpack(f"{_order(head)}HII", entry)
    text = read(place, min(count, 64)) if count > 4 else entry[6:]
    words = text.decode("ascii", "replace").upper().replace("\0", " ").split()
    return _MAKES.get(words[0], "") if words else ""


# --- what is none

_OTHERS = (
    (b"%PDF", "a PDF"),
    (b"PK\3\4", "a ZIP archive or an office document"),
    (b"BM", "a Windows bitmap"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"<svg", "an SVG drawing"),
    (b"ID3", "sound"),
    (b"fLaC", "sound"),
    (b"<?xml", "an XML file"),
    (b"<x:xmpmeta", "an XMP sidecar"),
)


def guess(head: bytes) -> str:
    """What a file may be that is no picture or video; '' where nothing is known.

    >>> guess(b"%PDF-1.7")
    'a PDF'
    """
    return next((name for beginning, name in _OTHERS if head.startswith(beginning)), "")
