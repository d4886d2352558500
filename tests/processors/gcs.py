"""A small server with the part of Google's XML API that delivery uses, on a real socket.

No registry has an emulator that speaks this API, so it is our own: conditions on generations, metadata, ETags, uploads
in parts, bearer tokens, ranges, and Google's errors. What Google itself does is not proved by it.
"""

import hashlib
import itertools
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

TOKEN = "right"
BUCKET = "photos"
_KEPT = ("content-type", "content-encoding", "cache-control", "x-goog-storage-class")


@dataclass
class Stored:
    """An object."""

    body: bytes
    headers: dict[str, str]
    generation: int
    etag: str


class Gcs(ThreadingHTTPServer):
    """The server, with one bucket. ``ignores_conditions``: it knows none; ``refusal``: the answer to all,
    ``on_put`` and ``on_head`` to those."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, Stored] = {}
        self.uploads: dict[str, tuple[dict[str, str], dict[int, bytes]]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.ignores_conditions = False
        self.refusal: tuple[int, str] | None = None
        self.on_put: Callable[[], tuple[int, str]] | None = None
        self.on_head: Callable[[], tuple[int, str]] | None = None
        self.generations = itertools.count(1_700_000_000_000_000)
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.shutdown()
        self.server_close()

    def store(self, key: str, body: bytes, headers: dict[str, str] | None = None, mark: str = "") -> Stored:
        """Make it an object; ``mark`` is the end of the ETag of one that came in parts."""
        etag = f'"{hashlib.md5(body).hexdigest()}{mark}"'
        self.objects[key] = Stored(body, headers or {}, next(self.generations), etag)
        return self.objects[key]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gcs

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(parts.path)[1:].partition("/")
        self.sent = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            self.server.asked.append((self.command, key, self.sent))
            if self.server.refusal:
                return self._error(*self.server.refusal)
            if self.sent.get("authorization") != f"Bearer {TOKEN}":
                return self._error(401, "AuthenticationRequired")
            if bucket != BUCKET:
                return self._error(404, "NoSuchBucket")
            if refuse := getattr(self.server, f"on_{self.command.lower()}", None):
                return self._error(*refuse())
            getattr(self, f"_{self.command.lower()}")(key, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _do

    def _put(self, key: str, body: bytes) -> None:
        if "uploadId" in self.query:
            _, there = self.server.uploads[self.query["uploadId"]]
            there[int(self.query["partNumber"])] = body
            return self._answer(200, {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        found = self.server.objects.get(key)
        wanted = None if self.server.ignores_conditions else self.sent.get("x-goog-if-generation-match")
        if wanted is not None and int(wanted) != (found.generation if found else 0):
            return self._error(412, "PreconditionFailed")
        self._stored(self.server.store(key, body, self._kept()))

    def _post(self, key: str, body: bytes) -> None:
        if "uploads" in self.query:
            upload = f"upload-{next(self.server.generations)}"
            self.server.uploads[upload] = (self._kept(), {})
            root = "InitiateMultipartUploadResult"
            return self._xml(200, f"<{root}><UploadId>{upload}</UploadId></{root}>")
        headers, there = self.server.uploads.pop(self.query["uploadId"])
        numbers = [int(number) for number in re.findall(r"<PartNumber>(\d+)</PartNumber>", body.decode())]
        stored = self.server.store(key, b"".join(there[number] for number in numbers), headers, f"-{len(numbers)}")
        self._xml(
            200,
            f"<CompleteMultipartUploadResult><ETag>{stored.etag}</ETag></CompleteMultipartUploadResult>",
            {"x-goog-generation": str(stored.generation)},
        )

    def _list(self) -> None:
        prefix = self.query.get("prefix", "")
        keys = sorted(key for key in self.server.objects if key.startswith(prefix))
        about = "<LastModified>2026-11-22T03:00:00Z</LastModified>"
        rows = [f"<Contents><Key>{escape(key)}</Key>{about}<Size>{self._size(key)}</Size></Contents>" for key in keys]
        self._xml(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(rows)}</ListBucketResult>")

    def _size(self, key: str) -> int:
        return len(self.server.objects[key].body)

    def _get(self, key: str, _: bytes) -> None:
        if "list-type" in self.query:
            return self._list()
        found = self.server.objects.get(key)
        if found is None:
            return self._error(404, "NoSuchKey")
        body, status, more = found.body, 200, {}
        if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.sent.get("range", "")):
            start, end = int(asked.group(1)), min(int(asked.group(2)), len(body) - 1)
            more = {"Content-Range": f"bytes {start}-{end}/{len(body)}"}
            body, status = body[start : end + 1], 206
        self._answer(status, {**self._about(found), **more}, body)

    _head = _get

    def _delete(self, key: str, _: bytes) -> None:
        if "uploadId" in self.query:
            del self.server.uploads[self.query["uploadId"]]
        elif self.server.objects.pop(key, None) is None:
            return self._error(404, "NoSuchKey")
        self._answer(204, {})

    def _kept(self) -> dict[str, str]:
        return {name: value for name, value in self.sent.items() if name in _KEPT or name.startswith("x-goog-meta-")}

    def _about(self, found: Stored) -> dict[str, str]:
        return {
            "ETag": found.etag,
            "Last-Modified": "Sun, 22 Nov 2026 03:00:00 GMT",
            "x-goog-generation": str(found.generation),
            **found.headers,
        }

    def _stored(self, found: Stored) -> None:
        self._answer(200, {"ETag": found.etag, "x-goog-generation": str(found.generation)})

    def _error(self, status: int, code: str) -> None:
        self._xml(status, f"<Error><Code>{code}</Code><Message>{code} it is</Message></Error>")

    def _xml(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self._answer(status, {"Content-Type": "application/xml", **(headers or {})}, text.encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Not on the terminal."""
