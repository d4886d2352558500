"""Reading back what was delivered into a directory (``file:///dir``)."""

import os
import stat
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

from ..spool import names
from ..spool.outcomes import Permanent
from .reading import BLOCK, Kept


class DirectoryReader:
    """A :class:`.reading.Reader` of the directory that ``url`` names. A file's mode, time and owner are its metadata,
    by the names that they have in stores. Symbolic links are not followed. Raises :class:`ValueError`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError(f"{url!r}: a directory is written file:///absolute/path")
        self.url = url
        self._directory = os.path.abspath(unquote(parts.path, errors="surrogateescape"))

    async def size(self, key: str) -> int | None:
        """See :class:`.reading.Reader`."""
        found = await self.look(key)
        return found.size if found is not None else None

    async def look(self, key: str) -> Kept | None:
        """See :class:`.reading.Reader`."""
        try:
            found = os.lstat(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        seconds, rest = divmod(found.st_mtime_ns, 1_000_000_000)
        metadata = {"mtime": f"{seconds}.{rest:09d}", "mode": f"{found.st_mode:o}"}
        return Kept(found.st_size, metadata=metadata | {"uid": str(found.st_uid), "gid": str(found.st_gid)})

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See :class:`.reading.Reader`."""
        descriptor = os.open(self._path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            while size := BLOCK if end is None else min(BLOCK, end - start):
                if not (data := os.pread(descriptor, size, start)):
                    return
                yield data
                start += len(data)
        finally:
            os.close(descriptor)

    async def list(self, folder: str) -> AsyncIterator[tuple[str, int]]:
        """See :class:`.reading.Reader`; dotfiles are left out."""
        begin = len(self._directory.rstrip("/")) + 1
        waiting = [self._path(folder) if folder else self._directory]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda one: one.name)
            waiting += [entry.path for entry in reversed(found) if entry.is_dir(follow_symlinks=False)]
            for entry in found:
                if entry.is_file(follow_symlinks=False):
                    yield entry.path[begin:], entry.stat(follow_symlinks=False).st_size

    def close(self) -> None:
        """See :class:`.reading.Reader`."""

    def _path(self, key: str) -> str:
        if why := names.why_impossible(key):
            raise Permanent(f"{names.show(key)} is no file there: {why}", reason="key")
        return os.path.join(self._directory, key)
