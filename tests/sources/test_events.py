"""What messages say: each dialect read, and what is none of them refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae import Permanent
from jollyae.processors.notify.message import message
from jollyae.processors.notify.message import read as read_notification
from jollyae.sources.events import LIMIT, Event, Kind, read


def record(key: str, source: str = "aws:s3", name: str = "ObjectCreated:Put", **stored: Any) -> dict[str, Any]:
    """One record of an S3 event."""
    about = {"key": key, "size": 3, "eTag": "abc", **stored}
    return {"eventSource": source, "eventName": name, "s3": {"bucket": {"name": "photos"}, "object": about}}


def s3_event(*records: dict[str, Any], **more: Any) -> bytes:
    """A message of S3."""
    return json.dumps({"Records": list(records), **more}).encode()


def one(body: bytes) -> Event:
    """The only event of a message."""
    (event,) = read(body)
    return event


EVENTBRIDGE = {
    "version": "0",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "detail": {
        "bucket": {"name": "photos"},
        "object": {"key": "a b+c", "size": 3, "etag": "abc", "version-id": "v1", "sequencer": "01"},
    },
}


def test_amazons_own() -> None:
    """The key is urlencoded, with + for a blank; a version is told."""
    event = one(s3_event(record("2026/a+b%2Bc+%C3%BC.jpg", versionId="v1", sequencer="0A")))
    assert (event.kind, event.bucket, event.key) == (Kind.CREATED, "photos", "2026/a b+c ü.jpg")
    assert (event.size, event.etag, event.version, event.sequencer, event.otherwise) == (3, "abc", "v1", "0A", "")


def test_wrapped_by_sns() -> None:
    """SNS has the event as text in a message of its own."""
    assert one(json.dumps({"Type": "Notification", "Message": s3_event(record("a+b")).decode()}).encode()).key == "a b"


@pytest.mark.parametrize("wrapped", [False, True])
def test_eventbridges_shape(wrapped: bool) -> None:
    """The key is as it is; SNS may be around it."""
    told: dict[str, Any] = EVENTBRIDGE
    if wrapped:
        told = {"Type": "Notification", "Message": json.dumps(told)}
    event = one(json.dumps(told).encode())
    assert (event.key, event.size, event.etag, event.version) == ("a b+c", 3, "abc", "v1")


def test_ceph_has_two_readings() -> None:
    """RGW 16 writes the key as it is and others may encode it: both readings are told where they differ."""
    event = one(s3_event(record("a+b%20c", "ceph:s3", "s3:ObjectCreated:Put")))
    assert (event.key, event.otherwise) == ("a+b%20c", "a b c")
    assert one(s3_event(record("plain.txt", "ceph:s3", "s3:ObjectCreated:Put"))).otherwise == ""


def test_minios_own() -> None:
    """More keys at the top, slashes encoded in the key, no size for what was removed."""
    told = {"EventName": "s3:ObjectCreated:Put", "Key": "photos/2026/a b"}
    event = one(s3_event(record("2026%2Fa+b", "minio:s3", "s3:ObjectCreated:Put"), **told))
    assert (event.kind, event.key) == (Kind.CREATED, "2026/a b")


@pytest.mark.parametrize("url", ["s3://photos/2026/a b+c.jpg", "gs://photos/a", "file:///srv/a", ""])
def test_our_own_notifications(url: str) -> None:
    """They are read whatever they are about; what is in no bucket of S3 is told as such."""
    body = message({"id": "00ff00ff", "url": url, "name": "n", "size": 3})
    event = one(body)
    assert event.scheme == (url.partition("://")[0] or "none")
    if event.scheme == "s3":
        assert (event.bucket, event.key) == ("photos", "2026/a b+c.jpg")
        detail = read_notification(body).detail()
        by_eventbridge = {"detail-type": "Object Created", "source": "jollyae.s3", "detail": detail}
        assert one(json.dumps(by_eventbridge).encode()).key == event.key


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ObjectCreated:CompleteMultipartUpload", Kind.CREATED),
        ("s3:ObjectCreated:Copy", Kind.CREATED),
        ("ObjectRemoved:DeleteMarkerCreated", Kind.REMOVED),
        ("LifecycleExpiration:Delete", Kind.REMOVED),
        ("ObjectRestore:Completed", Kind.OTHER),
        ("ObjectTagging:Put", Kind.OTHER),
    ],
)
def test_kinds(name: str, kind: Kind) -> None:
    """New objects, removed ones and the rest are told apart."""
    assert one(s3_event(record("a", name=name))).kind is kind


def test_the_test_event() -> None:
    """What S3 sends when notifications are set up."""
    assert one(b'{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "photos"}').kind is Kind.TEST


def test_many_records_in_one_message() -> None:
    """All of them are told."""
    assert [event.key for event in read(s3_event(record("a"), record("b")))] == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"null",
        b"{}",
        b'{"Records": 3}',
        b'{"Records": [{}]}',
        b'{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": 1}, "object": {"key": "a"}}}]}',
        b'{"Type": "Notification", "Message": "hello"}',
        b'{"detail-type": "Object Created"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * (LIMIT + 1),
    ],
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    """With a reason and a hint, and never by another error."""
    with pytest.raises(Permanent) as caught:
        read(body)
    assert caught.value.hint


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "Records",
                        "s3",
                        "object",
                        "key",
                        "bucket",
                        "name",
                        "eventName",
                        "detail",
                        "detail-type",
                        "Type",
                        "Message",
                    ]
                ),
                inner,
            )
        ),
    )
)
def test_whatever_comes_is_read_or_refused(told: Any) -> None:
    """No JSON makes it raise anything else."""
    try:
        read(json.dumps(told).encode())
    except Permanent as error:
        assert error.message
