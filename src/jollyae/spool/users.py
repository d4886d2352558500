"""Users and groups as people know them: by name and number."""

import grp
import os
import pwd
import shlex


def user(number: int) -> str:
    """The user's name and number; only the number where it has no name here.

    >>> user(0)
    'root (0)'
    """
    try:
        return f"{pwd.getpwuid(number).pw_name} ({number})"
    except KeyError:
        return str(number)


def group(number: int) -> str:
    """The same for a group."""
    try:
        return f"{grp.getgrgid(number).gr_name} ({number})"
    except KeyError:
        return str(number)


def whose(path: str | os.PathLike[str]) -> str:
    """A sentence on whose the file is and who we are; '' where it is ours or that cannot be told."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    if found.st_uid == os.geteuid():
        return ""
    theirs = f"user {user(found.st_uid)} and group {group(found.st_gid)}"
    return f"It belongs to {theirs}; we are {user(os.geteuid())} and {group(os.getegid())}."


_UNIT = (
    "It is read-only here. A unit may write only where its configuration said when it was made: make it again and "
    "restart it (jollyae service systemd -c FILE --install, systemctl daemon-reload, systemctl restart NAME). Else "
    "mount it for writing."
)


def is_read_only(path: str | os.PathLike[str]) -> bool:
    """Whether it lies on what is mounted read-only, for all or for us."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def right_to(directory: str | os.PathLike[str]) -> str:
    """What to do where we may not write in a directory, in numbers, as a container knows users."""
    if is_read_only(directory):
        return _UNIT if "INVOCATION_ID" in os.environ else "It is read-only here: mount it for writing."
    found = os.stat(directory)
    owner, we = f"{found.st_uid}:{found.st_gid}", f"{os.geteuid()}:{os.getegid()}"
    if found.st_uid == os.geteuid():
        return f"Give its owner, whom we are ({we}), the right to: chmod u+rwx {shlex.quote(str(directory))}"
    return (
        f"It is owned by {owner}, we are {we}: run as its owner (a container with --user {owner}), or chown it to us."
    )
