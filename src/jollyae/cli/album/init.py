"""``jollyae album init URL``: make an album, and its first user."""

import argparse
import getpass
import re
import shlex

from ..options import Option, add_all
from . import common, passwords

USER = (
    Option(("--user",), "the first user, who may edit; else your own name", "NAME"),
    Option(("--no-user",), "no user: a public album has none; a second server gets them by replication", parse=None),
)
MEMBER = Option(
    ("--member",),
    "CouchDB: let this user of the server, who is not its admin, read and write the database; repeatable",
    "NAME",
    (),
    many=True,
)


def add(parser: argparse.ArgumentParser) -> None:
    """The options of this verb."""
    common.add_url(parser)
    add_all(parser, "the first user", (*USER, passwords.PASSWORD_FILE))
    add_all(parser, "the database", (MEMBER,))
    common.add_json(parser)


def main(arguments: argparse.Namespace) -> int:
    """Make it; what is there already stays."""
    return common.run(_main(arguments))


async def _main(arguments: argparse.Namespace) -> int:
    from ...service.albums import verbs as album_verbs

    url, server, users = await album_verbs.make(arguments.url, arguments.member)
    name = arguments.user or own_name()
    made, password, is_made_up = False, "", False
    if not arguments.no_user and (name not in users if arguments.user else not users):
        password, is_made_up = passwords.find(arguments, name)
        made = await album_verbs.set_user(arguments.url, name, "editor", password)
    if arguments.json:
        told = {"album": url, "server": server, "user": name if made else None}
        common.show_json(told | ({"password": password} if is_made_up else {}))
        return 0
    common.show(f"{url} is ready; this server is called {server}.")
    if made:
        common.show(f"User {name} may log in and edit" + (f", with the password {password}" if is_made_up else "."))
        if is_made_up:
            common.show("It is shown this once. Another: jollyae album user URL NAME")
    common.show(f"Next: jollyae run SPOOL --album {shlex.quote(url)} --originals s3://BUCKET/PREFIX (or file:///DIR)")
    common.show(f"      jollyae album serve {shlex.quote(url)} --spool SPOOL --originals …")
    return 0


def own_name() -> str:
    """The name of who calls, as users of albums are called."""
    try:
        name = re.sub(r"[^a-z0-9._-]", "", getpass.getuser().lower()).lstrip("._-")
    except (KeyError, OSError):
        name = ""
    return name or "me"
