"""Files with secrets that a service manager hands to us (``LoadCredential=``, systemd.exec(5)): a copy that only this
service can read, so that the file itself need be readable by root only.

The unit names each copy by :func:`name`, and whoever reads a file with a secret asks :func:`readable` first.
"""

import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

DIRECTORY = "CREDENTIALS_DIRECTORY"


def name(path: str) -> str:
    """What the copy of a file is called: its absolute path, in what may stand in such a name.

    >>> name("/etc/jollyae/hook.secret")
    'etc-jollyae-hook.secret'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.abspath(path)).strip("-.")[-200:] or "secret"


def readable(path: str, environment: Mapping[str, str] = os.environ) -> str:
    """Where to read the file: its copy, where we were given one, else itself."""
    directory = environment.get(DIRECTORY)
    if directory:
        copy = os.path.join(directory, name(path))
        if os.path.isfile(copy):
            return copy
    return path


class Unreadable(Exception):
    """A file with a secret cannot be read; the text says why. ``is_missing``: it is not there."""

    def __init__(self, why: str, *, is_missing: bool = False) -> None:
        super().__init__(why)
        self.is_missing = is_missing


def text(path: str) -> str:
    """What is in the file, or in its copy. Raises :class:`Unreadable`."""
    try:
        return Path(readable(path)).read_text(encoding="utf-8")
    except OSError as error:
        raise Unreadable(str(error.strerror), is_missing=isinstance(error, FileNotFoundError)) from error
    except UnicodeDecodeError:
        raise Unreadable("it is no text") from None


def password(path: str) -> str:
    """The one line that is in the file, without its end. Raises :class:`Unreadable`."""
    line = text(path).rstrip("\r\n")
    if not line or "\n" in line:
        raise Unreadable("it has several lines" if line else "it is empty")
    return line


def exposure(path: str) -> tuple[str, str] | None:
    """What is to be said, and done, where everybody on this machine can read the file; None where not, or where nobody
    knows."""
    try:
        open_to_all = os.stat(readable(path)).st_mode & stat.S_IROTH
    except OSError:
        return None
    return (
        (f"{path} can be read by everybody on this machine", f"chmod 600 {shlex.quote(path)}") if open_to_all else None
    )
