"""Who is logged in: a signed cookie, and the tokens against forged requests that belong to it.

The cookie holds a random number, the user's name and a fingerprint of what they logged in with (an album's hashed
password, a dashboard's token), signed with a key of this server's own. So a session ends with a new password, and
nothing is kept per session. HttpOnly, SameSite=Lax, and Secure where the page came by https.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from time import time

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request
from starlette.responses import Response

LASTS = 30 * 24 * 3600
"""Seconds that a session lasts without a visit."""
RENEWED = 24 * 3600
"""Seconds after which a visit renews the cookie."""


def fingerprint(hashed: str) -> str:
    """What a session keeps of the hashed password or the token: enough to tell another one."""
    return hashlib.sha256(hashed.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Session:
    """What the cookie says. ``is_kept``: the browser has it; ``is_old``: it is to be sent again."""

    user: str = ""
    fingerprint: str = ""
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    is_kept: bool = False
    is_old: bool = False


class Sessions:
    """Reads and writes the cookies of one website on one server; ``what``: what it is, 'album' say."""

    def __init__(self, key: bytes, what: str) -> None:
        self._key = key
        self._serializer = URLSafeTimedSerializer(key, salt=f"jollyae {what} session")
        # Cookies know no port: two albums on one machine would log each other's users out.
        self._name = f"{what}-{hashlib.sha256(key + b'name').hexdigest()[:8]}"

    def cookie(self, request: Request) -> str:
        """The cookie's name; by https with the prefix that keeps other hosts of the domain from setting it."""
        return f"__Host-{self._name}" if is_secure(request) else self._name

    def read(self, request: Request) -> Session:
        """The request's session, or a new one of nobody."""
        text = request.cookies.get(self.cookie(request), "")
        try:
            found, made = self._serializer.loads(text, max_age=LASTS, return_timestamp=True)
            is_old = time() - made.timestamp() > RENEWED
            return Session(str(found["u"]), str(found["f"]), str(found["n"]), is_kept=True, is_old=is_old)
        except (BadSignature, KeyError, TypeError):
            return Session()

    def write(self, request: Request, response: Response, session: Session) -> None:
        """Have the browser keep the session."""
        text = self._serializer.dumps({"u": session.user, "f": session.fingerprint, "n": session.nonce})
        response.set_cookie(
            self.cookie(request),
            text if isinstance(text, str) else text.decode(),
            max_age=LASTS,
            path="/",
            secure=is_secure(request),
            httponly=True,
            samesite="lax",
        )

    def end(self, request: Request, response: Response) -> None:
        """Have the browser forget the session."""
        response.delete_cookie(self.cookie(request), path="/", secure=is_secure(request), httponly=True, samesite="lax")

    # --- tokens

    def token(self, session: Session) -> str:
        """A token for the forms of this session. Another text each time, so that a compressed page does not tell it
        letter by letter (BREACH)."""
        mask = secrets.token_bytes(16)
        return base64.urlsafe_b64encode(mask + _xor(mask, self._mac(session))).decode()

    def is_token(self, session: Session, text: str) -> bool:
        """Whether the text is a token of this session."""
        try:
            found = base64.urlsafe_b64decode(text.encode())
        except ValueError:
            return False
        return (
            session.is_kept
            and len(found) == 32
            and hmac.compare_digest(_xor(found[:16], found[16:]), self._mac(session))
        )

    def _mac(self, session: Session) -> bytes:
        said = f"token {session.nonce} {session.user}".encode()
        return hmac.new(self._key, said, hashlib.sha256).digest()[:16]


def is_secure(request: Request) -> bool:
    """Whether the browser came by https (also where a proxy on this machine ended it and says so)."""
    return request.url.scheme == "https"


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
