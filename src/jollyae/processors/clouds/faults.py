"""What obstore's errors mean. Pure: its texts are read into status and code, and S3's table says the rest.

obstore tells the status only in its text, and 409 and 412 both as "already exists".
"""

import re

from jollyae.spool.outcomes import Permanent, Scope, Temporary

from ..s3 import faults
from ..s3.faults import Meaning
from ..s3.transport import NoAnswer, StoreError

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<\n]{1,300})")
_QUERY = re.compile(r"\?[^\s\"')]*")
_WHERE = re.compile(r" in [\d.]+(?:ns|µs|ms|s) - ")
_NO_ANSWER = (
    ("kind: Timeout", NoAnswer.TIMEOUT),
    ("dns error", NoAnswer.NAME),
    ("ConnectionRefused", NoAnswer.REFUSED),
    ("unreachable", NoAnswer.REFUSED),
    ("nvalidCertificate", NoAnswer.TLS),
    ("InvalidContentType", NoAnswer.TLS),
    ("AlertReceived", NoAnswer.TLS),
    ("HTTP error", NoAnswer.CLOSED),
)
"""Words in obstore's texts (0.12), and what they say; the first that is there counts."""
_LOGIN = re.compile(
    r"\AGeneric \w+ error: (?:Error performing token request|GCP credential error|Invalid Access Key)"
    r"|status code: \d{3}[^\0]*Server failed to authenticate"
)
"""What its texts say where credentials are wrong or missing, whatever the status is."""

_ACCESS = Meaning(
    "access denied",
    "The credentials need the right to create and read objects here (Google: Storage Object Creator and Viewer; "
    "Azure: Storage Blob Data Contributor).",
    Scope.UNSURE,
    reason="denied",
)
_BUCKET = Meaning("there is no such bucket", "Check the name in --to, or make it.", reason="bucket")
_ROWS = {403: _ACCESS, 404: _BUCKET}


class Occupied(Exception):
    """The store refused the condition: 412, or 409."""


def read(error: BaseException) -> StoreError:
    """The error as status, code and a message in one line, without what a URL has behind its '?' (signatures).

    >>> text = "Error performing PUT http://h/b/k?sig=s in 1.5ms - Server returned non-2xx status code: 403 Forbidden: "
    >>> read(Exception(text))
    StoreError('403 : Server returned non-2xx status code: 403 Forbidden')
    """
    text = str(error)
    if isinstance(error, TimeoutError):
        return StoreError(None, NoAnswer.TIMEOUT, "no answer in time")
    status = int(found.group(1)) if (found := _STATUS.search(text)) else None
    if _LOGIN.search(text):
        return StoreError(status, NoAnswer.CREDENTIALS, _one_line(text))
    if status is not None:
        code = found.group(1) if (found := _CODE.search(text)) else ""
        return StoreError(status, code, found.group(1) if (found := _MESSAGE.search(text)) else _one_line(text))
    for words, answer in _NO_ANSWER:
        if words in text:
            return StoreError(None, answer, _one_line(text))
    return StoreError(None, NoAnswer.CLIENT, _one_line(text))


def explain(error: BaseException, where: str, credentials_hint: str = "") -> Temporary | Permanent:
    """The error to raise for what obstore said about ``where`` (a URL).

    >>> explain(Exception("Server returned non-2xx status code: 503 Busy:"), "gs://photos/a.jpg")
    Temporary('the store is unavailable: gs://photos/a.jpg: 503: Server returned non-2xx status code: 503 Busy')
    """
    told = read(error)
    if told.code == NoAnswer.CREDENTIALS or told.status == 401:
        return faults.explain(
            told, where, Meaning("no credentials that the store takes", credentials_hint, reason="credentials")
        )
    return faults.explain(told, where, _ROWS.get(told.status or 0))


def _one_line(text: str) -> str:
    line = _QUERY.sub("", text.partition("\n")[0])
    return _WHERE.split(line)[-1].strip().rstrip(":")[:300]
