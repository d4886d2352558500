"""Pictures made to do harm: bombs, lies, damage. Each is refused, memory stays small, and the next one is read."""

import os
import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from jollyae.processors.photo import Picture
from jollyae.spool.outcomes import Permanent, Temporary
from tests.processors.photo.dng import dng
from tests.processors.photo.makers import Reading, encoded, exif, memory_of, png, reading, scene, zeros

MB = 1_000_000
GOOD = encoded(scene())


@pytest.fixture
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    """Reads by a child of its own; at the end a good picture is read, no child has had 200 MB and neither have we got
    any larger by it."""
    ours = memory_of(os.getpid(), "VmRSS")
    for read in reading(tmp_path_factory.mktemp("hostile")):
        yield read
        assert read(GOOD).width == 200
        assert 0 < read.peak < 200 * MB
        assert memory_of(os.getpid(), "VmRSS") < ours + 100 * MB


def _gif(width: int, height: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\2\x4c\1\0;"
    return screen + frame


def _tiff(width: int, height: int) -> bytes:
    """A small TIFF that says that it is of this size."""
    content = bytearray(encoded(Image.new("L", (10, 10)), "TIFF"))
    start = struct.unpack_from("<I", content, 4)[0]
    for number in range(struct.unpack_from("<H", content, start)[0]):
        place = start + 2 + 12 * number
        tag = struct.unpack_from("<H", content, place)[0]
        if tag in (256, 257, 278):
            struct.pack_into("<HII", content, place + 2, 4, 1, width if tag == 256 else height)
    return bytes(content)


def _jpeg(width: int, height: int) -> bytes:
    """A small JPEG that says that it is of this size."""
    content = bytearray(encoded(Image.new("L", (16, 16))))
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, height, width)
    return bytes(content)


def _webp(width: int, height: int) -> bytes:
    """A small WebP that says that it is of this size."""
    content = bytearray(encoded(Image.new("RGB", (16, 16)), "WebP"))
    struct.pack_into("<HH", content, content.index(b"\x9d\x01\x2a") + 3, width, height)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        pytest.param(png(50_000, 50_000, zeros(50_000 * 6_251), depth=1), "bomb", id="PNG of 2,500 million zeros"),
        pytest.param(png(13_000, 13_000, zeros(13_000 * 13_001)), "memory", id="PNG under Pillow's limit"),
        pytest.param(png(13_000, 13_000, zeros(13_000 * 39_001), colour=2), "memory", id="PNG in colour"),
        pytest.param(png(11_000, 11_000, zeros(11_000 * 22_001), depth=16), "memory", id="PNG of 16 bits"),
        pytest.param(png(2**31 - 1, 2**31 - 1, b""), "bomb|decoded", id="PNG as large as can be said"),
        pytest.param(png(0, 0, b""), "decoded", id="PNG of nothing"),
        pytest.param(_gif(65_535, 65_535), "bomb", id="GIF"),
        pytest.param(_gif(13_000, 13_000), "memory|decoded", id="GIF under Pillow's limit"),
        pytest.param(_tiff(60_000, 60_000), "bomb", id="TIFF"),
        pytest.param(_tiff(2**32 - 1, 2**32 - 1), "bomb|decoded", id="TIFF as large as can be said"),
        pytest.param(_tiff(13_000, 13_000), "memory|decoded", id="TIFF under Pillow's limit"),
        pytest.param(_jpeg(65_500, 65_500), "bomb", id="JPEG"),
        pytest.param(_webp(16_383, 16_383), "bomb", id="WebP"),
        pytest.param(_webp(13_000, 13_000), "memory|decoded", id="WebP under Pillow's limit"),
    ],
)
def test_bombs(hostile: Reading, content: bytes, word: str) -> None:
    """A small file that would be large in memory is refused, and says so."""
    assert len(content) < 3 * MB
    with pytest.raises(Permanent, match=word) as caught:
        hostile(content)
    assert caught.value.hint


def test_a_jpeg_that_is_mostly_missing(hostile: Reading) -> None:
    """libjpeg makes the rest grey where a scan ends early, and says nothing: it is shown so, and costs little."""
    assert hostile(_jpeg(13_000, 13_000)).width == 13_000


def test_huge_exif(hostile: Reading) -> None:
    """A megabyte of text in a tag, and five thousand tags: the picture is read, what is kept of them is small."""
    tags = exif({270: "a long story " * 80_000, 315: "x" * 60_000}, {37510: b"ASCII\0\0\0" + b"y" * 500_000})
    tags.update(dict.fromkeys(range(60_000, 65_000), "z" * 100))
    picture = hostile(encoded(scene(), "PNG", exif=tags))
    assert picture.width == 200
    assert sum(map(len, (*picture.exif, *picture.exif.values()))) < 50_000
    assert len(picture.descr) <= 10_000


@pytest.mark.parametrize("count", [2**16 - 1, 2**31])
def test_exif_that_lies(hostile: Reading, count: int) -> None:
    """Of how much there is; directories that lead back to themselves."""
    entry = struct.pack("<HHII", 34665, 4, 1, 8) + struct.pack("<HHII", 270, 2, count, 8)
    body = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entry + struct.pack("<I", 8)
    assert hostile(encoded(scene(), exif=body)).width == 200


def test_text_that_unpacks_to_megabytes(hostile: Reading) -> None:
    """PNG can have compressed text: Pillow's limit for it stays on."""
    packed = b"Comment\0\0" + zlib.compress(bytes(300 * MB), 9)
    chunk = struct.pack(">I", len(packed)) + b"zTXt" + packed + struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    content = encoded(scene(), "PNG")
    with pytest.raises(Permanent):
        hostile(content[:33] + chunk + content[33:])


def test_a_huge_colour_profile(hostile: Reading) -> None:
    """Is not passed on."""
    picture = hostile(encoded(scene(), icc_profile=bytes(16) + b"RGB " + bytes(3 * MB)))
    assert max(map(len, picture.renditions.values())) < 100_000


BASES = {
    "jpg": encoded(scene((64, 48)), exif=exif({271: "Maker", 274: 6}, {36867: "2026:05:01 12:34:56"}, {1: "N"})),
    "progressive": encoded(scene((64, 48)), progressive=True),
    "png": encoded(scene((64, 48)), "PNG", exif=exif({270: "text"})),
    "webp": encoded(scene((64, 48)), "WebP"),
    "gif": encoded(scene((64, 48)), "GIF"),
    "tif": encoded(scene((64, 48)), "TIFF", compression="tiff_lzw", exif=exif({270: "text"})),
    "jpeg in tiff": encoded(scene((64, 48)), "TIFF", compression="jpeg"),
    "avif": encoded(scene((64, 48)), "AVIF"),
}


@pytest.mark.parametrize("base", BASES)
def test_damaged_bytes(hostile: Reading, base: str) -> None:
    """A hundred times a few bytes are changed, put in or taken out: it is a picture or it is not, and nothing hangs. A
    codec that crashes costs an attempt."""
    chance = random.Random(base)
    for _ in range(100):
        assert _read(hostile, _damaged(BASES[base], chance)) in ("read", "refused", "crashed")


@pytest.mark.parametrize(("module", "extra"), [("pillow_heif", "heic"), ("rawpy", "raw")])
def test_damaged_bytes_for_the_extras(hostile: Reading, module: str, extra: str) -> None:
    """The same for what other libraries decode."""
    library: Any = pytest.importorskip(module, reason=f"the extra {extra} is not installed")
    if extra == "heic":
        library.register_heif_opener()
    base = encoded(scene((64, 48)), "HEIF") if extra == "heic" else dng((64, 48))
    chance = random.Random(extra)
    for _ in range(100):
        assert _read(hostile, _damaged(base, chance)) in ("read", "refused", "crashed")


def _damaged(content: bytes, chance: random.Random) -> bytes:
    made = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8, 40))):
        place = chance.randrange(len(made))
        match chance.randrange(4):
            case 0:
                made[place] = chance.randrange(256)
            case 1:
                made[place : place + 4] = chance.choice(
                    (b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\0\0\1\0")
                )
            case 2:
                del made[place : place + chance.randrange(1, 20)]
            case _:
                made[place:place] = chance.randbytes(chance.randrange(1, 20))
        if not made:
            break
    return bytes(made)


def _read(read: Reading, content: bytes) -> str:
    try:
        picture = read(content)
    except Permanent as refusal:
        assert refusal.message and refusal.hint
        return "refused"
    except Temporary as delay:
        assert "crashed" in delay.message
        return "crashed"
    assert isinstance(picture, Picture) and (picture.renditions or "be shown" in picture.trouble)
    return "read"


def test_beginnings_without_a_picture(hostile: Reading) -> None:
    """Signatures followed by noise."""
    chance = random.Random(5)
    for content in BASES.values():
        for length in (4, 12, 16, 40):
            assert _read(hostile, content[:length] + chance.randbytes(3000)) == "refused"
