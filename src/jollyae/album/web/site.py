"""What the pages of one app share: the store, what it was started with, and small things remembered for seconds."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO

from ...http.pages import Pages
from ...http.sessions import Session, Sessions, fingerprint
from ...http.throttle import Throttle
from ..store import Document, Store
from .visitors import NOBODY, Role, Visitor, sees

if TYPE_CHECKING:
    from ..couch.watching import Health

Submit = Callable[[BinaryIO, str], object]
"""Puts what can be read there into the spool under that name, durably; run in a thread. Raises ``FileExistsError``
where the name is taken, ``ValueError`` for a name that cannot be an item's, ``OSError`` where there is no room."""
Fetch = Callable[[Document, int, int], AsyncIterator[bytes]]
"""The bytes of a photo's original from the first number to before the second. Raises ``FileNotFoundError`` before the
first bytes where there is none, ``OSError`` where it cannot be read."""
Trouble = Callable[[str], str]
"""Why the item of that name failed or has to wait; '' where nothing is known; run in a thread."""

Servers = Callable[[], Awaitable["Health"]]
"""Says how the servers of the album replicate. Raises :class:`~..store.StoreError`."""

KEY = "web"
"""Where the key of the sessions is remembered in the store."""
FRESH = 5.0
"""Seconds for which a user's document and the list of conflicts are believed without asking again."""
MAX_UPLOAD = 4 * 10**9
"""Bytes of one upload, unless something else is said: long videos are as large."""


@dataclass(slots=True)
class Site:
    """One album as one app serves it."""

    store: Store
    pages: Pages
    title: str = "Album"
    is_public: bool = False
    submit: Submit | None = None
    fetch: Fetch | None = None
    trouble: Trouble | None = None
    servers: Servers | None = None
    hosts: frozenset[str] = frozenset()
    max_upload: int = MAX_UPLOAD
    throttle: Throttle = field(default_factory=Throttle)
    hashing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Passwords are looked at one at a time: each takes 32 MiB."""
    _sessions: Sessions | None = None
    _users: dict[str, tuple[float, Document | None]] = field(default_factory=dict)
    _conflicts: tuple[float, frozenset[str]] = (-FRESH, frozenset())
    _withheld: dict[Role, tuple[float, frozenset[str]]] = field(default_factory=dict)

    async def sessions(self) -> Sessions:
        """The sessions, signed with this server's key; the key is made at the first time."""
        if self._sessions is None:
            kept = await self.store.remembered(KEY)
            if not kept.get("key"):
                await self.store.remember(KEY, {"key": secrets.token_hex(32)})
                kept = await self.store.remembered(KEY)
            self._sessions = self._sessions or Sessions(bytes.fromhex(kept["key"]), "album")
        return self._sessions

    # --- users

    async def user(self, name: str) -> Document | None:
        """The user's document, not older than :data:`FRESH`."""
        read, found = self._users.get(name, (-FRESH, None))
        if monotonic() - read >= FRESH:
            found = await self.store.get(f"user:{name}")
            if len(self._users) > 1000:
                self._users.clear()
            self._users[name] = monotonic(), found
        return found

    def forget_users(self) -> None:
        """Ask again: a user was changed."""
        self._users.clear()

    async def visitor(self, session: Session) -> Visitor:
        """Who that session is: nobody where the user is gone or has another password."""
        found = await self.user(session.user) if session.user else None
        if (
            found is None
            or found.get("type") != "user"
            or fingerprint(str(found.get("password"))) != session.fingerprint
        ):
            return NOBODY
        role = str(found.get("role"))
        return Visitor(session.user, Role(role)) if role in (Role.FRIEND, Role.EDITOR) else NOBODY

    # --- conflicts

    async def conflicts(self) -> frozenset[str]:
        """The ids of documents with several leaves, not older than :data:`FRESH`."""
        read, found = self._conflicts
        if monotonic() - read >= FRESH:
            found = frozenset(await self.store.conflicts())
            self._conflicts = monotonic(), found
        return found

    def forget_conflicts(self) -> None:
        """Ask again: one was resolved."""
        self._conflicts = (-FRESH, frozenset())
        self._withheld.clear()

    async def withheld(self, visitor: Visitor) -> frozenset[str]:
        """The photos that a list must leave out for that visitor: a leaf that nobody has merged yet is not theirs to
        see, so nothing of the photo is."""
        if visitor.is_editor:
            return frozenset()
        read, found = self._withheld.get(visitor.role, (-FRESH, frozenset()))
        if monotonic() - read < FRESH:
            return found
        hidden = []
        for id in await self.conflicts():
            leaves = [leaf.document for leaf in await self.store.leaves(id)]
            if any(leaf.get("type") == "photo" and not sees(visitor, leaf) for leaf in leaves):
                hidden.append(id)
        self._withheld[visitor.role] = monotonic(), frozenset(hidden)
        return frozenset(hidden)

    async def photo(self, id: str, visitor: Visitor) -> Document | None:
        """The photo, where it is there and the visitor may see it (all of its leaves)."""
        found = await self.store.get(id)
        if found is None or found.get("type") != "photo" or not sees(visitor, found):
            return None
        if found.get("_conflicts") and not visitor.is_editor:
            leaves = await self.store.leaves(id)
            if not all(sees(visitor, leaf.document) for leaf in leaves):
                return None
        return found
