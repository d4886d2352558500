"""The spools below a workdir, of which each process that takes from a broker has one: all of them for who looks, and
what an earlier run with another number of processes left in some, for who begins to work."""

import shlex
from collections.abc import Sequence
from itertools import islice

from ..spool import owner, survey
from ..spool.places import Place, Places
from ..spool.spool import Spool
from . import notifications, origins
from .observing.status import live_workers
from .settings import Queue, Settings
from .units import counted

_MOST = 10_000  # items that are counted of those that were left
LEFT = (
    "The broker gives their messages to others, who fetch the objects anew: so these copies can be removed. "
    "What was retried by hand has no message: for that, run once with as many processes as before"
)
FAILED = "To try them again: retry them, and run once with as many processes as before"


def spools(whole: Places, *, is_wanted: bool = False) -> list[Places]:
    """Those of the processes that work, or worked, below the workdir, by their numbers, and before them the workdir
    itself, if a worker is there, or anything; where there are none, it alone. ``is_wanted``: a worker should be in the
    workdir itself, so it comes in any case. Raises :class:`OSError`."""
    parts = origins.existing(whole)
    return parts if parts and not is_wanted and not _is_used(whole) else [whole, *parts]


def _is_used(whole: Places) -> bool:
    """Whether one process works in the workdir itself, or something lies there: of such a run, or messages to
    somebody."""
    if live_workers(Spool(places=whole, make=False)):
        return True
    lying = any(next(owner.items_below(str(whole.of(place))), None) is not None for place in Place)
    return lying or bool(notifications.existing(whole))


def left_behind(whole: Places, settings: Settings) -> tuple[str, str] | None:
    """What a run with these settings will never take up, and what to do; None where there is nothing."""
    if settings.source is None:
        return None
    ours = {one.control for one in origins.worked_on(Queue("", whole, settings))}
    others = [one for one in (whole, *origins.existing(whole)) if one.control not in ours]
    found = [(one, count) for one in others if (count := _lying(one))]
    if not found:
        return None
    where = ", ".join(f"{shlex.quote(str(one.control))} ({count})" for one, count in found)
    total = sum(count for _, count in found)
    said = (
        f"{counted(total, 'item')} of an earlier run, with another number of processes, will not be worked on: {where}"
    )
    return said, f"{LEFT}: {_again(whole, [one for one, _ in found])}."


def _lying(places: Places) -> int:
    """How many wait there with nobody to work on them."""
    if live_workers(Spool(places=places, make=False)):
        return 0
    return sum(1 for _ in islice(survey.lying(places), _MOST))


def _again(whole: Places, left: Sequence[Places]) -> str:
    """With which option somebody would: one process works in the workdir itself, and of more each in one below."""
    parts = [int(one.control.name) for one in left if one.control != whole.control]
    numbers = [1] if len(parts) < len(left) else []
    numbers += [max(2, max(parts) + 1)] if parts else []
    options = " and ".join(f"--processes {number}" for number in numbers)
    return f"{options} (in a configuration: processes = {', then '.join(map(str, numbers))})"
