"""Turning a picture without decoding it: an EXIF segment that says how it is to be shown.

A rendition is made once, upright. Where the owner turned the photo afterwards, browsers are told to by an orientation
tag that is put into the JPEG as it is served; they honour it in ``img`` and its size alike.
"""

import struct

TURNS = {0: 1, 90: 6, 180: 3, 270: 8}
"""Degrees clockwise → EXIF orientation (TIFF 6.0, tag 274)."""


def segment(rotate: int) -> bytes:
    """The APP1 segment, 36 bytes, of nothing but an orientation.

    >>> len(segment(90))
    36
    """
    entry = struct.pack(">HHIHH", 274, 3, 1, TURNS[rotate], 0)  # SHORT, one of them, in the first half of the value
    tiff = b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)
    return b"\xff\xe1" + struct.pack(">H", 2 + 6 + len(tiff)) + b"Exif\0\0" + tiff


def turned(jpeg: bytes, rotate: int) -> bytes:
    """The JPEG, to be shown turned by that many degrees clockwise; as it is where it needs no turn or is no JPEG."""
    if not rotate or not jpeg.startswith(b"\xff\xd8"):
        return jpeg
    return jpeg[:2] + segment(rotate) + jpeg[2:]


def shown_size(width: int, height: int, rotate: int, longest: int = 0) -> tuple[int, int]:
    """The size at which a picture of ``width`` × ``height`` is shown, turned, and no longer than ``longest`` pixels.

    >>> shown_size(4032, 3024, 90, 320), shown_size(100, 50, 0, 320), shown_size(0, 0, 0, 320)
    ((240, 320), (100, 50), (4, 3))
    """
    if width <= 0 or height <= 0:
        return 4, 3  # not known: the shape that cameras give most
    if rotate % 180:
        width, height = height, width
    if longest and max(width, height) > longest:
        scale = longest / max(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))
    return width, height
