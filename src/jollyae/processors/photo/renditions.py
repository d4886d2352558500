"""Renditions: upright JPEGs of some sizes, each scaled from the one before it.

A JPEG is decoded at a half, a quarter or an eighth of its size where that is still enough: libjpeg then computes only
those pixels. It is asked for by the box that the picture shall really have; a square one would have it decoded in full.
Other formats are decoded whole, made plain and reduced band by band, so that no second copy of all pixels exists.
"""

import io
from collections.abc import Mapping

from PIL import Image

from . import colours

_BAND = 1 << 20
"""Pixels that are made plain at once."""

QUALITY = 85
_RESAMPLING = Image.Resampling.BICUBIC
_ENOUGH = 1.5
"""A picture is reduced by whole numbers (fast, by plain means) to no less than so many times the size that is wanted;
the rest is done by the better filter, which cannot tell the difference then."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright that has this orientation (EXIF 2.32, tag 274)."""


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height as people see them.

    >>> upright_size((4000, 3000), 6), upright_size((4000, 3000), 3)
    ((3000, 4000), (4000, 3000))
    """
    return (size[1], size[0]) if orientation >= 5 else size


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size with its longer side at most so long, never larger than it was and never less than one pixel.

    >>> fitted((4032, 3024), 1600), fitted((3, 9000), 1600), fitted((200, 100), 320)
    ((1600, 1200), (1, 1600), (200, 100))
    """
    longer = max(size)
    if longer <= side:
        return size
    return max(1, round(size[0] * side / longer)), max(1, round(size[1] * side / longer))


def make(image: Image.Image, orientation: int, sides: Mapping[str, int]) -> dict[str, bytes]:
    """The renditions of an opened picture, by name. ``sides``: the longer side of each in pixels, largest first; it is
    decoded if there are none, too. Decodes the first frame, and closes the picture; raises whatever Pillow raises."""
    size = image.size
    first = fitted(size, max(sides.values(), default=1))
    if image.format in (
        "JPEG",
        "MPO",
    ):  # the HEIC plugin would decode the thumbnail that is in the file, not the picture
        image.draft(None, first)
    image.load()
    flatten, profile = colours.flattener(image)
    last = _reduced(image, first, flatten)
    made = {}
    for name, side in sides.items():
        last = _scaled(last, fitted(size, side))
        if last is not image:
            image.close()  # its pixels; their memory is wanted for what follows
        if orientation in _UPRIGHT:
            last, size, orientation = last.transpose(_UPRIGHT[orientation]), upright_size(size, orientation), 1
        made[name] = _jpeg(last, profile)
    return made


def _scaled(image: Image.Image, target: tuple[int, int]) -> Image.Image:
    """The picture at this size, computed in bands: Pillow keeps all rows at their new width between its two passes,
    which for a photo is as much memory as the result."""
    if image.size == target:
        return image
    (width, height), rows = target, max(1, _BAND // 2 // target[0])
    made = Image.new(image.mode, target, None)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        box = (0.0, top * image.height / height, float(image.width), bottom * image.height / height)
        made.paste(image.resize((width, bottom - top), _RESAMPLING, box, _ENOUGH), (0, top))
    return made


def _reduced(image: Image.Image, target: tuple[int, int], flatten: colours.Flatten | None) -> Image.Image:
    """The picture made plain, and reduced by a whole number as far as is good."""
    factor = max(1, int(min(image.width / target[0], image.height / target[1]) / _ENOUGH))
    if flatten is None:
        return image.reduce(factor) if factor > 1 else image
    width, height = -(-image.width // factor), -(-image.height // factor)
    rows = max(1, _BAND // image.width // factor) * factor
    made: Image.Image | None = None
    for top in range(0, image.height, rows):
        band = flatten(image.crop((0, top, image.width, min(top + rows, image.height))))
        part = band.reduce(factor) if factor > 1 else band
        if made is None:
            made = Image.new(part.mode, (width, height), None)
        made.paste(part, (0, top // factor))
    assert made is not None  # a picture has at least one row: Pillow refuses others
    return made


def _jpeg(image: Image.Image, profile: bytes) -> bytes:
    """With the colour profile and nothing else: Pillow would write the original's comment into it."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, icc_profile=profile, comment=b"")
    return buffer.getvalue()
