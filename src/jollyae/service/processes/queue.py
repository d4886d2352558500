"""Several workers on one spool in processes of their own, for where one core is not enough."""

from collections.abc import Callable, Mapping

from ...spool.places import Places
from ...worker.news import Listener
from ...worker.state import Snapshot
from ...worker.summary import Summary, merged
from .. import compose, notifications
from ..settings import Queue, Settings
from .companions import Companion
from .parent import Manager, Parent, Plan


def run(
    places: Places,
    settings: Settings,
    listeners: tuple[Listener, ...] = (),
    in_child: Callable[[], None] = lambda: None,
    companions: tuple[Companion, ...] = (),
    manager: Manager | None = None,
) -> Summary:
    """:func:`compose.run` in as many processes as the settings say; what all of them did, those included that send
    notifications about it. Where there are these, companions or a manager, one worker has a parent too. ``in_child`` is
    called in each new process, to set its output up. Raises :class:`~.settings.ConfigurationError` and
    :class:`~jollyae.spool.spool.SpoolError`."""
    if settings.processes == 1 and not companions and manager is None and not settings.targets():
        return compose.run(places, settings, listeners)
    compose.prepared(places, settings)
    queue = Queue(places.control.name, places, settings)

    def look(seen: Mapping[str, Snapshot]) -> None:
        for listener in listeners:
            if queue.name in seen:
                listener(seen[queue.name])

    plan = Plan((queue, *notifications.queues(queue)), companions)
    watchers = (look,) if listeners else ()
    parent = Parent(plan, in_child, named=bool(settings.targets()), watchers=watchers, manager=manager)
    return merged(parent.run())
