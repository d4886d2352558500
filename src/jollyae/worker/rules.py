"""How a worker shall work: values, checked once, read by all of it."""

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

from ..spool.floor import NO_FLOOR, Floor
from ..spool.keeping import ALL, Limit
from ..spool.names import is_ignored, is_wanted
from ..spool.sharing import Shared


class OnDone(StrEnum):
    """What becomes of a delivered item."""

    KEEP = "keep"
    DELETE = "delete"


class OnFail(StrEnum):
    """What becomes of an item that failed for ever. DELETE and DEFER are for the 2016 command line."""

    KEEP = "keep"
    DELETE = "delete"
    DEFER = "defer"


@dataclass(frozen=True, slots=True)
class Share:
    """Which of several siblings (workers that one parent started on one spool) a worker is: number ``index`` of
    ``of``. The parent gives the orders and tells what they did together. ``is_led``: it has a parent though it is the
    only one; ``among``: of how many workers in all, on this spool and others, which share the machine."""

    index: int = 0
    of: int = 1
    is_led: bool = False
    among: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether there are no siblings."""
        return self.of == 1

    @property
    def has_parent(self) -> bool:
        """Whether a parent gives the orders, and tells what was done."""
        return self.is_led or not self.is_whole

    def of_machine(self, whole: int) -> int:
        """This one's part of something that all processes of the parent's share, at least 1."""
        return max(whole // max(self.of, self.among), 1)

    @property
    def is_first(self) -> bool:
        """Whether it does what only one of them needs to do."""
        return self.index == 0

    def part(self, whole: int) -> int:
        """This one's part of ``whole``, at least 1. The parts of all are ``whole``, where it is enough for all.

        >>> [Share(index, 3).part(32) for index in range(3)], [Share(index, 3).part(2) for index in range(3)]
        ([11, 11, 10], [1, 1, 1])
        """
        return max(whole // self.of + (self.index < whole % self.of), 1)

    def own(self) -> Callable[[str], bool] | None:
        """A function that says of a name whether it is this one's own: each name is one sibling's, always the same
        one's. None: all are.

        >>> [sum(bool(Share(index, 3).own()(name)) for index in range(3)) for name in ("a", "b", "c/d")]
        [1, 1, 1]
        """
        if self.is_whole:
            return None
        index, of = self.index, self.of
        return lambda name: crc32(name.encode(errors="surrogateescape")) % of == index


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The options of a worker.

    - ``once``: drain what is there and end
    - ``concurrency``: the most items in flight; the worker finds out how many are good below that
    - ``settle``: seconds a file must be unchanged (None: 1 with the lease test, 3 without)
    - ``grace``: seconds for what is in flight when the worker is told to stop
    - ``include``, ``exclude``: shell patterns on the item's whole name (``*`` matches ``/`` too); exclude wins
    - ``prune_empty``: remove directories in ``incoming/`` that have been empty for so many seconds (None: never)
    - ``finished_by_date``: finished items get a directory for each day in ``finished/``
    - ``keep_finished``: how much of ``finished/`` is kept (no limit: all)
    - ``keep_receipts``: how much of the receipts is kept, within the bounds that they always have
    - ``floor``: what of the spool's disk must stay free; it is made the spool's
    - ``idle_exit``: end when nothing was to do for so many seconds (None: never)
    - ``shared``: whether several hosts work on the spool
    - ``share``: which one of several siblings it is
    """

    once: bool = False
    concurrency: int = 32
    settle: float | None = None
    grace: float = 30.0
    on_done: OnDone = OnDone.KEEP
    on_fail: OnFail = OnFail.KEEP
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    prune_empty: float | None = None
    finished_by_date: bool = False
    keep_finished: Limit = ALL
    keep_receipts: Limit = ALL
    floor: Floor = NO_FLOOR
    idle_exit: float | None = None
    shared: Shared = Shared.AUTO
    share: Share = Share()

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError("concurrency must be at least 1")

    def wanted(self) -> Callable[[str], bool]:
        """A function that says of a name whether it is an item for this worker.

        >>> wanted = Rules(include=("*.jpg",), exclude=("tmp/*",)).wanted()
        >>> [wanted(name) for name in ("a/b.jpg", "tmp/b.jpg", "b.png", ".b.jpg")]
        [True, False, False, False]
        """
        included, excluded = _matcher(self.include), _matcher(self.exclude)
        if included is None and excluded is None:
            return is_wanted

        def wanted(name: str) -> bool:
            if is_ignored(name) or (excluded is not None and excluded(name)):
                return False
            return included is None or included(name)

        return wanted


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool] | None:
    if not patterns:
        return None
    match = re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match
    return lambda name: match(name) is not None
