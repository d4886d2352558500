"""``jollyae run SPOOL --to URL``: deliver what lands, as soon as it lands."""

import argparse
import os
import sys
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING

from . import where
from .options import OUTPUT, UsageError, add_all, was_given
from .run_options import DESTINATION, MANIFESTS, METRICS, NOTIFY, OBJECT, SHOW, SOURCE, STORE, WORK

if TYPE_CHECKING:
    from ..service.processes.companions import Companion
    from ..service.settings import Settings
    from ..spool.places import Places
    from ..worker.news import Listener
    from .output import StreamHandler


GROUPS = {
    "destination": DESTINATION,
    "items from a broker, instead of a SPOOL": SOURCE,
    "work": WORK,
    "notifications": NOTIFY,
    "manifests": MANIFESTS,
    "objects": OBJECT,
    "the store (credentials come from the AWS chain, never from options)": STORE,
    "metrics": METRICS,
    "what is shown": (*OUTPUT, *SHOW),
}
"""The options of this verb, but for those that are words or letters of their own."""


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    where.add(parser, or_config=True)
    for title, options in GROUPS.items():
        add_all(parser, title, options)
    parser.add_argument("-v", "--verbose", action="count", default=0, help="-v each delivered item, -vv all")
    parser.add_argument("-q", "--quiet", action="count", default=0, help="only trouble")


def settings(arguments: argparse.Namespace) -> "Settings":
    """The arguments as settings; what a verb has no option for keeps its default."""
    from ..service.settings import Settings

    given = {**vars(arguments), "source": getattr(arguments, "from", None)}
    return Settings(**{field.name: given[field.name] for field in fields(Settings) if field.name in given})


def _take_workdir(arguments: argparse.Namespace) -> None:
    """See :func:`.where.take_workdir`; also what goes with a spool's end only is refused."""
    where.take_workdir(arguments)
    by_config = was_given(where.CONFIG, arguments, environment=False)
    if getattr(arguments, "from") is not None and not by_config and (arguments.once or arguments.dry_run):
        raise UsageError("--from has no end: --once and --dry-run do not go with it", hint="Try: --idle-exit 10")
    os.environ.pop("JOLLYAE_FROM", None)  # a command that is run for each item needs no broker's password


def main(arguments: argparse.Namespace) -> int:
    """Run; the exit code."""
    _take_workdir(arguments)
    if where.is_config(arguments):
        from . import run_config

        return run_config.main(arguments, _no_core)
    from ..service.processes import queue as processes
    from ..service.processes import systemd_manager

    if not destinations(arguments):
        raise UsageError(
            "say where to deliver: --to URL, --exec COMMAND, --call MODULE:FUNCTION, or --album URL",
            hint="Try: --to s3://BUCKET/PREFIX",
        )
    refuse_two(arguments)
    if arguments.dry_run:
        return _dry_run(where.existing(arguments).places, settings(arguments))
    _no_core()
    places = where.places(arguments)
    handler = logging_for(arguments)
    _tell_of_password(arguments)
    listeners = live(places, arguments, handler)
    manager = systemd_manager.listening()
    try:
        with_them = companions(arguments)
        done = processes.run(places, settings(arguments), listeners, handler.step_aside, with_them, manager)
        return done.exit_code
    finally:
        if handler.live is not None:
            handler.live.clear()


def _tell_of_password(arguments: argparse.Namespace) -> None:
    """That of a broker's user, where the command line shows it to all."""
    from ..service import origins
    from ..worker.telling import warn

    origin = next(option for option in SOURCE if option.dest == "from")
    if was_given(origin, arguments, environment=False) and origins.has_password(getattr(arguments, "from")):
        warn(
            "the password in --from is on the command line, which everybody on this machine can see (ps)",
            "Put the URL into JOLLYAE_FROM, or write it without the password and give --from-password-file FILE.",
        )


def companions(arguments: argparse.Namespace) -> "tuple[Companion, ...]":
    """The processes beside the workers that the arguments ask for."""
    if not has_metrics(arguments):
        return ()
    from ..service.observing import exporter

    return exporter.companions(exporter.Wanted(addr=arguments.metrics_addr, file=arguments.metrics_file))


def has_metrics(arguments: argparse.Namespace) -> bool:
    """Whether somebody is to be told of metrics."""
    return bool(arguments.metrics_addr or arguments.metrics_file)


def _no_core() -> None:
    """If this process is ever aborted, its memory, with the keys in it, does not end in a file."""
    import resource

    with suppress(OSError, ValueError):  # where that is forbidden, as by a filter of system calls
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def destinations(arguments: argparse.Namespace) -> list[str]:
    """The destinations that are named, by their options."""
    return [name for name in ("to", "exec", "call", "album") if getattr(arguments, name) is not None]


def refuse_two(arguments: argparse.Namespace) -> None:
    """Raise :class:`UsageError` where two destinations are named, or originals without an album, and
    :class:`~jollyae.service.settings.ConfigurationError` for what the one that is named cannot use."""
    named = destinations(arguments)
    if len(named) > 1:
        one, other = named[:2]
        said = {"to": f"--to {arguments.to}", "exec": f"--exec {arguments.exec!r}", "album": "--album"}
        said["call"] = f"--call {arguments.call}"
        raise UsageError(
            f"both {said[one]} and {said[other]}: say only one of them",
            hint=f"Where you gave one of them: is the other in JOLLYAE_{one.upper()} or JOLLYAE_{other.upper()}?",
        )
    if named and "album" in named and arguments.originals is None:
        raise UsageError("--album needs --originals URL", hint="Try: --originals s3://BUCKET/PREFIX or file:///DIR")
    if "album" not in named and arguments.originals is not None:
        raise UsageError("--originals goes with --album", hint="Try: --to URL, where you want a file delivered.")
    settings(arguments).refuse_what_does_not_apply()


def logging_for(arguments: argparse.Namespace) -> "StreamHandler":
    """Set the log up as the arguments say."""
    from .output import set_up_logging

    return set_up_logging(
        form=arguments.log_format, colour=arguments.color, verbose=arguments.verbose, quiet=arguments.quiet
    )


def live(places: "Places", arguments: argparse.Namespace, handler: "StreamHandler") -> "tuple[Listener, ...]":
    """The live line, where there is a terminal for it."""
    from ..spool.survey import backlog
    from .output import Live

    plain = arguments.no_progress or arguments.quiet or arguments.log_format == "json"
    if plain or not sys.stderr.isatty():
        return ()
    most = 10_000

    def waiting() -> str:
        found = backlog(places, most)
        return f"{found:,}" if found < most else f"{most:,}+"

    handler.live = Live(sys.stderr, waiting, shared=arguments.processes > 1 or has_metrics(arguments))
    return (handler.live.show,)


def _dry_run(places: "Places", settings: "Settings") -> int:
    from ..service.compose import plan
    from ..service.units import counted
    from ..spool.names import show

    total = 0
    for name, target in plan(places, settings):
        total += 1
        print(f"{show(name)} -> {target}")
    print(f"dry run: {counted(total, 'item')} would be delivered; nothing was changed", file=sys.stderr)
    return 0
