"""All queues of a configuration under one parent, and the configuration loaded again while they work."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ...spool.places import Places
from ...spool.spool import SpoolError
from ...worker.telling import log
from .. import compose, notifications
from ..config import Config, Log
from ..observing import exporter
from ..settings import ConfigurationError, Queue, Settings
from .parent import Loader, Manager, Parent, Plan, Watcher


def run(
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
    """See that each queue can begin that does not run by now; what must be there is made, when all were looked at.
    Raises :class:`ConfigurationError` with all that is wrong."""
    new = [queue for queue in config.queues if queue not in running]
    _each(config, new, compose.examined)
    _each(config, new, compose.prepared)


def _each(config: Config, queues: Sequence[Queue], do: Callable[[Places, Settings], object]) -> None:
    wrong = []
    for queue in queues:
        try:
            with _signing(queue.name):
                do(queue.places, queue.settings)
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
