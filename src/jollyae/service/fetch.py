"""Bring objects back as the files that they were: bytes proved, unpacked, under their names, with mode and time.

A file appears whole and on the disk, or not at all, and never over another. What proves the bytes, in this order: our
digest beside the object (of the source, too, where it is packed); a checksum that the store computed over the whole; an
ETag that is their MD5; the CRC within what gzip packed. Where there is none of these it is said, and the file is
brought all the same: its size is right, and the transport has its own checksums.
"""

import asyncio
import errno
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from ..processors.packing import SUFFIXES, PackingError, Unpacker
from ..processors.reading import Kept
from ..spool import fs, names
from ..spool.outcomes import Permanent, Scope, Temporary
from .deliveries import CLOUDS, s3_options
from .settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from ..processors.reading import Reader

AT_A_TIME = 8
"""Objects that are brought at a time."""
_METADATA = {
    "sha256": "jollyae-sha256",
    "name": "jollyae-name",
    "packed": "jollyae-packed",
    "source": "jollyae-source-sha256",
    "source size": "jollyae-source-size",
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """How objects are to be brought. ``recursive``: all below each URL; ``unpack``: 'auto' what we have packed,
    'suffix' also what ends with .gz or .zst, 'never'; ``keys``: files are named after the keys, not after what they
    were called."""

    recursive: bool = False
    unpack: str = "auto"
    keys: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """One object and its file. ``proof``: by what its bytes are proved, '' by nothing; ``was_there``: the file was."""

    url: str
    path: str
    size: int
    proof: str
    was_there: bool = False


@dataclass(slots=True)
class Outcome:
    """What was brought, and what was not: the URL and why."""

    done: int = 0
    unproved: int = 0
    temporary: list[tuple[str, Temporary]] = field(default_factory=list)
    failed: list[tuple[str, Exception]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: all; 1: some will not come; 75: some will, later."""
        return 1 if self.failed else os.EX_TEMPFAIL if self.temporary else 0


Tell = Callable[[Fetched], object]
Warn = Callable[[str, Exception], object]


async def fetch(urls: list[str], target: str, settings: Settings, wishes: Wishes, tell: Tell, warn: Warn) -> Outcome:
    """Bring each; ``tell`` hears of what came, ``warn`` of what did not. ``target``: a directory, or for one URL a
    file. A store that cannot be reached, and a full disk, end it. Raises :class:`ConfigurationError`."""
    outcome = Outcome()
    is_file = len(urls) == 1 and not wishes.recursive and not target.endswith("/") and not os.path.isdir(target)
    if not is_file:
        _make(target)
    for url in urls:
        reader, key = open_reader(url, settings)
        try:
            job = _Job(reader, url, key, target, is_file, wishes, outcome, tell, warn)
            if not await job.bring():
                break
        finally:
            reader.close()
    return outcome


def open_reader(url: str, settings: Settings) -> "tuple[Reader, str]":
    """What reads the bucket, container or directory of the URL; and the key. Raises :class:`ConfigurationError`."""
    from ..processors.directory import DirectoryReader
    from ..processors.keys import TemplateError
    from ..processors.s3 import OptionError

    scheme, there, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    try:
        if scheme == "file" and there:
            return DirectoryReader(f"file://{bucket}/"), _file_key(key)
        if scheme == "s3" and there:
            from ..processors.s3.reading import BucketReader

            return BucketReader(f"s3://{bucket}", s3_options(settings)), key.strip("/")
        if scheme in CLOUDS and there:
            from ..processors.clouds.reading import CloudReader

            return CloudReader(f"{scheme}://{bucket}", s3_options(settings)), key.strip("/")
    except (OptionError, TemplateError, ValueError) as error:
        raise ConfigurationError(str(error)) from error
    raise ConfigurationError(f"cannot fetch {url}", "Write s3://BUCKET/KEY, gs://…, az://… or file:///PATH.")


def _file_key(path: str) -> str:
    return os.fsdecode(unquote_to_bytes(path)).strip("/")


def url_of(url: str, key: str) -> str:
    """The URL of a key, where ``url`` is; as :func:`open_reader` reads it, and ``log`` prints it.

    >>> url_of("s3://bucket/a/", "a/b"), url_of("file:///srv/a%20b", "srv/a b/100%")
    ('s3://bucket/a/b', 'file:///srv/a%20b/100%25')
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{quote(os.fsencode(key)) if scheme == 'file' else key}"


def _make(directory: str) -> None:
    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot make {directory}: {error.strerror}", "Name a directory.") from error


# --- pure: what an object says of its file


def name_of(key: str, kept: Kept, base: str, wishes: Wishes) -> str:
    """The file's path below the target: what it was called where the object says so, else its key (below ``base``, with
    ``recursive``; else its last component), without the suffix of what is unpacked.

    >>> name_of("in/2026/a%0Ab.csv.gz", Kept(1, metadata={"jollyae-packed": "gzip"}), "in", Wishes(recursive=True))
    '2026/a\\nb.csv'
    >>> name_of("in/0a1b.csv", Kept(1, metadata={"jollyae-name": "d/report.csv"}), "", Wishes())
    'report.csv'

    A name that the key ends with too, but for what the place writes otherwise, tells nothing new:

    >>> name_of("in/a%5Cb", Kept(1, metadata={"jollyae-name": "in/a%5Cb"}), "in", Wishes(recursive=True))
    'a\\\\b'
    """
    told = "" if wishes.keys else os.fsdecode(unquote_to_bytes(kept.metadata.get(_METADATA["name"], "")))
    if told and not f"/{names.decode(key)}".endswith(f"/{told}"):
        name = told
    else:
        below = key[len(base) :].lstrip("/") if wishes.recursive else key
        suffix = SUFFIXES.get(method_of(key, kept, wishes), "")
        name = names.decode(below.removesuffix(suffix) if suffix and below != suffix else below)
    return name if wishes.recursive else name.rpartition("/")[2]


def method_of(key: str, kept: Kept, wishes: Wishes) -> str:
    """How it is packed, where it is to be unpacked; else ''."""
    if wishes.unpack == "never":
        return ""
    method = kept.metadata.get(_METADATA["packed"], "")
    if not method and wishes.unpack == "suffix":
        method = next((method for method, suffix in SUFFIXES.items() if key.endswith(suffix)), "")
    return method


def mode_of(kept: Kept) -> int | None:
    """Its permissions, without set-user-ID and the like; as rclone writes the mode (octal) or s3fs (decimal).

    >>> [mode_of(Kept(1, metadata={"mode": text})) for text in ("100640", "33184", "104755", "x", "")]
    [416, 416, 493, None, None]
    """
    text = kept.metadata.get("mode", "")
    for base in (8, 10):
        with suppress(ValueError):
            mode = int(text, base)
            if mode <= 0o7777 or stat.S_ISREG(mode):
                return mode & 0o777
    return None


def mtime_of(kept: Kept) -> int | None:
    """Its modification time in nanoseconds since 1970.

    >>> [mtime_of(Kept(1, metadata={"mtime": text})) for text in ("1354040105.1234567", "-0.5", "nan", "soon")]
    [1354040105123456700, -500000000, None, None]
    """
    try:
        moment = int(Decimal(kept.metadata["mtime"]).scaleb(9))
    except (KeyError, InvalidOperation, ValueError, OverflowError):
        return None
    return moment if abs(moment) < 1 << 62 else None


def owner_of(kept: Kept) -> tuple[int, int] | None:
    """User and group, where both are told."""
    uid, gid = kept.metadata.get("uid", ""), kept.metadata.get("gid", "")
    return (int(uid), int(gid)) if uid.isdecimal() and gid.isdecimal() and max(int(uid), int(gid)) < 1 << 31 else None


# --- one URL


class _Job:
    def __init__(
        self,
        reader: "Reader",
        url: str,
        key: str,
        target: str,
        is_file: bool,
        wishes: Wishes,
        outcome: Outcome,
        tell: Tell,
        warn: Warn,
    ) -> None:
        self.reader = reader
        self.url = url
        self.key = key
        self.target = target
        self.is_file = is_file
        self.wishes = wishes
        self.outcome = outcome
        self.tell = tell
        self.warn = warn
        self.is_over = False
        self.under_way: set[str] = set()

    async def bring(self) -> bool:
        """All of it; False where there is no sense in going on."""
        if not self.wishes.recursive:
            await self._one(self.key)
            return not self.is_over
        room = asyncio.Semaphore(AT_A_TIME)
        tasks: set[asyncio.Task[None]] = set()
        found = False
        try:
            async for key, _ in self._listed():
                found = True
                await room.acquire()
                if self.is_over:
                    break
                task = asyncio.create_task(self._one(key))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                task.add_done_callback(lambda _: room.release())
        except (Temporary, Permanent, OSError) as error:
            self._failed(self.url, error)
        await asyncio.gather(*tasks)
        if not found and not self.is_over:
            self._failed(self.url, Permanent("there is nothing below it", reason="key"))
        return not self.is_over

    async def _listed(self) -> AsyncIterator[tuple[str, int]]:
        async for key, size in self.reader.list(self.key):
            if not key.endswith("/"):  # what some consoles make for an empty folder
                yield key, size

    async def _one(self, key: str) -> None:
        url = url_of(self.url, key) if self.wishes.recursive else self.url
        try:
            fetched = await self._fetch(key, url)
        except (Temporary, Permanent, PackingError) as error:
            self._failed(url, error)
        except OSError as error:
            self._failed(url, _full(error) if error.errno in _NO_ROOM else error)
        else:
            self.outcome.done += 1
            self.outcome.unproved += not fetched.proof
            self.tell(fetched)

    def _failed(self, url: str, error: Exception) -> None:
        if isinstance(error, Temporary):
            self.outcome.temporary.append((url, error))
            self.is_over = self.is_over or error.scope is Scope.DESTINATION
        else:
            self.outcome.failed.append((url, error))
        self.warn(url, error)

    async def _fetch(self, key: str, url: str) -> Fetched:
        if not key:
            raise Permanent("it names no object", hint="To fetch all that is in it: --recursive", reason="key")
        kept = await self.reader.look(key)
        if kept is None:
            raise Permanent("there is no such object", hint=self._hint(), reason="key")
        name = os.path.basename(self.target) if self.is_file else name_of(key, kept, self.key, self.wishes)
        if why := names.why_impossible(name):
            raise Permanent(
                f"it cannot be a file here: {names.show(name)}: {why}", hint="Fetch it to a FILE.", reason="key"
            )
        if name in self.under_way:
            raise Permanent(
                f"another object is to be {names.show(name)} too",
                hint="Name files by their keys: --keys",
                reason="collision",
            )
        self.under_way.add(name)
        directory = (os.path.dirname(self.target) or ".") if self.is_file else self.target
        with fs.beneath(directory, name, make=True) as path:
            arrival = _Arrival(key, kept, method_of(key, kept, self.wishes))
            size, proof, was_there = await self._bring(arrival, key, path)
        return Fetched(url, os.path.join(directory, name), size, proof, was_there)

    def _hint(self) -> str:
        return "" if self.wishes.recursive else "For all below a prefix: --recursive"

    async def _bring(self, arrival: "_Arrival", key: str, path: str) -> tuple[int, str, bool]:
        with _temporary(path) as (temporary, descriptor):
            async for data in self.reader.read(key):
                await asyncio.to_thread(arrival.take, data, descriptor)
            proof = await asyncio.to_thread(arrival.finish, descriptor)
            was_there = await asyncio.to_thread(_publish, temporary, path, arrival.digest)
        return arrival.size, proof, was_there


@contextmanager
def _temporary(path: str) -> Iterator[tuple[str, int]]:
    """A new file beside ``path``, gone at the end unless it was given its name."""
    temporary = fs.temporary_name(os.path.dirname(path))
    descriptor = fs.create(temporary, 0o600)
    try:
        yield temporary, descriptor
    finally:
        os.close(descriptor)
        with suppress(OSError):
            fs.discard(temporary)


def _publish(temporary: str, path: str, digest: str) -> bool:
    """Give the file its name; whether one of the same content has it already. Raises :class:`Permanent`."""
    try:
        fs.rename(temporary, path)
    except FileExistsError:
        if _digest_of(path) == digest:
            return True
        raise Permanent(
            "a file of other content is there already", hint="Move it away, or fetch elsewhere.", reason="collision"
        ) from None
    fs.fsync_directory(os.path.dirname(path))
    return False


def _digest_of(path: str) -> str:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Arrival:
    """One object's bytes as they come."""

    def __init__(self, key: str, kept: Kept, method: str) -> None:
        self._kept = kept
        self._unpacker = Unpacker(method) if method else None
        most = kept.metadata.get(_METADATA["source size"], "")
        self._most = int(most) if method and most.isdecimal() else None
        self._raw, self._digest = hashlib.sha256(), hashlib.sha256()
        self._received = 0
        self.size = 0

    @property
    def digest(self) -> str:
        """Of the file, in hex."""
        return self._digest.hexdigest()

    def take(self, data: bytes, descriptor: int) -> None:
        """The next bytes."""
        self._received += len(data)
        self._raw.update(data)
        for piece in [data] if self._unpacker is None else self._unpacker.pieces(data):
            self.size += len(piece)
            if self._most is not None and self.size > self._most:
                raise Permanent(f"damaged: it unpacks to more than {self._most} bytes", hint=_DAMAGED, reason="content")
            self._digest.update(piece)
            fs.write_all(descriptor, piece)

    def finish(self, descriptor: int) -> str:
        """All came: prove it, give the file what it had, and bring it to the disk; by what it is proved. Raises
        :class:`Permanent`."""
        if self._received != self._kept.size:
            raise Temporary(
                f"{self._received} bytes came, and it has {self._kept.size}: it was replaced meanwhile",
                reason="content",
            )
        if self._unpacker is not None:
            self._unpacker.end()
        proof = self._proof(descriptor)
        _restore(descriptor, self._kept)
        fs.fsync(descriptor)
        return proof

    def _proof(self, descriptor: int) -> str:
        told = self._kept.metadata
        proved = []
        for what, found in (("sha256", self._raw.hexdigest()), ("source", self.digest)):
            wanted = told.get(_METADATA[what], "")
            if wanted and (what == "sha256" or self._unpacker is not None):
                if wanted != found:
                    raise Permanent(
                        f"damaged: its sha256 is {found}, and was {wanted}", hint=_DAMAGED, reason="content"
                    )
                proved.append("sha256")
        if proved:
            return proved[0]
        if self._unpacker is not None:
            return "crc32" if self._unpacker.has_crc else ""
        return self._proof_by_store(descriptor)

    def _proof_by_store(self, descriptor: int) -> str:
        from ..processors.s3 import collisions
        from ..processors.s3.checksums import ChecksumError
        from ..processors.s3.content import of_file
        from ..processors.s3.options import S3Options, part_size_for

        content = of_file(descriptor, self.size, self.digest)
        for algorithm, wanted in self._kept.checksums.items():
            with suppress(ChecksumError):
                if content.checksum(algorithm) != wanted:
                    raise Permanent(
                        f"damaged: its {algorithm} is not the store's, {wanted}", hint=_DAMAGED, reason="content"
                    )
                return algorithm
        part_size = part_size_for(self.size, S3Options().part_size)
        return "etag" if collisions.etag_says_so(self._kept.etag, content, part_size) else ""


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def _full(error: OSError) -> Temporary:
    return Temporary(
        f"cannot write here: {error.strerror}", hint="Free some room.", scope=Scope.DESTINATION, reason="full"
    )


_DAMAGED = "Look at the object: the store or something between damaged it, or somebody changed it."


def _restore(descriptor: int, kept: Kept) -> None:
    """Give the file owner (as root), mode and time, as far as they are told."""
    owner, mode, mtime = owner_of(kept), mode_of(kept), mtime_of(kept)
    if owner is not None and os.geteuid() == 0:
        os.fchown(descriptor, *owner)
    os.fchmod(descriptor, mode if mode is not None else 0o666 & ~_umask())
    if mtime is not None:
        with suppress(OverflowError, OSError):
            os.utime(descriptor, ns=(mtime, mtime))


def _umask() -> int:
    try:
        with open("/proc/self/status") as status:
            found = next(line for line in status if line.startswith("Umask:"))
        return int(found.split()[1], 8)
    except (OSError, StopIteration, ValueError, IndexError):
        return 0o022


def describe(error: Any) -> tuple[str, str]:
    """What went wrong, and the hint."""
    if isinstance(error, Temporary | Permanent):
        return error.message, error.hint
    if isinstance(error, OSError) and error.strerror:
        return error.strerror, ""
    return str(error), ""
