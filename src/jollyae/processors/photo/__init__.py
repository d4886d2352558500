"""What a photo or video is, read from its file: digests, EXIF, upright renditions. It knows no album.

:class:`Pictures` reads in child processes: what is wrong with a picture, or with the library that decodes it, costs
that picture's attempt and nothing else. Of what is here only the children load Pillow; and since each child has the
memory of all that it loads, :class:`Pictures` is loaded when it is first asked for, which a child never does.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .picture import MEDIUM, THUMB, Picture

if TYPE_CHECKING:
    from .pictures import Pictures

__all__ = ["MEDIUM", "THUMB", "Picture", "Pictures"]


def __getattr__(name: str) -> Any:
    if name != "Pictures":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(".pictures", __name__).Pictures
