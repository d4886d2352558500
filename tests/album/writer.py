"""A process that writes to an album, for tests that have several, or kill one. Run as ``python -m tests.album.writer``.

Each line it prints is told only after the store has acknowledged it.
"""

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

from jollyae.album.document import rendition
from jollyae.album.sqlite import SqliteStore, open_sqlite
from jollyae.album.store import MEDIUM, THUMB, Rendition, Stale, StoreError

from .samples import edited, id_of, photo

ROOT = Path(__file__).parents[2]


def start(what: str, path: Path, first: int, count: int) -> subprocess.Popen[str]:
    """A process that does ``what`` with the album at the path and the photos of these numbers."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-m", "tests.album.writer", what, str(path), str(first), str(count)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def large(number: int) -> dict[str, Rendition]:
    """Renditions as large as a photo's, other bytes for each photo and name."""
    return {
        name: rendition((f"{name} {number} " * 20_000).encode()[:size])
        for name, size in ((THUMB, 20_000), (MEDIUM, 200_000))
    }


async def _add(store: SqliteStore, numbers: range) -> None:
    for number in numbers:
        await store.add(photo(number), large(number))
        print("added", number, flush=True)


async def _add_in_batches(store: SqliteStore, numbers: range) -> None:
    for first in numbers[::8]:
        batch = range(first, min(first + 8, numbers.stop))
        await asyncio.gather(*(store.add(photo(number), large(number)) for number in batch))
        for number in batch:
            print("added", number, flush=True)


async def _count(store: SqliteStore, numbers: range) -> None:
    """Edit photo 0 once for each number: no edit is lost where others do the same."""
    for _ in numbers:
        while True:
            document = await store.get(id_of(0))
            assert document is not None
            written = int(document["title"] or "0") + 1
            try:
                await store.put(edited(document, written % 3600, store.server, title=str(written)))
                break
            except Stale:
                continue
        print("edited", written, flush=True)


async def _follow(store: SqliteStore, numbers: range) -> None:
    """Tell what others write, until that many changes."""
    left = len(numbers)
    print("following", flush=True)
    async for change in store.changes(follow=True):
        print("seen", change.document["_id"], flush=True)
        left -= 1
        if not left:
            return


async def _fill(store: SqliteStore, numbers: range) -> None:
    """Add until the file may grow no more; then with room again."""
    size = os.path.getsize(sys.argv[2]) + 3_000_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for number in numbers:
        try:
            await store.add(photo(number), large(number))
        except StoreError as error:
            print("full", number, error.is_temporary, bool(error.hint), error.message, flush=True)
            assert await store.get(id_of(number)) is None
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            await store.add(photo(number), large(number))
        print("added", number, flush=True)


WORK = {"add": _add, "batches": _add_in_batches, "count": _count, "follow": _follow, "fill": _fill}


async def _main(what: str, path: str, first: int, count: int) -> None:
    store = await open_sqlite(path, create=True)
    try:
        await WORK[what](store, range(first, first + count))
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
