"""The objects that events name: fetched, compared with what the store and the event say of them, and written to a file
of the spool's ``tmp/`` that is ready to be renamed into ``incoming/``.

The file's modification time is the object's, so ``{date}`` in a key means what it means elsewhere. What is below a
second of it is a number made of the object's state (its ETag and version): so whoever finds the file after a crash
knows which state of the object it is, without another file beside it.
"""

import asyncio
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from ..processors.s3 import S3Options
from ..processors.s3.fetching import BucketFetcher, Fetched, Proof
from ..spool import fs
from ..spool.outcomes import Permanent
from .events import Event

MOST_BUCKETS = 100
"""Buckets whose connections are kept."""
UNKNOWN = -1
"""The mark of a state that nobody knows."""
_BILLION = 10**9
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")  # botocore asks for no more, and old ones have such names
_WHO = "Look who writes into this queue."


class State(NamedTuple):
    """Which state of an object a file is: its size in bytes, and a number made of bucket, ETag and version."""

    size: int
    mark: int


@lru_cache(1024)  # asked when a message comes, and when its object has come
def mark_of(bucket: str, etag: str, version: str) -> int:
    """The number, from 0 up to and without 10^9. Without an ETag: UNKNOWN. The bucket counts: two may have the same
    bytes under one key, and each is to be worked on.

    >>> mark_of("a", "d41d8cd98f00b204e9800998ecf8427e", "") == mark_of("b", "d41d8cd98f00b204e9800998ecf8427e", "")
    False
    """
    if not etag:
        return UNKNOWN
    told = f"{bucket}\n{etag}\n{version}".encode(errors="replace")
    return int.from_bytes(sha256(told).digest()[:8], "big") % _BILLION


def state_of(found: os.stat_result) -> State:
    """The state that a fetched file is of."""
    return State(found.st_size, found.st_mtime_ns % _BILLION)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A fetched object: the temporary file's path, its state, and the key that it has in its bucket."""

    path: str
    state: State
    key: str


class Objects:
    """Fetches from any bucket of one S3 store. ``connections``: the most requests at a time to a bucket. Raises
    :class:`~jollyae.spool.outcomes.Temporary`, :class:`~jollyae.spool.outcomes.Permanent`, and
    :class:`FileNotFoundError` for an object that is gone."""

    def __init__(self, options: S3Options, connections: int) -> None:
        self._options = options
        self._connections = connections
        self._buckets: dict[str, BucketFetcher] = {}

    async def fetch(self, event: Event, directory: str) -> Arrived:
        """The object, in a file of ``directory``. Raises :class:`OSError` of the directory too."""
        if event.scheme != "s3":
            raise Permanent(
                f"cannot be fetched: it is no object of S3 ({event.scheme}://)",
                hint="Only what went to s3:// can be worked on from a broker.",
                reason="content",
            )
        try:
            event.key.encode()
        except UnicodeEncodeError:
            raise Permanent("cannot be fetched: no object has such a name", reason="key") from None
        if not _BUCKET.fullmatch(event.bucket):
            raise Permanent("cannot be fetched: no bucket has such a name", hint=_WHO, reason="bucket")
        bucket = self._bucket(event.bucket)
        key, found = await _found(bucket, event)
        path = fs.temporary_name(directory)
        descriptor = fs.create(path)
        try:
            try:
                await _write(bucket, found, key, descriptor)
                mark = mark_of(event.bucket, found.etag, event.version)
                at = int(found.modified) * _BILLION + max(mark, 0)
                os.utime(descriptor, ns=(at, at))
            finally:
                os.close(descriptor)
        except BaseException:
            with suppress(OSError):
                fs.discard(path)
            raise
        return Arrived(path, State(found.size, mark), key)

    def _bucket(self, name: str) -> BucketFetcher:
        found = self._buckets.pop(name, None)
        if found is None:
            if len(self._buckets) >= MOST_BUCKETS:
                self._buckets.pop(next(iter(self._buckets))).close()
            found = BucketFetcher(name, self._options, self._connections)
        self._buckets[name] = found  # the one that was used last is last
        return found

    def close(self) -> None:
        """Take no more requests. Nothing is waited for."""
        for bucket in self._buckets.values():
            bucket.close()


async def _found(bucket: BucketFetcher, event: Event) -> tuple[str, Fetched]:
    """The object, and its key: which of two readings of a key is meant, the ETag tells. Raises
    :class:`FileNotFoundError`."""
    if not event.otherwise:
        return event.key, await bucket.fetch(event.key, event.version, event.size)
    try:
        found = await bucket.fetch(event.key, event.version, event.size)
    except FileNotFoundError:
        return event.otherwise, await bucket.fetch(event.otherwise, event.version, event.size)
    if event.etag and found.etag != event.etag:
        with suppress(FileNotFoundError):
            other = await bucket.fetch(event.otherwise, event.version, event.size)
            if other.etag == event.etag:
                return event.otherwise, other
    return event.key, found


async def _write(bucket: BucketFetcher, found: Fetched, key: str, descriptor: int) -> None:
    proof, size = found.proof(), 0
    if found.body is not None:
        proof.update(found.body)
        fs.write_all(descriptor, found.body)
        size = len(found.body)
    else:
        with suppress(OSError):
            fs.try_lock(descriptor)  # tells the sweeper that this one is alive, however long it takes
        while data := await bucket.piece(found, key):
            await asyncio.to_thread(_keep, data, proof, descriptor)
            size += len(data)
    bucket.judge(found, proof, key, size)


def _keep(data: bytes, proof: Proof, descriptor: int) -> None:
    proof.update(data)
    fs.write_all(descriptor, data)
