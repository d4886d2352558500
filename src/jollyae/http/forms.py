"""What a request brings: its form, and whether a script asks; and where it may be sent on to."""

import unicodedata
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request


class Told(HTTPException):
    """An error whose ``detail`` is a sentence of ours for the visitor."""


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent with a form."""

    data: FormData = field(default_factory=FormData)

    def text(self, name: str) -> str:
        """The field's text with plain newlines, without control characters; '' where it was not sent."""
        found = self.data.get(name)
        if not isinstance(found, str):
            return ""
        lines = found.replace("\r\n", "\n").replace("\r", "\n")
        return "".join(c for c in lines if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))

    def texts(self, name: str) -> list[str]:
        """All texts that were sent under that name."""
        return [found for found in self.data.getlist(name) if isinstance(found, str)]

    def files(self, name: str) -> list[UploadFile]:
        """The files that were sent under that name; a browser sends one without a name where none was chosen."""
        return [found for found in self.data.getlist(name) if isinstance(found, UploadFile) and found.filename]

    def __contains__(self, name: str) -> bool:
        return name in self.data


def wants_json(request: Request) -> bool:
    """Whether a script asks."""
    return request.headers.get("accept", "").startswith("application/json")


def local(address: str) -> str:
    """The address, where it is one of this site; '/' where it leads anywhere else.

    >>> local("/photo/ab?in=added"), local("//evil.example/"), local("https://evil.example/")
    ('/photo/ab?in=added', '/', '/')
    """
    if not address.startswith("/") or address.startswith("//") or "\\" in address or not address.isprintable():
        return "/"
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc:
        return "/"
    return quote(address, safe="/?&=+%~:@!$'()*,;-._#")
