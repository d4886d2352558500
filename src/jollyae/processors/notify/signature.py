"""Signatures of webhooks: Standard Webhooks 1.0.0, symmetric. Pure.

A receiver computes HMAC-SHA256 over ``id.timestamp.body`` with the shared secret and compares. Several signatures may
be in the header, one for each secret, so that a secret can be changed without a gap.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
FEWEST, MOST = 24, 64
"""Bytes of a secret, by the standard."""


class SecretError(ValueError):
    """This is no secret; the text does not tell it."""


def secrets(text: str) -> tuple[bytes, ...]:
    """The secrets in a text, one a line or word, the newest first. Raises :class:`SecretError`.

    >>> len(secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")[0])
    24
    """
    found = tuple(_secret(word) for word in text.replace(",", " ").split())
    if not found:
        raise SecretError("there is no secret in it")
    return found


def _secret(word: str) -> bytes:
    if not word.startswith(PREFIX):
        raise SecretError(f"a secret begins with {PREFIX}, and this one does not")
    try:
        found = base64.b64decode(word.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise SecretError(f"what follows {PREFIX} is not base64") from None
    if not FEWEST <= len(found) <= MOST:
        raise SecretError(f"a secret has {FEWEST} to {MOST} bytes, and this one {len(found)}")
    return found


def sign(secrets: Sequence[bytes], id: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``. ``timestamp``: seconds since 1970."""
    signed = f"{id}.{timestamp}.".encode() + body
    return " ".join(
        f"v1,{base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()}" for secret in secrets
    )
