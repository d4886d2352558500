"""Users and groups as people know them: by name and number."""

import grp
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
