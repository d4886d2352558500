"""Several workers in processes of their own: on one spool, for where one core is not enough, or on several."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from ..spool.places import Places
from ..spool.spool import SpoolError
from ..worker.state import Snapshot
from ..worker.summary import Summary, merged
from ..worker.telling import log
from ..worker.worker import Listener
from . import compose, exporter, notifications
from .companions import Companion
from .config import Config, Log
from .parent import Loader, Manager, Parent, Plan, Watcher
from .settings import ConfigurationError, Queue, Settings


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
    if settings.processes == 1 and not companions and manager is None and not settings.notify:
        return compose.run(places, settings, listeners)
    compose.prepared(places, settings)
    queue = Queue(places.control.name, places, settings)

    def look(seen: Mapping[str, Snapshot]) -> None:
        for listener in listeners:
            if queue.name in seen:
                listener(seen[queue.name])

    plan = Plan((queue, *notifications.queues(queue)), companions)
    watchers = (look,) if listeners else ()
    parent = Parent(plan, in_child, named=bool(settings.notify), watchers=watchers, manager=manager)
    return merged(parent.run())


def run_all(
    config: Config,
    load: Callable[[], Config],
    *,
    in_child: Callable[[], None] = lambda: None,
    watchers: tuple[Watcher, ...] = (),
    manager: Manager | None = None,
    style: Callable[[Log], None] = lambda log: None,
) -> int:
    """All queues of a configuration; the exit code, the worst of all. ``load`` reads it again, at SIGHUP; ``style`` has
    the log written as it says. Raises :class:`ConfigurationError` where one queue cannot begin: then none does."""
    prepare(config, ())

    def plan(config: Config, *, strict: bool = False) -> Plan:
        companions = exporter.companions(config.metrics, strict=strict)
        style(config.log)
        queues = [one for queue in config.queues for one in (queue, *notifications.queues(queue))]
        return Plan(tuple(queues), companions, config.log)

    def reload(running: tuple[Queue, ...]) -> Config:
        again = load()
        prepare(again, running)
        exporter.try_out(again.metrics)
        return again

    once = any(queue.settings.once for queue in config.queues)
    loader = None if once else Loader(reload, plan)
    summaries = Parent(plan(config, strict=True), in_child, watchers=watchers, manager=manager, loader=loader).run()
    return worst([summary.exit_code for summary in summaries])


def worst(codes: Sequence[int]) -> int:
    """The exit code of several that ended: cut short is worse than failed items, and these than some that wait.

    >>> worst([0, 75, 1]), worst([0, 75]), worst([143, 1]), worst([])
    (1, 75, 143, 0)
    """
    return max(codes, key=lambda code: (code > 128, code == 1, code), default=0)


def prepare(config: Config, running: Sequence[Queue]) -> None:
    """See that each queue can begin that does not run by now; what must be there is made. Raises
    :class:`ConfigurationError` with all that is wrong."""
    wrong = []
    for queue in config.queues:
        if queue in running:
            continue
        try:
            with _signing(queue.name):
                compose.prepared(queue.places, queue.settings)
        except (ConfigurationError, SpoolError) as error:
            wrong.append(config.blame(queue, error))
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise ConfigurationError("\n".join(f"{one.message}. {one.hint}".rstrip() for one in wrong))


@contextmanager
def _signing(queue: str) -> Iterator[None]:
    """Meanwhile lines of the log say of which queue they are."""

    def sign(record: logging.LogRecord) -> bool:
        record.queue = queue
        return True

    log.addFilter(sign)
    try:
        yield
    finally:
        log.removeFilter(sign)
