"""Batches on the disk: which deliveries are in which manifest. Everything here is blocking.

| file in the directory | what it is | a crash here costs |
|---|---|---|
| ``open-X`` | the batch that a worker gathers, locked while it lives; a JSON line for each delivery | nothing: who comes next closes it. Half a line is one whose message is still queued |
| ``NAME.batch`` | closed: its entries and the manifest's name are fixed for ever | nothing: its manifest is made again, the same bytes, under the same name |
| ``NAME.sent`` | its manifest is in the next spool. Kept for a while, since it knows the ids that are told | |

A batch is closed by one rename, and at that instant each of its entries is in exactly one manifest.
"""  # noqa: E501 - a table

import hashlib
import os
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec

from ...spool import fs
from .formats import Entry

KNOWN = 100_000
"""So many deliveries back, a repeat is known and left out. Repeats come of crashes, and then of what was in flight."""
_TIDY_EVERY = 256  # batches
_OPEN, _CLOSED, _SENT = "open-", ".batch", ".sent"

Submit = Callable[[str, str], object]
"""Puts the file into the next spool under that name, durably; :class:`FileExistsError` where it waits there."""


class Batches:
    """The batches in ``directory``. ``render``: a manifest's bytes; ``suffix``: of its name. Not for several threads at
    a time. Raises :class:`OSError`; whatever was begun may be begun again then."""

    def __init__(self, directory: str, render: Callable[[Sequence[Entry]], bytes], suffix: str, submit: Submit) -> None:
        self._directory = directory
        self._render = render
        self._suffix = suffix
        self._submit = submit
        self._known: OrderedDict[str, None] = OrderedDict()
        self._path = ""
        self._descriptor = -1
        self._size = 0
        self._closed = 0
        self._owes = False
        self.count = 0
        """Entries in the open batch."""

    def knows(self, delivery: str) -> bool:
        """Whether it is in a batch."""
        return delivery in self._known

    def add(self, entries: Iterable[Entry]) -> None:
        """Put those that are not yet in any into the open batch; they are on the disk on return."""
        if self._owes:
            self.recover()
        fresh = {one.id: one for one in entries if one.id not in self._known}
        if not fresh:
            return
        if self._descriptor < 0:
            self._open()
        data = b"".join(msgspec.json.encode(one) + b"\n" for one in fresh.values())
        try:
            fs.write_all(self._descriptor, data)
            fs.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            self._abandon()
            raise
        self._size += len(data)
        self.count += len(fresh)
        self._remember(fresh)

    def close(self) -> None:
        """Close the open batch, if there is one, and make its manifest; and whatever a failure has left to do."""
        if self._descriptor >= 0:
            self._owes = True
            try:
                self._publish(self._path)
            finally:
                self._abandon()
            self._closed += 1
            self._owes = self._closed % _TIDY_EVERY == 0
        if self._owes:
            self.recover()

    def recover(self) -> None:
        """Close what dead workers left open, make the manifests that were not made, learn which deliveries are told,
        and remove what is too old to matter."""
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        for name in sorted(os.listdir(self._directory)):
            if name.startswith(_OPEN) and name != os.path.basename(self._path):
                self._take_over(os.path.join(self._directory, name))
        for name in sorted(os.listdir(self._directory)):
            if name.endswith(_CLOSED):
                self._send(os.path.join(self._directory, name))
        self._learn()
        self._owes = False

    def _open(self) -> None:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        self._path = os.path.join(self._directory, f"{_OPEN}{secrets.token_hex(8)}")
        self._descriptor = fs.create(self._path, 0o600)
        fs.try_lock(self._descriptor)
        fs.fsync_directory(self._directory)
        self._size = self.count = 0

    def _abandon(self) -> None:
        """Nothing more goes into the open batch. Unless it was closed, that is still to be done."""
        self._owes = True
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._path, self.count = -1, "", 0

    def _publish(self, path: str) -> None:
        """Close the batch at ``path``, whose lock we have."""
        entries = read(path)
        if not entries:
            fs.discard(path)
            return
        closed = os.path.join(self._directory, name_of(entries) + self._suffix + _CLOSED)
        try:
            fs.rename(path, closed)
        except FileExistsError:  # the very same entries
            fs.discard(path)
        fs.fsync_directory(self._directory)
        self._send(closed)

    def _take_over(self, path: str) -> None:
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            if fs.try_lock(lock) and fs.is_at(lock, path):
                self._publish(path)
        finally:
            os.close(lock)

    def _send(self, path: str) -> None:
        """Make the manifest of a closed batch. Done twice, it is the same item of the next spool, or one object."""
        name = os.path.basename(path).removesuffix(_CLOSED)
        entries = read(path)
        draft = os.path.join(self._directory, f".{secrets.token_hex(8)}")
        try:
            descriptor = fs.create(draft, 0o644)
            try:
                fs.write_all(descriptor, self._render(entries))
            finally:
                os.close(descriptor)
            moment = moment_of(entries)  # the item's time makes its key, so it is the same each time
            os.utime(draft, (moment, moment))
            with suppress(FileExistsError):
                self._submit(draft, name)
        finally:
            with suppress(OSError):
                fs.discard(draft)
        with suppress(FileNotFoundError):  # another worker did the same
            fs.replace(path, path.removesuffix(_CLOSED) + _SENT)

    def _learn(self) -> None:
        """The newest ids; files that have only older ones are removed, and drafts of who died."""
        with os.scandir(self._directory) as entries:
            files = sorted(((one.stat().st_mtime_ns, one.path) for one in entries if one.is_file()), reverse=True)
        found: list[list[str]] = []
        count = 0
        for _, path in files:
            if os.path.basename(path).startswith("."):
                fs.discard(path)
            elif count < KNOWN or not path.endswith(_SENT):
                ids = [one.id for one in read(path)]
                count += len(ids)
                found.append(ids)
            else:
                fs.discard(path)
        own = [*self._known]
        self._known.clear()
        for ids in (*reversed(found), own):
            self._remember(ids)

    def _remember(self, ids: Iterable[str]) -> None:
        for one in ids:
            self._known[one] = None
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)


def read(path: str) -> list[Entry]:
    """The entries of a batch, each once, in the order of their coming; half a line at the end is none."""
    with open(path, "rb") as file:
        whole = file.read().rpartition(b"\n")[0]
    found: dict[str, Entry] = {}
    for line in whole.split(b"\n"):
        with suppress(msgspec.DecodeError):  # empty; or what a failed write left, whose message is still there
            one = msgspec.json.decode(line, type=Entry)
            found.setdefault(one.id, one)
    return list(found.values())


def name_of(entries: Sequence[Entry]) -> str:
    """The manifest's name, without its suffix: the time of its newest entry and a number made of all.

    >>> name_of([Entry("00", "s3://b/k", 1, "2026-11-22T17:00:01.5Z")])
    '20261122T170001Z-f1534392279bddbf'
    """
    digest = hashlib.sha256("".join(sorted(one.id for one in entries)).encode()).hexdigest()[:16]
    newest = max(one.finished for one in entries)
    stamp = f"{newest[:4]}{newest[5:7]}{newest[8:13]}{newest[14:16]}{newest[17:19]}Z"
    return f"{stamp}-{digest}"


def moment_of(entries: Sequence[Entry]) -> float:
    """When the newest of them was delivered, in seconds since 1970.

    >>> moment_of([Entry("00", "s3://b/k", 1, "1970-01-01T00:00:01.500000Z")])
    1.5
    """
    try:
        return datetime.fromisoformat(max(one.finished for one in entries)).timestamp()
    except ValueError:  # a receipt without a time, by another program
        return 0.0
