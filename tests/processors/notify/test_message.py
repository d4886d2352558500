"""The message: an S3 event as Amazon documents it, with the receipt; small enough, whatever the receipt holds."""

import json
from typing import Any
from urllib.parse import unquote_plus

import pytest

from jollyae.processors.notify import message
from jollyae.spool import names
from jollyae.spool.outcomes import Permanent

RECEIPT: dict[str, Any] = {
    "id": "00112233445566778899",
    "name": "2026/Möwe & co.jpg",
    "size": 1024,
    "url": "s3://photos/2026/Möwe & co.jpg",
    "sha256": "ab" * 32,
    "etag": "d41d8cd98f00b204e9800998ecf8427e",
    "version": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
    "arrived": "2026-11-21T10:00:00.000000Z",
    "claimed": "2026-11-21T10:00:00.000500Z",
    "finished": "2026-11-21T10:00:01.234567Z",
    "attempts": 1,
    "worker": "host-1-abc",
}


def _told(receipt: dict[str, Any], **more: Any) -> Any:
    data = message.message(receipt, **more)
    assert len(data) <= message.LIMIT
    return json.loads(data)


def test_the_shape_is_amazons() -> None:
    """Every field of Amazon's event message structure 2.1, and the receipt under a key of its own."""
    told = _told(RECEIPT, region="eu-west-1")
    assert told["jollyae"] == {"deliveryId": RECEIPT["id"], **RECEIPT}
    (record,) = told["Records"]
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "jollyae:s3",
        "awsRegion": "eu-west-1",
        "eventTime": "2026-11-21T10:00:01.234Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "jollyae"},
        "requestParameters": {"sourceIPAddress": ""},
        "responseElements": {"x-amz-request-id": RECEIPT["id"], "x-amz-id-2": "host-1-abc"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "jollyae",
            "bucket": {"name": "photos", "ownerIdentity": {"principalId": ""}, "arn": "arn:aws:s3:::photos"},
            "object": {
                "key": "2026/M%C3%B6we+%26+co.jpg",
                "size": 1024,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
                "sequencer": record["s3"]["object"]["sequencer"],
            },
        },
    }


def test_an_upload_in_parts_and_amazons_own_name() -> None:
    """The event's name says how it was put; the source is Amazon's where that is wanted."""
    told = _told(RECEIPT | {"parts": 3}, source=message.AMAZON)
    assert told["Records"][0]["eventName"] == "ObjectCreated:CompleteMultipartUpload"
    assert told["Records"][0]["eventSource"] == "aws:s3"


def _lambda_handler(event: dict[str, Any]) -> list[tuple[str, str]]:
    """A consumer as Amazon's tutorials write it."""
    found = []
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        key = unquote_plus(record["s3"]["object"]["key"], encoding="utf-8")
        if record["eventName"].startswith("ObjectCreated:"):
            found.append((bucket, key))
    return found


@pytest.mark.parametrize(
    "key", ["plain", "a b", "a+b", "100%", "%41", "a&b=c?d#e", "ö/ü", "é", "'\"<>", "a//b", "~*()"]
)
def test_what_a_lambda_function_reads_is_the_key(key: str) -> None:
    """A program for Amazon's events finds bucket and key as they are."""
    assert _lambda_handler(_told(RECEIPT | {"url": f"s3://photos/{key}"})) == [("photos", key)]


def test_the_sequencer_orders_the_deliveries_of_one_name() -> None:
    """As text, a later claim has the greater one; a repeat ends in the same delivery id."""
    times = ["2026-11-21T10:00:00.000500Z", "2026-11-21T10:00:00.000501Z", "2026-11-22T00:00:00.000000Z"]
    found = [message.sequencer(RECEIPT | {"claimed": one}) for one in times]
    assert found == sorted(found) and len(set(found)) == 3
    assert all(one.endswith(RECEIPT["id"].upper()) and int(one, 16) for one in found)


@pytest.mark.parametrize(
    "more",
    [
        {"text": "x" * 100_000},
        {f"field{number}": "y" * 900 for number in range(200)},
        {"deep": [["z" * 70_000]]},
        {"name": names.encode("n" * 4000), "url": "s3://photos/" + "\N{SNOWMAN}" * 1000},
    ],
    ids=["a long field", "many fields", "nested", "a long name"],
)
def test_it_is_never_too_large(more: dict[str, Any]) -> None:
    """64 KiB are Amazon's limit; what does not fit is left out of the receipt, never the object or the id."""
    told = _told(RECEIPT | more)
    assert told["jollyae"]["deliveryId"] == RECEIPT["id"]
    assert told["Records"][0]["s3"]["object"]["eTag"] == RECEIPT["etag"]


@pytest.mark.parametrize(
    "odd", [{"x": object()}, {1: 2}, {"x": "\udcff"}, {"x": float("nan")}, {"x": {1, 2}}, {"url": "s3://b/\udcff"}]
)
def test_whatever_a_receipt_holds_there_is_a_message(odd: dict[Any, Any]) -> None:
    """The delivery is a fact; a message that cannot be written would be no help."""
    assert _told(RECEIPT | odd)["jollyae"]["deliveryId"] == RECEIPT["id"]


def test_what_has_no_bucket() -> None:
    """A file or a command's item has a key only: the path, the name."""
    told = _told(RECEIPT | {"url": "file:///srv/a%20b"})["Records"][0]["s3"]
    assert (told["bucket"]["name"], told["object"]["key"]) == ("", "srv/a+b")
    bare = {key: value for key, value in RECEIPT.items() if key not in ("url", "etag", "version", "sha256")}
    told = _told(bare)["Records"][0]["s3"]
    assert (told["bucket"]["name"], told["object"]["eTag"]) == ("", "")


def test_eventbridge_has_its_own_shape() -> None:
    """There Amazon tells the key as it is, and names its fields otherwise."""
    body = message.message(RECEIPT)
    told = message.Message(RECEIPT["id"], body).detail()
    assert told["object"] == {
        "key": "2026/Möwe & co.jpg",
        "size": 1024,
        "etag": RECEIPT["etag"],
        "version-id": RECEIPT["version"],
        "sequencer": message.sequencer(RECEIPT),
    }
    assert (told["bucket"], told["reason"]) == ({"name": "photos"}, "PutObject")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"jollyae": {"deliveryId": "../../x"}}',
        b'{"jollyae": {"deliveryId": "00112233"}}',
        b"x" * (1 << 20),
    ],
)
def test_a_file_that_is_no_message_is_refused(body: bytes) -> None:
    """Somebody else's file among the notifications fails, and is sent nowhere."""
    with pytest.raises(Permanent):
        message.read(body)


def test_a_message_is_read_as_it_was_written() -> None:
    """The body is what is signed and sent, byte for byte."""
    body = message.message(RECEIPT)
    found = message.read(body)
    assert (found.id, found.body) == (RECEIPT["id"], body)
