"""Where a user's password comes from: the environment, a file, a terminal; never the command line."""

import argparse
import getpass
import os
import secrets
import sys

from ..options import Option, UsageError

VARIABLE = "JOLLYAE_USER_PASSWORD"
PASSWORD_FILE = Option(
    ("--password-file",),
    f"the user's password is this file's first line; else {VARIABLE}, else it is asked for",
    "FILE",
)


def find(arguments: argparse.Namespace, name: str) -> tuple[str, bool]:
    """The password for the user, and whether it was made up (then it is to be shown, once). Raises
    :class:`UsageError`."""
    if arguments.password_file:
        try:
            with open(arguments.password_file, encoding="utf-8") as file:
                return file.readline().rstrip("\r\n"), False
        except UnicodeDecodeError as error:
            raise UsageError(f"--password-file {arguments.password_file}: it is no text") from error
    if said := os.environ.get(VARIABLE):
        return said, False
    if sys.stdin.isatty() and sys.stderr.isatty():
        first = getpass.getpass(f"Password for {name} (empty: one is made up): ")
        if first:
            if first != getpass.getpass("Again: "):
                raise UsageError("the two passwords are not the same")
            return first, False
    return secrets.token_urlsafe(12), True
