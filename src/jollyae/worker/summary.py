"""What a worker did, summed up at its end."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..spool import names
from .telling import notice


@dataclass(frozen=True, slots=True)
class Summary:
    """What a worker did. ``left``: items still in flight at its end; ``waiting``: items that wait for another try;
    ``growing``: names that were still being written; ``gave_up``: a pause lasted too long; ``stuck``: names that could
    not be taken."""

    delivered: int
    failed: int
    deferred: int
    left: int
    waiting: int
    once: bool
    signal: int = 0
    growing: tuple[str, ...] = ()
    gave_up: bool = False
    stuck: tuple[str, ...] = ()

    def tell(self, **fields: object) -> None:
        """Put it into the log, with why ``once`` left something where that is not told by the items' own notes."""
        reasons = ["gave up"] if self.gave_up and self.waiting else []
        reasons += [f"still being written: {_some(self.growing)}"] if self.growing else []
        reasons += [f"cannot be taken: {_some(self.stuck)}"] if self.stuck else []
        why = f" ({'; '.join(reasons)})" if reasons else ""
        counts = (self.delivered, self.failed, self.waiting)
        notice("delivered %d, failed %d, left waiting %d%s", *counts, why, **fields)

    @property
    def exit_code(self) -> int:
        """As sysexits(3) and the shell have it: 0, 1 some failed, 75 some wait, 128 + signal when cut short."""
        if self.signal and (self.left or self.once):
            return 128 + self.signal
        if not self.once:
            return 0
        if self.failed:
            return 1
        return os.EX_TEMPFAIL if self.waiting else 0


def merged(summaries: Sequence[Summary]) -> Summary:
    """What several queues did, as one: its exit code is that of all, 1 before 75. The first is the main one, of which
    ``delivered`` is told."""
    first = summaries[0]
    return replace(
        first,
        failed=sum(one.failed for one in summaries),
        deferred=sum(one.deferred for one in summaries),
        left=sum(one.left for one in summaries),
        waiting=sum(one.waiting for one in summaries),
        gave_up=any(one.gave_up for one in summaries),
    )


def _some(found: tuple[str, ...]) -> str:
    """Three of the names."""
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(map(names.show, sorted(found)[:3])) + more
