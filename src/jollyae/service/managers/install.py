"""Writes what ``jollyae service`` made to where a service manager looks for it; never over what somebody else wrote."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ...spool import fs
from ..settings import ConfigurationError

_MARK = re.compile(r'made by "jollyae service" \(([0-9a-f]{16})\)')


def mark(text: str) -> str:
    """What is made says by whom, and by its digest whether it still is as it was.

    >>> mark("[Unit]").splitlines()[1:]
    ['[Unit]']
    """
    return f'# made by "jollyae service" ({_digest(text)})\n{text}'


def mark_xml(text: str) -> str:
    """:func:`mark`, where a remark must stand after the first line."""
    first, rest = text.split("\n", 1)
    return f'{first}\n<!-- made by "jollyae service" ({_digest(rest)}) -->\n{rest}'


def is_ours(text: str) -> bool:
    """Whether we made it and nobody changed it.

    >>> is_ours(mark("a\\n")), is_ours(mark("a\\n") + "b"), is_ours("a")
    (True, False, False)
    """
    found = _MARK.search(text)
    return found is not None and found.group(1) == _digest(text[found.end() :].split("\n", 1)[-1])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def install(directory: Path, files: Mapping[str, str]) -> list[Path]:
    """Write the files; their paths. All or, where one of them is somebody else's, none. Raises
    :class:`ConfigurationError` and :class:`OSError`."""
    paths = [directory / name for name in files]
    for path in paths:
        _refuse_others(path)
    directory.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, files.values(), strict=True):
        fs.write_beside(str(path), text.encode(), durable=True)
        os.chmod(path, 0o644)
    return paths


def _refuse_others(path: Path) -> None:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return
    if not is_ours(text):
        who = "was changed since it was made" if _MARK.search(text) else "is not one that jollyae made"
        raise ConfigurationError(
            f"{path} {who}: it is left as it is",
            "Move it away, or choose another --name. What is to differ goes into a drop-in: systemctl edit NAME.",
        )
