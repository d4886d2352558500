"""AWS Signature Version 4 in headers, for S3: what the hot path needs, and nothing else.

After the AWS general reference, "Create a signed AWS API request": a canonical request is hashed, and the hash is
signed with a key derived from the secret, the day, the region and the service. S3 encodes the path once and does not
normalise it. botocore's signer is the oracle in the tests.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"
_PLAIN = re.compile(r"[A-Za-z0-9_.\-~/]*\Z")
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials as they stand now; ``token`` is the session's, '' for none."""

    access_key: str
    secret_key: str
    token: str = ""

    def __repr__(self) -> str:
        return "Keys(…)"  # no secret in a traceback


def encode_path(path: str) -> str:
    """A path as S3 signs and receives it: every byte but the unreserved ones and '/' percent-encoded.

    >>> encode_path("/bucket/a b/ü+~")
    '/bucket/a%20b/%C3%BC%2B~'
    """
    return path if _PLAIN.match(path) else quote(path, safe="/~")


def canonical_query(parameters: Iterable[tuple[str, str]]) -> str:
    """The query string, encoded and sorted.

    >>> canonical_query([("uploadId", "a/b"), ("partNumber", "1")])
    'partNumber=1&uploadId=a%2Fb'
    """
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parameters)
    return "&".join([f"{name}={value}" for name, value in pairs])


def _folded(value: str) -> str:
    """A header's value as it is signed: white space in it is one blank, and around it none."""
    return " ".join(value.split())


class Signer:
    """Signs for one region. The day's signing key is kept."""

    def __init__(self, region: str, service: str = "s3") -> None:
        self._region = region
        self._service = service
        self._day = ""
        self._keys: Keys | None = None
        self._key = hmac.new(b"", digestmod=hashlib.sha256)
        self._scope = ""
        self._second = -1
        self._stamp = ""
        self._names: dict[tuple[str, ...], str] = {}

    def stamp(self, now: float | None = None) -> str:
        """The time as x-amz-date has it. ``now``: seconds since 1970."""
        second = int(time.time() if now is None else now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        return self._stamp

    def authorization(
        self, keys: Keys, method: str, path: str, query: str, headers: dict[str, str], payload: str
    ) -> str:
        """The Authorization header. ``path`` and ``query`` are encoded; ``headers`` are all that are signed: lower-case
        names, in sorted order, with x-amz-date among them; ``payload`` is the body's SHA-256 in hex, or UNSIGNED."""
        stamp = headers["x-amz-date"]
        if stamp[:8] != self._day or keys is not self._keys:
            self._derive(keys, stamp[:8])
        names = self._signed_names(headers)
        lines = "".join([f"{name}:{value}\n" for name, value in headers.items()])
        if "  " in lines or ": " in lines or " \n" in lines or "\t" in lines:
            lines = "".join([f"{name}:{_folded(value)}\n" for name, value in headers.items()])
        request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}"
        hashed = hashlib.sha256(request.encode()).hexdigest()
        mac = self._key.copy()
        mac.update(f"{_ALGORITHM}\n{stamp}\n{self._scope}\n{hashed}".encode())
        return (
            f"{_ALGORITHM} Credential={keys.access_key}/{self._scope}, "
            f"SignedHeaders={names}, Signature={mac.hexdigest()}"
        )

    def _signed_names(self, headers: dict[str, str]) -> str:
        key = tuple(headers)
        found = self._names.get(key)
        if found is None:
            if len(self._names) > 64:
                self._names.clear()
            found = self._names[key] = ";".join(key)
        return found

    def _derive(self, keys: Keys, day: str) -> None:
        key = f"AWS4{keys.secret_key}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = hmac.new(key, digestmod=hashlib.sha256)
        self._scope = f"{day}/{self._region}/{self._service}/aws4_request"
        self._day, self._keys = day, keys
