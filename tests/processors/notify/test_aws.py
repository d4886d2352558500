"""SQS, SNS and EventBridge, against moto: it speaks their protocols, so what is sent can be read again; of Amazon's own
limits, rights and signatures it proves nothing. What each error means is a table."""

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from jollyae.processors.notify import UrlError, aws
from jollyae.processors.notify.aws import Access, EventBridge, Sns, Sqs
from jollyae.processors.s3.transport import NoAnswer, StoreError
from jollyae.spool.outcomes import Permanent, Scope, Temporary
from tests import moto_server
from tests.processors.notify.scene import RECEIPT, item

ACCOUNT = "123456789012"
"""moto's."""
REGION = "eu-west-1"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a moto server of our own."""
    with moto_server.serve(tmp_path_factory.mktemp("moto") / "log") as address:
        yield address


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials for a mock, and no settings of this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


def _client(service: str, endpoint: str) -> Any:
    return boto3.Session().client(service, endpoint_url=endpoint, region_name=REGION)  # type: ignore[call-overload]


def _access(endpoint: str) -> Access:
    return Access(region=REGION, endpoint_url=endpoint)


def send(service: Any, directory: Path, times: int = 1, **more: Any) -> dict[str, Any]:
    """Send the message, and close; the receipt's fields of the last."""
    fields: dict[str, Any] = {}
    try:
        with item(directory, **more) as one:
            for _ in range(times):
                fields = service(one)
    finally:
        service.close()
    return fields


def _received(endpoint: str, queue: str) -> list[dict[str, Any]]:
    answer = _client("sqs", endpoint).receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    )
    return list(answer.get("Messages", []))


@pytest.mark.parametrize("form", ["sqs://{name}", f"sqs://{ACCOUNT}/{{name}}"])
def test_sqs(endpoint: str, tmp_path: Path, form: str) -> None:
    """The body is the message as it was written; the delivery id is an attribute. The receipt has Amazon's id."""
    name = f"queue-{len(form)}"
    queue = _client("sqs", endpoint).create_queue(QueueName=name)["QueueUrl"]
    fields = send(Sqs(form.format(name=name), _access(endpoint)), tmp_path)
    (got,) = _received(endpoint, queue)
    assert got["Body"].encode() == (tmp_path / f"{RECEIPT['id']}.json").read_bytes()
    told = {key: one["StringValue"] for key, one in got["MessageAttributes"].items()}
    assert told == {"deliveryId": RECEIPT["id"], "eventName": "ObjectCreated:Put", "bucket": "photos"}
    assert fields == {
        "notified": form.format(name=name),
        "delivery": RECEIPT["id"],
        "message": got["MessageId"],
    }


def test_a_queue_by_its_own_url() -> None:
    """What Amazon's console shows, with another scheme: no question for the URL is needed, and it has the region."""
    service = Sqs(f"sqs://sqs.{REGION}.amazonaws.com/{ACCOUNT}/name", Access())
    assert (service._url, service._region) == (f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/name", REGION)


def test_a_fifo_queue_drops_repeats_by_the_delivery_id(endpoint: str, tmp_path: Path) -> None:
    """The same delivery twice is one message there; one key is one group."""
    attributes = {"FifoQueue": "true"}
    queue = _client("sqs", endpoint).create_queue(QueueName="first.fifo", Attributes=attributes)["QueueUrl"]
    send(Sqs("sqs://first.fifo", _access(endpoint)), tmp_path, times=2)
    send(Sqs("sqs://first.fifo", _access(endpoint)), tmp_path, id="ffffffffffffffffffff")
    got = []
    while found := _received(endpoint, queue):
        got += found
        for one in found:
            _client("sqs", endpoint).delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
    assert [one["Attributes"]["MessageDeduplicationId"] for one in got] == [RECEIPT["id"], "ffffffffffffffffffff"]
    assert len({one["Attributes"]["MessageGroupId"] for one in got}) == 1


def test_repeats_in_a_standard_queue_are_told_by_the_id(endpoint: str, tmp_path: Path) -> None:
    """There both arrive; the attribute says that they are one."""
    queue = _client("sqs", endpoint).create_queue(QueueName="standard")["QueueUrl"]
    send(Sqs("sqs://standard", _access(endpoint)), tmp_path, times=2)
    got = _received(endpoint, queue)
    assert len(got) == 2 and len({one["MessageId"] for one in got}) == 2
    assert {one["MessageAttributes"]["deliveryId"]["StringValue"] for one in got} == {RECEIPT["id"]}


@pytest.mark.parametrize("fifo", [False, True])
def test_sns(endpoint: str, tmp_path: Path, fifo: bool) -> None:
    """What a subscribed queue gets is the message, with its attributes."""
    suffix, attributes = (".fifo", {"FifoQueue": "true"}) if fifo else ("", {})
    sqs, sns = _client("sqs", endpoint), _client("sns", endpoint)
    queue = sqs.create_queue(QueueName=f"subscribed{suffix}", Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=f"topic{suffix}", Attributes={"FifoTopic": "true"} if fifo else {})["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    fields = send(Sns(f"sns://{topic}", _access(endpoint)), tmp_path)
    told = json.loads(_received(endpoint, queue)[0]["Body"])
    assert told["Message"].encode() == (tmp_path / f"{RECEIPT['id']}.json").read_bytes()
    assert told["MessageAttributes"]["deliveryId"]["Value"] == RECEIPT["id"]
    assert (fields["notified"], fields["message"]) == (f"sns://{topic}", told["MessageId"])


def test_eventbridge(endpoint: str, tmp_path: Path) -> None:
    """A rule that looks for Amazon's own detail type finds the event; its detail is what S3 would tell there."""
    sqs, events = _client("sqs", endpoint), _client("events", endpoint)
    queue = sqs.create_queue(QueueName="from-bus")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.create_event_bus(Name="bus")
    pattern = {"detail-type": ["Object Created"], "detail": {"bucket": {"name": ["photos"]}}}
    events.put_rule(Name="rule", EventBusName="bus", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="rule", EventBusName="bus", Targets=[{"Id": "1", "Arn": arn}])
    fields = send(EventBridge("events://bus", _access(endpoint)), tmp_path)
    event = json.loads(_received(endpoint, queue)[0]["Body"])
    assert (event["source"], event["detail-type"], event["id"]) == ("jollyae.s3", "Object Created", fields["message"])
    assert event["resources"] == ["arn:aws:s3:::photos"]
    assert event["detail"]["object"]["key"] == "a/b.txt"
    assert event["detail"]["jollyae"]["deliveryId"] == RECEIPT["id"]


@pytest.mark.parametrize(
    ("service", "url"),
    [
        (Sqs, "sqs://missing"),
        (Sqs, f"sqs://{ACCOUNT}/missing"),
        (Sns, f"sns://arn:aws:sns:{REGION}:{ACCOUNT}:missing"),
    ],
)
def test_what_is_not_there_pauses_the_target(endpoint: str, tmp_path: Path, service: Any, url: str) -> None:
    """It may be made any minute; nothing is lost meanwhile."""
    with pytest.raises(Temporary) as raised:
        send(service(url, _access(endpoint)), tmp_path)
    assert (raised.value.scope, raised.value.reason) == (Scope.DESTINATION, "bucket")


def test_nobody_answers(tmp_path: Path) -> None:
    """As with every destination."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(Temporary) as raised:
            send(Sqs("sqs://queue", _access(endpoint)), tmp_path)
    assert (raised.value.scope, raised.value.reason) == (Scope.DESTINATION, "network")


def test_no_credentials_and_no_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment lacks is told, with what to do."""
    with pytest.raises(Temporary) as raised:
        send(Sqs("sqs://queue", Access()), tmp_path)
    assert "region" in raised.value.message and "AWS_REGION" in raised.value.hint
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Temporary) as raised:
        send(Sqs("sqs://queue", Access(region=REGION, endpoint_url="http://127.0.0.1:9")), tmp_path)
    assert raised.value.reason == "credentials"


def test_the_region_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_REGION, as the hint says, which boto3 alone does not read; what we are told comes first."""
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    for access, region in ((Access(), "eu-north-1"), (Access(region=REGION), REGION)):
        service = Sqs("sqs://queue", access)
        assert service._client().meta.region_name == region
        service.close()


def test_a_file_that_is_no_message_is_sent_nowhere(tmp_path: Path) -> None:
    """It fails before any client is made."""
    with item(tmp_path, b"hello") as one, pytest.raises(Permanent):
        Sqs("sqs://queue", Access())(one)


@pytest.mark.parametrize(
    ("error", "scope", "reason", "throttled"),
    [
        (StoreError(403, "AccessDenied"), Scope.DESTINATION, "denied", False),
        (StoreError(403, "InvalidClientTokenId"), Scope.DESTINATION, "credentials", False),
        (StoreError(403, "ExpiredToken"), Scope.DESTINATION, "credentials", False),
        (StoreError(403, "SomethingNew"), Scope.DESTINATION, "denied", False),
        (StoreError(400, "AWS.SimpleQueueService.NonExistentQueue"), Scope.DESTINATION, "bucket", False),
        (StoreError(404, "NotFound"), Scope.DESTINATION, "bucket", False),
        (StoreError(403, "RequestThrottled"), Scope.DESTINATION, "throttled", True),
        (StoreError(400, "ThrottlingException"), Scope.DESTINATION, "throttled", True),
        (StoreError(200, "InternalException"), Scope.DESTINATION, "server", False),
        (StoreError(503, "ServiceUnavailable"), Scope.DESTINATION, "server", False),
        (StoreError(500, "New"), Scope.DESTINATION, "server", False),
        (StoreError(None, NoAnswer.TIMEOUT), Scope.DESTINATION, "timeout", False),
        (StoreError(None, NoAnswer.REFUSED), Scope.DESTINATION, "network", False),
        (StoreError(400, "InvalidParameterValue", "must be shorter"), Scope.UNSURE, "other", False),
        (StoreError(200, "MalformedDetail"), Scope.UNSURE, "other", False),
    ],
)
def test_what_an_error_means(error: StoreError, scope: Scope, reason: str, throttled: bool) -> None:
    """A table; nothing is given up for good."""
    told = aws.explain(error, "sqs://q")
    assert (told.scope, told.reason, told.throttled) == (scope, reason, throttled)
    assert told.hint and "sqs://q" in told.message


@pytest.mark.parametrize(
    ("service", "url"),
    [
        (Sqs, "sqs://"),
        (Sqs, "sqs://a/b/c"),
        (Sqs, "sqs://name/name"),
        (Sqs, "https://sqs"),
        (Sns, "sns://topic"),
        (Sns, "sns://arn:aws:sns:eu-west-1:1"),
        (EventBridge, "events://"),
        (EventBridge, "events://a b"),
    ],
)
def test_what_is_no_url(service: Any, url: str) -> None:
    """It is told at the start."""
    with pytest.raises(UrlError):
        service(url, Access())


def test_it_runs_in_threads(endpoint: str, tmp_path: Path) -> None:
    """Eight at a time with one client."""
    queue = _client("sqs", endpoint).create_queue(QueueName="many")["QueueUrl"]
    service = Sqs("sqs://many", _access(endpoint))

    async def live() -> None:
        with item(tmp_path) as one:
            await asyncio.gather(*(asyncio.to_thread(service, one) for _ in range(8)))

    asyncio.run(live())
    service.close()
    assert len(_received(endpoint, queue)) == 8


def test_what_is_there_is_looked_at_without_sending(endpoint: str) -> None:
    """For check: a queue, a topic and a bus tell their names; one that is missing is told."""
    queue = _client("sqs", endpoint).create_queue(QueueName="looked-at")["QueueUrl"]
    topic = _client("sns", endpoint).create_topic(Name="looked-at")["TopicArn"]
    _client("events", endpoint).create_event_bus(Name="looked-at")
    for service in (
        Sqs("sqs://looked-at", _access(endpoint)),
        Sns(f"sns://{topic}", _access(endpoint)),
        EventBridge("events://looked-at", _access(endpoint)),
    ):
        assert service.reach().endswith("looked-at")
        service.close()
    assert not _received(endpoint, queue)
    with pytest.raises(Temporary):
        EventBridge("events://missing", _access(endpoint)).reach()
