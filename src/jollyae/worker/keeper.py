"""What is kept, and how much room is left: a thread that prunes ``finished/`` and the receipts, and watches the floors.

It looks at the room every ten seconds, and prunes once a minute, or as seldom as keeps it below a twentieth of the
time. It works in slices and pauses between them, so that deliveries do not wait for it; below a floor it pauses less.
Of several siblings the first does it. With ``once`` there is no later, so when the last item is done one more pass
follows; each sibling has its own, for only the last of them sees what all have finished.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ..spool import floor, keeping
from ..spool.keeping import Finished
from ..spool.places import Places
from . import receipts
from .retry import describe
from .rules import Rules
from .telling import log, notice, warn

LOOK_EVERY = 10.0
"""Seconds between two looks at the room."""
PRUNE_EVERY = 60.0
"""Seconds between two passes over what is kept, at the least."""
_SHARE = 20  # a pass is followed by twenty times the time it took
_SLICE = 256  # files looked at between two pauses
_PAUSE = 3.0  # a pause is so many times as long as the slice took; below a floor a third of it
_LAST_PASS = 30.0  # seconds for what a worker with once prunes when all is done


class _Stopped(Exception):
    """No more."""


class Keeper:
    """Keeps what of ``places`` shall be kept, by ``rules``, from :meth:`start` to :meth:`stop`; with ``once``,
    and only where it ends in order, :meth:`finish` comes before that."""

    def __init__(self, places: Places, rules: Rules) -> None:
        self._places = places
        self._rules = rules
        self._stop = threading.Event()
        self._over = threading.Event()  # nobody waits between two slices or looks any more
        self._thread: threading.Thread | None = None
        self._finished = Finished(str(places.finished), by_date=rules.finished_by_date, pace=self._pace)
        self._seen = 0
        self._slice_began = 0.0
        self._next_prune = 0.0
        self._is_short = False
        self._told = ""

    def start(self) -> None:
        """Begin, where there is something to do. The floor is made the spool's first: raises :class:`OSError`."""
        rules = self._rules
        if not rules.share.is_first:
            return
        if not rules.once or rules.floor:
            floor.write(self._places, rules.floor)
        if self._keeps or rules.floor:
            self._begin(self._run)

    @property
    def _keeps(self) -> bool:
        """Whether anything is pruned."""
        return bool(self._rules.keep_finished or self._rules.keep_receipts)

    def _begin(self, run: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=run, name="jollyae-keeper", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """The last item is done, and there is no later: end the pass under way, and prune once more. At most 30 s."""
        self._over.set()
        if self._thread is None and self._keeps:
            self._begin(self._try_last)
        if self._thread is not None:
            self._thread.join(_LAST_PASS)

    def stop(self) -> None:
        """End, in the midst of a pass, too."""
        self._stop.set()
        self._over.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def moves(self) -> dict[str, tuple[int, int]]:
        """What it took out of the places, as :mod:`.moves` counts."""
        removed = self._finished.in_all
        return {"finished": (-removed.items, -removed.bytes)} if removed.items else {}

    # --- in the thread

    def _run(self) -> None:
        while self._tried(self._look):
            if self._over.wait(LOOK_EVERY):
                self._try_last()
                return

    def _try_last(self) -> None:
        if self._keeps and not self._stop.is_set():
            self._tried(self._prune_in_slices)

    def _tried(self, look: Callable[[], object]) -> bool:
        """Whether to go on after that."""
        try:
            look()
        except _Stopped:
            return False
        except OSError as error:
            self._tell(describe(error))
        except Exception:
            log.exception("a fault of jollyae's; please report it")
            return False
        return True

    def _tell(self, trouble: str) -> None:
        if trouble != self._told:
            self._told = trouble
            warn(f"cannot prune: {trouble}", "It is tried again; deliveries go on.")

    def _look(self) -> None:
        if self._rules.floor:
            with suppress(OSError):  # its disk may be full
                floor.write(self._places, self._rules.floor)
            self._watch_floor()
        if time.monotonic() >= self._next_prune:
            began = time.monotonic()
            try:
                self._prune_in_slices()
            finally:
                self._next_prune = time.monotonic() + max(PRUNE_EVERY, _SHARE * (time.monotonic() - began))

    def _prune_in_slices(self) -> None:
        self._slice_began = time.monotonic()
        self._prune()

    def _prune(self) -> None:
        if self._rules.keep_receipts:
            receipts.prune(str(self._places.receipts), self._rules.keep_receipts)
        if self._rules.keep_finished:
            self._say(self._finished.prune(self._rules.keep_finished), "")
        self._told = ""

    def _watch_floor(self) -> None:
        """Below the floor: say so once, and remove what was to be kept longer, where it may be removed at all."""
        self._slice_began = time.monotonic()
        missing = self._rules.floor.shortage(self._places.incoming)
        was, self._is_short = self._is_short, bool(missing.why)
        if missing.why and not was:
            more = " and finished/ is pruned" if self._rules.keep_finished else ""
            warn(
                f"below the floor: {missing.why}",
                f"Free some room. Until then submit refuses{more}; deliveries go on.",
            )
        elif was and not missing.why:
            notice("above the floor again")
        if missing.why and self._rules.keep_finished and self._is_on_one_disk():
            self._say(self._finished.free(missing.bytes, enough=self._is_enough), " for want of room")
            weigh = keeping.inode_of
            self._say(self._finished.free(missing.inodes, weigh, enough=self._is_enough), " for want of inodes")

    def _is_enough(self) -> bool:
        """Whether the floor is reached: others may prune as well, or have freed some."""
        return not self._rules.floor.shortage(self._places.incoming).why

    def _is_on_one_disk(self) -> bool:
        return self._places.finished.stat().st_dev == self._places.incoming.stat().st_dev

    def _say(self, pruned: keeping.Pruned, why: str) -> None:
        if pruned.error is not None:
            raise pruned.error
        if pruned.items:
            log.info("removed the oldest of finished/%s", why, extra={"items": pruned.items, "bytes": pruned.bytes})

    def _pace(self) -> None:
        """Between two slices: leave the processor to deliveries, and see whether this shall end."""
        self._seen += 1
        if self._seen % _SLICE:
            return
        took = time.monotonic() - self._slice_began
        self._over.wait(min(took, 1.0) * (_PAUSE / 3 if self._is_short else _PAUSE))
        if self._stop.is_set():
            raise _Stopped
        self._slice_began = time.monotonic()
