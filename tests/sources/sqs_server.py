"""A small server of SQS's protocol (AWS JSON 1.0) that keeps its times to the tenth of a second, and that can be
made to deliver twice and to be unwell: what no mock does. Of Amazon's rights and signatures it knows nothing."""

import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCOUNT = "123456789012"


@dataclass
class Kept:
    """A message in a queue. ``visible``: when it may be received (monotonic); ``handle``: of the last reception."""

    body: str
    attributes: dict[str, Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    visible: float = 0.0
    count: int = 0
    handle: str = ""


@dataclass
class Queue:
    """A queue. ``received``: each reception, when and of what (monotonic, body)."""

    attributes: dict[str, str]
    messages: list[Kept] = field(default_factory=list)
    received: list[tuple[float, str]] = field(default_factory=list)


class Refused(Exception):
    """What SQS answers with 400."""


class SqsServer:
    """The server. ``twice``: each reception leaves the message visible to the next one as well, once; ``unwell``: every
    call is answered with 503; ``forbidden``: the calls that are."""

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.twice = False
        self.unwell = False
        self.forbidden: set[str] = set()
        self.lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> "SqsServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One call."""
        told = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        name = request.headers["X-Amz-Target"].partition(".")[2]
        try:
            if self.unwell:
                status, body = 503, {"__type": "ServiceUnavailable", "message": "unwell"}
            elif name in self.forbidden:
                status, body = 403, {"__type": "AccessDeniedException", "message": "no"}
            else:
                status, body = 200, getattr(self, f"_{name}")(told)
        except Refused as error:
            status, body = 400, {"__type": f"com.amazonaws.sqs#{error}", "message": str(error)}
        data = json.dumps(body).encode()
        try:
            request.send_response(status)
            request.send_header("Content-Type", "application/x-amz-json-1.0")
            request.send_header("Content-Length", str(len(data)))
            request.end_headers()
            request.wfile.write(data)
        except OSError:
            request.close_connection = True  # who asked is gone

    # --- what a test does itself

    def make(self, name: str, visibility: float = 30.0, *, dead: str = "") -> Queue:
        """A queue."""
        attributes = {"VisibilityTimeout": str(visibility), "QueueArn": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{name}"}
        if dead:
            arn = f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{dead}"
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 100})
        with self.lock:
            self.queues[name] = Queue(attributes)
            return self.queues[name]

    def send(self, name: str, body: str) -> None:
        """Put a message in."""
        with self.lock:
            self.queues[name].messages.append(Kept(body, {}))

    # --- the calls

    def _queue(self, told: dict[str, Any]) -> Queue:
        found = self.queues.get(told["QueueUrl"].rpartition("/")[2])
        if found is None:
            raise Refused("QueueDoesNotExist")
        return found

    def _GetQueueUrl(self, told: dict[str, Any]) -> dict[str, Any]:
        if told["QueueName"] not in self.queues:
            raise Refused("QueueDoesNotExist")
        return {"QueueUrl": f"{self.endpoint}/{ACCOUNT}/{told['QueueName']}"}

    def _GetQueueAttributes(self, told: dict[str, Any]) -> dict[str, Any]:
        found = self._queue(told)
        now = time.monotonic()
        waiting = sum(kept.visible <= now for kept in found.messages)
        return {"Attributes": found.attributes | {"ApproximateNumberOfMessages": str(waiting)}}

    def _SendMessage(self, told: dict[str, Any]) -> dict[str, Any]:
        kept = Kept(told["MessageBody"], told.get("MessageAttributes", {}))
        with self.lock:
            self._queue(told).messages.append(kept)
        return {"MessageId": kept.id, "MD5OfMessageBody": md5(kept.body.encode()).hexdigest()}

    def _ReceiveMessage(self, told: dict[str, Any]) -> dict[str, Any]:
        until = time.monotonic() + told.get("WaitTimeSeconds", 0)
        while not (found := self._receive(told)) and time.monotonic() < until and not self.unwell:
            time.sleep(0.02)
        return {"Messages": found} if found else {}

    def _receive(self, told: dict[str, Any]) -> list[dict[str, Any]]:
        now = time.monotonic()
        found: list[dict[str, Any]] = []
        with self.lock:
            queue = self._queue(told)
            hidden = float(told.get("VisibilityTimeout", queue.attributes["VisibilityTimeout"]))
            for kept in queue.messages:
                if kept.visible > now or len(found) == told.get("MaxNumberOfMessages", 1):
                    continue
                kept.count += 1
                kept.handle = uuid.uuid4().hex
                kept.visible = now + (0.0 if self.twice and kept.count == 1 else hidden)
                queue.received.append((now, kept.body))
                found.append(
                    {
                        "MessageId": kept.id,
                        "ReceiptHandle": f"{kept.id}/{kept.handle}",
                        "Body": kept.body,
                        "MD5OfBody": md5(kept.body.encode()).hexdigest(),
                        "Attributes": {"ApproximateReceiveCount": str(kept.count)},
                        "MessageAttributes": kept.attributes,
                    }
                )
        return found

    def _ChangeMessageVisibilityBatch(self, told: dict[str, Any]) -> dict[str, Any]:
        now = time.monotonic()

        def change(queue: Queue, kept: Kept, entry: dict[str, Any]) -> bool:
            if kept.visible <= now:
                return False  # not in flight any more
            kept.visible = now + entry["VisibilityTimeout"]
            return True

        return self._batch(told, change)

    def _DeleteMessageBatch(self, told: dict[str, Any]) -> dict[str, Any]:
        def delete(queue: Queue, kept: Kept, entry: dict[str, Any]) -> bool:
            queue.messages.remove(kept)
            return True

        return self._batch(told, delete)

    def _batch(self, told: dict[str, Any], act: Any) -> dict[str, Any]:
        done, failed = [], []
        with self.lock:
            queue = self._queue(told)
            for entry in told["Entries"]:
                identity, _, handle = entry["ReceiptHandle"].partition("/")
                kept = next((one for one in queue.messages if one.id == identity and one.handle == handle), None)
                if kept is not None and act(queue, kept, entry):
                    done.append({"Id": entry["Id"]})
                else:
                    failed.append({"Id": entry["Id"], "SenderFault": True, "Code": "ReceiptHandleIsInvalid"})
        return {"Successful": done, "Failed": failed}
