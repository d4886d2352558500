"""What a file is, by its content."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.processors.photo import kinds
from jollyae.processors.photo.kinds import How, recognise


def _ftyp(major: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return struct.pack(">I", 16 + len(brands)) + b"ftyp" + major + bytes(4) + brands


def _tiff(tags: dict[int, tuple[int, int, bytes]], order: str = "<", start: int = 8) -> bytes:
    """A TIFF's beginning: its first directory, with type, count and value of each tag."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, type_, count) + value for tag, (type_, count, value) in sorted(tags.items())
    )
    return magic + struct.pack(f"{order}I", start) + bytes(start - 8) + struct.pack(f"{order}H", len(tags)) + entries


def _short(value: int, order: str = "<") -> tuple[int, int, bytes]:
    return 3, 1, struct.pack(f"{order}HH", value, 0)


def _what(content: bytes, extension: str = "") -> str | None:
    kind = recognise(lambda offset, size: content[offset : offset + size], extension)
    return kind.extension if kind else None


@pytest.mark.parametrize(
    ("content", "extension"),
    [
        (b"\xff\xd8\xff\xe0", "jpg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"GIF87a", "gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (_ftyp(b"avif"), "avif"),
        (_ftyp(b"mif1", b"miaf", b"avif"), "avif"),
        (_ftyp(b"heic", b"mif1"), "heic"),
        (_ftyp(b"mif1", b"heic"), "heic"),
        (_ftyp(b"mif1", b"miaf"), "heif"),
        (_ftyp(b"crx "), "cr3"),
        (_ftyp(b"qt  "), "mov"),
        (_ftyp(b"isom", b"iso2", b"avc1", b"mp41"), "mp4"),
        (_ftyp(b"mp42"), "mp4"),
        (_ftyp(b"3gp4", b"isom"), "mp4"),
        (_ftyp(b"3gp5", b"3gp4"), "3gp"),
        (_ftyp(b"M4A ", b"mp42"), None),
        (_ftyp(b"what"), None),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3\x9fB\x82\x88matroska", "mkv"),
        (b"OggS" + bytes(24) + b"\x80theora", "ogv"),
        (b"OggS" + bytes(24) + b"\1vorbis", None),
        (b"G" + bytes(187) + b"G" + bytes(187) + b"G" + bytes(187) + b"G", "ts"),
        (b"Good morning", None),
        (b"IIU\0\x18\0\0\0", "rw2"),
        (b"FUJIFILMCCD-RAW 0201", "raf"),
        (b"II*\0\x10\0\0\0CR\2\0", "cr2"),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_kinds(content: bytes, extension: str | None) -> None:
    """By signature, brand or document type; sound is none of ours."""
    assert _what(content) == extension


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiffs_and_raw_files(order: str) -> None:
    """A plain TIFF is one, also of a camera; what has a small picture first and others below it is a raw file."""
    make = (2, 4, b"SONY")  # short enough to stand in the entry itself
    preview, below = _short(1, order), (4, 1, bytes(4))
    assert _what(_tiff({256: _short(10, order)}, order)) == "tif"
    assert _what(_tiff({271: make}, order)) == "tif"
    assert _what(_tiff({271: make}, order), "arw") == "arw"
    assert _what(_tiff({254: preview, 271: make, 330: below}, order)) == "arw"
    assert _what(_tiff({254: preview, 271: make, 330: below}, order, start=6000)) == "arw"
    assert _what(_tiff({50706: (1, 4, b"\1\4\0\0")}, order)) == "dng"


def test_the_makers_name_may_stand_elsewhere() -> None:
    """As it does in most files: the entry only says where."""
    head = _tiff({254: _short(1), 271: (2, 18, struct.pack("<I", 100)), 330: (4, 1, bytes(4))})
    content = head.ljust(100, b"\0") + b"NIKON CORPORATION\0"
    assert _what(content) == "nef"


def test_an_extension_alone_makes_no_raw_file() -> None:
    """A JPEG that is called .nef is a JPEG, a TIFF without a maker's name a TIFF."""
    assert _what(b"\xff\xd8\xff\xe1", "nef") == "jpg"
    assert _what(_tiff({256: _short(1)}), "nef") == "tif"


@given(st.binary(max_size=300), st.sampled_from([b"", b"II*\0", b"MM\0*", b"RIFF", b"\0\0\0\x20ftyp", b"G"]))
def test_any_bytes_have_an_answer(content: bytes, beginning: bytes) -> None:
    """Damaged beginnings raise nothing."""
    kind = recognise(lambda offset, size: (beginning + content)[offset : offset + size], "nef")
    assert kind is None or kind.extension


def test_how_each_is_read() -> None:
    """HEIC and raw files need an extra, videos ffmpeg."""
    assert (kinds.HEIC.how, kinds.RAWS["cr3"].how, kinds.MP4.how) == (How.HEIF, How.RAW, How.VIDEO)
    assert kinds.MP4.is_video and not kinds.JPEG.is_video
