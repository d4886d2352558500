"""Users and groups as people know them: by name and number."""

import grp
import os
import pwd


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
