"""Files that were cut off."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jollyae.processors.photo import kinds
from jollyae.processors.photo.whole import is_whole
from jollyae.spool.outcomes import Permanent
from tests.processors.photo.makers import Reading, encoded, scene

NOISE = Image.effect_noise((300, 200), 90).convert("RGB")
FORMATS = {
    "JPEG": encoded(NOISE, "JPEG"),
    "progressive JPEG": encoded(NOISE, "JPEG", progressive=True),
    "PNG": encoded(NOISE, "PNG"),
    "GIF": encoded(NOISE.quantize(64), "GIF"),
    "animated GIF": encoded(scene(), "GIF", save_all=True, append_images=[scene().rotate(90)]),
    "WebP": encoded(NOISE, "WebP"),
    "TIFF": encoded(NOISE, "TIFF"),
    "TIFF, LZW": encoded(NOISE, "TIFF", compression="tiff_lzw"),
    "AVIF": encoded(NOISE, "AVIF"),
}
ENDS = {"JPEG": 2, "progressive JPEG": 2}
"""Bytes that may be missing at the end, since no pixel is in them: a JPEG's end mark."""


@pytest.mark.parametrize("format", FORMATS)
def test_a_picture_that_was_cut_off_is_refused(read: Reading, format: str) -> None:
    """Wherever it was cut: at 40 places, and each of the last bytes."""
    content = FORMATS[format]
    assert read(content).width
    last = len(content) - 1 - ENDS.get(format, 0)
    places = {1, 2, 3, 10, 20, *range(30, last, len(content) // 40), *range(last - 12, last + 1)}
    for place in sorted(places):
        with pytest.raises(Permanent) as caught:
            read(content[:place])
        assert caught.value.hint, f"{place} of {len(content)} bytes"


@pytest.mark.parametrize("format", FORMATS)
def test_what_follows_a_picture_does_no_harm(read: Reading, format: str) -> None:
    """Cameras and phones put things there: a film, a second picture, zeros."""
    assert read(FORMATS[format] + bytes(5000)).width


def _whole(content: bytes, kind: kinds.Kind) -> bool:
    return is_whole(kind, lambda offset, size: content[offset : offset + size], len(content))


def test_a_video_that_was_cut_off() -> None:
    """Boxes are counted, of 32 and of 64 bits; the last may reach to the end."""
    film = struct.pack(">I4s4s4x", 16, b"ftyp", b"isom") + struct.pack(">I4s8x", 16, b"moov")
    large = film + struct.pack(">I4sQ", 1, b"mdat", 16 + 100) + bytes(100)
    assert _whole(film, kinds.MP4) and _whole(large, kinds.MP4)
    assert _whole(film + struct.pack(">I4s", 0, b"mdat") + bytes(7), kinds.MOV)
    assert not _whole(film[:-1], kinds.MP4) and not _whole(large[:-1], kinds.MOV)


KINDS = (kinds.PNG, kinds.GIF, kinds.WEBP, kinds.AVIF, kinds.MP4, kinds.JPEG, kinds.RAWS["dng"])


@given(st.binary(max_size=400), st.sampled_from(KINDS), st.sampled_from([b"", b"II*\0\x08\0\0\0\3\0", b"GIF89a"]))
def test_any_bytes_have_an_end(content: bytes, kind: kinds.Kind, beginning: bytes) -> None:
    """Lengths that lie lead nowhere, and nowhere in a circle."""
    assert _whole(beginning + content, kind) in (True, False)


def test_directories_that_lead_in_a_circle() -> None:
    """Are looked at once each."""
    entry = struct.pack("<HHII", 330, 4, 1, 8)
    assert _whole(b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + struct.pack("<I", 8), kinds.RAWS["nef"])


def test_the_reader_of_lengths_reads_no_pixels() -> None:
    """A large picture is looked at in some dozen places."""
    content, asked = io.BytesIO(encoded(Image.new("RGB", (3000, 3000)), "PNG")), 0

    def read(offset: int, size: int) -> bytes:
        nonlocal asked
        asked += size
        content.seek(offset)
        return content.read(size)

    assert is_whole(kinds.PNG, read, len(content.getvalue()))
    assert asked < 1000
