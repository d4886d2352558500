"""The message about one delivery: an S3 event notification, with jollyae's receipt beside it.

The shape is that of Amazon S3 ("Event message structure" in its user guide, version 2.1): programs written for those
find what they look for. The receipt is under the key ``jollyae``, with the delivery id, which is the same in every
repeat. Pure: the same receipt gives the same bytes.
"""

import os
import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote_plus, unquote, unquote_plus

import msgspec

from ...spool import names
from ...spool.item import Item
from ...spool.outcomes import Permanent

LIMIT = 64 << 10
"""Bytes of a message at the most: Amazon's limit for S3 event messages, and well below that of every way to go."""
OWN, AMAZON = "jollyae:s3", "aws:s3"
"""What may be said to be the source. Some programs want Amazon's."""
_LONG = 1024  # characters of a receipt's field, where the message would be too long
_HEX = re.compile("[0-9a-f]{8,64}")


def message(receipt: dict[str, Any], *, source: str = OWN, region: str = "us-east-1") -> bytes:
    """The message about the delivery that ``receipt`` tells of. ``region``: of the bucket, as far as we know.

    >>> import json
    >>> told = {"id": "00ff", "url": "s3://photos/a b+c.jpg", "size": 3, "claimed": "2026-11-21T10:00:00.000000Z"}
    >>> json.loads(message(told))["Records"][0]["s3"]["object"]["key"]
    'a+b%2Bc.jpg'
    """
    whole = _encoded({"Records": [_record(receipt, source, region)], "jollyae": _own(receipt)})
    if len(whole) <= LIMIT:
        return whole
    brief = {key: value if _is_short(value) else "(too long for a message)" for key, value in receipt.items()}
    whole = _encoded({"Records": [_record(receipt, source, region)], "jollyae": _own(brief)})
    if len(whole) <= LIMIT:
        return whole
    bare = {key: receipt[key] for key in ("size", "etag", "sha256", "finished", "attempts", "worker") if key in receipt}
    return _encoded({"Records": [_record(receipt, source, region)], "jollyae": _own(bare | {"id": receipt["id"]})})


def _is_short(value: Any) -> bool:
    return len(str(value)) <= _LONG


def _own(receipt: dict[str, Any]) -> dict[str, Any]:
    return {"deliveryId": receipt["id"], **receipt}


def _record(receipt: dict[str, Any], source: str, region: str) -> dict[str, Any]:
    bucket, key = place(receipt)
    stored = {
        "key": quote_plus(key, safe="/", errors="surrogateescape"),
        "size": receipt.get("size", 0),
        "eTag": str(receipt.get("etag", "")),
        "sequencer": sequencer(receipt),
    }
    if version := receipt.get("version"):
        stored["versionId"] = str(version)
    return {
        "eventVersion": "2.1",
        "eventSource": source,
        "awsRegion": region,
        "eventTime": _milliseconds(str(receipt.get("finished", ""))),
        "eventName": event(receipt),
        "userIdentity": {"principalId": "jollyae"},
        "requestParameters": {"sourceIPAddress": ""},
        "responseElements": {"x-amz-request-id": receipt["id"], "x-amz-id-2": str(receipt.get("worker", ""))},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "jollyae",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": ""},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": stored,
        },
    }


def event(receipt: dict[str, Any]) -> str:
    """What Amazon calls what happened."""
    return "ObjectCreated:CompleteMultipartUpload" if "parts" in receipt else "ObjectCreated:Put"


def place(receipt: dict[str, Any]) -> tuple[str, str]:
    """Bucket and key of the object; what went into no bucket has only a key: its path, or its name.

    >>> place({"url": "s3://photos/2026/a.jpg"}), place({"url": "file:///srv/a%20b"}), place({"name": "a"})
    (('photos', '2026/a.jpg'), ('', 'srv/a b'), ('', 'a'))
    """
    scheme, _, rest = str(receipt.get("url", "")).partition("://")
    if scheme == "file":
        return "", unquote(rest).lstrip("/")
    if rest:
        bucket, _, key = rest.partition("/")
        return bucket, key
    return "", str(receipt.get("name", ""))


def sequencer(receipt: dict[str, Any]) -> str:
    """Of two deliveries to one key, the greater is the later one, as text: programs drop what is older than what they
    know. It begins with the time of the claim, in microseconds since 1970, since one worker takes the items of one name
    in the order of their arrival; the delivery id follows.

    >>> sequencer({"id": "00ff", "claimed": "1970-01-01T00:00:01.000000Z"})
    '000000000F424000FF'
    """
    told = str(receipt.get("claimed", ""))
    try:
        micros = round(datetime.fromisoformat(told).timestamp() * 1e6)
    except ValueError:
        micros = 0
    return f"{micros:014x}{receipt['id']}".upper()


def _milliseconds(moment: str) -> str:
    """A receipt's time as Amazon writes it: some programs parse exactly three digits."""
    return f"{moment[:23]}Z" if len(moment) > 23 else moment


def _encoded(told: dict[str, Any]) -> bytes:
    """JSON, whatever a processor put into its receipt: the delivery is a fact."""
    try:
        return msgspec.json.encode(told, enc_hook=repr)
    except (TypeError, ValueError, RecursionError):  # text that is not UTF-8, a key that is no str
        return msgspec.json.encode(_plain(told))


def _plain(value: Any, depth: int = 8) -> Any:
    if isinstance(value, dict) and depth:
        return {names.encode(str(key)): _plain(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list) and depth:
        return [_plain(inner, depth - 1) for inner in value]
    return value if isinstance(value, int | float | bool | None) else names.encode(str(value))


# --- read again


@dataclass(frozen=True)
class Message:
    """A message that waits to be sent. ``id``: the delivery's; ``body``: as it was written."""

    id: str
    body: bytes

    @cached_property
    def told(self) -> dict[str, Any]:
        """What it says."""
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found

    @property
    def receipt(self) -> dict[str, Any]:
        """The receipt in it."""
        return dict(self.told["jollyae"])

    @property
    def record(self) -> dict[str, Any]:
        """Its one record of an S3 event."""
        return dict(self.told["Records"][0])

    def detail(self) -> dict[str, Any]:
        """What Amazon S3 would tell EventBridge of it: another shape for the same, where the key is as it is."""
        about_s3 = self.record["s3"]
        stored = about_s3["object"]
        key = unquote_plus(stored["key"], errors="surrogateescape")
        about = {
            "key": names.encode(key),
            "size": stored["size"],
            "etag": stored["eTag"],
            "sequencer": stored["sequencer"],
        }
        if "versionId" in stored:
            about["version-id"] = stored["versionId"]
        in_parts = str(self.record["eventName"]).endswith("CompleteMultipartUpload")
        return {
            "version": "0",
            "bucket": {"name": about_s3["bucket"]["name"]},
            "object": about,
            "request-id": self.id,
            "requester": "jollyae",
            "source-ip-address": "",
            "reason": "CompleteMultipartUpload" if in_parts else "PutObject",
            "jollyae": self.told["jollyae"],
        }


def read(body: bytes) -> Message:
    """The message with this body. Raises :class:`Permanent` for what is none."""
    found = Message("", body)
    try:
        told = found.told["jollyae"]["deliveryId"] if len(body) <= LIMIT else ""
        found.record["s3"]["object"]["key"]
    except (msgspec.DecodeError, KeyError, TypeError, IndexError, ValueError):
        told = ""
    if not _HEX.fullmatch(str(told)):
        hint = "Only jollyae puts messages here: look who wrote this one."
        raise Permanent("this is no notification", hint=hint, reason="content")
    return Message(str(told), body)


def of(item: Item) -> Message:
    """The message that is an item. Raises :class:`Permanent` for what is none."""
    return read(os.pread(item.fd, LIMIT + 1, 0))
