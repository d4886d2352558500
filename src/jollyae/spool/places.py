"""The places of a spool, and the table of moves between them. There are no other moves.

========  ==========================================================================================
place     who puts a file there, and what it means
========  ==========================================================================================
tmp       a producer, still writing; nobody else looks
incoming  a producer, by rename: free to take
working   a worker, by rename into a directory of its own: being worked on
deferred  a worker: not now, again when the note beside it is due
finished  a worker: acknowledged by the destination
failed    a worker: will never work, the reason is in the note beside it
receipts  a worker: what was delivered, one JSON line each
========  ==========================================================================================
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path


class Place(StrEnum):
    """One of the five places an item can be in."""

    INCOMING = "incoming"
    WORKING = "working"
    DEFERRED = "deferred"
    FINISHED = "finished"
    FAILED = "failed"

    __hash__ = str.__hash__  # Enum's own is written in Python, and each item's moves are looked up


MOVES: frozenset[tuple[Place, Place | None]] = frozenset(
    {
        (Place.INCOMING, Place.WORKING),  # claim
        (Place.WORKING, Place.FINISHED),  # retire: Done
        (Place.WORKING, None),  # retire: Done, and the user wants it deleted
        (Place.WORKING, Place.DEFERRED),  # retire: Defer
        (Place.WORKING, Place.FAILED),  # retire: Fail
        (Place.WORKING, Place.INCOMING),  # given back: a writer still had it open
        (Place.DEFERRED, Place.WORKING),  # claim, when due
        (Place.FAILED, Place.INCOMING),  # retry, by a person
        (Place.FINISHED, None),  # pruned: --keep-finished
    }
)
"""Every move an item can make; ``None`` is deletion. A retry of a deferred item only makes its note due now."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the places are. ``control`` holds the pause file; ``tmp`` is for :meth:`Spool.submit`.

    >>> Places.under("/var/spool/jollyae").finished.as_posix()
    '/var/spool/jollyae/finished'
    """

    incoming: Path
    working: Path
    deferred: Path
    finished: Path
    failed: Path
    tmp: Path
    receipts: Path
    control: Path

    @classmethod
    def under(cls, root: str | Path, **elsewhere: str | Path | None) -> "Places":
        """The usual layout below ``root`` (made absolute); any place named in ``elsewhere`` is there instead.

        Raises :class:`TypeError` for a word that is no place.
        """
        base = Path(root).absolute()
        names = {field.name for field in fields(cls)} - {"control"}
        if unknown := set(elsewhere) - names:
            raise TypeError(f"no such place: {', '.join(sorted(unknown))}")
        where = {name: Path(elsewhere.get(name) or base / name).absolute() for name in names}
        return cls(control=base, **where)

    @property
    def words(self) -> str:
        """How a command line of ours names them, to be pasted into a shell: the spool, and an option for each of the
        five places that is elsewhere.

        >>> Places.under("/srv/my scans", failed="/srv/bad").words
        "'/srv/my scans' --failed /srv/bad"
        """
        usual = Places.under(self.control)
        others = [(place, str(self.of(place))) for place in Place if self.of(place) != usual.of(place)]
        return " ".join([shlex.quote(str(self.control)), *(f"--{name} {shlex.quote(at)}" for name, at in others)])

    def of(self, place: Place) -> Path:
        """The directory of ``place``."""
        path: Path = getattr(self, place.value)
        return path

    def all(self) -> Iterator[Path]:
        """Every directory that must exist, each once."""
        yield from dict.fromkeys(getattr(self, field.name) for field in fields(self))

    def for_items(self) -> Iterator[Path]:
        """The five places and ``tmp``: those between which files are renamed, so those on one file system."""
        yield from (self.tmp, self.incoming, self.working, self.deferred, self.finished, self.failed)
