"""A message to Amazon's queues: SQS, SNS and EventBridge, through boto3, in threads.

boto3 finds credentials, region and endpoint as always (also ``AWS_ENDPOINT_URL_SQS`` and the like). One attempt for
each call: the worker retries. The delivery id is an attribute of each message; of a FIFO queue it is the id by which
the queue itself drops repeats, within the five minutes that it remembers them.
"""

import hashlib
import os
import re
import threading
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from ...spool.item import Item
from ...spool.outcomes import Scope, Temporary
from ..s3 import session
from ..s3.boto import guarded
from ..s3.transport import NoAnswer, StoreError
from . import UrlError, message
from .message import Message

CONNECTIONS = 8
"""Calls at a time."""
DETAIL_TYPE = "Object Created"
"""EventBridge: as Amazon S3 calls it."""
SOURCE = "jollyae.s3"
"""EventBridge: names that begin with ``aws.`` are Amazon's own."""
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How Amazon is reached, where the environment is not to decide."""

    region: str = ""
    profile: str = ""
    endpoint_url: str = ""


class _Service:
    """One client, made when it is first needed (0.3 s of CPU), for all threads."""

    service: ClassVar[str]

    def __init__(self, shown: str, region: str, access: Access) -> None:
        self.shown = shown
        self._region = region
        self._access = access
        self._lock = threading.Lock()
        self._made: Any = None

    def __call__(self, item: Item) -> dict[str, Any]:
        """Send the message that is an item. Raises :class:`Temporary` and :class:`~.Permanent`."""
        told = message.of(item)
        try:
            sent = str(guarded(lambda: self._send(self._client(), told)))
        except StoreError as error:
            raise explain(error, self.shown) from error
        return {"notified": self.shown, "delivery": told.id, "message": sent}

    def reach(self) -> str:
        """Look at the queue, and send nothing; what was found. It needs a right that sending does not. Raises
        :class:`Temporary`."""
        try:
            return str(guarded(lambda: self._look(self._client())))
        except StoreError as error:
            raise explain(error, self.shown) from error

    def _look(self, client: Any) -> str:
        """What it is called by Amazon."""
        raise NotImplementedError

    def _send(self, client: Any, told: Message) -> str:
        """Send it; the id that it was given."""
        raise NotImplementedError

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> Any:
        import boto3
        from botocore.config import Config

        made = boto3.Session(profile_name=self._access.profile or None)
        config = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=session.CONNECT_TIMEOUT,
            read_timeout=30.0,
            max_pool_connections=CONNECTIONS,
        )
        return made.client(
            self.service,  # type: ignore[call-overload]
            # The SDKs' common variable, which boto3 does not read, before boto3's own.
            region_name=self._access.region or self._region or os.environ.get("AWS_REGION") or None,
            endpoint_url=self._access.endpoint_url or None,
            config=config,
        )

    def close(self) -> None:
        """Close its connections."""
        if self._made is not None:
            self._made.close()


class Sqs(_Service):
    """``sqs://NAME``, ``sqs://ACCOUNT/NAME``, or the queue's own URL with ``sqs://`` for ``https://``."""

    service = "sqs"

    def __init__(self, url: str, access: Access) -> None:
        place = _rest(url, "sqs")
        first, _, rest = place.partition("/")
        super().__init__(f"sqs://{place}", _region_in(first), access)
        self._is_fifo = place.endswith(".fifo")
        self._url = f"https://{place}" if "." in first and rest else ""
        self._named: dict[str, str] = {"QueueName": rest or first}
        if rest and not self._url:
            if not (first.isdigit() and "/" not in rest):
                raise UrlError("a queue is sqs://NAME, sqs://ACCOUNT/NAME or sqs://HOST/ACCOUNT/NAME, by its own URL")
            self._named["QueueOwnerAWSAccountId"] = first

    def reached(self) -> tuple[Any, str]:
        """The client, made if it was not yet, and the queue's URL. Raises what boto3 raises."""
        client = self._client()
        return client, self._queue(client)

    def _look(self, client: Any) -> str:
        found = client.get_queue_attributes(QueueUrl=self._queue(client), AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    def _queue(self, client: Any) -> str:
        if not self._url:
            self._url = client.get_queue_url(**self._named)["QueueUrl"]
        return self._url

    def _send(self, client: Any, told: Message) -> str:
        answer = client.send_message(
            QueueUrl=self._queue(client),
            MessageBody=told.body.decode(),
            MessageAttributes=_attributes(told),
            **self._fifo(told),
        )
        return str(answer["MessageId"])

    def _fifo(self, told: Message) -> dict[str, str]:
        return fifo(told) if self._is_fifo else {}


class Sns(_Service):
    """``sns://ARN`` of a topic."""

    service = "sns"

    def __init__(self, url: str, access: Access) -> None:
        self._arn = _rest(url, "sns")
        if not self._arn.startswith("arn:") or self._arn.count(":") != 5:
            raise UrlError("a topic is sns://arn:aws:sns:REGION:ACCOUNT:NAME")
        super().__init__(f"sns://{self._arn}", self._arn.split(":")[3], access)

    def _look(self, client: Any) -> str:
        return str(client.get_topic_attributes(TopicArn=self._arn)["Attributes"]["TopicArn"])

    def _send(self, client: Any, told: Message) -> str:
        more = fifo(told) if self._arn.endswith(".fifo") else {}
        answer = client.publish(
            TopicArn=self._arn, Message=told.body.decode(), MessageAttributes=_attributes(told), **more
        )
        return str(answer["MessageId"])


class EventBridge(_Service):
    """``events://BUS``: a bus's name or ARN. The event has Amazon S3's shape for EventBridge, which is another."""

    service = "events"

    def __init__(self, url: str, access: Access) -> None:
        self._bus = _rest(url, "events")
        region = self._bus.split(":")[3] if self._bus.startswith("arn:") and self._bus.count(":") >= 5 else ""
        super().__init__(f"events://{self._bus}", region, access)

    def _look(self, client: Any) -> str:
        return str(client.describe_event_bus(Name=self._bus)["Arn"])

    def _send(self, client: Any, told: Message) -> str:
        detail = told.detail()
        entry: dict[str, Any] = {
            "Source": SOURCE,
            "DetailType": DETAIL_TYPE,
            "Detail": msgspec.json.encode(detail).decode(),
            "EventBusName": self._bus,
        }
        if bucket := detail["bucket"]["name"]:
            entry["Resources"] = [f"arn:aws:s3:::{bucket}"]
        (answer,) = client.put_events(Entries=[entry])["Entries"]
        if code := answer.get("ErrorCode"):  # the call itself was well
            raise StoreError(200, str(code), str(answer.get("ErrorMessage", "")))
        return str(answer["EventId"])


SERVICES: dict[str, Any] = {"sqs": Sqs, "sns": Sns, "events": EventBridge}
"""By the scheme of the URL."""


def _rest(url: str, scheme: str) -> str:
    rest = url.removeprefix(f"{scheme}://")
    if not rest or rest == url or not rest.isprintable() or " " in rest:
        raise UrlError(f"{url} names nothing")
    return rest


def _region_in(host: str) -> str:
    """The region in the host of a queue's URL.

    >>> _region_in("sqs.eu-west-1.amazonaws.com"), _region_in("queue")
    ('eu-west-1', '')
    """
    return next((part for part in host.split(".") if _REGION.fullmatch(part)), "")


def _attributes(told: Message) -> dict[str, Any]:
    """By which a message can be told and filtered without reading it."""
    record = told.record
    found = {"deliveryId": told.id, "eventName": record["eventName"], "bucket": record["s3"]["bucket"]["name"]}
    return {name: {"DataType": "String", "StringValue": text} for name, text in found.items() if text}


def fifo(told: Message) -> dict[str, str]:
    """What a FIFO queue is told besides: the delivery is its identity, and the deliveries to one key are in order."""
    stored = told.record["s3"]
    where = f"{stored['bucket']['name']}/{stored['object']['key']}"
    group = hashlib.sha256(where.encode()).hexdigest()[:32]
    return {"MessageDeduplicationId": told.id, "MessageGroupId": group}


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of the table: all of these are the destination's."""

    what: str
    hint: str
    reason: str
    throttled: bool = False


_MISSING = Meaning("there is no such queue", "Check its name, account and region.", "bucket")
_SLOW = Meaning("it asks for fewer", "Nothing to do: fewer are sent.", "throttled", throttled=True)
_UNWELL = Meaning("it is unwell", "Nothing to do but wait: it is tried again.", "server")
_NEEDED = "The credentials need sqs:SendMessage and sqs:GetQueueUrl, sns:Publish, or events:PutEvents."
_DENIED = Meaning("access denied", _NEEDED, "denied")
_KEYS = Meaning("the credentials are not accepted", "Check access key, secret and region.", "credentials")
_EXPIRED = Meaning("the credentials have expired", "Renew them (Try: aws sso login).", "credentials")
_AWAY = Meaning("it cannot be reached", "Check the network, the region and the endpoint's URL.", "network")
_LATE = Meaning("no answer in time", "Check the network.", "timeout")
_BY_CODE: dict[str, Meaning] = {
    NoAnswer.TIMEOUT: _LATE,
    NoAnswer.TLS: Meaning("no secure connection", "Check AWS_CA_BUNDLE and the endpoint's URL.", "tls"),
    NoAnswer.CREDENTIALS: Meaning("no credentials", "Give some. Try: aws configure", "credentials"),
    NoAnswer.PROFILE: Meaning("there is no such profile", "Try: aws configure list-profiles", "credentials"),
    NoAnswer.CLIENT: Meaning("the request could not be made", "Give a region: AWS_REGION, or in the URL.", "other"),
    **dict.fromkeys(("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"), _MISSING),
    **dict.fromkeys(("NotFound", "NotFoundException", "ResourceNotFoundException"), _MISSING),
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "AuthorizationError"), _DENIED),
    **dict.fromkeys(("OverLimit", "RequestThrottled", "Throttled", "Throttling", "ThrottlingException"), _SLOW),
    **dict.fromkeys(("TooManyRequestsException", "KMSThrottlingException", "RequestLimitExceeded"), _SLOW),
    **dict.fromkeys(("InternalFailure", "InternalException", "InternalError", "ServiceUnavailable"), _UNWELL),
    **dict.fromkeys(("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"), _KEYS),
    **dict.fromkeys(("MissingAuthenticationToken", "IncompleteSignature", "InvalidToken"), _KEYS),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"), _EXPIRED),
}
_BY_STATUS = {401: _KEYS, 403: _DENIED, 404: _MISSING, 429: _SLOW}


def explain(error: StoreError, where: str) -> Temporary:
    """What Amazon's answer means: the queue's fault pauses it; what we do not know may be this message's."""
    text = f"{where}: {' '.join(filter(None, (error.code, error.message)))}"
    if (row := meaning(error)) is None:
        hint = "Look at what it says: is it a limit of the queue?"
        return Temporary(f"it refused: {text}", hint=hint, scope=Scope.UNSURE, reason="other")
    scope = Scope.DESTINATION
    return Temporary(f"{row.what}: {text}", hint=row.hint, scope=scope, reason=row.reason, throttled=row.throttled)


def meaning(error: StoreError) -> Meaning | None:
    """The row for an error: by its code, else by its status; None where it tells nothing."""
    if row := _BY_CODE.get(error.code):
        return row
    if error.status is None:
        return _AWAY
    return _BY_STATUS.get(error.status) or (_UNWELL if error.status >= 500 else None)
