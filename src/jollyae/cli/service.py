"""``jollyae service systemd|launchd|cron SPOOL --to URL``: what a service manager needs to run it."""

import argparse
import itertools
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import run, where
from .options import PLACES, Option, UsageError, seconds, was_given
from .run_options import KEYS, OF_ONE_QUEUE, ORIGIN, SOURCE

if TYPE_CHECKING:
    from ..service.managers.job import Job
    from ..spool.places import Places

MANAGERS = ("systemd", "launchd", "cron")
MONITORING = {"prometheus": "jollyae-rules.yml", "grafana": "grafana-dashboard.json"}
"""What else is printed: a file of the package for each."""
_NOT_ALWAYS = {"once", "dry_run", "idle_exit", *(option.dest for option in ORIGIN)}
_OPTIONS = tuple(option for group in run.GROUPS.values() for option in group if option.dest not in _NOT_ALWAYS)
_RUN = (*(option for option in _OPTIONS if option not in SOURCE), *PLACES)
_FILES = {"ca_bundle", "metrics_file", "notify_secret_file", "from_password_file", *(option.dest for option in PLACES)}
_EVERY = {"systemd": 300.0, "launchd": 300.0, "cron": 60.0}


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    parser.add_argument(
        "manager",
        choices=(*MANAGERS, *MONITORING),
        help="what starts it; or prometheus: print the alert rules, grafana: the dashboard",
    )
    where.add(parser, or_config=True)
    own = parser.add_argument_group("the service")
    own.add_argument("--install", action="store_true", help="write the files, and say which commands come next")
    own.add_argument(
        "--directory", metavar="DIR", help="with --install: where to; else where the service manager looks"
    )
    own.add_argument(
        "--path", action="store_true", help="systemd: started when something lands, and ends when nothing is to do"
    )
    own.add_argument("--web", action="store_true", help="systemd: a second service, for the dashboard (jollyae web)")
    own.add_argument("--user", action="store_true", help="for your own systemd or launchd, without root's rights")
    own.add_argument("--name", default="jollyae", metavar="NAME", help="name of the service [default: jollyae]")
    own.add_argument(
        "--run-as", default="jollyae", metavar="USER", help="user that it runs as, without --user [default: jollyae]"
    )
    own.add_argument("--program", metavar="PATH", help="the program to start; else this one")
    own.add_argument(
        "--credentials", metavar="FILE", help="keys in the form of ~/.aws/credentials; only root need read it"
    )
    own.add_argument(
        "--writes", action="append", default=[], metavar="DIR", help="the command of --exec writes there; repeatable"
    )
    own.add_argument(
        "--other-owners",
        action="store_true",
        help="other users put files in (it is seen by itself where incoming/ has such a mode)",
    )
    own.add_argument(
        "--every", type=_typed_seconds, metavar="AGE", help="launchd, cron, --path: look so often (5m; cron: 1m)"
    )
    own.add_argument(
        "--idle-exit",
        type=_typed_seconds,
        default=60.0,
        metavar="S",
        help="launchd, --path: end when nothing was to do for S seconds [default: 60]",
    )
    _add_those_of_run(parser)
    parser.add_argument("--from", "--workdir", action=_OfAConfig, help=argparse.SUPPRESS)


class _OfAConfig(argparse.Action):
    """What would stand in a unit with a password, and needs checks and a reload."""

    def __call__(self, *_: Any) -> None:
        raise UsageError(
            "a queue that takes from a broker is for -c FILE here", hint="Write its from and workdir into the file."
        )


def _add_those_of_run(parser: argparse.ArgumentParser) -> None:
    """All options of ``run`` that a service can have. They are explained there."""
    before = len(parser._actions)
    for option in _OPTIONS:
        option.add_to(parser)
    parser.add_argument("-v", "--verbose", action="count", default=0)
    parser.add_argument("-q", "--quiet", action="count", default=0)
    for action in parser._actions[before:]:
        action.help = argparse.SUPPRESS
    parser.epilog = "All other options of jollyae run can be given too, with the same meanings: jollyae run --help"


def _typed_seconds(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(arguments: argparse.Namespace) -> int:
    """Print or install it; the exit code."""
    if arguments.manager in MONITORING:
        return _print_file(MONITORING[arguments.manager], arguments)
    if arguments.path and arguments.manager != "systemd":
        raise UsageError(f"--path is for systemd: {arguments.manager} works in this way anyway")
    if arguments.web and arguments.manager != "systemd":
        raise UsageError("--web is for systemd", hint="Elsewhere start it as you start other servers: jollyae web")
    job = _job(arguments)
    files, directory = made(job, arguments)
    if arguments.install:
        _install(job, files, Path(arguments.directory or directory), arguments)
    else:
        _print(files, arguments.directory or directory)
    _warn(job, arguments)
    return 0


def _print_file(name: str, arguments: argparse.Namespace) -> int:
    """The same for every spool, so nothing else need be said."""
    if arguments.install:
        raise UsageError("--install is for units", hint=f"Try: jollyae service {arguments.manager} >{name}")
    print(resources.files("jollyae").joinpath("ops", name).read_text(encoding="utf-8"), end="")
    return 0


def made(job: "Job", arguments: argparse.Namespace) -> tuple[dict[str, str], str]:
    """The files by their names, and the directory they belong in ('': none; the lines are for crontab -e)."""
    from ..service.managers import cron, install, launchd, systemd

    home = os.path.expanduser("~")
    if arguments.manager == "systemd":
        config = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
        texts = systemd.units(job, path=arguments.path, web=arguments.web)
        directory = f"{config}/systemd/user" if job.is_users else "/etc/systemd/system"
        return {name: install.mark(text) for name, text in texts.items()}, directory
    if arguments.manager == "launchd":
        directory = f"{home}/Library/LaunchAgents" if job.is_users else "/Library/LaunchDaemons"
        return {f"{launchd.label(job)}.plist": install.mark_xml(launchd.text(job))}, directory
    text = cron.text(job, flock=shutil.which("flock"), with_user=not job.is_users)
    return {job.name.replace(".", "-"): install.mark(text)}, "" if job.is_users else "/etc/cron.d"


def _print(files: Mapping[str, str], directory: str) -> None:
    for number, (name, text) in enumerate(files.items()):
        if len(files) > 1:
            print(f"{chr(10) if number else ''}# {directory}/{name}")
        print(text, end="")


def _install(job: "Job", files: Mapping[str, str], directory: Path, arguments: argparse.Namespace) -> None:
    from ..service.managers import install

    if not directory.parts:
        raise UsageError("a line of your own crontab is put in by hand", hint="Leave --install out; then: crontab -e")
    for path in install.install(directory, files):
        print(f"wrote {path}")
    print("Next:")
    for step in (*_before(job), *_after(job, files, directory, arguments)):
        print(f"  {step}")


def _own(places: "Places") -> list[str]:
    """The spool's own directory, and then the places that are elsewhere: what lies beside those is not ours."""
    from ..service.managers.job import outermost

    control = places.control
    return [str(control), *outermost(str(path) for path in places.all() if not path.is_relative_to(control))]


def _uid(user: str) -> int | None:
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _before(job: "Job") -> Iterator[str]:
    """What must be there before it is started. A directory elsewhere that is there already is somebody's, an FTP
    server's, say: it is not given away."""
    user = None if job.is_users else _uid(job.user)
    if user is None and not job.is_users:
        yield f"useradd --system {job.user}"
    for places in job.places:
        missing = [path for path in _own(places) if not os.path.isdir(path)]
        steps = [f"jollyae init {places.words}"] if missing else []
        changed = [path for path in _own(places)[:1] if path not in missing and os.stat(path).st_uid != user]
        if not job.is_users and (given := [*changed, *missing]):
            steps.append(f"chown -R {job.user}: {' '.join(map(shlex.quote, given))}")
        if steps:
            yield " && ".join(steps)
    for directory in job.writes:
        if not os.path.isdir(directory):
            owner = "" if job.is_users else f" && chown {job.user}: {shlex.quote(directory)}"
            yield f"mkdir -p {shlex.quote(directory)}{owner}"
        elif not job.is_users and directory in job.delivers and _is_roots(directory) and user != 0:
            yield f"chown {job.user}: {shlex.quote(directory)}"


def _is_roots(directory: str) -> bool:
    """Whether it is root's, and nobody else may write in it."""
    found = os.stat(directory)
    return found.st_uid == 0 and not found.st_mode & 0o002


def _after(job: "Job", files: Iterable[str], directory: Path, arguments: argparse.Namespace) -> list[str]:
    from ..service.managers import cron, launchd, systemd

    if arguments.manager == "systemd":
        return systemd.steps(job, path=arguments.path, web=arguments.web)
    if arguments.manager == "launchd":
        return [step for name in files for step in launchd.steps(job, str(directory / name))]
    return cron.steps(job, with_user=not job.is_users)


def _others(job: "Job") -> Iterator[str]:
    """What is to be said of places elsewhere that belong to another user than the service's."""
    user = _uid(job.user)
    how = "give it the right as you see fit (a group in common and chmod g+w, or chown)"
    for path in dict.fromkeys(path for places in job.places for path in _own(places)[1:]):
        if not job.is_users and os.path.isdir(path) and os.stat(path).st_uid != user:
            yield f"{path} is not {job.user}'s, which must be able to move files in and out of it: {how}"
    for path in dict.fromkeys(job.delivers):
        is_anothers = not job.is_users and os.path.isdir(path) and os.stat(path).st_uid not in (0, user)
        if is_anothers and not os.stat(path).st_mode & 0o002:
            yield f"{path} is not {job.user}'s, which must be able to write in it: {how}"


def _wide(job: "Job") -> Iterator[str]:
    """What is to be said where a unit may write to more than its spools."""
    from ..service.managers.job import common

    for places in job.places:
        if places.control != (shared := Path(common(places))) and places.control.is_relative_to(shared):
            yield f"the unit may write to all of {shared}: only so can it rename between the places of {places.control}"


def _warn(job: "Job", arguments: argparse.Namespace) -> None:
    """What will not work as the user may believe."""
    from ..service.managers import job as jobs

    told = [*_others(job), *(_wide(job) if arguments.manager == "systemd" else ())]
    if any(os.environ.get(name) for name in jobs.KEYS) and job.credentials is None:
        told.append("the keys in your environment are not in it: put them into a file, and say --credentials FILE")
    if names := jobs.left_out(os.environ):
        how = "by a drop-in with EnvironmentFile=" if arguments.manager == "systemd" else "yourself"
        told.append(f"not in it, for it may be secret: {', '.join(names)}; give it {how}")
    if not job.is_users and job.user != "root" and job.program[0].startswith(("/root/", "/home/")):
        told.append(f"{job.program[0]} is in a home directory: can {job.user} run it? For all users: pipx --global")
    if any(word.startswith(("http://", "https://")) for word in _after_notify(job.run)):
        told.append("a webhook's address stands in it for all to read: where that is a secret, use a file, with -c")
    if arguments.manager == "cron" and shutil.which("flock") is None:
        told.append("without flock(1) two may run at a time, which is safe and only costs memory")
    for text in told:
        print(f"jollyae: {text}", file=sys.stderr)


def _job(arguments: argparse.Namespace) -> "Job":
    job = _of_a_config(arguments) if where.is_config(arguments) else _of_a_spool(arguments)
    return replace(
        job,
        name=arguments.name,
        program=(os.path.abspath(arguments.program),) if arguments.program else job.program,
        others_write=job.others_write or arguments.other_owners,
        writes=(*job.writes, *map(os.path.abspath, arguments.writes)),
        user=arguments.run_as,
        is_users=arguments.user,
        idle_exit=arguments.idle_exit,
        every=arguments.every or _EVERY[arguments.manager],
        credentials=arguments.credentials and os.path.abspath(arguments.credentials),
    )


def _of_a_spool(arguments: argparse.Namespace) -> "Job":
    """What ``run SPOOL`` with these options needs."""
    from ..service.managers import job
    from ..service.settings import Queue

    if not run.destinations(arguments):
        raise UsageError("say where to deliver: --to URL, --exec COMMAND, or --album URL", hint="As for jollyae run.")
    run.refuse_two(arguments)
    places, settings = where.places(arguments), run.settings(arguments)
    target = settings.to or settings.album or f"exec {shlex.split(settings.exec or '')[0]}"
    return job.of_queues(
        [Queue(places.control.name, places, settings)],
        run=("run", str(places.control), *words(arguments, _RUN), *_loudness(arguments)),
        web=("web", str(places.control)),
        about=f"{places.control} to {target}",
        writes=_beside(arguments.metrics_file),
    )


def _of_a_config(arguments: argparse.Namespace) -> "Job":
    """What ``run -c FILE`` needs, with the options that are given for all of its queues."""
    from ..service.managers import job

    config = where.config(arguments, KEYS)
    path = os.path.abspath(config.path)
    given = [one for one in _OPTIONS if was_given(one, arguments) and one not in OF_ONE_QUEUE]
    return job.of_queues(
        config.queues,
        run=("run", "-c", path, *words(arguments, given), *_loudness(arguments)),
        check=("check", "-c", path),
        web=("web", "-c", path),
        about=f"{path}: {', '.join(queue.name for queue in config.queues)}",
        writes=_beside(arguments.metrics_file or config.metrics.file),
        config=path,
    )


def _after_notify(words: Sequence[str]) -> list[str]:
    return [word for before, word in itertools.pairwise(words) if before == "--notify"]


def _beside(file: str | None) -> tuple[str, ...]:
    return (os.path.dirname(os.path.abspath(file)),) if file else ()


def words(arguments: argparse.Namespace, options: Iterable[Option]) -> Iterator[str]:
    """The options that have another value than their default, as words of a command line. What the environment said is
    among them: a service has another one."""
    for option in options:
        value = getattr(arguments, option.dest)
        if value != option.default and value is not None and value is not False:
            yield from _words(option, value)


def _words(option: Option, value: Any) -> Iterator[str]:
    flag = option.flags[0]
    if option.parse is None:
        yield flag
        return
    for one in value if option.many else (value,):
        yield flag
        yield os.path.abspath(one) if option.dest in _FILES else _text(one)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "=".join(value)
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return getattr(value, "url", str(value))  # of a target


def _loudness(arguments: argparse.Namespace) -> Iterator[str]:
    for letter, times in (("v", arguments.verbose), ("q", arguments.quiet)):
        if times:
            yield "-" + letter * times
