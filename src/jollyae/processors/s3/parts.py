"""The parts of one large file: each read and hashed in one pass, a few in flight; those the store has are not sent
again. What is hashed is what is sent: both come from one buffer, which is filled once."""

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from jollyae.spool.item import Item

from . import checksums
from .checksums import Content, composite
from .collisions import is_md5
from .content import Changed, check_unchanged, fill, of_file
from .target import Target, agrees
from .transport import Checksum, Part, StoredPart


class UploadLike(Protocol):
    """Which upload the parts belong to."""

    @property
    def id(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def part_size(self) -> int: ...
    @property
    def algorithm(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Sent:
    """All parts are at the store. ``checksum``: over the whole as S3 keeps it, base64 (of sha256 the digest of the
    parts' digests, ending in ``-N``), '' for md5 and none; ``composite``: the ETag that our own MD5 of the parts make,
    '' where they were not computed; ``resumed``: parts that were there before."""

    parts: list[StoredPart]
    checksum: str
    composite: str
    resumed: int


@dataclass(frozen=True, slots=True)
class Known:
    """A file that was read before it is sent, because its key or a comparison needed the digest. ``values``: the
    checksums of its parts, by which what is sent is recognised."""

    content: Content
    values: Sequence[str]


@dataclass(slots=True)
class _Read:
    body: bytearray
    sha256: str
    md5: str
    checksum: Checksum | None


async def digest(target: Target, item: Item, part_size: int, algorithm: str) -> Known:
    """The digest of the whole, by reading it once. Raises :class:`Changed` if it changes meanwhile."""
    known = await target.threads.run(_digest, item, part_size, algorithm)
    check_unchanged(item)
    return known


def _digest(item: Item, part_size: int, algorithm: str) -> Known:
    whole, values = hashlib.sha256(), []
    buffer = memoryview(bytearray(min(part_size, item.size)))
    for start in range(0, item.size, part_size):
        hash = checksums.new(algorithm) if algorithm != "none" else None
        into = buffer[: min(part_size, item.size - start)]
        fill(item, start, into, [whole, *([hash] if hash else [])])
        values.append(base64.b64encode(hash.digest()).decode() if hash else "")
    return Known(of_file(item.fd, item.size, whole.hexdigest()), values)


async def send(
    target: Target, item: Item, upload: UploadLike, there: list[StoredPart], known: Known | None = None
) -> Sent:
    """Send the parts that are not ``there``. One part's failure ends the attempt; what arrived stays for the next.
    Raises :class:`Changed` if the bytes are not those that were ``known``."""
    job = _Parts(target, item, upload, {part.number: part for part in there}, known)
    with target.buffers:
        try:
            await job.send_all()
        finally:
            await job.stop()
    return job.sent()


class _Room:
    """A lane, and so many bytes of memory, for one part. Left exactly once."""

    def __init__(self, target: Target, size: int) -> None:
        self._target = target
        self._size = size
        self._taken = False

    async def take(self) -> None:
        await self._target.memory.take(self._size)
        self._taken = True

    def leave(self, _: object = None) -> None:
        self._target.lanes.release()
        if self._taken:
            self._target.memory.give(self._size)


class _Parts:
    """One file's parts on their way."""

    def __init__(
        self, target: Target, item: Item, upload: UploadLike, there: dict[int, StoredPart], known: Known | None
    ) -> None:
        self.target = target
        self.item = item
        self.upload = upload
        self.there = there
        self.known = known
        self.part_size = upload.part_size
        self.algorithm = upload.algorithm
        self.stored: dict[int, StoredPart] = {}
        self.values: dict[int, tuple[str, int]] = {}
        self.md5s: dict[int, str] = {}
        self.resumed = 0
        self.bytes_done = 0
        self.under_way: dict[int, int] = {}  # bytes sent of each part in flight; written by its thread
        self.tasks: set[asyncio.Task[None]] = set()

    async def send_all(self) -> None:
        self.item.progress(0)  # of an attempt before this one
        count = -(-self.item.size // self.part_size)
        for number in range(1, count + 1):
            await self._begin(number)
            self._raise_failed()
        while self.tasks:
            await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failed()

    async def _begin(self, number: int) -> None:
        """Begin with a part when there is a lane for it, and room in memory."""
        start = (number - 1) * self.part_size
        size = min(self.part_size, self.item.size - start)
        await self.target.lanes.acquire()
        room = _Room(self.target, size)
        try:
            await room.take()
        except BaseException:
            room.leave()
            raise
        task = asyncio.create_task(self._bring(number, start, size))
        task.add_done_callback(room.leave)  # also of a task that is cancelled before it began
        self.tasks.add(task)

    async def _bring(self, number: int, start: int, size: int) -> None:
        """Read the part; send it if the store has it not."""
        buffer = self.target.buffers.take(size)
        part = await self.target.threads.run(self._read, number, start, buffer)
        if self._is_there(number, part):
            self.resumed += 1
            self._done(self.there[number])
        else:
            await self._send(number, part)
        self.target.buffers.give(buffer)  # not of one that was cancelled: a thread may still have it

    def _read(self, number: int, start: int, buffer: bytearray) -> _Read:
        """In a thread: fill the buffer, and hash while the bytes are in the processor's cache."""
        wanted = {self.algorithm} - {"none"} | ({"md5"} if self.target.options.verify else set())
        hashes = {algorithm: checksums.new(algorithm) for algorithm in wanted}
        with memoryview(buffer) as view:
            fill(self.item, start, view, list(hashes.values()))
        digests = {algorithm: hash.digest() for algorithm, hash in hashes.items()}
        md5 = digests["md5"].hex() if "md5" in digests else ""
        checksum = None
        if self.algorithm != "none":
            checksum = Checksum(self.algorithm, base64.b64encode(digests[self.algorithm]).decode())
        there = self.there.get(number)
        if not md5 and there is not None and is_md5(there.etag) and self.algorithm not in there.checksums:
            md5 = hashlib.md5(buffer, usedforsecurity=False).hexdigest()
        sha256 = digests["sha256"].hex() if self.algorithm == "sha256" else ""
        return _Read(buffer, sha256, md5, checksum)

    def _is_there(self, number: int, part: _Read) -> bool:
        """Whether the store has this part with these bytes: size, and its checksum or an ETag that is the MD5."""
        self._note(number, part)
        there = self.there.get(number)
        if there is None or there.size != len(part.body):
            return False
        if part.checksum and (value := there.checksums.get(part.checksum.algorithm)):
            return value == part.checksum.value
        return is_md5(there.etag) and there.etag == part.md5

    def _note(self, number: int, part: _Read) -> None:
        value = part.checksum.value if part.checksum else ""
        if self.known is not None and self.known.values[number - 1] != value:
            raise Changed(self.item.name)
        self.values[number] = (value, len(part.body))
        if part.md5:
            self.md5s[number] = part.md5

    async def _send(self, number: int, part: _Read) -> None:
        await self.target.pace_part(len(part.body))
        stored = await self.target.transport.part(
            Part(
                key=self.upload.key,
                upload=self.upload.id,
                number=number,
                body=part.body,
                sha256=part.sha256,
                checksum=part.checksum,
                progress=partial(self._tell, number),
            )
        )
        agrees(stored.checksums, part.checksum, f"{self.target.url(self.upload.key)} part {number}")
        self._done(stored)

    def _done(self, part: StoredPart) -> None:
        self.stored[part.number] = part
        self.bytes_done += part.size
        self.under_way.pop(part.number, None)
        self.item.progress(self.bytes_done + sum([*self.under_way.values()]))

    def _tell(self, number: int, sent: int) -> None:
        """So much of the part is sent. From any thread, so the list is made in one step of the interpreter."""
        self.under_way[number] = sent
        self.item.progress(self.bytes_done + sum([*self.under_way.values()]))

    def _raise_failed(self) -> None:
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.discard(task)
            task.result()

    async def stop(self) -> None:
        """End what is still under way; nothing of it counts."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()

    def sent(self) -> Sent:
        numbers = sorted(self.stored)
        checksum = checksums.of_parts(self.algorithm, [self.values[number] for number in numbers])
        own = composite([self.md5s[number] for number in numbers]) if len(self.md5s) == len(numbers) else ""
        return Sent([self.stored[number] for number in numbers], checksum, own, self.resumed)
