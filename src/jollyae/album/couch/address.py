"""Where a CouchDB database is, and the password for it, which is never part of what is shown.

An address is ``http(s)://[user@]host[:port]/[path/]database``. Its password comes from the environment
(``JOLLYAE_ALBUM_PASSWORD``) or from the file that ``JOLLYAE_ALBUM_PASSWORD_FILE`` names. That file holds one password;
or, where servers have different ones, a line ``user@host[:port] password`` for each.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from ..store import StoreError

PASSWORD, PASSWORD_FILE = "JOLLYAE_ALBUM_PASSWORD", "JOLLYAE_ALBUM_PASSWORD_FILE"
"""The environment's variables."""


@dataclass(frozen=True, slots=True)
class Address:
    """A database. ``server``: scheme, host, port and path before the database, without a slash at the end.

    >>> str(Address("http://127.0.0.1:5984", "album", "anna", "secret"))
    'http://anna@127.0.0.1:5984/album'
    """

    server: str
    database: str
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        scheme, _, rest = self.server.partition("://")
        return f"{scheme}://{self.user + '@' if self.user else ''}{rest}/{self.database}"

    @property
    def url(self) -> str:
        """It, without the user: as a replication document names an end."""
        return f"{self.server}/{quote(self.database, safe='')}"

    @property
    def host(self) -> str:
        """The host with the port, where there is one."""
        return urlsplit(self.server).netloc

    def beside(self, database: str) -> "Address":
        """Another database of the same server."""
        return Address(self.server, database, self.user, self.password)


def parse_address(url: str, *, password: str | None = None, with_secret: bool = False) -> Address:
    """The address that the URL names. Without a ``password`` given, the environment is asked where there is a user.
    A password in the URL is refused, unless it comes ``with_secret`` from where nobody reads it (tests)."""
    parts = urlsplit(url)
    path, _, database = parts.path.rstrip("/").rpartition("/")
    user = unquote(parts.username or "")
    if parts.password is not None and not with_secret:
        raise StoreError(
            "the album's URL has a password in it, which everybody on this machine can read",
            f"Write it without ({parts.scheme}://{user}@…) and set {PASSWORD} or {PASSWORD_FILE}.",
        )
    try:
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        host += f":{parts.port}" if parts.port else ""
    except ValueError:
        host = ""
    if parts.scheme not in ("http", "https") or not host or not database or parts.query or parts.fragment:
        raise StoreError(
            f"not the URL of a CouchDB database: {parts.scheme or '?'}://{parts.hostname or ''}{parts.path}",
            "Write http://user@host:5984/database or https://….",
        )
    secret = unquote(parts.password or "") if password is None else password
    if user and not secret:
        secret = find_password(user, host)
    return Address(f"{parts.scheme}://{host}{path}", unquote(database), user, secret)


def find_password(user: str, host: str, environ: Mapping[str, str] = os.environ) -> str:
    """The password of that user there; '' where none is given."""
    if name := environ.get(PASSWORD_FILE, ""):
        try:
            lines = [line.strip() for line in Path(name).read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise StoreError(f"cannot read the password's file: {name}: {reason}", f"See {PASSWORD_FILE}.") from None
        for line in lines:
            whose, _, password = line.partition(" ")
            if password and whose == f"{user}@{host}":
                return password.strip()
        if len(lines) == 1 and not lines[0].partition(" ")[2]:
            return lines[0]
    return environ.get(PASSWORD, "")
