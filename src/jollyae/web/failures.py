"""What failed or was deferred: alike troubles together, the newest first, without reading all notes for one page.

A look goes over the names with their change times (when an item came into the place), a fraction of a second for
100,000 items, and not at all where no directory changed since the last. Notes are read lazily, the newest first, for at
most BUDGET seconds a call; what was read is remembered for as long as the item stays. So each call takes a second or so
at the most, and where that was not enough for all, the answer says so and the next call knows more.
"""

import os
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from ..service.observing.alike import Kind, brief, kind_of, one_line
from ..spool import names, notes
from ..spool.places import Place
from ..spool.survey import Trouble
from .queue import Queue, identify, placed

PLACES = ("failed", "deferred")
"""Where items with a trouble are, and from where they can be retried."""
PAGE = 50
"""Items on a page."""
BUDGET = 0.5
"""Seconds that one call may read notes…"""
LOOK = 3.0
"""…and seconds that it may go over the names: they take 0.6 s for 100,000, longer where the machine is busy."""
MOST = 200_000
"""So many items are sorted by time; of any more it is only said that there are some."""
MOST_GROUPS = 200
"""So many groups are told."""
EXAMPLES = 3
"""Items that are shown of each group."""
AT_ONCE = 1000
"""Items that a walk over all that match gives at a time."""
_REST = 10.0  # after a look none is taken for so many times as long as it took
_TICK = 1.0  # seconds: two changes of a directory within one tick of the file system's clock look like one
_LONG = 2000  # characters of an error that are shown


@dataclass(frozen=True, slots=True)
class Filter:
    """Which failures are meant: one value for the list, its numbers and the action on all that match. ``place``:
    'failed', 'deferred' or '' (both); ``text``: in the name (as shown), the error or the hint, case does not matter;
    ``group``: the id of a group, '' for all."""

    place: str = ""
    text: str = ""
    group: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> "Filter":
        """The filter that the fields of a URL or form mean; others are passed over. Raises :class:`ValueError` for a
        place that has no failures."""
        place = fields.get("place", "")
        if place not in ("", *PLACES):
            raise ValueError(f"no such place: {place}")
        return cls(place, fields.get("text", "").strip(), fields.get("group", ""))

    def fields(self) -> dict[str, str]:
        """The same as fields of a URL or form, without the empty ones."""
        found = {"place": self.place, "text": self.text, "group": self.group}
        return {name: value for name, value in found.items() if value}


ALL = Filter()


@dataclass(frozen=True, slots=True)
class Failure:
    """One item that failed or was deferred. ``id``: for URLs; ``name``, ``error``, ``hint``: safe to show as text;
    ``at``: when it happened, ``due``: when it is tried again (0: not by itself), ``arrived``: when it came into
    ``incoming/`` (0: not known), seconds since 1970; ``group``: the id of its group; ``brief``: the error without most
    of what a command said; ``has_note``: somebody wrote why; ``is_message``: it is no item but a message that nobody
    could read: there is nothing to retry."""

    id: str
    name: str
    place: str
    size: int
    error: str
    hint: str
    at: float
    attempts: int
    adoptions: int
    due: float
    group: str
    brief: str = ""
    has_note: bool = True
    is_message: bool = False
    arrived: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Troubles that differ only in names, numbers and identifiers. ``title``: the error with those replaced by '…';
    ``hint``: of the newest; ``newest``, ``oldest``: when that failed last and first, of deferred ones when the last was
    tried and when the oldest arrived, seconds since 1970; ``examples``: a few of the newest items."""

    id: str
    place: str
    title: str
    hint: str
    count: int
    newest: float
    oldest: float
    examples: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Groups:
    """All groups, the newest first. ``total``: items that match; ``read`` of ``items`` notes were read so far: where
    that is less, all numbers are 'at least' and the next call knows more. ``exact``: nothing is missing."""

    groups: tuple[Group, ...]
    total: int
    read: int
    items: int
    exact: bool
    at: float


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the failures that match, the newest first. ``next``: what to ask for to get the page after this one, ''
    on the last; ``total``: how many match, at least so many where not ``exact``."""

    failures: tuple[Failure, ...]
    next: str
    total: int
    exact: bool


NO_GROUPS = Groups((), 0, 0, 0, False, 0.0)
NO_PAGE = Page((), "", 0, False)
"""Of a queue that cannot be looked at."""


class _Entry:
    """One item. ``came``: its change time (ns); ``since``: the same in seconds, of a deferred one when it arrived,
    where its note was read."""

    __slots__ = ("came", "kind", "name", "place", "since", "size", "tried")

    def __init__(self, came: int, place: str, name: str, size: int) -> None:
        self.came = came
        self.since = came / 1e9
        self.place = place
        self.name = name
        self.size = size
        self.kind: Kind | None = None  # not read yet
        self.tried: tuple[str, bool] | None = None  # the text that was looked for last, and whether it was found

    @property
    def key(self) -> tuple[int, str, str]:
        """By this all are sorted: the newest first."""
        return (-self.came, self.place, self.name)


GONE = Kind("", "", "", "")
"""The kind of an item that is not there any more."""


class Failures:
    """The failures of one queue. Blocking: call it in a thread; each call takes a second or so at the most, and calls
    at the same time wait for each other. ``error``: what could not be read at the last look, '' if nothing."""

    def __init__(self, queue: Queue) -> None:
        self._roots = {place: str(queue.spool.places.of(Place(place))) for place in PLACES}
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []
        self._more = False
        self._directories: dict[str, int] = {}
        self._looked = 0.0
        self._rest = 0.0
        self._read = 0  # grows with each note: what was made before is old
        self._made: dict[Filter, tuple[object, Groups]] = {}
        self.error = ""

    def groups(self, wanted: Filter = ALL) -> Groups:
        """The groups of what matches."""
        with self._lock:
            self._look()
            return self._groups(wanted)

    def page(self, wanted: Filter = ALL, after: str = "", size: int = PAGE) -> Page:
        """A page of what matches. ``after``: ``next`` of the page before. Raises :class:`ValueError` for what is no
        such thing."""
        begin = _key(after) if after else None
        with self._lock:
            self._look()
            known = self._groups(wanted)
            start = bisect_right(self._entries, begin, key=lambda entry: entry.key) if begin else 0
            found, last = self._some(wanted, start, size)
            return Page(tuple(found), last, known.total, known.exact)

    def matching(self, wanted: Filter, before: float) -> Iterator[list[tuple[str, str]]]:
        """Everything that matches and came there before the time ``before`` (seconds since 1970), as (place, name), at
        most AT_ONCE at a time, read from the disk now, however many there are. What is done with them may move them."""
        chunk: list[tuple[str, str]] = []
        for place in PLACES if not wanted.place else (wanted.place,):
            for entry in _walk(self._roots[place], place, lambda _: None):
                if entry.came < before * 1e9 and self._matches(entry, wanted):
                    chunk.append((place, entry.name))
                if len(chunk) >= AT_ONCE:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk

    def last(self) -> dict[str, Trouble]:
        """The newest trouble of each place that has one."""
        with self._lock:
            self._look()
            found: dict[str, Trouble] = {}
            for place in PLACES:
                newest = (entry for entry in self._entries if entry.place == place)
                one = next((one for entry in islice(newest, 20) if (one := self._failure(entry)) is not None), None)
                if one is not None:
                    error = one.brief if one.has_note else ""
                    found[place] = Trouble(one.name, place, error, one.hint, one.at, one.attempts, one.due, one.arrived)
            return found

    def changed(self) -> None:
        """Look again at the next call: something was moved."""
        with self._lock:
            self._rest = 0.0
            self._directories.clear()

    # --- the look

    def _look(self) -> None:
        """Go over the names, if anything can have changed and the last look is not too fresh for what it cost."""
        now = time.time()
        if 0 <= now - self._looked < self._rest or self._is_unchanged():
            return
        began = time.monotonic()
        troubles: list[str] = []
        old = {(entry.place, entry.name): entry for entry in self._entries}
        self._entries, self._more, self._directories = [], False, {}
        for place, root in self._roots.items():
            for entry in _walk(root, place, troubles.append, self._directories):
                if len(self._entries) >= MOST or time.monotonic() - began > LOOK:
                    self._more = True
                    break
                same = old.get((place, entry.name))
                self._entries.append(same if same is not None and same.came == entry.came else entry)
        self._entries.sort(key=lambda entry: entry.key)
        self._looked, self._rest = now, _REST * (time.monotonic() - began)
        self._read += 1
        self.error = troubles[0] if troubles else ""

    def _is_unchanged(self) -> bool:
        """Whether no directory changed since the last look. Not where one changed right before: its time may not tell
        a further change."""
        if not self._directories or len(self._directories) > 1000 or self._more:
            return False
        for directory, mtime_ns in self._directories.items():
            with suppress(OSError):
                if os.stat(directory).st_mtime_ns == mtime_ns and mtime_ns / 1e9 < self._looked - _TICK:
                    continue
            return False
        return True

    # --- what was seen

    def _groups(self, wanted: Filter) -> Groups:
        made = self._made.get(wanted)
        if made is not None and made[0] == self._read and made[1].read == made[1].items:
            return made[1]
        deadline = time.monotonic() + BUDGET
        alike: dict[str, list[_Entry]] = {}
        read = items = 0
        for entry in self._entries:
            if wanted.place and entry.place != wanted.place:
                continue
            items += 1
            does = self._matches(entry, wanted, deadline)
            if does and entry.kind is None and time.monotonic() <= deadline:
                self._study(entry, "")
            if does is None or (does and entry.kind is None):
                continue
            read += 1
            does = does and entry.kind is not GONE
            if does and entry.kind is not None:
                alike.setdefault(entry.kind.id, []).append(entry)
        groups = [self._group(found) for found in list(alike.values())[:MOST_GROUPS]]
        exact = read == items and not self._more and not self.error
        total = sum(map(len, alike.values()))
        answer = Groups(tuple(groups), total, read, items, exact, self._looked)
        while len(self._made) >= 8:
            del self._made[next(iter(self._made))]
        self._made[wanted] = (self._read, answer)
        return answer

    def _group(self, found: list[_Entry]) -> Group:
        kind = found[0].kind
        assert kind is not None
        examples = [one for entry in found[:EXAMPLES] if (one := self._failure(entry)) is not None]
        hint = examples[0].hint if examples else kind.hint
        newest, oldest = found[0].came / 1e9, min(entry.since for entry in found)
        return Group(kind.id, kind.place, kind.title, hint, len(found), newest, oldest, tuple(examples))

    def _some(self, wanted: Filter, start: int, size: int) -> tuple[list[Failure], str]:
        """At most ``size`` that match, from that one on; and where to go on."""
        deadline = time.monotonic() + BUDGET
        found: list[Failure] = []
        for index in range(start, len(self._entries)):
            entry = self._entries[index]
            does = self._matches(entry, wanted, deadline)
            if does is None:  # the time is over
                return found, _cursor(self._entries[index - 1]) if index else ""
            if not does or (failure := self._failure(entry)) is None:
                continue
            found.append(failure)
            if len(found) == size:
                return found, _cursor(entry) if index + 1 < len(self._entries) else ""
        return found, ""

    def _matches(self, entry: _Entry, wanted: Filter, deadline: float = float("inf")) -> bool | None:
        """Whether the item matches; None where its note would have to be read and the time is over."""
        if wanted.place and entry.place != wanted.place:
            return False
        text = wanted.text.casefold()
        is_tried = not text or (entry.tried is not None and entry.tried[0] == text)
        if not is_tried or (wanted.group and entry.kind is None):
            if time.monotonic() > deadline:
                return None
            self._study(entry, text)
        if entry.kind is GONE or (wanted.group and (entry.kind is None or entry.kind.id != wanted.group)):
            return False
        return not text or (entry.tried is not None and entry.tried[1])

    def _study(self, entry: _Entry, text: str) -> None:
        """Read the item's note: its kind, and whether the text is in it."""
        path = f"{self._roots[entry.place]}/{entry.name}"
        try:
            note = notes.read(path, os.lstat(path))
        except OSError:
            entry.kind = GONE
            return
        shown = names.show(entry.name)
        if entry.kind is None:
            entry.kind = kind_of(entry.place, note)
            if note is not None and note.arrived and entry.place == "deferred":
                entry.since = note.arrived
            self._read += 1
        if text:
            said = (shown, note.error, note.hint) if note else (shown,)
            entry.tried = (text, any(text in one.casefold() for one in said))

    def _failure(self, entry: _Entry) -> Failure | None:
        """The item in full, read now; None where it is gone."""
        path = f"{self._roots[entry.place]}/{entry.name}"
        try:
            found = os.lstat(path)
            note = notes.read(path, found)
            due = notes.due_at(path) if entry.place == "deferred" else 0.0
        except OSError:
            entry.kind = GONE
            return None
        kind = kind_of(entry.place, note)
        return Failure(
            id=identify(entry.name, entry.place),
            name=names.show(entry.name),
            place=entry.place,
            size=found.st_size,
            error=one_line(note.error if note else kind.title)[:_LONG],
            hint=one_line(note.hint if note else kind.hint)[:_LONG],
            at=(note.at if note else 0.0) or found.st_ctime,
            attempts=note.attempts if note else 0,
            adoptions=note.adoptions if note else 0,
            due=due,
            group=kind.id,
            brief=names.printable(brief(note.error))[:_LONG] if note else kind.title,
            has_note=note is not None,
            is_message=note is not None and note.is_message,
            arrived=note.arrived if note else 0.0,
        )


def _cursor(entry: _Entry) -> str:
    return f"{entry.came}.{identify(entry.name, entry.place)}"


def _key(cursor: str) -> tuple[int, str, str]:
    came, _, identifier = cursor.partition(".")
    if not came.isdecimal() or len(came) > 20:
        raise ValueError("that is no page of failures")
    place, name = placed(identifier)
    return (-int(came), place, name)


def _walk(
    root: str, place: str, trouble: Callable[[str], None], directories: dict[str, int] | None = None
) -> Iterator[_Entry]:
    """Every item below ``root``, one directory at a time; ``directories`` gets each with its modification time."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        directory = os.path.join(root, prefix)
        try:
            if directories is not None:
                directories[directory] = os.stat(directory).st_mtime_ns
            entries = os.scandir(directory)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            trouble(f"{names.show(directory.rstrip('/'))} cannot be read: {error.strerror}")
            continue
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{prefix}{entry.name}/")
                    continue
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    yield _Entry(found.st_ctime_ns, place, prefix + entry.name, found.st_size)
