"""Who may look at the dashboard and who may act: whoever reaches it, or whoever has a token.

A file of tokens has one on each line. A line ``read-only TOKEN`` is one that may only look; what begins with ``#`` is
a comment. The cookie is signed with a key that is made of the tokens, slowly, so that a login lasts over a restart and
ends with the token, and so that a cookie does not help to guess one.
"""

import hashlib
import hmac
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from ..http.sessions import Session, fingerprint
from ..service.settings import ConfigurationError

SHORTEST = 16
"""Letters of a token: fewer could be guessed by whoever has a cookie."""
COST = {"n": 2**14, "r": 8, "p": 1, "maxmem": 64 << 20}
"""Of scrypt, for the key of the cookies: 16 MiB and about 50 ms, once at the start."""
MAKE = "head -c 24 /dev/urandom | base64"
"""The command that makes a good one."""


class Role(IntEnum):
    """What somebody may do; each what those before may, too."""

    NOBODY = 0
    LOOK = 1
    ACT = 2


@dataclass(frozen=True, slots=True)
class Token:
    """One token."""

    text: str = field(repr=False)
    role: Role

    @property
    def fingerprint(self) -> str:
        """What a session keeps of it."""
        return fingerprint(self.text)


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens there are, and whether anybody may act at all. Without tokens everybody may look, and act."""

    tokens: tuple[Token, ...] = ()
    is_read_only: bool = False

    def open(self) -> Role:
        """What those may do who bring nothing."""
        return Role.NOBODY if self.tokens else self._cut(Role.ACT)

    def of_text(self, text: str) -> Token | None:
        """The token that was typed or sent, in a time that tells nothing of it."""
        return self._found(text.strip(), [one.text for one in self.tokens])

    def of_session(self, session: Session) -> Token | None:
        """The token that somebody logged in with, if it still is one."""
        return self._found(session.fingerprint, [one.fingerprint for one in self.tokens])

    def role(self, token: Token | None) -> Role:
        """What the bearer of that token may do."""
        return self._cut(token.role) if token is not None else self.open()

    def key(self) -> bytes:
        """The key of the cookies."""
        said = "\n".join(f"{one.role} {one.text}" for one in self.tokens)
        return hashlib.scrypt(said.encode(), salt=b"jollyae web session", **COST)

    def _cut(self, role: Role) -> Role:
        return min(role, Role.LOOK) if self.is_read_only else role

    def _found(self, said: str, known: Iterable[str]) -> Token | None:
        found = None
        for token, one in zip(self.tokens, known, strict=True):
            if hmac.compare_digest(said.encode(errors="replace"), one.encode()):
                found = token
        return found


def read(path: str) -> tuple[tuple[Token, ...], str]:
    """The tokens in that file, and a warning ('': none). Raises :class:`ConfigurationError`."""
    try:
        with open(path, encoding="utf-8") as file:
            mode, lines = os.fstat(file.fileno()).st_mode, file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(f"cannot read the token in {path}: {said}", f"Make one: {MAKE} > {path}") from error
    tokens = parse(lines, path)
    warning = f"{path} can be read by everybody on this machine: chmod 600 {path}" if mode & stat.S_IROTH else ""
    return tokens, warning


def parse(lines: Sequence[str], path: str) -> tuple[Token, ...]:
    """The tokens on these lines. Raises :class:`ConfigurationError`.

    >>> [token.role.name for token in parse(["# ours", "0123456789abcdef", "read-only fedcba9876543210"], "f")]
    ['ACT', 'LOOK']
    """
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        role = Role.LOOK if words[0] == "read-only" and len(words) > 1 else Role.ACT
        text = " ".join(words[1:] if role is Role.LOOK else words)
        if len(text) < SHORTEST:
            raise ConfigurationError(
                f"{path} line {number}: a token must have {SHORTEST} letters or more", f"Make one: {MAKE} > {path}"
            )
        found.append(Token(text, role))
    if not found:
        raise ConfigurationError(f"there is no token in {path}", f"Make one: {MAKE} > {path}")
    return tuple(found)
