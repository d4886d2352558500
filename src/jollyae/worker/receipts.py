"""Receipts: one JSON line for each delivered item, written after the acknowledgement and before the item is retired.

Each worker writes files of its own (``WORKER-START.jsonl``), all that finished in one turn of the loop with one write.
A crash between receipt and retirement repeats the receipt, with the same delivery id; it never omits one.
"""

import hashlib
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from ..spool import fs, names
from ..spool.item import Item
from ..spool.keeping import ALL, Limit

MAX_BYTES = 32 << 20
"""A receipt file is closed at this size and another begun."""
MAX_FILES = 1000
"""The oldest receipt files are removed beyond this many…"""
MAX_TOTAL = 1 << 30
"""…or this many bytes in all."""

_PARTS = 10
"""Where less is kept, so many files make it up: what is beyond is removed file by file."""
_ID_LENGTH = 20  # hex digits: 80 bits, no accidental twin in 10^9 receipts


def delivery_id(url: str, digest: str, inode: int, mtime_ns: int) -> str:
    """The same for the same file delivered to the same place, whoever delivers it and however often.

    >>> delivery_id("s3://b/k", "ab12", 7, 1) == delivery_id("s3://b/k", "ab12", 7, 1)
    True
    """
    text = f"{url}\0{digest}\0{inode}\0{mtime_ns}"
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_ID_LENGTH]


def moment(seconds: float) -> str:
    """A time in seconds since 1970 as people and programs read it: UTC, ISO 8601, microseconds.

    >>> moment(0.25)
    '1970-01-01T00:00:00.250000Z'
    """
    whole = math.floor(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1e6):06d}Z"


@lru_cache(256)
def _second(seconds: int) -> str:
    """The time without its fraction: the same for all that happens in one second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def receipt(item: Item, fields: dict[str, Any], worker: str, finished: str) -> dict[str, Any]:
    """The receipt of a delivered item. ``fields``: what the processor returned; ``finished``: a :func:`moment`."""
    more = {"source": item.source} if item.source else {}
    digest = fields.get("source_sha256") or fields.get("sha256", "")  # packed bytes may be others some day
    return {
        "id": delivery_id(str(fields.get("url", "")), str(digest), item.inode, item.mtime_ns),
        "name": names.encode(item.name),
        "size": item.size,
        **fields,
        **more,
        "arrived": moment(item.arrived),
        "claimed": moment(item.claimed),
        "finished": finished,
        "attempts": item.attempt,
        "worker": worker,
    }


class Receipts:
    """The receipts that one worker writes, in ``directory``."""

    def __init__(self, directory: str, worker: str, *, max_bytes: int = MAX_BYTES, keep: Limit = ALL) -> None:
        self._directory = directory
        self._stem = f"{worker}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        self._max_bytes = max_bytes if keep.bytes is None else min(max_bytes, max(keep.bytes // _PARTS, 1))
        self._keep = keep
        self._seconds = keep.age / _PARTS if keep.age is not None else math.inf
        self._until = math.inf
        self._files = 0
        self._descriptor = -1
        self._size = 0

    def write(self, receipts: Sequence[dict[str, Any]]) -> None:
        """Append them with one write. Raises :class:`OSError`; none counts then, and all may be written again."""
        full = self._size >= self._max_bytes or time.monotonic() >= self._until
        if self._descriptor < 0 or full or os.fstat(self._descriptor).st_nlink == 0:
            self._open()  # no link: another worker removed it as one of the oldest
        data = _lines_of(receipts)
        try:
            fs.write_all(self._descriptor, data)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)  # half a line helps nobody
                os.lseek(self._descriptor, self._size, os.SEEK_SET)
            raise
        self._size += len(data)

    def _open(self) -> None:
        self.close()
        number = f".{self._files}" if self._files else ""
        path = os.path.join(self._directory, f"{self._stem}{number}.jsonl")
        self._descriptor = fs.create(path)
        self._files += 1
        self._size = 0
        self._until = time.monotonic() + self._seconds
        with suppress(OSError):  # of the right to write there but not to read
            prune(self._directory, self._keep)

    def close(self) -> None:
        """Close the file at hand."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


_encoder = msgspec.json.Encoder(enc_hook=repr)


def _lines_of(receipts: Sequence[dict[str, Any]]) -> bytes:
    """The receipts as lines of JSON, whatever a processor put into them: the delivery is a fact."""
    try:
        return _encoder.encode_lines(receipts)
    except (TypeError, ValueError, RecursionError):
        return b"".join(map(_line, receipts))


def _line(one: dict[str, Any]) -> bytes:
    try:
        return _encoder.encode(one) + b"\n"
    except (TypeError, ValueError, RecursionError):  # a key that is no str, text that is not UTF-8
        return msgspec.json.encode({names.encode(str(key)): names.encode(str(one[key])) for key in one}) + b"\n"


def prune(directory: str, keep: Limit) -> None:
    """Remove the oldest receipt files beyond their bounds; ``keep``: beyond these as well. A file's age is that of its
    last line. Raises :class:`OSError`."""
    found = files(directory)
    total = sum(size for _, _, _, size in found)
    most = MAX_TOTAL if keep.bytes is None else min(keep.bytes, MAX_TOTAL)
    begin = time.time() - keep.age if keep.age is not None else -math.inf
    while found and (len(found) > MAX_FILES or (total > most and len(found) > 1) or found[0][0] / 1e9 < begin):
        _, _, oldest, size = found.pop(0)
        total -= size
        with suppress(OSError):
            fs.discard(str(oldest))


def files(directory: str | Path) -> list[tuple[int, str, Path, int]]:
    """The receipt files, oldest first: modification time (ns), name, path, bytes. Raises :class:`OSError` where the
    directory cannot be read; one that is not there has none."""
    found = []
    with suppress(FileNotFoundError), os.scandir(directory) as entries:  # no glob(): it says nothing of a missing right
        for entry in entries:
            if entry.name.endswith(".jsonl"):
                with suppress(FileNotFoundError):  # another worker removes old ones
                    stat = entry.stat()
                    found.append((stat.st_mtime_ns, entry.name, Path(entry.path), stat.st_size))
    return sorted(found)


def read(directory: str | Path, since: float | None = None) -> Iterator[dict[str, Any]]:
    """All receipts in ``directory`` finished at ``since`` (seconds since 1970) or later, in the order of their files.
    Lines that are no receipts (a disk was full) are passed over. Raises :class:`OSError` where they cannot be read."""
    start = moment(since) if since is not None else ""
    for mtime_ns, _, file, _ in files(str(directory)):
        if since is None or mtime_ns / 1e9 >= since - 1:  # the kernel's clock for files ticks coarsely
            with suppress(FileNotFoundError):
                yield from (one for one in _lines(file) if str(one.get("finished", "")) >= start)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open("rb") as lines:
        for line in lines:
            with suppress(msgspec.DecodeError):
                found = msgspec.json.decode(line)
                if isinstance(found, dict):
                    yield found


def newest(receipts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The receipts by the time they were finished."""
    return sorted(receipts, key=lambda one: str(one.get("finished", "")))
