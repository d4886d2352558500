"""Lambda's part, on loopback: the Runtime API with a real process of a function behind it, and the poller of a queue.

The API is that of "Using the Lambda runtime API" in Lambda's developer guide; the process is Amazon's own runtime
interface client (awslambdaric) with the handler. As Lambda does, a process that has not answered by its deadline is
killed, and one that has ended is started anew for the next call.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from . import events

START = 60.0
"""Seconds in which a process must ask for its first event."""


class FunctionError(Exception):
    """The function answered with an error."""


class Died(Exception):
    """The process ended, or was ended at its deadline, without an answer."""


class Sandbox:
    """One process of the function, and the API that it asks for work. ``handler``: ``module.name``."""

    def __init__(self, handler: str, task: Path, environment: dict[str, str], log: Path) -> None:
        self._events: Queue[tuple[str, bytes, float]] = Queue()
        self._answers: Queue[tuple[str, str, Any]] = Queue()
        self.is_asking = threading.Event()
        sandbox = self

        class Api(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == "/2018-06-01/runtime/invocation/next", self.path
                sandbox.is_asking.set()
                if (event := sandbox._next()) is None:
                    return
                number, body, deadline = event
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", number)
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int(deadline * 1000)))
                self.send_header(
                    "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:f"
                )
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                parts = self.path.split("/")  # '', version, runtime, invocation, id, response|error; or …, init, error
                number = parts[4] if parts[3] == "invocation" else ""
                sandbox._answers.put((number, parts[-1], json.loads(body)))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        function = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "LAMBDA_TASK_ROOT": str(task),
        }
        command = [sys.executable, "-m", "awslambdaric", handler]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, cwd=task, env={**environment, **function}, stdout=output, stderr=output
            )

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def call(self, event: Any, seconds: float) -> Any:
        """What the function answers. Raises :class:`FunctionError` and :class:`Died`."""
        self._started()
        number, deadline = str(uuid.uuid4()), time.time() + seconds
        self._events.put((number, json.dumps(event).encode(), deadline))
        while True:
            try:
                answered, kind, told = self._answers.get(timeout=0.02)
            except Empty:
                if time.time() > deadline:
                    self._process.kill()
                    raise Died("it was killed at its deadline") from None
                if not self.is_alive and self._answers.empty():
                    raise Died(f"it ended: {self._process.returncode}") from None
                continue
            assert answered == number, (answered, kind, told)
            if kind == "error":
                raise FunctionError(f"{told['errorType']}: {told['errorMessage']}")
            return told

    def close(self) -> None:
        """End both."""
        self._process.kill()
        self._process.wait()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _started(self) -> None:
        deadline = time.monotonic() + START
        while not self.is_asking.wait(0.02):
            assert self.is_alive, "the function did not start"
            assert time.monotonic() < deadline, "the function takes too long to start"

    def _next(self) -> tuple[str, bytes, float] | None:
        while self.is_alive:
            with contextlib.suppress(Empty):
                return self._events.get(timeout=0.05)
        return None


class Function:
    """A function: a sandbox that is there when it is called."""

    def __init__(self, handler: str, task: Path, environment: dict[str, str], log: Path, seconds: float = 30.0) -> None:
        self._how = (handler, task, {**environment, "PATH": os.environ["PATH"]}, log)
        self._seconds = seconds
        self._sandbox: Sandbox | None = None
        self.log = log
        self.starts = 0

    def __call__(self, event: Any) -> Any:
        """See :meth:`Sandbox.call`."""
        if self._sandbox is None or not self._sandbox.is_alive:
            self.close()
            self._sandbox = Sandbox(*self._how)
            self.starts += 1
        return self._sandbox.call(event, self._seconds)

    def close(self) -> None:
        """End it."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None


@contextlib.contextmanager
def function(*arguments: Any, **more: Any) -> Iterator[Function]:
    """A function for the context."""
    made = Function(*arguments, **more)
    try:
        yield made
    finally:
        made.close()


def poll(sqs: Any, url: str, called: Function) -> bool:
    """What Lambda does for a queue: take a batch, call the function with it, and delete what did not fail. A call that
    failed deletes nothing. Whether there was anything."""
    taken = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"], WaitTimeSeconds=0
    ).get("Messages", [])
    if not taken:
        return False
    records = []
    for one in taken:
        made = events.record(one["Body"], one["MessageId"])
        records.append({**made, "receiptHandle": one["ReceiptHandle"], "attributes": one["Attributes"]})
    try:
        answer = called(events.sqs(*records))
        failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
    except (Died, FunctionError):
        return True
    assert failed <= {one["MessageId"] for one in taken}
    for one in taken:
        if one["MessageId"] not in failed:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    return True
