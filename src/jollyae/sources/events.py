"""What a broker's message says: pure functions from its bytes to events about objects.

Dialects: Amazon S3's event ("Event message structure" in its user guide), plain or wrapped by SNS; S3's event by way of
EventBridge; Ceph RGW's and MinIO's; and our own notifications (docs/NOTIFICATIONS.md). They differ in how the key is
written: form-urlencoded by all but EventBridge, which has it as it is, and Ceph RGW, which has it as it is at least up
to release 16 and does not say so. So an event of Ceph's has two readings where they differ, and the store is asked.
"""

from enum import StrEnum
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from ..spool.outcomes import Permanent

LIMIT = 1 << 20
"""Bytes of a message at the most: four times what SQS takes."""
_DEPTH = 3  # S3 by EventBridge by SNS by SQS
_HINT = "It is no event of an object store: look who writes into this queue."


class Kind(StrEnum):
    """What an event is about. TEST: S3 says that it may send; OTHER: neither a new object nor a removed one."""

    CREATED = "created"
    REMOVED = "removed"
    TEST = "test"
    OTHER = "other"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event about one object. ``size`` in bytes, -1 where it is not told; ``etag`` without quotes; ``version``: ''
    in a bucket without versions. ``otherwise``: the key by the other reading, where it is not known which is meant
    ('' : it is known). ``scheme``: what kind of store it is in: what is not 's3' cannot be fetched."""

    kind: Kind
    bucket: str = ""
    key: str = ""
    size: int = -1
    etag: str = ""
    version: str = ""
    sequencer: str = ""
    otherwise: str = ""
    scheme: str = "s3"

    @property
    def url(self) -> str:
        """The object, for people."""
        return f"{self.scheme}://{self.bucket}/{self.key}"


def read(body: bytes) -> list[Event]:
    """The events that a message tells of. Raises :class:`Permanent` for what is no such message.

    >>> about = '"s3": {"bucket": {"name": "b"}, "object": {"key": "a+b"}}'
    >>> body = '{"Records": [{"eventName": "ObjectCreated:Put", %s}]}' % about
    >>> [(event.kind.value, event.bucket, event.key) for event in read(body.encode())]
    [('created', 'b', 'a b')]
    """
    if len(body) > LIMIT:
        raise Permanent(f"a message of {len(body)} bytes", hint=_HINT, reason="size")
    try:
        return _events(msgspec.json.decode(body), _DEPTH)
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Permanent("a message that cannot be read as an event", hint=_HINT, reason="content") from error


def _events(told: Any, depth: int) -> list[Event]:
    if not isinstance(told, dict) or not depth:
        raise ValueError
    if "Records" in told:
        return [_record(one, told) for one in told["Records"]]
    if "detail-type" in told:
        return [_by_eventbridge(told)]
    if told.get("Event") == "s3:TestEvent":
        return [Event(kind=Kind.TEST, bucket=str(told.get("Bucket", "")))]
    if told.get("Type") == "Notification" and isinstance(told.get("Message"), str):
        return _events(msgspec.json.decode(told["Message"]), depth - 1)
    raise ValueError


def _record(record: dict[str, Any], whole: dict[str, Any]) -> Event:
    about = record["s3"]
    stored, source = about["object"], str(record.get("eventSource", ""))
    raw = _text(stored["key"])
    decoded = _text(unquote_plus(raw, errors="surrogateescape"))
    key, otherwise = (raw, decoded) if source.startswith("ceph:") else (decoded, "")
    return Event(
        kind=_kind(str(record["eventName"])),
        bucket=_text(about["bucket"]["name"]),
        key=key,
        otherwise=otherwise if otherwise != key else "",
        scheme=_scheme(whole, source),
        **_version_of(stored, "eTag", "versionId"),
    )


def _by_eventbridge(told: dict[str, Any]) -> Event:
    detail = told["detail"]
    stored = detail["object"]
    return Event(
        kind={"Object Created": Kind.CREATED, "Object Deleted": Kind.REMOVED}.get(told["detail-type"], Kind.OTHER),
        bucket=_text(detail["bucket"]["name"]),
        key=_text(stored["key"]),
        scheme=_scheme(detail, str(told.get("source", ""))),
        **_version_of(stored, "etag", "version-id"),
    )


def _version_of(stored: dict[str, Any], etag: str, version: str) -> dict[str, Any]:
    """Which state of the object it is: what a store may leave out, or have as null."""
    return {
        "size": int(stored["size"]) if stored.get("size") is not None else -1,
        "etag": _text(stored.get(etag) or "").strip('"'),
        "version": _text(stored.get(version) or "").replace("null", ""),
        "sequencer": _text(stored.get("sequencer") or ""),
    }


def _kind(name: str) -> Kind:
    match name.removeprefix("s3:").partition(":")[0]:
        case "ObjectCreated" | "ObjectSynced":
            return Kind.CREATED
        case "ObjectRemoved" | "LifecycleExpiration" | "ObjectLifecycle":
            return Kind.REMOVED
        case "TestEvent":
            return Kind.TEST
    return Kind.OTHER


def _scheme(told: dict[str, Any], source: str) -> str:
    """What kind of store the object is in. Our own notifications say it; all others are of stores of S3."""
    receipt = told.get("jollyae")
    if not isinstance(receipt, dict) or not source.startswith(("jollyae", "aws:s3")):
        return "s3"
    url = str(receipt.get("url", ""))
    return url.partition("://")[0] if "://" in url else "none"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value
