"""The configuration file, ``jollyae.toml``: several queues, and what shall be shown of them.

A file is right as a whole or not at all: an unknown key, a wrong type or value is a mistake, and all mistakes are told
at once, each with its line. Nothing in it is replaced (no variables, no ``~``): what stands there is what is meant. It
holds no secrets.
"""

import itertools
import os
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ..processors import applicable
from ..processors.keys import KeyTemplate
from ..spool.places import Place, Places
from . import origins
from .albums import meshes
from .nesting import among_items
from .observing.exporter import Wanted, address, heartbeat, textfile
from .settings import ConfigurationError, Queue, Settings
from .toml import Lines, nearest, syntax
from .values import Read, Wrong, as_flag, as_many, as_text, as_texts, checked, choice_of, parsed, refuse_password

VARIABLE = "JOLLYAE_CONFIG"
FORMATS = ("text", "json")
LEVELS = ("error", "warning", "notice", "info", "debug")
WEB_LISTEN = "127.0.0.1:8420"
_SPOOL = re.compile(r"""^\s*(?:spool|workdir)\s*=\s*(["'])([^"'\n]+)\1""", re.MULTILINE)
PLACES = ("spool", *(place.value for place in Place))
PATHS = frozenset({*PLACES, "workdir", "ca_bundle", "notify_secret_file", "from_password_file"})
"""The keys of a queue whose values are paths; a relative one is below the directory of the file."""
NOT_KEYS = {
    "once": "it is an option only: jollyae run -c FILE --once",
    "dry_run": "it is an option only: jollyae run -c FILE --dry-run",
    "metrics_addr": "it is for all queues: addr in [metrics]",
    "metrics_file": "it is for all queues: file in [metrics]",
    "heartbeat_url": "it belongs into [metrics]",
    "log_format": "it is for all queues: format in [log]",
}
"""Options of ``run`` that are no keys of a queue, and why."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECRET = re.compile(r"secret|password|passwd|passphrase|token|access_?key|api_?key|credential", re.IGNORECASE)
SCHEMES = ("s3", "gs", "az", "file")
DESTINATIONS = "s3://BUCKET[/PREFIX], gs://BUCKET[/PREFIX], az://CONTAINER[/PREFIX] and file:///DIR"
_OF_SOURCE = (
    *("from_password_file", "from_endpoint_url", "from_region", "from_profile"),
    *("prefetch", "prefetch_bytes"),
)
_BELOW_WORKDIR = "PLACE does not go with from: all places are below workdir"
_SHARED = ("incoming", "working", "deferred", "failed", "receipts")


class Option(Protocol):
    """What a configuration must know of an option of the command line."""

    @property
    def dest(self) -> str:
        """Its name, with underscores: the key."""

    @property
    def parse(self) -> Callable[[str], Any] | None:
        """Text to value; None: a switch. Raises :class:`ValueError`."""

    @property
    def choices(self) -> tuple[str, ...]:
        """What it may be; () for anything."""

    @property
    def many(self) -> bool:
        """Whether it is a list, or with ``KEY=VALUE`` a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """How the log is written; None: as the command line says."""

    format: str | None = None
    level: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """Of the dashboard."""

    listen: str = WEB_LISTEN
    token_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    hosts: tuple[str, ...] = ()
    read_only: bool = False
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration file as it is meant. ``lines``: where each queue begins in it."""

    path: Path
    queues: tuple[Queue, ...]
    metrics: Wanted = field(default_factory=Wanted)
    web: Web = field(default_factory=Web)
    log: Log = field(default_factory=Log)
    lines: Mapping[str, int] = field(default_factory=dict)

    def overridden(self, values: Mapping[str, Any]) -> "Config":
        """With these settings in each queue that can have them, whatever the file says: those of the command line and
        the environment."""
        without = {name: value for name, value in values.items() if name != "from_password_file"}

        def of(queue: Queue) -> Mapping[str, Any]:
            return values if origins.is_amqp(queue.settings.source or "") else without  # no other has a password

        queues = (replace(queue, settings=replace(queue.settings, **of(queue))) for queue in self.queues)
        return replace(self, queues=tuple(queues)) if values else self

    def refuse_endless(self, option: str) -> None:
        """Raise :class:`ConfigurationError` for a queue that has no end, for an option that needs one."""
        for queue in self.queues:
            if queue.settings.source is not None:
                what = f"it takes from a broker, which has no end, and {option} needs one"
                hint = "Try: idle_exit = 10, and run without; or put this queue into a file of its own."
                raise self.blame(queue, ConfigurationError(what, hint))

    def blame(self, queue: Queue, error: Exception) -> ConfigurationError:
        """What went wrong with a queue, with where it stands. ``error`` has ``message`` and ``hint``."""
        name = queue.name.partition("/")[0]
        where = f"{self.path} line {self.lines.get(name, 0)}: queue {queue.name}"
        return ConfigurationError(f"{where}: {getattr(error, 'message', error)}", getattr(error, "hint", ""))


def find(environment: Mapping[str, str] = os.environ) -> Path:
    """The file that is meant where none is named: JOLLYAE_CONFIG, else in ``$XDG_CONFIG_HOME``, else in ``/etc``, the
    first that is there. Raises :class:`ConfigurationError` where none is."""
    if named := environment.get(VARIABLE):
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    places = [Path(home) / "jollyae" / "jollyae.toml", Path("/etc/jollyae/jollyae.toml")]
    for path in places:
        if path.is_file():
            return path
    looked = ", ".join(map(str, places))
    raise ConfigurationError(f"no configuration: looked for {looked}", f"Name it: -c FILE, or {VARIABLE}=FILE.")


def load(path: str | Path, options: Iterable[Option]) -> Config:
    """The configuration in the file; ``options``: those of ``run``, which are the keys of a queue. Looks at nothing but
    the file. Raises :class:`ConfigurationError` with all that is wrong, a line for each mistake."""
    path = Path(path)
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", "Name another one with -c FILE.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{path} line {line}: not UTF-8") from error
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(syntax(path, text, str(error)), "The grammar is at https://toml.io") from error
    reading = _Reading(path, Lines(text), {option.dest: option for option in options})
    config = reading.config(found)
    if reading.mistakes:
        mistakes = sorted(reading.mistakes, key=lambda mistake: mistake[0])
        raise ConfigurationError("\n".join(f"{path} line {line}: {what}" for line, what in mistakes))
    return config


def spools_named(path: str | Path) -> list[str]:
    """The spools and workdirs that a file names, of those that are there, whatever else is wrong with it."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    base = Path(os.path.abspath(path)).parent
    found = (str(base / match[2]) for match in _SPOOL.finditer(text))
    return [one for one in dict.fromkeys(found) if os.path.isdir(one)]


class _Reading:
    """Reads a file that was parsed, and collects what is wrong."""

    def __init__(self, path: Path, lines: Lines, options: dict[str, Option]) -> None:
        self.mistakes: list[tuple[int, str]] = []
        self._base = Path(os.path.abspath(path)).parent
        self._path = path
        self._lines = lines
        self._targets: dict[str, dict[str, Any]] = {}
        self._placed: list[Queue] = []
        keys: dict[str, Read] = dict.fromkeys((*PLACES, "workdir"), self._file) | {"from": _origin}
        for name in options.keys() & Settings.__dataclass_fields__.keys() - NOT_KEYS.keys():
            keys[name] = self._file if name in PATHS else self._reader(options[name])
        if "notify" in keys:
            keys["notify"] = self._notify(options["notify"])
        for name, check in _CHECKS.items():
            if name in keys:
                keys[name] = checked(check, keys[name])
        for name, units in {"min_free": "%G", "prefetch_bytes": "MG"}.items():
            if name in keys:
                keys[name] = _with_unit(keys[name], units)
        self._queue_keys = keys

    def config(self, found: dict[str, Any]) -> Config:
        """All of it."""
        known = ("metrics", "log", "web", "queue", "notify", "mesh")
        for key in found.keys() - set(known):
            self._unknown((key,), known, what="table" if isinstance(found[key], dict) else "key")
        for name, table in self._tables(found, "notify"):
            self._targets[name] = {"name": name} | self._table(("notify", name), table, self._notify_keys())
            if "url" not in table:
                self._wrong(("notify", name), f"[notify.{name}] has no url")
        for name, table in self._tables(found, "mesh"):
            self._mesh(name, table)
        metrics = {
            "addr": checked(address),
            "file": checked(textfile, self._file),
            "heartbeat_url": checked(heartbeat),
        }
        log = {"format": choice_of(FORMATS), "level": choice_of(LEVELS)}
        web = {"listen": checked(address), "hosts": as_texts, "read_only": as_flag, "prefix": as_text}
        web |= dict.fromkeys(("token_file", "certificate", "key"), self._file)
        shown = Wanted(**self._plain(found, "metrics", metrics))
        told = Log(**self._plain(found, "log", log))
        dashboard = Web(**self._plain(found, "web", web))
        queues = [self._queue(name, table) for name, table in self._tables(found, "queue")]
        if not queues and not self.mistakes:
            self._wrong((), "there is no queue: write [queue.NAME] with spool = … and to = …")
        self._refuse_shared(self._placed)  # those too in which something else is wrong
        whole = [queue for queue in queues if queue is not None]
        lines = {queue.name: self._lines["queue", queue.name] for queue in whole}
        return Config(self._path, tuple(whole), shown, dashboard, told, lines)

    # --- tables

    def _tables(self, found: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The tables ``[kind.NAME]``."""
        tables = found.get(kind, {})
        if not isinstance(tables, dict):
            self._wrong((kind,), f"each {kind} has a name: write [{kind}.NAME]")
            return
        for name, table in tables.items():
            if not isinstance(table, dict):
                self._wrong((kind, name), f"each {kind} has a name: write [{kind}.NAME], and {name} below it")
            elif not _NAME.fullmatch(name):
                self._wrong((kind, name), f"{name!r} cannot be a name: letters, digits and . _ -, at most 64")
            else:
                yield name, table

    def _plain(self, found: dict[str, Any], name: str, keys: Mapping[str, Read]) -> dict[str, Any]:
        table = found.get(name, {})
        if isinstance(table, dict):
            return self._table((name,), table, keys)
        self._wrong((name,), f"{name} is a table: write [{name}]")
        return {}

    def _table(self, path: tuple[str, ...], table: dict[str, Any], keys: Mapping[str, Read]) -> dict[str, Any]:
        """The values of a table; what is wrong with others is noted."""
        values = {}
        for key, value in table.items():
            if key not in keys:
                self._unknown((*path, key), keys)
                continue
            try:
                values[key] = keys[key](value)
                refuse_password(value)
            except (Wrong, ValueError) as error:
                self._wrong((*path, key), f"{key}: {error}")
        return values

    def _mesh(self, name: str, table: dict[str, Any]) -> None:
        """It is for `album replicate -c FILE`; what is wrong with it is told here, too."""
        try:
            meshes.read(table)
        except meshes.WrongKey as error:
            self._wrong(("mesh", name, *([error.key] if error.key else [])), str(error))

    def _queue(self, name: str, table: dict[str, Any]) -> Queue | None:
        path = ("queue", name)
        before = len(self.mistakes)
        values = self._table(path, table, self._queue_keys)
        where = {place: values.pop(place, None) for place in PLACES}
        workdir, source = values.pop("workdir", None), values.pop("from", None)
        self._refuse_no_origin(path, table)
        self._refuse_contradictions(path, table)
        self._refuse_what_does_not_apply(path, table, values)
        spool = where.pop("spool")
        if (root := workdir if "from" in table else spool) is None:
            return None
        queue = Queue(name, Places.under(root, **where), Settings(source=source, **values))
        self._placed.append(queue)
        return queue if len(self.mistakes) == before else None

    def _refuse_no_origin(self, path: tuple[str, ...], table: dict[str, Any]) -> None:
        """Items land in a spool, or come from a broker: one of them."""
        if "from" not in table:
            for key in (*_OF_SOURCE, "workdir"):
                if key in table:
                    lands = key == "workdir" and "spool" not in table
                    what = "name the directory in which items land: spool = DIR" if lands else "leave it out"
                    self._wrong((*path, key), f"{key} goes with from = URL, a broker's queue: add that, or {what}")
            if "spool" not in table and "workdir" not in table:
                what = "the directory that has, or gets, its places; or from = URL and workdir = DIR"
                self._wrong(path, f"[queue.{path[1]}] has no spool: {what}")
            return
        if "workdir" not in table and "spool" not in table:
            self._wrong((*path, "from"), "from needs workdir = DIR: what is fetched lies there until it is done")
        for place in PLACES:
            if place in table:
                why = "items land there, or come from a broker. Say one of them"
                instead = "" if "workdir" in table else ", with workdir = DIR for from"
                what = f"both from and spool: {why}{instead}" if place == "spool" else _BELOW_WORKDIR
                self._wrong((*path, place), what.replace("PLACE", place))
        if "from_password_file" in table and str(table["from"]).startswith("sqs:"):
            self._wrong((*path, "from_password_file"), "from_password_file is for amqp://: sqs:// has no password")

    def _refuse_contradictions(self, path: tuple[str, ...], table: dict[str, Any]) -> None:
        given = [name for name in ("to", "exec", "call", "album") if name in table]
        if not given:
            self._wrong(
                path,
                f"[queue.{path[1]}] does not say where to deliver: to = URL, exec = COMMAND, call = MODULE:FUNCTION "
                "or album = URL",
            )
        for other in given[1:]:
            self._wrong((*path, other), f"both {given[0]} and {other}: say only one of them")
        if (program := _program(table.get("exec"))) and "/" in program and not program.startswith("/"):
            self._wrong((*path, "exec"), f"exec: {program} is a relative path: write all of it, or a name in PATH")
        if "compress" in table and given and given[0] != "to":
            self._wrong((*path, "compress"), f"compress goes with to, and there is {given[0]}: leave it out")
        if given == ["album"] and "originals" not in table:
            self._wrong((*path, "album"), "album needs originals = URL: where the originals go")
        for name in ("originals", "addedby"):
            if name in table and "album" not in given:
                self._wrong((*path, name), f"{name} goes with album")

    def _refuse_what_does_not_apply(self, path: tuple[str, ...], table: dict[str, Any], values: dict[str, Any]) -> None:
        """Of what stands there; what the command line and the environment say is for all queues, of any kind."""
        ways = ("to", "exec", "call", "album")
        default = Settings()
        kind = replace(default, **{name: table[name] for name in ways if isinstance(table.get(name), str)}).kind
        for name in applicable.without_meaning(kind, manifests="manifest" in table):
            if (given := values.get(name)) and given != getattr(default, name):
                self._wrong((*path, name), applicable.why(name, kind))

    def _refuse_shared(self, queues: list[Queue]) -> None:
        """Whoever works on a spool takes over all that a dead worker had, and all that is deferred, whatever its
        patterns are: of two queues there, one would deliver the other's items to the wrong destination."""
        there: dict[tuple[str, str], str] = {}
        for queue in queues:
            places = [queue.places, *origins.worked_on(queue)]
            for place, one in itertools.product(_SHARED, places):
                directory = os.path.realpath(getattr(one, place))
                other = there.setdefault((place, directory), queue.name)
                if other != queue.name:
                    both = f"queues {other} and {queue.name} both have {directory} as {place}"
                    why = "each would take what is the other's. Give each a spool of its own"
                    self._wrong(("queue", queue.name), f"{both}: {why}")
                    break
        self._refuse_one_origin(queues)
        for inner, outer in itertools.permutations(queues, 2):
            for mine, its in itertools.product(origins.worked_on(inner), origins.worked_on(outer)):
                if nested := among_items(mine, its):
                    what = f"{nested} of queue {inner.name} lies in {its.incoming} of queue {outer.name}"
                    self._wrong(("queue", inner.name), f"{what}, which would take what is there. Put them side by side")
                    break

    def _refuse_one_origin(self, queues: list[Queue]) -> None:
        """A message is given to one of those who take from its queue: each would do a part of the other's work."""
        seen: dict[tuple[str, ...], str] = {}
        for queue in queues:
            if not (origin := origins.identity(queue.settings)):
                continue
            if (other := seen.setdefault(origin, queue.name)) != queue.name:
                what = f"from: queue {other} takes from there too, and each message comes to one of them only"
                why = "Give each a broker's queue of its own (for more of the same: processes = N)"
                self._wrong(("queue", queue.name, "from"), f"{what}. {why}")

    # --- values

    def _reader(self, option: Option) -> Read:
        parse = option.parse
        if parse is None:
            return as_flag
        if option.choices:
            return choice_of(option.choices)
        if option.many:
            return lambda value: as_many(parse, value)
        return lambda value: parsed(parse, value)

    def _file(self, value: Any) -> str:
        """An absolute path; a relative one is below the file's directory."""
        text = as_text(value)
        if not text or text[0] in "~$":
            raise Wrong(f"{text!r} is no path: nothing is replaced in this file, so write it out")
        return str(self._base / text)

    def _notify_keys(self) -> dict[str, Read]:
        keys: dict[str, Read] = {"url": checked(_target), "secret_file": self._file, "allow_internal": as_flag}
        return keys | dict.fromkeys(("region", "profile"), as_text) | {"endpoint_url": checked(_endpoint)}

    def _notify(self, option: Option) -> Read:
        """A list of names of [notify.NAME], and of URLs."""

        def read(value: Any) -> tuple[Any, ...]:
            return tuple(self._target(option, number, word) for number, word in enumerate(as_texts(value), 1))

        return read

    def _target(self, option: Option, number: int, word: str) -> Any:
        assert option.parse is not None
        if word not in self._targets:
            if ":" not in word:
                raise Wrong(f"there is no [notify.{word}]" + nearest(word, self._targets))
            try:
                return option.parse(word)
            except ValueError as error:  # its address may be secret
                raise Wrong(f"number {number}, {word.partition(':')[0]}:…: {error}") from None
        named = self._targets[word]
        return replace(option.parse(named["url"]), **named) if "url" in named else None

    # --- what is wrong

    def _unknown(self, path: tuple[str, ...], known: Iterable[str], what: str = "key") -> None:
        key = path[-1]
        if key in NOT_KEYS and path[0] == "queue":
            self._wrong(path, f"{key}: {NOT_KEYS[key]}")
        elif _SECRET.search(key) and not re.search(
            rf": {re.escape(key.partition('_')[0])}.*_file$", nearest(key, known)
        ):
            self._wrong(path, f"{key}: secrets do not belong in this file: use a key …_file, or the environment")
        else:
            self._wrong(path, f"unknown {what} {key!r}" + nearest(key, known))

    def _wrong(self, path: tuple[str, ...], what: str) -> None:
        self.mistakes.append((self._lines[path], what))


def _url(text: str) -> None:
    """What ``to`` may be, as far as a look at it tells. Raises :class:`ValueError`."""
    scheme, mark, rest = text.partition("://")
    if scheme not in SCHEMES or not mark:
        raise ValueError(f"cannot deliver to {text!r}: write one of {DESTINATIONS}")
    if scheme == "file":
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise ValueError(f"{text!r} names no directory: write file:///absolute/path")
    elif not re.match(r"[^/?#\s]+(/|$)", rest):
        raise ValueError(f"{text!r} names no bucket: write one of {DESTINATIONS}")


def _endpoint(text: str) -> None:
    """Raises :class:`ValueError` for an endpoint that is no URL."""
    from ..processors.s3.options import OptionError, check_endpoint

    try:
        check_endpoint(text, "")
    except OptionError as error:
        raise ValueError(str(error).strip()) from error


def _target(text: str) -> None:
    """What a target of notifications may be. Raises :class:`ValueError`."""
    from . import notifications

    notifications.target(text)


def _command(text: str) -> None:
    """Raises :class:`ValueError` where no command is in it."""
    if not shlex.split(text):
        raise ValueError("the command is empty")


def _origin(value: Any) -> str:
    """The URL of a broker's queue."""
    text = as_text(value)
    if origins.has_password(text):
        raise Wrong("a password does not belong in this file: write the URL without it, and from_password_file = FILE")
    origins.check(text)
    return text


def _with_unit(read: Read, units: str) -> Read:
    """As ``read``, but for bare numbers: in KiB nobody means them."""

    def reading(value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            written = " or ".join(f'"{value}{unit}"' for unit in units)
            raise Wrong(f"it is a number, not text: write {written}")
        return read(value)

    return reading


_CHECKS: Mapping[str, Callable[[str], Any]] = {
    "to": _url,
    "originals": _url,
    "manifest": _url,
    "key": KeyTemplate,
    "exec": _command,
    "endpoint_url": _endpoint,
    "from_endpoint_url": _endpoint,
}
"""What else must be right of the values of these keys."""


def _program(command: Any) -> str:
    try:
        return shlex.split(command)[0] if isinstance(command, str) else ""
    except (ValueError, IndexError):
        return ""  # told when it is tried
