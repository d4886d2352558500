"""pyvips: decoded once, the small rendition from the large one, no more threads than the one core has."""

import importlib
import os
from typing import Any

from . import common


def reader() -> common.Read:
    """Reads one photo; libvips is loaded here, since only the peers' venv has it."""
    os.environ["VIPS_CONCURRENCY"] = "1"
    pyvips: Any = importlib.import_module("pyvips")
    large_side, small_side = common.SIDES

    def read(path: str) -> tuple[str, int]:
        sha256 = common.digest(path)
        large = pyvips.Image.thumbnail(path, large_side, height=large_side, size="down").copy_memory()
        assert [large.get(field) for field in large.get_fields() if field.startswith("exif-")]
        small = large.thumbnail_image(small_side, height=small_side)
        made = [one.jpegsave_buffer(Q=85, keep="icc") for one in (large, small)]
        return sha256, sum(map(len, made))

    return read


if __name__ == "__main__":
    common.measure(reader())
