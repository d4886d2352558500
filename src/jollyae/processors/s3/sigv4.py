"""AWS Signature Version 4 in headers, for S3: what the hot path needs, and nothing else.

After the AWS general reference, "Create a signed AWS API request": a canonical request is hashed, and the hash is
signed with a key derived from the secret, the day, the region and the service. S3 encodes the path once and does not
normalise it. botocore's signer is the oracle in the tests.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Mapping
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


class Form:
    """What many requests without a query have in common: their method and headers. ``headers``: lower-case names, with
    the value where it is the same in all of them, None where each has its own; x-amz-date is one of these. Raises
    :class:`ValueError` where a name or value holds a line break: it would be a header of its own.

    >>> form = Form("PUT", {"host": "h", "x-amz-meta-b": None, "x-amz-date": None})
    >>> form.varying, form.names
    (['x-amz-date', 'x-amz-meta-b'], 'host;x-amz-date;x-amz-meta-b')
    """

    __slots__ = ("_lines", "_wire", "method", "names", "varying")

    def __init__(self, method: str, headers: Mapping[str, str | None]) -> None:
        ordered = sorted(headers.items())
        self.method = method
        self.names = ";".join([name for name, _ in ordered])
        self.varying = [name for name, value in ordered if value is None]
        fixed = [(name, "%s" if value is None else value.replace("%", "%%")) for name, value in ordered]
        self._wire = "".join([f"{name}: {value}\r\n" for name, value in fixed])
        if not len(ordered) == self._wire.count("\r") == self._wire.count("\n"):
            raise ValueError("a line break in a header")
        self._lines = "".join([f"{name}:{_folded(value)}\n" for name, value in fixed])

    def wire(self, values: tuple[str, ...]) -> str:
        """The header lines as they are sent; ``values``: of those that vary, in their order. Raises
        :class:`ValueError` where one holds a line break."""
        given = "".join(values)
        if "\n" in given or "\r" in given:
            raise ValueError("a line break in a header")
        return self._wire % values

    def canonical(self, values: tuple[str, ...]) -> str:
        """The header lines as they are signed."""
        lines = self._lines % values
        if " " in lines or "\t" in lines:  # seldom
            lines = self._lines % tuple(map(_folded, values))
        return lines


class Signer:
    """Signs for one region. The day's signing key is kept."""

    def __init__(self, region: str, service: str = "s3") -> None:
        self._region = region
        self._service = service
        self._day = ""
        self._keys: Keys | None = None
        self._inner = self._outer = hashlib.sha256()
        self._scope = self._before_names = ""
        self._second = -1
        self._stamp = ""

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
        names = ";".join(headers)
        lines = "".join([f"{name}:{_folded(value)}\n" for name, value in headers.items()])
        request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}"
        return self._sign(keys, headers["x-amz-date"], names, request)

    def authorize(self, keys: Keys, form: Form, path: str, values: tuple[str, ...], stamp: str, payload: str) -> str:
        """:meth:`authorization` for a request of this form. ``stamp``: its x-amz-date."""
        request = f"{form.method}\n{path}\n\n{form.canonical(values)}\n{form.names}\n{payload}"
        return self._sign(keys, stamp, form.names, request)

    def _sign(self, keys: Keys, stamp: str, names: str, request: str) -> str:
        if stamp[:8] != self._day or keys is not self._keys:
            self._derive(keys, stamp[:8])
        hashed = hashlib.sha256(request.encode()).hexdigest()
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{_ALGORITHM}\n{stamp}\n{self._scope}\n{hashed}".encode())
        outer.update(inner.digest())
        return f"{self._before_names}{names}, Signature={outer.hexdigest()}"

    def _derive(self, keys: Keys, day: str) -> None:
        key = f"AWS4{keys.secret_key}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        # HMAC (RFC 2104), what depends on the key alone done once a day: the hmac module's objects copy slowly.
        padded = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in padded]))
        self._outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in padded]))
        self._scope = f"{day}/{self._region}/{self._service}/aws4_request"
        self._before_names = f"{_ALGORITHM} Credential={keys.access_key}/{self._scope}, SignedHeaders="
        self._day, self._keys = day, keys
