"""The parts of one large file: read once and in order, a few in flight, those the store has are not sent again."""

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from typing import Protocol

from jollyae.spool.item import Item

from .checksums import Content, Digest, composite
from .collisions import is_md5
from .content import Changed, of_file, read
from .target import Target, agrees
from .transport import Checksum, Part, StoredPart


class UploadLike(Protocol):
    """Which upload the parts belong to."""

    @property
    def id(self) -> str: ...
    @property
    def key(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Sent:
    """All parts are at the store. ``checksum``: over the whole, base64; ``composite``: the ETag that our own MD5 of the
    parts make, '' where they were not computed; ``resumed``: parts that were there before."""

    parts: list[StoredPart]
    content: Content
    checksum: str
    composite: str
    resumed: int


@dataclass(slots=True)
class _Read:
    body: bytes
    sha256: str
    md5: str
    checksum: Checksum | None


async def send(target: Target, item: Item, upload: UploadLike, there: list[StoredPart], part_size: int) -> Sent:
    """Send the parts that are not ``there``. One part's failure ends the attempt; what arrived stays for the next."""
    job = _Parts(target, item, upload, {part.number: part for part in there}, part_size)
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
        self, target: Target, item: Item, upload: UploadLike, there: dict[int, StoredPart], part_size: int
    ) -> None:
        self.target = target
        self.item = item
        self.upload = upload
        self.there = there
        self.part_size = part_size
        self.algorithm = target.options.checksum_algorithm
        self.digest = Digest(self.algorithm)
        self.stored: dict[int, StoredPart] = {}
        self.md5s: dict[int, str] = {}
        self.resumed = 0
        self.bytes_done = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def send_all(self) -> None:
        count = -(-self.item.size // self.part_size)
        for number in range(1, count + 1):
            await self._next(number)
            self._raise_failed()
        while self.tasks:
            await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failed()

    async def _next(self, number: int) -> None:
        """Read the part, with room for it in memory and a lane to send it in; send it if the store has it not."""
        start = (number - 1) * self.part_size
        size = min(self.part_size, self.item.size - start)
        await self.target.lanes.acquire()
        room = _Room(self.target, size)
        try:
            await room.take()
            part = await self.target.threads.run(self._read, number, start, size)
        except BaseException:
            room.leave()
            raise
        if self._is_there(number, part):
            self.resumed += 1
            self._done(self.there[number])
            room.leave()
        else:
            task = asyncio.create_task(self._send(number, part))
            task.add_done_callback(room.leave)  # also of a task that is cancelled before it began
            self.tasks.add(task)

    def _read(self, number: int, start: int, size: int) -> _Read:
        """In a thread, one part after the other: the digest of the whole needs their order."""
        body = read(self.item.fd, start, size)
        if len(body) != size:
            raise Changed(self.item.name)
        self.digest.update(body)
        md5 = ""
        if self.algorithm == "md5" or self.target.options.verify or number in self.there:
            md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
            self.md5s[number] = md5
        sha256 = hashlib.sha256(body).hexdigest() if self.algorithm == "sha256" else ""
        return _Read(body, sha256, md5, self._checksum(body, sha256, md5))

    def _checksum(self, body: bytes, sha256: str, md5: str) -> Checksum | None:
        if self.algorithm == "none":
            return None
        if self.algorithm == "sha256":
            return Checksum("sha256", base64.b64encode(bytes.fromhex(sha256)).decode())
        if self.algorithm == "md5":
            return Checksum("md5", base64.b64encode(bytes.fromhex(md5)).decode())
        digest = Digest(self.algorithm)
        digest.update(body)
        return Checksum(self.algorithm, digest.value(self.algorithm))

    def _is_there(self, number: int, part: _Read) -> bool:
        """Whether the store has this part with these bytes: size, and its checksum or an ETag that is the MD5."""
        there = self.there.get(number)
        if there is None or there.size != len(part.body):
            return False
        if part.checksum and (value := there.checksums.get(part.checksum.algorithm)):
            return value == part.checksum.value
        return is_md5(there.etag) and there.etag == part.md5

    async def _send(self, number: int, part: _Read) -> None:
        await self.target.pace(len(part.body))
        stored = await self.target.transport.part(
            Part(
                key=self.upload.key,
                upload=self.upload.id,
                number=number,
                body=part.body,
                sha256=part.sha256,
                checksum=part.checksum,
            )
        )
        agrees(stored.checksums, part.checksum, f"{self.target.url(self.upload.key)} part {number}")
        self._done(stored)

    def _done(self, part: StoredPart) -> None:
        self.stored[part.number] = part
        self.bytes_done += part.size
        self.item.progress(self.bytes_done)

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
        parts = [self.stored[number] for number in sorted(self.stored)]
        whole = of_file(self.item.fd, self.item.size, self.digest.sha256)
        checksum = "" if self.algorithm == "none" else self.digest.value(self.algorithm)
        own = composite([self.md5s[number] for number in sorted(self.md5s)]) if len(self.md5s) == len(parts) else ""
        return Sent(parts, whole, checksum, own, self.resumed)
