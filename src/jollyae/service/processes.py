"""Several workers in processes of their own: on one spool, for where one core is not enough, or on several."""

from collections.abc import Callable, Mapping

from ..spool.places import Places
from ..worker.state import Snapshot
from ..worker.summary import Summary
from ..worker.worker import Listener
from . import compose
from .companions import Companion
from .parent import Manager, Parent, Plan
from .settings import Queue, Settings


def run(
    places: Places,
    settings: Settings,
    listeners: tuple[Listener, ...] = (),
    in_child: Callable[[], None] = lambda: None,
    companions: tuple[Companion, ...] = (),
    manager: Manager | None = None,
) -> Summary:
    """:func:`compose.run` in as many processes as the settings say; what all of them did. Where there are companions or
    a manager, one worker has a parent too. ``in_child`` is called in each new process, to set its output up. Raises
    :class:`~.settings.ConfigurationError` and :class:`~jollyae.spool.spool.SpoolError`."""
    if settings.processes == 1 and not companions and manager is None:
        return compose.run(places, settings, listeners)
    compose.prepared(places, settings)
    queue = Queue(places.control.name, places, settings)

    def look(seen: Mapping[str, Snapshot]) -> None:
        for listener in listeners:
            listener(seen[queue.name])

    plan, watchers = Plan((queue,), companions), (look,) if listeners else ()
    parent = Parent(plan, in_child, named=False, watchers=watchers, manager=manager)
    return parent.run()[0]
