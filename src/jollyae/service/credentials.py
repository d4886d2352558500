"""Files with secrets that a service manager hands to us (``LoadCredential=``, systemd.exec(5)): a copy that only this
service can read, so that the file itself need be readable by root only.

The unit names each copy by :func:`name`, and whoever reads a file with a secret asks :func:`readable` first.
"""

import os
import re
from collections.abc import Mapping

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
