"""Metrics without a parent that tells them: of queues as their workers' ``.state.json`` shows them, for the dashboard.

What a worker counted that is gone is kept for as long as this process lives, so counters do not fall. Of a queue none
of whose workers lives any more, what was seen last is told: the time of its last look grows old, and an alert sees it.
"""

import os
import threading
from collections.abc import Callable, Iterable

import msgspec

from ...spool import survey
from ...spool.places import Places
from ...worker import state
from ...worker.state import Snapshot
from ...worker.tally import Tally
from ..processes.together import together
from . import metrics
from .totals import plus


class Watched:
    """Queues, by their names, as ``queues()`` tells them each time."""

    def __init__(self, queues: Callable[[], Iterable[tuple[str, Places]]]) -> None:
        self._wanted = queues
        self._queues: dict[tuple[str, Places], _Queue] = {}
        self._one = threading.Lock()

    def text(self, *, open_metrics: bool = False) -> str:
        """The page of metrics. Reads some small files; call it in a thread."""
        with self._one:
            wanted = list(self._wanted())
            self._queues = {one: self._queues.get(one) or _Queue(*one) for one in wanted}
            seen = [found for queue in self._queues.values() if (found := queue.look()) is not None]
        return metrics.text(seen, open_metrics=open_metrics)


class _Queue:
    def __init__(self, name: str, places: Places) -> None:
        self._name = name
        self._places = places
        self._last: dict[str, Snapshot] = {}
        self._past: Snapshot | None = None
        self._shown: Snapshot | None = None

    def look(self) -> metrics.Seen | None:
        """The queue as it is now; None where no worker was ever seen."""
        live = self._live()
        for gone in self._last.keys() - live.keys():
            last = self._last.pop(gone)
            self._past = last if self._past is None else plus(last, self._past)
        self._last |= live
        if live:
            self._shown = self._sum(list(self._last.values()))
        elif self._shown is not None:
            self._shown = msgspec.structs.replace(self._shown, in_flight=[], limit=0, silent_since=0.0)
        return None if self._shown is None else metrics.Seen(self._name, self._shown, self._name.partition("/")[2])

    def _live(self) -> dict[str, Snapshot]:
        held = survey.workers(self._places)
        live = [path for path, holder in held if holder == os.path.basename(path)]
        found = {os.path.basename(path): state.read(path) for path in live}
        # One whose file is being replaced, or whose disk is full, is as it was.
        return {name: one for name in found if (one := found[name] or self._last.get(name)) is not None}

    def _sum(self, snapshots: list[Snapshot]) -> Snapshot:
        seen = together(snapshots, Tally())
        for one in [*snapshots, *([self._past] if self._past is not None else [])]:
            seen = msgspec.structs.replace(plus(seen, one), last_delivery=max(seen.last_delivery, one.last_delivery))
        return seen
