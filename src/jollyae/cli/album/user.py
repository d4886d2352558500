"""``jollyae album user URL [NAME]``: show, add, change and remove users."""

import argparse

from ..options import Option, UsageError, add_all
from . import common, passwords

ROLE = Option(
    ("--role",),
    "editor: sees and edits all; friend: sees Friends/Family, may comment",
    "ROLE",
    "editor",
    choices=("editor", "friend"),
)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser)
    parser.add_argument("name", metavar="NAME", nargs="?", help="the user; without one, all are shown")
    add_all(parser, "the user", (ROLE, passwords.PASSWORD_FILE))
    parser.add_argument("--remove", action="store_true", help="remove the user")
    common.add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Show them, or set or remove one; 1 where there is none to remove."""
    return common.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    from ...service.albums import verbs as album_verbs

    name = arguments.name
    if name is None:
        if arguments.remove:
            raise UsageError("--remove needs the user's NAME")
        return _show(await album_verbs.users(arguments.url), arguments)
    if arguments.remove:
        if not await album_verbs.remove_user(arguments.url, name):
            common.complain(f"there is no user {name}")
            return 1
        return _tell(arguments, {"user": name, "removed": True}, f"User {name} is removed.")
    password, is_made_up = passwords.find(arguments, name)
    is_new = await album_verbs.set_user(arguments.url, name, arguments.role, password)
    told = {"user": name, "role": arguments.role, "new": is_new} | ({"password": password} if is_made_up else {})
    what = "is added" if is_new else "is changed"
    shown = f"; the password is {password} (shown this once)" if is_made_up else ""
    return _tell(arguments, told, f"User {name} ({arguments.role}) {what}{shown}.")


def _show(users: list[tuple[str, str]], arguments: argparse.Namespace) -> int:
    if arguments.json:
        common.show_json({"users": [{"name": name, "role": role} for name, role in users]})
    else:
        for name, role in users:
            common.show(f"{role:<8} {common.printable(name)}")
        if not users:
            common.complain("there are no users", f"Add one: jollyae album user {arguments.url} NAME")
    return 0


def _tell(arguments: argparse.Namespace, told: dict[str, object], text: str) -> int:
    if arguments.json:
        common.show_json(told)
    else:
        common.show(text)
    return 0
