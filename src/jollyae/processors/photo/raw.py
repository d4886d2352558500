"""A camera's raw file: the picture that the camera itself put in, by rawpy (LibRaw). Nothing is developed here."""

import importlib
import io
from contextlib import suppress
from typing import IO, Any

from PIL import Image, JpegImagePlugin

TURNED = {0: 1, 3: 3, 5: 8, 6: 6}
"""LibRaw's flip as an EXIF orientation."""


class NoPreview(Exception):
    """The file can be read and has no preview in it."""


class Raw:
    """A raw file with its preview. Raises ImportError where rawpy is not there, :class:`NoPreview`, and whatever rawpy
    raises where it cannot read the file."""

    def __init__(self, file: IO[bytes]) -> None:
        rawpy: Any = importlib.import_module("rawpy")
        file.seek(0)
        with rawpy.imread(file) as found:
            self.size: tuple[int, int] = (found.sizes.width, found.sizes.height)
            self.orientation = TURNED.get(found.sizes.flip, 1)
            try:
                thumb = found.extract_thumb()
            except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError) as error:
                raise NoPreview(str(error)) from error
            self.preview = _opened(thumb.data) if isinstance(thumb.data, bytes) else Image.fromarray(thumb.data)
        self.turn = self._turn()

    def _turn(self) -> int:
        """The orientation of the preview: its own where it has one; none where it stands upright already."""
        own = 1
        with suppress(Exception):
            own = int(self.preview.getexif().get(274, 1))
        if own != 1:
            return own
        lies, preview_lies = self.size[0] >= self.size[1], self.preview.width >= self.preview.height
        return 1 if self.orientation >= 5 and lies != preview_lies else self.orientation


def _opened(data: bytes) -> Image.Image:
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    Image._decompression_bomb_check(image.size)
    return image


def exif(file: IO[bytes], raw: Raw) -> Image.Exif:
    """The tags of the file itself where it is a TIFF inside, else those of its preview."""
    found = Image.Exif()
    with suppress(Exception):
        file.seek(0)
        found.load_from_fp(file)
        if len(found):
            return found
    return raw.preview.getexif()
