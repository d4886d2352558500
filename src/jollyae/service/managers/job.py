"""What a service manager has to start, and what that needs of the machine."""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ...spool.places import Places
from .. import credentials
from ..deliveries import CLOUDS
from ..settings import ConfigurationError, Queue, Settings
from . import resolvers

_OTHERS_MAY_WRITE = 0o022
ENVIRONMENT = (
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL",
    "AWS_CA_BUNDLE",
    "GOOGLE_BASE_URL",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "AZURE_STORAGE_ENDPOINT",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
"""What of the environment decides where is delivered, and is no secret: a unit must have it as the shell has."""
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SECRETS = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_BEARER_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_CLIENT_SECRET",
    "JOLLYAE_WEBHOOK_SECRET",
    "JOLLYAE_ALBUM_PASSWORD",
    "JOLLYAE_ALBUM_PASSWORD_FILE",
)
"""Secrets, and files of them, for which there is no option: they are for an EnvironmentFile."""
_PASSWORD = re.compile(r"://[^/@\s]*@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is started. ``run``, ``check``, ``web``: the words after ``program``; ``about``: what it does, for people;
    ``spools``: each one's directories, as few as hold all of its places; ``writes``: where else files are written;
    ``incoming``: where to look for what lands; ``grace``: seconds for what is in flight; ``every``: seconds between
    two looks where it does not run all the time; ``others_write``: files of other owners land; ``secrets``: name and
    file of what only root can read; ``places``: of each spool; ``endless``: the queues that take from a broker: nothing
    lands that could start them, and they have no end; ``delivers``: the directories that items go to, also among
    ``writes``; ``needs_link_local``: why addresses of 169.254.0.0/16 are asked, '' where none is; ``check``: what looks
    at a configuration before it is loaded again."""

    name: str = "jollyae"
    program: tuple[str, ...]
    run: tuple[str, ...]
    check: tuple[str, ...] = ()
    web: tuple[str, ...] = ()
    about: str
    spools: tuple[str, ...]
    writes: tuple[str, ...] = ()
    incoming: tuple[str, ...] = ()
    endless: tuple[str, ...] = ()
    config: str | None = None
    executes: bool = False
    others_write: bool = False
    grace: float = 30.0
    user: str = "jollyae"
    is_users: bool = False
    idle_exit: float = 60.0
    every: float = 300.0
    credentials: str | None = None
    secrets: tuple[tuple[str, str], ...] = ()
    places: tuple[Places, ...] = ()
    delivers: tuple[str, ...] = ()
    needs_link_local: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for text in (*self.run, *self.spools, *self.writes, *self.incoming, *self.environment.values()):
            if not text.isprintable():
                raise ConfigurationError(
                    f"{text!r} cannot be written into a unit", "Control characters and names that are not UTF-8 cannot."
                )

    def refuse_endless(self, way: str, instead: str) -> None:
        """Raise :class:`ConfigurationError` where a queue never ends, for a way of starting that is for those that
        do."""
        if self.endless:
            who = (
                f"queue {self.endless[0]} takes" if len(self.endless) == 1 else f"queues {', '.join(self.endless)} take"
            )
            what = f"{who} from a broker: nothing lands that could start {way}, nor has it an end"
            raise ConfigurationError(what, f"{instead}; or put what lands in spools into a file of its own.")

    @property
    def writable(self) -> tuple[str, ...]:
        """All directories that are written to; none of them inside another, for each becomes a mount of its own, and
        nothing can be renamed from one mount to another."""
        return outermost((*self.spools, *self.writes))

    @property
    def touches_homes(self) -> bool:
        """Whether something that it needs lies in a home directory."""
        needed = (*self.writable, *self.incoming, *self.program, sys.prefix if _is_own(self.program) else "")
        return any(_is_below(path, ("/home", "/root", "/run/user")) for path in needed)

    @property
    def touches_tmp(self) -> bool:
        """Whether it works in a directory for temporary files."""
        return any(_is_below(path, ("/tmp", "/var/tmp")) for path in self.writable)


def outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """The paths without those that lie inside another.

    >>> outermost(["/srv/a/in", "/srv/ab", "/srv/a", "/srv/a"])
    ('/srv/ab', '/srv/a')
    """
    given = list(dict.fromkeys(paths))
    return tuple(one for one in given if not any(one != other and _is_below(one, (other,)) for other in given))


def _is_below(path: str, directories: Iterable[str]) -> bool:
    return any(Path(path).is_relative_to(directory) for directory in directories)


def _is_own(program: tuple[str, ...]) -> bool:
    return program == this_program()


def common(places: Places) -> str:
    """The directory that holds all places of a spool. A unit that may write there, and nowhere else, can still rename
    between all of them. Raises :class:`ConfigurationError` where that is the root."""
    found = os.path.commonpath([str(path) for path in places.all()])
    if found == "/":
        raise ConfigurationError(
            f"the places of {places.control} have only / in common",
            "A unit that may write nowhere else needs them below one directory: move them.",
        )
    return found


def written(settings: Settings) -> tuple[str, ...]:
    """Where deliveries go in the file system, by URL.

    >>> written(Settings(to="file:///mnt/a%20b/")), written(Settings(to="s3://bucket"))
    (('/mnt/a b',), ())
    """
    found = directories(settings)
    if settings.album is not None and settings.album.startswith("sqlite://"):
        found.append(os.path.dirname(os.path.abspath(unquote(urlsplit(settings.album).path))))
    found += [unquote(urlsplit(one.url).path) for one in settings.notify if one.url.startswith("spool://")]
    return tuple(found)


def directories(settings: Settings) -> list[str]:
    """Those of them that items themselves go to."""
    files = [url for url in (settings.to, settings.originals) if url is not None and url.startswith("file://")]
    return [os.path.normpath(unquote(urlsplit(url).path)) for url in files]


def _why_link_local(settings: Sequence[Settings]) -> str:
    """Why addresses of 169.254.0.0/16 must be reached: '' where they need not."""
    if resolver := resolvers.here():
        return f"names are resolved at {resolver}"
    urls = [url for one in settings for url in (one.to, one.originals) if url is not None]
    if any(url.partition("://")[0] in CLOUDS for url in urls):
        return "at 169.254.169.254 are the names and keys of Google's machines, and the keys of Azure's"
    return ""


def executes(settings: Settings) -> bool:
    """Whether it runs programs of yours."""
    return settings.exec is not None or any(one.url.startswith("exec:") for one in settings.notify)


def secrets(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The files with secrets that it reads, each with what a copy of it is called."""
    files = [*(one.secret_file for one in settings.targets()), settings.from_password_file]
    return tuple((credentials.name(file), os.path.abspath(file)) for file in dict.fromkeys(files) if file)


def of_queues(queues: Sequence[Queue], **more: Any) -> Job:
    """A job for these queues; ``more``: what they do not say."""
    settings = [queue.settings for queue in queues]
    return Job(
        program=this_program(),
        spools=tuple(common(queue.places) for queue in queues),
        writes=tuple(path for one in settings for path in written(one)) + more.pop("writes", ()),
        incoming=tuple(str(queue.places.incoming) for queue in queues),
        endless=tuple(queue.name for queue in queues if queue.settings.source is not None),
        executes=any(map(executes, settings)),
        others_write=any(others_write(queue.places) for queue in queues),
        grace=max(one.grace for one in settings),
        secrets=tuple(dict.fromkeys(pair for one in settings for pair in secrets(one))),
        places=tuple(queue.places for queue in queues),
        delivers=tuple(path for one in settings for path in directories(one)),
        needs_link_local=_why_link_local(settings),
        environment=environment(os.environ),
        **more,
    )


def others_write(places: Places) -> bool:
    """Whether the modes of ``incoming/`` let others than its owner put files in; not where it is not there yet."""
    try:
        return bool(places.incoming.stat().st_mode & _OTHERS_MAY_WRITE)
    except OSError:
        return False


def this_program() -> tuple[str, ...]:
    """How this program is started again: its own path, else by its interpreter."""
    own = sys.argv[0] if os.path.basename(sys.argv[0]) == "jollyae" else None
    found = own and shutil.which(own)
    return (os.path.abspath(found),) if found else (sys.executable, "-m", "jollyae")


def environment(of: Mapping[str, str]) -> dict[str, str]:
    """What a unit must have of the environment in which ``run`` works."""
    return {name: of[name] for name in ENVIRONMENT if of.get(name) and not _PASSWORD.search(of[name])}


def left_out(of: Mapping[str, str]) -> list[str]:
    """The variables that it would need as well, and that are not written down.

    >>> left_out({"HTTPS_PROXY": "http://me:hush@proxy", "AZURE_STORAGE_ACCOUNT_KEY": "hush", "HOME": "/"})
    ['AZURE_STORAGE_ACCOUNT_KEY', 'HTTPS_PROXY']
    """
    passwords = (name for name in ENVIRONMENT if _PASSWORD.search(of.get(name, "")))
    return [*(name for name in SECRETS if of.get(name)), *passwords]
