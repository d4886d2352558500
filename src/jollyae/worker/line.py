"""The line: which item is worked on next.

In this order: items in hand that wait for their destination, what dead workers left, what is parked; then what is due
in ``deferred/`` and what is in ``incoming/``, in turn. Items with which a worker died twice must have the worker for
themselves: they go when there is nothing else, or after a minute; so one that kills its worker does so last, and one
that was only near when somebody killed workers is not made to stand first in the next line of fire.
"""

import errno
import time
from collections import deque

from ..spool.arrivals import Arrivals, Candidate, Deferred
from ..spool.claims import Claims, Later
from ..spool.item import Item
from .retry import describe
from .tally import Tally

LARGE = 8 << 20
"""Bytes from which an item goes by the lane for large files, so that small ones always have room."""
ALONE_AFTER = 60.0
"""Seconds after which an item with which workers died has its turn though others wait."""
_LARGE_WAITING = 4
_LARGE_AGAIN = 5.0
_MAX_FULL = 10_000
_LOOKS = 200  # names looked at in one go before the event loop has its turn
_STUCK_AGAIN = 60.0
_MAX_STUCK = 1000

# What the kernel says of this one file or its directory: a producer's directory in which we may not rename, a path
# that is too long on our side. The others go on.
_ITS_OWN = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.EBUSY, errno.EXDEV}
)


class Line:
    """Who is next. ``once``: one round per item, and files that are not ready are waited for once. ``tally``: where
    it counts what is taken out of ``deferred/``."""

    def __init__(
        self, claims: Claims, arrivals: Arrivals, deferred: Deferred, *, once: bool, tally: Tally | None = None
    ) -> None:
        self._claims = claims
        self._arrivals = arrivals
        self._deferred = deferred
        self._once = once
        self._tally = tally or Tally()
        self._began = time.time()
        self._alone: deque[tuple[float, Item]] = deque()
        self._held: deque[Item] = deque()
        self._adopted: deque[Item] = deque()
        self._large: deque[Item] = deque()
        self._full: dict[str, Candidate] = {}  # large ones in incoming/ that have no room yet
        self._last: Item | None = None
        self._patience: dict[str, float] = {}
        self._passed_large = False  # a large deferred item is due that had no room
        self._turn = False
        self.given_up: set[str] = set()
        """With ``once``: names that were still not ready after they had been waited for."""
        self.stuck: dict[str, str] = {}
        """Names in ``incoming/`` that cannot be claimed, each with the reason (a thousand at most)."""
        self.newly_stuck: list[str] = []
        """Those of them that nobody has told the operator of."""
        self.out_of_breath = False
        """Whether :meth:`next` stopped early to let the event loop have its turn."""

    def hold(self, item: Item) -> None:
        """The item waits in hand for its destination."""
        self._held.append(item)

    def adopt(self, item: Item) -> None:
        """The item comes from a dead worker: alone if it was not the first."""
        if item.noted().adoptions > 1:
            self._alone.append((time.monotonic() + ALONE_AFTER, item))
        else:
            self._adopted.append(item)

    @property
    def held(self) -> int:
        """How many items wait in hand."""
        return len(self._held) + len(self._adopted) + len(self._alone) + len(self._large)

    @property
    def passed_over(self) -> int:
        """How many in ``incoming/`` are ready but have no room yet: large ones, and those whose namesake is in work."""
        return len(self._full) + self._claims.blocked

    @property
    def next_is_alone(self) -> bool:
        """Whether an item that must have the worker for itself has waited for long enough."""
        return bool(self._alone) and self._alone[0][0] <= time.monotonic()

    def is_over(self) -> bool:
        """Whether nothing is left that could be started now or after a short wait (for ``once``)."""
        known = self.held or self._full or self._arrivals.waiting()
        return not known and self._deferred.looked

    def next(self, *, room_for_large: bool, idle: bool = True) -> Item | None:
        """The next item, claimed; None when there is none to be had now. ``idle``: nothing is in flight. Raises
        :class:`OSError` of the spool."""
        self.out_of_breath = False
        if self._passed_large and len(self._large) < _LARGE_WAITING:
            self._passed_large = False
            self._deferred.wake()
        if idle and self.next_is_alone:
            return self._alone.popleft()[1]
        item = None
        if self._held or self._adopted or self._large:
            item = self._in_hand(room_for_large)
        item = item or self._claims.next_parked() or self._new(room_for_large)
        if item is None and self._held:
            item = self._held.popleft()
        if item is None and idle and self._alone and not self.out_of_breath:
            item = self._alone.popleft()[1]
        self._last = item
        return item

    def _in_hand(self, room_for_large: bool) -> Item | None:
        if self._held and self._held[0] is not self._last:
            return self._held.popleft()  # the one that was just tried lets another go first
        while self._adopted:
            item = self._adopted.popleft()
            if item.size < LARGE or room_for_large:
                return item
            self._large.append(item)
        if self._large and room_for_large:
            return self._large.popleft()
        return None

    def _new(self, room_for_large: bool) -> Item | None:
        if self._claims.has_unblocked:
            for name in self._claims.unblocked():
                self._arrivals.again(name, 0.0)
        while self._full and len(self._large) < _LARGE_WAITING:
            item = self._take(self._full.pop(next(iter(self._full))), room_for_large)
            if item is not None:
                return item
        self._turn = not self._turn
        if self._turn:
            return self._due(room_for_large) or self._arrived(room_for_large)
        return self._arrived(room_for_large) or self._due(room_for_large)

    def _due(self, room_for_large: bool) -> Item | None:
        for _ in range(_LOOKS):
            name = self._deferred.next(self._began if self._once else None)
            if name is None:
                return None
            try:
                taken = self._claims.take_deferred(name, below=self._below())
            except OSError:
                self._deferred.wake()  # it is still there, and still due
                raise
            if isinstance(taken, Later):
                self._passed_large = True  # or obstructed: the next walk finds it again
            elif taken is not None:
                self._tally.resume(taken.size)
                if taken.size < LARGE or room_for_large:
                    return taken
                self._large.append(taken)
        self.out_of_breath = True
        return None

    def _below(self) -> int | None:
        return LARGE if len(self._large) >= _LARGE_WAITING else None

    def _arrived(self, room_for_large: bool) -> Item | None:
        for _ in range(_LOOKS):
            candidate = self._arrivals.next()
            if candidate is None:
                return None
            item = self._take(candidate, room_for_large)
            if item is not None:
                return item
        self.out_of_breath = True
        return None

    def _take(self, candidate: Candidate, room_for_large: bool) -> Item | None:
        name, renamed = candidate.name, candidate.renamed
        below = self._below() if self._large else None
        try:
            taken = self._claims.take(
                name, renamed=renamed, regular=candidate.regular, below=below, otherwise=_LARGE_AGAIN
            )
        except OSError as error:
            if error.errno not in _ITS_OWN:
                self._arrivals.again(name, 0.0, renamed=renamed)
                raise
            self._stick(candidate, error)
            return None
        if isinstance(taken, Later):
            if taken.full and taken.seconds == _LARGE_AGAIN and len(self._full) < _MAX_FULL:
                self._full[name] = candidate
            else:
                self._not_ready(candidate, taken)
            return None
        if self._patience or self.given_up or self.stuck:
            self._patience.pop(name, None)
            self.given_up.discard(name)
            self.stuck.pop(name, None)
        if taken is not None and taken.size >= LARGE and not room_for_large:
            self._large.append(taken)
            return None
        return taken

    def _not_ready(self, candidate: Candidate, later: Later) -> None:
        """Look again later. With ``once`` a file that is not ready is waited for until it could have settled, even if
        its writer was just finishing; one that is not ready then grows."""
        if self._once and not later.full:
            now = time.monotonic()
            if now >= self._patience.setdefault(candidate.name, now + 2 * later.seconds):
                self.given_up.add(candidate.name)
                return
        self._arrivals.again(candidate.name, later.seconds, renamed=candidate.renamed)

    def _stick(self, candidate: Candidate, error: OSError) -> None:
        name = candidate.name
        if self._once:
            self.given_up.add(name)
        else:
            self._arrivals.again(name, _STUCK_AGAIN, renamed=candidate.renamed)
        if name not in self.stuck and len(self.stuck) < _MAX_STUCK:
            self.stuck[name] = describe(error)
            self.newly_stuck.append(name)

    def next_due(self) -> float:
        """When (monotonic) there may be an item even without a wake."""
        deferred = float("inf") if self._once else self._deferred.next_due()
        return min(self._arrivals.next_due(), deferred, self._claims.next_due())
