"""What a store's answer says, and the errors it tells: for whoever makes requests by hand."""

import re

from .connection import Answer
from .transport import Stored, StoreError

CHECKSUM_HEADERS = {
    "sha256": "x-amz-checksum-sha256",
    "crc32": "x-amz-checksum-crc32",
    "crc32c": "x-amz-checksum-crc32c",
    "crc64nvme": "x-amz-checksum-crc64nvme",
    "md5": "content-md5",
}
"""The header of each checksum algorithm."""

CHECKSUM_NAMES = {
    "sha256": "ChecksumSHA256",
    "crc32": "ChecksumCRC32",
    "crc32c": "ChecksumCRC32C",
    "crc64nvme": "ChecksumCRC64NVME",
}
"""What S3 calls them in XML."""

_STORED = {name.encode(): algorithm for algorithm, name in CHECKSUM_HEADERS.items() if algorithm != "md5"}
_ELEMENT = {
    name: re.compile(rb"<%s>([^<]*)</%s>" % (name, name))
    for name in (
        *(b"Code", b"Message", b"RequestId", b"UploadId", b"ETag"),
        *[name.encode() for name in CHECKSUM_NAMES.values()],
    )
}


def stored(answer: Answer) -> Stored:
    """An acknowledgement: ETag, version, and the checksums that the store computed."""
    headers = answer.headers
    version = headers.get(b"x-amz-version-id")
    told = {} if _STORED.keys().isdisjoint(headers) else checksums(answer)
    etag = bare(headers.get(b"etag", b"").decode("latin-1"))
    return Stored(etag=etag, version=version.decode("latin-1") if version else "", checksums=told)


def etag(answer: Answer) -> str:
    """The ETag, bare; '' where there is none."""
    return bare(answer.header(b"etag"))


def bare(etag: str) -> str:
    """An ETag without its quotes.

    >>> bare('W/"abc"'), bare("abc")
    ('abc', 'abc')
    """
    return etag.removeprefix("W/").strip('"')


def checksums(answer: Answer) -> dict[str, str]:
    """The checksums among the headers, by algorithm."""
    if _STORED.keys().isdisjoint(answer.headers):
        return {}
    return {
        algorithm: answer.headers[name].decode("latin-1")
        for name, algorithm in _STORED.items()
        if name in answer.headers
    }


def told_checksums(body: bytes) -> dict[str, str]:
    """The checksums in an XML body, by algorithm."""
    found = {algorithm: element(body, name.encode()) for algorithm, name in CHECKSUM_NAMES.items()}
    return {algorithm: value for algorithm, value in found.items() if value}


def element(body: bytes, name: bytes) -> str:
    """The text of the first XML element of this name, '' where there is none. S3's elements have no attributes.

    >>> element(b"<Error><Code>SlowDown</Code></Error>", b"Code")
    'SlowDown'
    """
    found = _ELEMENT[name].search(body)
    if not found:
        return ""
    import html  # seldom needed, and its table of entities takes a while to load

    return html.unescape(found.group(1).decode(errors="replace")).strip()


def refusal(answer: Answer) -> StoreError:
    """The error of an answer that is no success."""
    return StoreError(
        answer.status,
        element(answer.body, b"Code"),
        _told(answer, element(answer.body, b"Message") or _phrase(answer.status)),
        request_id=answer.header(b"x-amz-request-id") or element(answer.body, b"RequestId"),
        skew=answer.skew(),
    )


def _phrase(status: int) -> str:
    from http import HTTPStatus  # as html above: a refusal can wait for it, a start need not

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _told(answer: Answer, message: str) -> str:
    return in_region(answer.status, answer.header(b"x-amz-bucket-region"), message)


def in_region(status: int | None, region: str, message: str) -> str:
    """The message of a refusal, and in which region the bucket is, if the answer told that and it matters.

    >>> in_region(301, "eu-west-1", "Use the bucket's endpoint.")
    "Use the bucket's endpoint. The bucket's region is eu-west-1."
    """
    if not region or status not in (301, 307, 400):
        return message
    return f"{message} The bucket's region is {region}.".strip()
