"""Pillow as the first page of its manual suggests: open, turn upright, scale each rendition from the whole picture."""

import io

from PIL import Image, ImageOps

from . import common


def read(path: str) -> tuple[str, int]:
    """One photo."""
    sha256, made = common.digest(path), 0
    with Image.open(path) as image:
        assert dict(image.getexif())
        upright = ImageOps.exif_transpose(image)
        for side in common.SIDES:
            scale = side / max(upright.size)
            small = upright.resize(
                (round(upright.width * scale), round(upright.height * scale)), Image.Resampling.LANCZOS
            )
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=85, icc_profile=image.info.get("icc_profile"))
            made += len(buffer.getvalue())
    return sha256, made


if __name__ == "__main__":
    common.measure(read)
