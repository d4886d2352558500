"""Which servers of an album replicate: a list, on the command line or in ``[mesh.NAME]`` of a configuration file."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..settings import ConfigurationError
from ..toml import Lines, nearest, syntax
from ..values import Read, Wrong, as_text, as_texts, choice_of, refuse_password

KINDS = ("mesh", "ring", "star", "publish")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """Which servers replicate, and how. ``user``: in whose name ('': each URL's own)."""

    servers: tuple[str, ...]
    kind: str = "mesh"
    user: str = ""
    forget: tuple[str, ...] = ()


def load(path: str | Path, name: str = "") -> Mesh:
    """The table ``[mesh.NAME]`` of a configuration file; without a name the only one there is. Raises
    :class:`ConfigurationError`."""
    path = Path(path)
    try:
        text = path.read_bytes().decode()
        found = tomllib.loads(text).get("mesh", {})
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigurationError(f"cannot read {path}: {reason}", "Name another one with -c FILE.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(syntax(path, text, str(error)), "The grammar is at https://toml.io") from error
    if not isinstance(found, dict) or not found:
        raise ConfigurationError(f"{path} has no [mesh.NAME]", 'Write it: [mesh.family] and servers = ["…", "…"].')
    if not name and len(found) > 1:
        raise ConfigurationError(f"{path} has several meshes: {', '.join(found)}", "Say which: --name NAME")
    name = name or next(iter(found))
    if name not in found:
        raise ConfigurationError(f"{path} has no [mesh.{name}]{nearest(name, found)}")
    lines = Lines(text)
    try:
        return read(found[name])
    except WrongKey as error:
        line = lines["mesh", name, error.key] if error.key else lines["mesh", name]
        raise ConfigurationError(f"{path} line {line}: [mesh.{name}]: {error}") from error


class WrongKey(Wrong):
    """A table that cannot be. ``key``: which of its keys; '' where it is the whole."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}" if key else what)
        self.key = key


def read(table: Any) -> Mesh:
    """The mesh that such a table tells. Raises :class:`WrongKey`."""
    if not isinstance(table, dict):
        raise WrongKey("", "it is no table")
    told: dict[str, Any] = {}
    for key, value in table.items():
        if key not in _KEYS:
            raise WrongKey(key, f"this is no key of a mesh{nearest(key, _KEYS)}")
        try:
            told[key] = _KEYS[key](value)
            refuse_password(value)
        except (Wrong, ValueError) as error:
            raise WrongKey(key, str(error)) from error
    if "servers" not in told:
        raise WrongKey("", 'it has no servers: servers = ["http://admin@localhost:5984/album", …]')
    return Mesh(servers=_ordered(told), kind=told.get("topology", "mesh"), user=told.get("user", ""),
                forget=told.get("forget", ()))  # fmt: skip


def _ordered(told: dict[str, Any]) -> tuple[str, ...]:
    """The servers, a star's centre first."""
    servers: tuple[str, ...] = told["servers"]
    if (centre := told.get("centre")) is None:
        return servers
    if told.get("topology") != "star":
        raise WrongKey("centre", "only a star has one")
    if centre not in servers:
        raise WrongKey("centre", f"{centre} is none of the servers")
    return (centre, *(one for one in servers if one != centre))


_KEYS: dict[str, Read] = {
    "servers": as_texts,
    "topology": choice_of(KINDS),
    "centre": as_text,
    "user": as_text,
    "forget": as_texts,
}
