"""The one thing that opens the file. It reads in a few threads and writes in one, and explains what goes wrong.

Readers never wait for writers (WAL), nor for those of other processes. Writes that come together are committed
together: one fsync for all that were waiting, each of them whole or not at all. A write that returned is on the disk.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote

from ..store import StoreError
from . import schema

READERS = 4
BATCH = 64
"""Writes that are committed together at most: others wait no longer than these take."""
_PAGES = 4096
"""Free pages that are given back in one transaction: 32 MiB."""
PATIENCE = 30.0
"""Seconds that a write waits for those of other processes."""
_CACHE = 8 << 10  # KiB for each connection; the rest is the system's cache

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Any]


class Connections:
    """The connections to one file, open. All errors are :class:`StoreError`."""

    def __init__(self, path: str, *, create: bool) -> None:
        self._path = os.path.abspath(path)
        self.url = "sqlite:///" + quote(os.fsencode(self._path))
        self._all: list[sqlite3.Connection] = []
        self._local = threading.local()
        self._readers = ThreadPoolExecutor(READERS, "album-reader")
        self._thread = ThreadPoolExecutor(1, "album-writer")
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._drain: asyncio.Task[None] | None = None
        try:
            self._find(create)
            self._writer = self._connect()
            self._prepare(create)
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise explain(error, self.url) from error
        except BaseException:
            self._close()
            raise

    @property
    def inode(self) -> int:
        """The file's, which a copy of it does not have, and it itself has wherever it is moved on its disk."""
        return os.stat(self._path).st_ino

    def trace(self) -> tuple[int, int, int] | None:
        """What changes when anybody writes, almost always; it costs microseconds."""
        try:
            found = os.stat(f"{self._path}-wal")
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    # --- opening

    def _find(self, create: bool) -> None:
        if os.path.exists(self._path):
            return
        if not create:
            raise StoreError(f"there is no album at {self.url}", f"Make it: jollyae album init {self.url}")
        if not os.path.isdir(os.path.dirname(self._path)):
            raise StoreError(f"the directory of {self.url} is not there", "Make it, or mount it.")
        # Private photos and hashed passwords: for nobody else's eyes.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _connect(self) -> sqlite3.Connection:
        uri = f"file:{quote(os.fsencode(self._path))}?mode=rw"
        db = sqlite3.connect(
            uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._all.append(db)
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")  # macOS: to the disk, not into its cache
        db.execute("PRAGMA secure_delete = ON")  # a place that was removed is not to be found in free pages
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute(f"PRAGMA cache_size = -{_CACHE}")
        return db

    def _prepare(self, create: bool) -> None:
        db = self._writer
        mark, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
        if mark != schema.APPLICATION_ID:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StoreError(f"{self.url} is another program's database", "Give the path of an album.")
            if not create:
                raise StoreError(f"there is no album in {self.url} yet", f"Make it: jollyae album init {self.url}")
        if version > len(schema.MIGRATIONS):
            raise StoreError(f"{self.url} was made by a newer jollyae", "Update this one.")
        if mark != schema.APPLICATION_ID or version < len(schema.MIGRATIONS):
            db.execute("PRAGMA page_size = 8192")  # renditions are large; only a new file takes it
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._make_wal()
            db.execute("BEGIN IMMEDIATE")
            schema.migrate(db)
            db.execute("COMMIT")
        self._make_wal()
        db.execute(f"PRAGMA journal_size_limit = {64 << 20}")

    def _make_wal(self) -> None:
        [mode] = self._writer.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StoreError(
                f"{self.url} cannot be shared by several programs where it is",
                "Put it on a local disk: SQLite's WAL does not work on network file systems.",
            )

    # --- reading

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What ``work`` reads, in one thread of several."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            db = getattr(self._local, "db", None)
            if db is None:
                db = self._local.db = self._connect()
                db.execute("PRAGMA query_only = ON")
            db.execute("BEGIN")  # all that one work reads is of one moment
            try:
                return work(db)
            finally:
                _roll_back(db)
        except sqlite3.Error as error:
            raise explain(error, self.url) from error

    # --- writing

    async def write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """What ``work`` returned, when all that it wrote is on the disk. What it raises undoes all of it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((work, future))
        if self._drain is None:
            self._drain = loop.create_task(self._drain_all())
        return await future

    async def _drain_all(self) -> None:
        batch: list[tuple[Work, asyncio.Future[Any]]] = []
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._write_batch(batch)
        finally:  # the loop may be ending, and this task with it: nobody waits in vain
            self._drain = None
            for _, future in batch + self._waiting:
                future.cancel()
            self._waiting = []

    async def _write_batch(self, batch: list[tuple[Work, asyncio.Future[Any]]]) -> None:
        works = [work for work, _ in batch]
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, works)
        except Exception as error:
            answers = [(None, error) for _ in works]
        for (_, future), (value, failure) in zip(batch, answers, strict=True):
            if future.done():  # whoever asked was cancelled; it is written all the same
                continue
            if failure is None:
                future.set_result(value)
            else:
                future.set_exception(failure)

    def _commit(self, works: list[Work]) -> list[tuple[Any, Exception | None]]:
        """Do them in one transaction: for each its value or its error."""
        db = self._writer
        try:
            db.execute("BEGIN IMMEDIATE")
            answers = [_apart(db, work) for work in works]
            db.execute("COMMIT")
            return answers
        except sqlite3.Error as error:
            _roll_back(db)
            if len(works) > 1 and isinstance(error, _OF_ONE):
                return [answer for work in works for answer in self._commit([work])]
            explained = explain(error, self.url)
            return [(None, explained) for _ in works]
        except BaseException:
            _roll_back(db)
            raise

    async def compact(self) -> None:
        """Give free pages back to the file system, and what was written to the file itself."""

        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(self._thread, self._compact_some):
            pass  # other writes come between
        await loop.run_in_executor(self._thread, self._compact_rest)

    def _compact_some(self) -> bool:
        """Give some pages back; whether there are more."""
        try:
            [before] = self._writer.execute("PRAGMA freelist_count").fetchone()
            # A script, since execute() does the first page only: the statement has no columns to ask for.
            self._writer.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
            [after] = self._writer.execute("PRAGMA freelist_count").fetchone()
            return bool(0 < after < before)
        except sqlite3.Error as error:
            raise explain(error, self.url) from error

    def _compact_rest(self) -> None:
        try:
            self._writer.execute("PRAGMA optimize")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise explain(error, self.url) from error

    async def close(self) -> None:
        """Finish what is being written, and end."""
        if self._drain is not None:
            await asyncio.wait([self._drain])
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._thread.shutdown()
        self._readers.shutdown()
        for db in self._all:
            db.close()
        self._all.clear()


def _roll_back(db: sqlite3.Connection) -> None:
    if db.in_transaction:  # some errors end it by themselves
        db.execute("ROLLBACK")


def _apart(db: sqlite3.Connection, work: Work) -> tuple[Any, Exception | None]:
    """Do one of several works. SQLite's own errors end them all: the transaction may be gone."""
    db.execute("SAVEPOINT work")
    try:
        value = work(db)
    except sqlite3.Error:
        raise
    except Exception as error:
        db.execute("ROLLBACK TO work")
        db.execute("RELEASE work")
        return None, error
    db.execute("RELEASE work")
    return value, None


# --- errors

_OF_ONE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError)
"""Errors that are one work's own, so that the others must not fail with it."""

_ROOM = "Free some room; nothing was lost."
_DISK = "Look at the disk and its file system (dmesg); nothing is written meanwhile."
_RIGHTS = "Give this user the right to write to the file and to its directory."
_EXPLAINED: dict[int, tuple[str, str, bool]] = {
    sqlite3.SQLITE_BUSY: ("another program has been writing for {patience:.0f} s", "It is tried again.", True),
    sqlite3.SQLITE_LOCKED: ("another program is writing", "It is tried again.", True),
    sqlite3.SQLITE_FULL: ("the disk is full", _ROOM, True),
    sqlite3.SQLITE_IOERR: ("the disk failed", _DISK, True),
    sqlite3.SQLITE_NOMEM: ("no memory is left", "Free some memory.", True),
    sqlite3.SQLITE_READONLY: ("it cannot be written to", _RIGHTS, True),
    sqlite3.SQLITE_PERM: ("no right to use it", _RIGHTS, True),
    sqlite3.SQLITE_AUTH: ("no right to use it", _RIGHTS, True),
    sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", f"Is it a file? {_RIGHTS}", True),
    sqlite3.SQLITE_PROTOCOL: ("its lock does not work", "Put it on a local disk, not on a network file system.", True),
    sqlite3.SQLITE_NOTADB: ("it is no SQLite database", "Give the path of an album.", False),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged",
        "Stop all that use it and copy it with its -wal file away. Then bring back a copy, or try sqlite3's .recover.",
        False,
    ),
}


def explain(error: sqlite3.Error | OSError, url: str) -> StoreError:
    """What happened, for the operator."""
    if isinstance(error, OSError):
        return StoreError(f"cannot open the album {url}: {error.strerror}", _RIGHTS, is_temporary=True)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest tells details
    known = _EXPLAINED.get(code)
    if known is None:
        return StoreError(f"the album {url} failed: {error}", "This is a defect of jollyae: report it.")
    what, hint, is_temporary = known
    return StoreError(f"the album {url}: {what.format(patience=PATIENCE)} ({error})", hint, is_temporary=is_temporary)
