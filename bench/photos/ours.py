"""jollyae's :class:`Pictures`, one child, as the album's ingest uses it."""

import asyncio
import time

from jollyae.processors.photo import Pictures

from . import common


async def main() -> None:
    """Read all photos, one after the other."""
    common.one_core()
    files = common.paths()
    pictures = Pictures()
    try:
        await pictures.read(files[0], "first.jpg", 0.0)
        start = time.monotonic()
        found = []
        for path in files:
            picture = await pictures.read(path, "photo.jpg", 0.0)
            assert picture.exif and picture.taken
            found.append((picture.sha256, sum(map(len, picture.renditions.values()))))
        seconds = time.monotonic() - start
        common.report(found, seconds, pictures.children[0])
    finally:
        pictures.close()


if __name__ == "__main__":
    asyncio.run(main())
