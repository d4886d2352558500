"""Pixels as a JPEG can have them and a screen shows them: grey or RGB, opaque on white, 8 bits."""

import io
from collections.abc import Callable

from PIL import Image

_PLAIN = ("L", "RGB", "YCbCr")
_DEEP = ("I", "F")  # and all that begin with I;16
_WHITE = (255, 255, 255)
_LARGEST_PROFILE = 1 << 16
"""Bytes of a colour profile that is passed on; a screen's has 500 to 4,000, and those of printers are converted."""

Flatten = Callable[[Image.Image], Image.Image]


def flattener(image: Image.Image) -> tuple[Flatten | None, bytes]:
    """How parts of this picture become plain, and the colour profile that is right for them then (empty: none; what has
    none is taken for sRGB by all). None: they are plain as they are."""
    profile = image.info.get("icc_profile") or b""
    mode = image.mode
    if mode in ("CMYK", "LAB"):
        return _to_srgb(mode, profile), b""
    kept = _fitting(profile, "GRAY" if _is_grey(image) else "RGB ")
    if profile and not kept and mode in ("RGB", "L") and len(profile) > _LARGEST_PROFILE:
        return _to_srgb(mode, profile), b""
    if mode in _PLAIN and "transparency" not in image.info:
        return None, kept
    if mode in _DEEP or mode.startswith("I;16"):
        return _scaled(image), kept
    if _is_transparent(image):
        return _on_white, kept
    return (lambda part: part.convert("L" if mode == "1" else "RGB")), kept


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("L", "1", *_DEEP) or image.mode.startswith("I;16")


def _fitting(profile: bytes, space: str) -> bytes:
    """The profile, where it is one for that colour space (ICC.1, header bytes 16 to 19) and not too large."""
    return profile if profile[16:20] == space.encode() and len(profile) <= _LARGEST_PROFILE else b""


def _is_transparent(image: Image.Image) -> bool:
    return "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA")


def _on_white(part: Image.Image) -> Image.Image:
    coloured = part.convert("RGBA")
    paper = Image.new("RGB", part.size, _WHITE)
    paper.paste(coloured, mask=coloured.getchannel("A"))
    return paper


def _scaled(image: Image.Image) -> Flatten:
    """Deep grey to 8 bits: 16 bits by their full range, others by what is in the picture."""
    least, most = 0.0, 65535.0
    if image.mode in _DEEP:
        found = image.getextrema()
        least, most = (float(one) for one in found[:2] if not isinstance(one, tuple))
        if least >= 0 and image.mode == "I":
            least, most = 0.0, 255.0 if most <= 255 else 65535.0 if most <= 65535 else most
        if least >= 0 and most <= 1 and image.mode == "F":
            least, most = 0.0, 1.0
    scale = 255 / (most - least) if most > least else 0.0
    offset = -least * scale
    return lambda part: part.convert("F").point(lambda value: value * scale + offset).convert("L")


def _to_srgb(mode: str, profile: bytes) -> Flatten:
    """By the picture's own profile where it is good for anything, else by the plain formula."""
    from PIL import ImageCms

    try:
        source = (
            ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if profile or mode != "LAB"
            else ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        )
        target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        transform = ImageCms.buildTransform(source, target, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return lambda part: part if mode in _PLAIN else part.convert("RGB")
    return lambda part: ImageCms.applyTransform(part, transform) or part
