"""Values of a TOML file: each reader takes one, or says why it cannot be that."""

import re
from collections.abc import Callable
from typing import Any

from .toml import nearest

_URL_PASSWORD = re.compile(r"://[^/@\s:]*:[^/@\s]+@")

Read = Callable[[Any], Any]
"""Takes a value; raises :class:`Wrong` or :class:`ValueError`."""


class Wrong(Exception):
    """A value that cannot be."""


def refuse_password(value: Any) -> None:
    """Raise :class:`Wrong` for a URL with a password in it, also within a list."""
    for text in value if isinstance(value, list) else (value,):
        if isinstance(text, str) and _URL_PASSWORD.search(text):
            raise Wrong("a password does not belong in this file: use the environment, or a file for it")


def _kind(value: Any) -> str:
    """What stands there.

    >>> _kind(True), _kind(["*.jpg"])
    ('true', 'a list')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


def as_text(value: Any) -> str:
    """Text."""
    if not isinstance(value, str):
        say = f': write "{value}"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
        raise Wrong(f"it is {_kind(value)}, not text{say}")
    if "\0" in value:
        raise Wrong("it has a NUL character")
    return value


def as_flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Wrong(f"it is {_kind(value)}: write true or false, without quotes")
    return value


def choice_of(choices: tuple[str, ...]) -> Read:
    """One of these words."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            listed = ", ".join(f'"{choice}"' for choice in choices)
            raise Wrong(f"it is {_kind(value)}: write one of {listed}")
        text = as_text(value)
        if text not in choices:
            raise Wrong(f"{text!r} is none of {', '.join(choices)}" + nearest(text, choices))
        return text

    return read


def as_texts(value: Any) -> tuple[str, ...]:
    """A list of text."""
    if not isinstance(value, list):
        raise Wrong(f"it is {_kind(value)}: write a list" + (f', ["{value}"]' if isinstance(value, str) else ""))
    return tuple(map(as_text, value))


def checked(check: Callable[[str], Any], read: Read = as_text) -> Read:
    """As ``read``, if ``check`` raises no :class:`ValueError`."""

    def reading(value: Any) -> Any:
        text = read(value)
        check(text)
        return text

    return reading


def parsed(parse: Callable[[str], Any], value: Any) -> Any:
    """As the command line reads it; where that does not take any text, a number may stand without quotes."""
    if isinstance(value, int | float) and not isinstance(value, bool) and parse is not str:
        return parse(str(value).removesuffix(".0"))
    if isinstance(value, bool):
        raise Wrong(f"it is {_kind(value)}, and must be a value")
    return parse(as_text(value))


def as_many(parse: Callable[[str], Any], value: Any) -> tuple[Any, ...]:
    """A list of what ``parse`` reads; of pairs, a table."""
    if isinstance(value, dict):
        pairs = tuple(parse(f"{key}={as_text(one)}") for key, one in value.items())
        if all(isinstance(pair, tuple) for pair in pairs):
            return pairs
        raise Wrong("it is a table: write a list")
    found = tuple(map(parse, as_texts(value))) if isinstance(value, list) else None
    if found is None or any(isinstance(one, tuple) for one in found):
        if found is not None or _wants_pairs(parse):
            raise Wrong(f'it is {_kind(value)}, not a table: write {{ name = "value" }}')
        one = value if isinstance(value, str) else "…"
        raise Wrong(f'it is {_kind(value)}, not a list: write ["{one}"]')
    return found


def _wants_pairs(parse: Callable[[str], Any]) -> bool:
    try:
        return isinstance(parse("name=value"), tuple)
    except ValueError:
        return False
