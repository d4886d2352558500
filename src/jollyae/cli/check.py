"""``jollyae check SPOOL --to URL``: can this run? Tries it, and says what to do."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from . import run, terminal, where
from .options import Option, add_all
from .run_options import DESTINATION, OBJECT, ON_DONE, SOURCE, STORE

if TYPE_CHECKING:
    from ..processors.finding import Finding
    from ..service.config import Config
    from ..service.settings import Queue, Settings
    from ..spool.places import Places

_OTHERS = (
    Option(("--copy",), "the places may be on different file systems", parse=None),
    Option(("--shared",), "as for run", "WHETHER", "auto", choices=("auto", "yes", "no")),
    Option(("--on-done",), ON_DONE, "WHAT", choices=("keep", "delete")),
)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser, or_queue=True)
    add_all(parser, "destination", DESTINATION)
    add_all(parser, "items from a broker, instead of a SPOOL", SOURCE)
    add_all(parser, "work", _OTHERS)
    add_all(parser, "objects", OBJECT)
    add_all(parser, "the store", STORE)
    parser.add_argument("--health", action="store_true", help="only say whether a worker lives: 0 yes, 1 no")
    parser.add_argument(
        "--would-run", action="store_true", help="only look whether run would begin, or load it again: 0 yes, 78 no"
    )
    parser.add_argument("--no-network", action="store_true", help="try nothing that needs the network")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colours")


def main(arguments: argparse.Namespace) -> int:
    """Check; exit code 0 if all is well (warnings too), 1 if something failed, 78 if the configuration cannot be."""
    where.take_workdir(arguments)
    if where.is_config(arguments):
        if arguments.health:
            return _health(_config(arguments).queues)
        if arguments.would_run:
            return _would_run(_config(arguments, *SOURCE, *_OTHERS, *OBJECT, *STORE).queues, arguments)
        import asyncio

        return asyncio.run(_check_all(_config(arguments, *SOURCE, *_OTHERS, *OBJECT, *STORE), arguments))
    from ..service.settings import Queue

    settings = run.settings(arguments)
    if arguments.health:
        return _health([Queue("", where.places(arguments), settings)])
    import asyncio

    run.refuse_two(arguments)
    if arguments.would_run:
        return _would_run([Queue("", where.places(arguments), settings)], arguments)
    return asyncio.run(_check(where.places(arguments), settings, arguments))


def _config(arguments: argparse.Namespace, *overriding: Option) -> "Config":
    """The configuration with the queues that are meant."""
    found = where.config(arguments, overriding)
    if arguments.queue is None:
        return found
    return replace(found, queues=tuple(where.named(arguments.queue, found.queues, found)))


async def _check_all(config: "Config", arguments: argparse.Namespace) -> int:
    from ..service import check

    code = 0
    async for finding in check.everything(config, network=not arguments.no_network):
        code = max(code, _show(finding, arguments))
    return code


def _would_run(queues: "Sequence[Queue]", arguments: argparse.Namespace) -> int:
    """Says only what ``run`` would refuse; the exit code would be its."""
    from ..service import check

    refused = list(check.refusals(queues))
    for finding in refused:
        _show(finding, arguments)
    return os.EX_CONFIG if refused else 0


def _health(queues: "Sequence[Queue]") -> int:
    """For a container's health check: needs no network, and loads little. One line: what is wrong, else all."""
    from ..service import origins
    from ..service.observing import alive

    looks = [alive.look(places) for queue in queues for places in origins.worked_on(queue)]
    wrong = [text for well, text in looks if not well]
    print(f"{'unhealthy' if wrong else 'healthy'}: {'; '.join(wrong or (text for _, text in looks))}")
    return int(bool(wrong))


async def _check(places: "Places", settings: "Settings", arguments: argparse.Namespace) -> int:
    from ..service import check

    network = not arguments.no_network
    told: list[Finding] = []
    makes = settings.source is not None  # nobody but run puts anything there
    told += _shown(
        check.spool(places, copy=arguments.copy, shared=arguments.shared, makes=makes),
        arguments,
    )
    async for finding in check.broker(settings, network=network):
        told += _shown([finding], arguments)
    async for finding in check.objects(settings, network=network):
        told += _shown([finding], arguments)
    if run.destinations(arguments):
        async for finding in check.store(settings, network=network):
            told += _shown([finding], arguments)
        told += _shown(check.untold(check.refusal(places, settings), told), arguments)
    return max(map(_code, told), default=0)


def _shown(findings: "Iterable[Finding]", arguments: argparse.Namespace) -> "Iterator[Finding]":
    """Each of them, when it was shown."""
    for finding in findings:
        _show(finding, arguments)
        yield finding


def _show(finding: "Finding", arguments: argparse.Namespace) -> int:
    from .output import wants_colour

    if arguments.json:
        print(json.dumps(asdict(finding)))
    else:
        colours = {"ok": "\x1b[32m", "warning": "\x1b[33m", "failed": "\x1b[31m"}
        word = f"{finding.state.value:<8}"
        if wants_colour(arguments.color, sys.stdout):
            word = f"{colours[finding.state.value]}{word}\x1b[0m"
        whose = f"{finding.queue} " if finding.queue else ""
        line = terminal.wrapped(f"{finding.state.value:<8} {whose}{finding.subject}: {finding.text}", sys.stdout, 9)
        print(word + line[8:])
        if finding.hint:
            print(terminal.wrapped(f"         {finding.hint}", sys.stdout, 9))
    return _code(finding)


def _code(finding: "Finding") -> int:
    if finding.state.value != "failed":
        return 0
    return os.EX_CONFIG if finding.subject == "settings" else 1
