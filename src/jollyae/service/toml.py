"""What tomllib does not tell of a TOML text: in which line a key stands, and what may have been meant."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def syntax(path: Path, text: str, said: str) -> str:
    """tomllib's sentence in our form."""
    match = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", said, re.DOTALL)
    if match is None:
        return f"{path}: {said}"
    line = match[2] or str(text.count("\n") + 1)
    column = f", column {match[3]}" if match[3] else ""
    return f"{path} line {line}{column}: {match[1][0].lower()}{match[1][1:]}"


class Lines:
    """In which line of a TOML text each key stands. The text must be valid.

    >>> Lines('[a]\\nb = [\\n1]\\n\\n[c.d]\\ne.f = 1')[("c", "d", "e", "f")]
    6
    """

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        statement, begin = "", 1
        for number, line in enumerate(text.split("\n"), 1):
            begin = begin if statement else number
            statement += line + "\n"
            try:
                parsed = tomllib.loads(statement)  # a statement is over where it is valid: the whole text is
            except tomllib.TOMLDecodeError:
                continue
            is_header = statement.lstrip().startswith("[")
            statement = ""
            paths = list(_paths(parsed))
            if is_header:
                table = max(paths, key=len)
            for path in paths:
                self._found.setdefault(path if is_header else (*table, *path), begin)

    def __getitem__(self, path: tuple[str, ...]) -> int:
        """The line of that key, else of what it is in, else 1."""
        while path and path not in self._found:
            path = path[:-1]
        return self._found.get(path, 1)


def _paths(parsed: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in parsed.items():
        yield (*above, key)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]  # [[an array of tables]]
        if isinstance(value, dict):
            yield from _paths(value, (*above, key))


def nearest(word: str, known: Iterable[str]) -> str:
    """What might have been meant, as the end of a sentence; '' where nothing is near.

    >>> nearest("Bandwith", ["bandwidth", "to"])
    '. Did you mean: bandwidth'
    """
    near = difflib.get_close_matches(word.lower().replace("-", "_"), list(known), 1)
    return f". Did you mean: {near[0]}" if near else ""
