"""``jollyae run -c FILE``: all queues of a configuration file, under one parent."""

import argparse
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from . import where
from .options import OUTPUT, was_given
from .run_options import KEYS, METRICS

if TYPE_CHECKING:
    from ..service.config import Config, Log
    from ..service.processes.parent import Watcher
    from .output import StreamHandler

_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "notice": 25, "info": logging.INFO, "debug": 10}


def main(arguments: argparse.Namespace, guard: Callable[[], None]) -> int:
    """Run all of it; the exit code: the worst of all queues'. ``guard`` is called before anything is read that is
    secret."""
    from ..service.processes import queues, systemd_manager
    from .output import set_up_logging

    config = _load(arguments)
    if arguments.once or arguments.dry_run:
        config.refuse_endless("--once" if arguments.once else "--dry-run")
    if arguments.dry_run:
        return _dry_run(config)
    guard()
    handler = set_up_logging(form="text", colour=arguments.color, verbose=arguments.verbose, quiet=arguments.quiet)
    _style(config.log, arguments, handler)
    try:
        return queues.run(
            config,
            lambda: _load(arguments),
            in_child=handler.step_aside,
            watchers=_live(config, arguments, handler),
            manager=systemd_manager.listening(),
            style=lambda log: _style(log, arguments, handler),
        )
    finally:
        if handler.live is not None:
            handler.live.clear()


def _load(arguments: argparse.Namespace) -> "Config":
    """The file, and what the command line and the environment say instead of it."""
    config = where.config(arguments, KEYS)
    said = {option.dest.removeprefix("metrics_"): option for option in METRICS if was_given(option, arguments)}
    values = {name: getattr(arguments, option.dest) for name, option in said.items()}
    return replace(config, metrics=replace(config.metrics, **values)) if values else config


def _style(log: "Log", arguments: argparse.Namespace, handler: "StreamHandler") -> None:
    """Write the log as the command line says, else the file."""
    from .output import formatter

    form = next(option for option in OUTPUT if option.dest == "log_format")
    is_said = was_given(form, arguments) or log.format is None
    handler.setFormatter(formatter(arguments.log_format if is_said else str(log.format), arguments.color))
    if log.level is not None and not arguments.verbose and not arguments.quiet:
        logging.getLogger("jollyae").setLevel(_LEVELS[log.level])


def _live(config: "Config", arguments: argparse.Namespace, handler: "StreamHandler") -> "tuple[Watcher, ...]":
    """The live line of all queues, where there is a terminal for it."""
    from .live import LiveQueues

    is_json = (arguments.log_format if config.log.format is None else config.log.format) == "json"
    if arguments.no_progress or arguments.quiet or is_json or not sys.stderr.isatty():
        return ()
    live = LiveQueues(sys.stderr)
    handler.live = live
    return (live.show_all,)


def _dry_run(config: "Config") -> int:
    from ..service.compose import plan
    from ..service.units import counted
    from ..spool.names import show

    total = 0
    for queue in config.queues:
        if not queue.places.incoming.is_dir():
            print(f"{queue.name}: there is no {queue.places.incoming} yet", file=sys.stderr)
            continue
        for name, target in plan(queue.places, queue.settings):
            total += 1
            print(f"{queue.name}: {show(name)} -> {target}")
    print(f"dry run: {counted(total, 'item')} would be delivered; nothing was changed", file=sys.stderr)
    return 0
