"""Passwords, hashed by scrypt (RFC 7914, in the standard library): ``scrypt$N$R$P$SALT$HASH``, the last two in Base64.

The parameters are in the text, so they can be raised without anybody having to choose a new password.
"""

import base64
import hashlib
import hmac
import secrets

N, R, P = 2**15, 8, 3
"""The cost: 32 MiB and about 0.2 s. One of the settings of equal strength in OWASP's Password Storage Cheat Sheet."""
SHORTEST = 8
"""Characters of a password (NIST SP 800-63B, 5.1.1.1)."""
LONGEST = 1000
_DEAREST = 2**20 * 8
"""N · R above which a hash is not believed: it would take more than a gigabyte to look at."""


def hash_password(password: str, *, n: int = N) -> str:
    """The password's hash, with a salt of its own. Takes about 0.2 s: not for the event loop. Raises
    :class:`ValueError` where the password is too short or too long; the text says so."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise ValueError(f"a password has at least {SHORTEST} characters, and at most {LONGEST}")
    salt = secrets.token_bytes(16)
    return f"scrypt${n}${R}${P}${_encode(salt)}${_encode(_scrypt(password, salt, n, R, P))}"


def is_password(password: str, hashed: str) -> bool:
    """Whether it is the password of that hash. False, and never an error, where the hash cannot be read."""
    try:
        kind, n, r, p, salt, digest = hashed.split("$")
        cost = int(n), int(r), int(p)
        if kind != "scrypt" or cost[0] * cost[1] > _DEAREST or cost[2] > 16 or len(password) > LONGEST:
            return False
        return hmac.compare_digest(_scrypt(password, base64.b64decode(salt), *cost), base64.b64decode(digest))
    except ValueError:
        return False


NOBODYS = f"scrypt${N}${R}${P}${'A' * 22}==${'A' * 43}="
"""The hash of no password: compared with where there is no such user, so that both answers take the same time."""


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + 2**20, dklen=32)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
