"""Minutes: for each minute in which something happened, one JSON line of what; for plots of the last hour and day.

Each worker writes files of its own beside its receipts (``WORKER-START.minutes``, a new one each day), a line when the
minute is over or the worker ends; so several workers add up, and a restart loses nothing. Nobody depends on them: a
full disk costs the plot of those minutes, and a file is removed when nothing was added to it for two days.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from operator import add, sub
from pathlib import Path

import msgspec

from ..spool import fs
from .state import Minute
from .tally import Tally

SUFFIX = ".minutes"
KEEP = 2 * 86400.0
"""Seconds for which a file is kept after its last line…"""
MAX_FILES = 3000
"""…and so many at most: a worker that is started each minute makes one each time."""
_MINUTE, _DAY = 60, 86400
_TAIL = 1 << 15  # bytes: more than two hours

_decoder = msgspec.json.Decoder(Minute)


class Minutes:
    """The minutes of one worker, in ``directory``. ``tally``: what it counts."""

    def __init__(self, directory: str, worker: str, tally: Tally) -> None:
        self._directory = directory
        self._worker = worker
        self._tally = tally
        self._path = ""
        self._day = 0
        self._at = 0
        self._before: list[int] = []
        self._delivery_before: list[int] = []
        self._begin(time.time())

    def look(self) -> None:
        """To be called about once a second: when a minute is over, it is written down."""
        now = time.time()
        if not self._at <= now < self._at + _MINUTE:
            self._write()
            self._begin(now)

    def running(self) -> Minute | None:
        """The minute that is not over yet; None where nothing has happened in it."""
        now = _numbers(self._tally)
        if now == self._before:
            return None
        delivery = map(sub, self._tally.delivery_counts(), self._delivery_before)
        delivered, count, failed, deferred = map(sub, now, self._before)
        return Minute(self._at, delivered, count, failed, deferred, list(delivery), round(self._tally.slowest, 6))

    def close(self) -> None:
        """Write down the minute that is not over."""
        self._write()

    def _begin(self, now: float) -> None:
        self._at = int(now) // _MINUTE * _MINUTE
        self._tally.slowest = 0.0
        self._before, self._delivery_before = _numbers(self._tally), self._tally.delivery_counts()

    def _write(self) -> None:
        minute = self.running()
        if minute is None:
            return
        if minute.at // _DAY != self._day:
            self._day = minute.at // _DAY
            self._path = self._name(minute.at)
            prune(self._directory)
        with suppress(OSError):
            # The line break comes first: a full disk may have left half a line.
            fs.append(self._path, b"\n" + msgspec.json.encode(minute))

    def _name(self, at: int) -> str:
        start = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        return os.path.join(self._directory, f"{self._worker}-{start}{SUFFIX}")


def _numbers(tally: Tally) -> list[int]:
    return [tally.delivered, tally.bytes, tally.failed, tally.deferred]


def prune(directory: str) -> None:
    """Remove the files of minutes that are older than is kept. Never raises for what it cannot do."""
    files = _files(directory)
    limit = time.time() - KEEP
    for number, (changed, path) in enumerate(files):
        if changed < limit or number < len(files) - MAX_FILES:
            with suppress(OSError):
                fs.discard(path)


def _files(directory: str) -> list[tuple[float, str]]:
    """Time of the last line (seconds since 1970) and path, oldest first; none where the directory cannot be read."""
    found = []
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX):
                with suppress(OSError):  # another worker removes old ones
                    found.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
    return sorted(found)


def read(directory: str | Path, since: float) -> list[Minute]:
    """The minutes that began at ``since`` (seconds since 1970) or later, each once, in their order: what several
    workers did in one is added up. A minute in which nothing happened is not there. The running one is in the workers'
    snapshots. Lines that are none are passed over; what cannot be read has none."""
    return added(minute for _, minutes in by_worker(directory, since) for minute in minutes)


def by_worker(directory: str | Path, since: float) -> Iterator[tuple[str, list[Minute]]]:
    """The same by the workers that wrote them, a worker once for each of its files."""
    for changed, path in _files(str(directory)):
        if changed >= since:
            yield os.path.basename(path).rpartition("-")[0], _lines(path, since)


def added(minutes: Iterable[Minute]) -> list[Minute]:
    """The minutes, each once, in their order."""
    found: dict[int, Minute] = {}
    for minute in minutes:
        found[minute.at] = together([found[minute.at], minute]) if minute.at in found else minute
    return [found[at] for at in sorted(found)]


def _lines(path: str, since: float) -> list[Minute]:
    """Those of one file that began at ``since`` or later. A day's file is read from its end where that is enough: who
    looks at the last hour does so each second."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            for start in (max(size - _TAIL, 0), 0):
                file.seek(start)
                found = _decoded(file.read().split(b"\n")[start > 0 :])
                if not start or (found and found[0].at < since):
                    break
    except OSError:
        return []
    return [minute for minute in found if minute.at >= since]


def _decoded(lines: Iterable[bytes]) -> list[Minute]:
    found = []
    for line in lines:
        with suppress(msgspec.DecodeError):
            found.append(_decoder.decode(line))
    return found


def together(minutes: list[Minute]) -> Minute:
    """What several workers did in one minute; at least one."""
    first, *others = minutes
    for other in others:
        # Another version of the program may have had other buckets: then the later one's count.
        both = len(first.delivery) == len(other.delivery)
        first = Minute(
            first.at,
            first.delivered + other.delivered,
            first.bytes + other.bytes,
            first.failed + other.failed,
            first.deferred + other.deferred,
            list(map(add, first.delivery, other.delivery)) if both else other.delivery,
            max(first.slowest, other.slowest) if _knows(first) and _knows(other) else 0.0,
        )
    return first


def _knows(minute: Minute) -> bool:
    """Whether it says what the slowest took, or has none. Versions before did not."""
    return minute.slowest > 0 or not minute.delivered
