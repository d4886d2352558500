"""Events as AWS documents them, for tests: what S3, SQS, SNS and EventBridge call a function with."""

import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote_plus

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:arrivals"


def s3(bucket: str, key: str, name: str = "ObjectCreated:Put", **stored: Any) -> dict[str, Any]:
    """S3's own event about one object ("Event message structure", S3 user guide)."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-west-1",
                "eventTime": "2026-11-22T10:00:00.000Z",
                "eventName": name,
                "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
                "requestParameters": {"sourceIPAddress": "192.0.2.7"},
                "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZ"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "arrivals",
                    "bucket": {
                        "name": bucket,
                        "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                        "arn": f"arn:aws:s3:::{bucket}",
                    },
                    "object": {"key": quote_plus(key), "sequencer": "0055AED6DCD90281E5", **stored},
                },
            }
        ]
    }


def s3_test(bucket: str) -> dict[str, Any]:
    """What S3 sends when a notification is configured."""
    return {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2026-11-22T10:00:00.000Z",
        "Bucket": bucket,
        "RequestId": "5582815E1AEA5ADF",
        "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
    }


def eventbridge(bucket: str, key: str, kind: str = "Object Created", **stored: Any) -> dict[str, Any]:
    """The same by way of EventBridge ("EventBridge event message structure", S3 user guide): the key is as it is."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": kind,
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-11-22T10:00:00Z",
        "region": "eu-west-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {"key": key, "sequencer": "00617F08299329D189", **stored},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "192.0.2.7",
            "reason": "PutObject",
        },
    }


def by_sns(message: dict[str, Any]) -> dict[str, Any]:
    """What SNS puts into a queue, without raw delivery ("Amazon SNS message formats")."""
    return {
        "Type": "Notification",
        "MessageId": "dc1e94d9-56c5-5e96-808d-cc7f68faa162",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:arrivals",
        "Subject": "Amazon S3 Notification",
        "Message": json.dumps(message),
        "Timestamp": "2026-11-22T10:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "FMG5tlZhJNHLHUXvZgtZzlk24FzVa7oX0T4P03neeXw8ZEXZx6z35j2FOTuNYShn",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-example.pem",
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
    }


def sns(message: dict[str, Any]) -> dict[str, Any]:
    """What SNS calls a function with ("Using Lambda with Amazon SNS")."""
    told = by_sns(message)
    told["SigningCertUrl"], told["UnsubscribeUrl"] = told.pop("SigningCertURL"), told.pop("UnsubscribeURL")
    record = {
        "EventVersion": "1.0",
        "EventSubscriptionArn": f"{told['TopicArn']}:21be56ed-a058-49f5-8c98-aedd2564c486",
        "EventSource": "aws:sns",
        "Sns": {**told, "MessageAttributes": {}},
    }
    return {"Records": [record]}


def record(
    body: Any,
    message: str = "059f36b4-87a3-44ab-83d2-661975830a7d",
    received: int = 1,
    group: str = "",
    queue: str = QUEUE,
) -> dict[str, Any]:
    """One message of a queue ("Using Lambda with Amazon SQS"); ``group``: the queue is FIFO."""
    fifo = {"SequenceNumber": "18849496460467696128", "MessageGroupId": group, "MessageDeduplicationId": message}
    return {
        "messageId": message,
        "receiptHandle": f"AQEB{message}",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {
            "ApproximateReceiveCount": str(received),
            "SentTimestamp": "1795341600000",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1795341600001",
            **(fifo if group else {}),
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"{queue}.fifo" if group and queue == QUEUE else queue,
        "awsRegion": "eu-west-1",
    }


def sqs(*records: dict[str, Any]) -> dict[str, Any]:
    """A batch of a queue."""
    return {"Records": list(records)}


def failures(*messages: str) -> dict[str, Any]:
    """What the function answers where these failed."""
    return {"batchItemFailures": [{"itemIdentifier": message} for message in messages]}


def context(*seconds: float) -> Any:
    """A context that tells in turn that so many seconds are left, the last ever after."""
    left = list(seconds) or [60.0]

    def remaining() -> int:
        return int(1000 * (left.pop(0) if len(left) > 1 else left[0]))

    return SimpleNamespace(get_remaining_time_in_millis=remaining, aws_request_id="8476a536-e9f4-11e8-9739")
