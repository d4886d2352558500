"""The boto3 transport against small servers of our own: what it sends, and what it makes of bad answers.

(Whether a store takes it is shown against a real one, in tests/real.)
"""

import asyncio
import contextlib
import email.utils
import hashlib
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jollyae.processors.s3 import BucketDelivery, S3Options, boto, checksums, wire
from jollyae.processors.s3.boto import BotoTransport
from jollyae.processors.s3.session import endpoint_of
from jollyae.processors.s3.transport import Attributes, Complete, Create, NoAnswer, Part, Put, StoredPart, StoreError
from jollyae.spool.outcomes import Temporary

from .fake import Bench

Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (200, {"ETag": '"abc"', "x-amz-version-id": "v1"}, b"")


class Server(ThreadingHTTPServer):
    """Answers each request with ``answer`` and keeps what was asked."""

    daemon_threads = True
    answer: Callable[[str], Answer] = staticmethod(lambda path: OK)

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def _any(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.requests.append((self.command, self.path, headers, body))
        status, headers, answer = server.answer(self.path)
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_PUT = do_POST = do_HEAD = do_GET = do_DELETE = _any


@pytest.fixture(autouse=True)
def _only_these_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top-secret")


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that says OK to everything."""
    with Server() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        made.shutdown()


def put(body: bytes = b"hello", **more: Any) -> Put:
    """A request to put."""
    return Put(key="k", body=body, sha256=hashlib.sha256(body).hexdigest(), attributes=Attributes(), **more)


def ask(url: str, call: Callable[[BotoTransport], Any], **options: Any) -> Any:
    """One request by a transport of its own."""

    async def run() -> Any:
        transport = BotoTransport("bucket", S3Options(endpoint_url=url, **options))
        try:
            return await call(transport)
        finally:
            transport.close()
            if transport._connected:
                transport._connected.client.close()

    return asyncio.run(run())


def refusal(url: str, call: Callable[[BotoTransport], Any] = lambda t: t.put(put()), **options: Any) -> StoreError:
    """The error of one request."""
    with pytest.raises(StoreError) as caught:
        ask(url, call, **options)
    return caught.value


@pytest.mark.parametrize("algorithm", ["sha256", "crc32", "md5", "none"])
def test_a_put_is_plain(server: Server, algorithm: str) -> None:
    """The checksum is a header, the payload's SHA-256 is signed, nothing is chunked or sent behind the body."""
    ask(server.url, lambda t: t.put(put(checksum=checksums.of(b"hello", algorithm), if_none_match=True)))
    [(verb, path, headers, body)] = server.requests
    assert (verb, path, body) == ("PUT", "/bucket/k", b"hello")
    assert headers["x-amz-content-sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert headers["if-none-match"] == "*"
    assert "if-none-match" in headers["authorization"]
    sums = {name for name in headers if "checksum" in name or name == "content-md5"}
    names = {"md5": {"content-md5"}, "none": set()}
    assert sums == names.get(algorithm, {f"x-amz-checksum-{algorithm}"})
    unwanted = {"x-amz-trailer", "content-encoding", "transfer-encoding", "x-amz-sdk-checksum-algorithm", "x-amz-acl"}
    assert not unwanted & set(headers)
    assert "expect" not in headers


def test_a_large_put_asks_before(server: Server) -> None:
    """64 MiB are not sent to hear 412: the store may refuse at '100-continue'."""
    ask(server.url, lambda t: t.put(put(b"x" * (1 << 20))))
    assert server.requests[0][2]["expect"] == "100-continue"


def test_attributes(server: Server) -> None:
    """Each in its header, as S3 wants it."""
    attributes = Attributes(
        content_type="a/b",
        content_encoding="gzip",
        cache_control="no-store",
        storage_class="STANDARD_IA",
        acl="private",
        sse="aws:kms",
        sse_kms_key_id="key",
        metadata={"mtime": "1"},
        tags={"a b": "c&d"},
    )
    ask(server.url, lambda t: t.put(Put(key="k", body=b"", sha256="", attributes=attributes)))
    headers = server.requests[0][2]
    assert (headers["content-type"], headers["content-encoding"], headers["cache-control"]) == (
        "a/b",
        "gzip",
        "no-store",
    )
    assert (headers["x-amz-storage-class"], headers["x-amz-acl"]) == ("STANDARD_IA", "private")
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key"
    assert (headers["x-amz-meta-mtime"], headers["x-amz-tagging"]) == ("1", "a%20b=c%26d")


def test_the_answer(server: Server) -> None:
    """ETag without quotes, version, the store's checksums."""
    server.answer = lambda path: (200, {**OK[1], "x-amz-checksum-sha256": "c2hh"}, b"")
    stored = ask(server.url, lambda t: t.put(put()))
    assert (stored.etag, stored.version, stored.checksums) == ("abc", "v1", {"sha256": "c2hh"})


def test_one_attempt(server: Server) -> None:
    """The worker retries, nobody else: shared budgets collapse."""
    server.answer = lambda path: (503, {}, b"<Error><Code>SlowDown</Code></Error>")
    assert (refusal(server.url).status, refusal(server.url).code) == (503, "SlowDown")
    assert len(server.requests) == 2


def test_an_error_has_request_id_and_skew(server: Server) -> None:
    """The store's Date tells by how much our clock is wrong."""
    date = email.utils.formatdate(time.time() + 3600, usegmt=True)
    body = b"<Error><Code>RequestTimeTooSkewed</Code><Message>no</Message></Error>"
    server.answer = lambda path: (403, {"Date": date, "x-amz-request-id": "tx1"}, body)
    error = refusal(server.url)
    assert (error.code, error.message, error.request_id) == ("RequestTimeTooSkewed", "no", "tx1")
    assert error.skew is not None and 3590 < error.skew < 3605


def test_head_has_no_code(server: Server) -> None:
    """An answer without a body is told by its status alone."""
    server.answer = lambda path: (403, {}, b"")
    error = refusal(server.url, lambda t: t.head("k"))
    assert (error.status, error.code) == (403, "")


def test_a_200_that_holds_an_error(server: Server) -> None:
    """Complete answers 200 and fails afterwards: the body is read to its end."""
    server.answer = lambda path: (200, {}, b"\n\n<Error><Code>InternalError</Code></Error>")
    request = Complete(key="k", upload="u", parts=[StoredPart(number=1, size=1, etag="e")], size=1)
    error = refusal(server.url, lambda t: t.complete(request))
    assert error.code == "InternalError" and error.status is not None and error.status >= 500


def test_all_pages_of_parts(server: Server) -> None:
    """More than a page of 1,000."""
    part = "<Part><PartNumber>{}</PartNumber><ETag>&quot;e&quot;</ETag><Size>7</Size></Part>"
    page = f"<ListPartsResult>{{}}{part}</ListPartsResult>"
    first = page.format("<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>", 1)
    second = page.format("<IsTruncated>false</IsTruncated>", 2)
    server.answer = lambda path: (200, {}, (second if "marker" in path else first).encode())
    parts = ask(server.url, lambda t: t.parts("k", "u"))
    assert [(part.number, part.size, part.etag) for part in parts] == [(1, 7, "e"), (2, 7, "e")]


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("sha256", "COMPOSITE"), ("crc32", "FULL_OBJECT"), ("crc64nvme", "FULL_OBJECT"), ("", None)]
)
def test_create(server: Server, algorithm: str, kind: str | None) -> None:
    """The parts' checksum is announced, the CRCs for the whole object."""
    answer = b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
    server.answer = lambda path: (200, {}, answer)
    request = Create(key="k", attributes=Attributes(), algorithm=algorithm)
    assert ask(server.url, lambda t: t.create(request)) == "u1"
    headers = server.requests[0][2]
    assert headers.get("x-amz-checksum-algorithm") == (algorithm.upper() or None)
    assert headers.get("x-amz-checksum-type") == kind


def test_complete_tells_what_it_expects(server: Server) -> None:
    """Size, the whole object's checksum, the condition; each part's checksum only where the store returned one."""
    body = b"<CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag></CompleteMultipartUploadResult>"
    server.answer = lambda path: (200, {}, body)
    parts = [
        StoredPart(number=1, size=1, etag="a", checksums={"sha256": "eA=="}),
        StoredPart(number=2, size=1, etag="b"),
    ]
    request = Complete(
        key="k", upload="u", parts=parts, size=2, checksum=checksums.of(b"xy", "crc32"), if_none_match=True
    )
    assert ask(server.url, lambda t: t.complete(request)).etag == "e-2"
    _, _, headers, sent = server.requests[0]
    assert (headers["x-amz-mp-object-size"], headers["if-none-match"]) == ("2", "*")
    assert headers["x-amz-checksum-type"] == "FULL_OBJECT" and "x-amz-checksum-crc32" in headers
    assert sent.count(b"<ChecksumSHA256>") == 1 and sent.count(b"<ETag>") == 2


def test_a_part(server: Server) -> None:
    """Signed and summed like a PUT."""
    request = Part(key="k", upload="u", number=3, body=b"x", checksum=checksums.of(b"x", "sha256"))
    assert ask(server.url, lambda t: t.part(request)).etag == "abc"
    assert server.requests[0][1] == "/bucket/k?uploadId=u&partNumber=3"


def free_port() -> int:
    """A port where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_nothing_listens() -> None:
    """Refused, and by whom."""
    url = f"http://127.0.0.1:{free_port()}"
    error = refusal(url)
    assert (error.status, error.code, error.message) == (None, NoAnswer.REFUSED, url)


def test_no_such_name() -> None:
    """The endpoint's name cannot be found."""
    assert refusal("http://no-such-host.invalid").code is NoAnswer.NAME


def test_plain_http_where_tls_is_expected(server: Server) -> None:
    """No secure connection."""
    assert refusal(server.url.replace("http:", "https:")).code is NoAnswer.TLS
    told = refusal(server.url.replace("http:", "https:"), ca_bundle="/no/such.pem")
    assert told.code is NoAnswer.BUNDLE and "/no/such.pem" in told.message


@contextlib.contextmanager
def listening(then: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that accepts and does ``then`` with each connection; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as open_ones:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    open_ones.enter_context(connection)
                    then(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_hangs_up() -> None:
    """Closed without an answer."""
    with listening(lambda connection: connection.close()) as url:
        assert refusal(url).code is NoAnswer.CLOSED


@pytest.mark.parametrize("transport", ["auto", "boto3"])
def test_a_black_hole(monkeypatch: pytest.MonkeyPatch, bench: Bench, transport: Any) -> None:
    """A server that never answers: the attempt ends at our deadline and pauses the destination."""
    monkeypatch.setattr(boto, "DEADLINE", 2.0)
    monkeypatch.setattr(wire, "ANSWER", 2.0)
    with listening(lambda connection: None) as url:
        started = time.monotonic()
        delivery = BucketDelivery("s3://bucket", S3Options(endpoint_url=url, region="us-east-1", transport=transport))
        with pytest.raises(Temporary, match="no answer in time") as caught:
            asyncio.run(delivery(bench.item(b"x")))
        assert time.monotonic() - started < 20
        assert caught.value.scope == "destination"
        delivery.close()


def test_no_credentials(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent unsigned by mistake; --no-sign-request does it on purpose."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert refusal(server.url).code is NoAnswer.CREDENTIALS
    assert not server.requests
    ask(server.url, lambda t: t.put(put()), no_sign_request=True)
    assert "authorization" not in server.requests[0][2]


def test_no_such_profile(server: Server) -> None:
    """Named, with what to do."""
    assert refusal(server.url, profile="nope").code is NoAnswer.PROFILE


def test_profile(server: Server, tmp_path: Path) -> None:
    """Region and keys of the profile; the environment's keys are not taken with --profile."""
    (tmp_path / "config").write_text("[profile p]\nregion = eu-west-3\n")
    (tmp_path / "credentials").write_text("[p]\naws_access_key_id = FROMFILE\naws_secret_access_key = x\n")
    ask(server.url, lambda t: t.put(put()), profile="p")
    assert "Credential=FROMFILE/" in server.requests[0][2]["authorization"]
    assert "/eu-west-3/s3/" in server.requests[0][2]["authorization"]


def describe(**options: Any) -> str:
    """The sentence for the log."""

    async def run() -> str:
        delivery = BucketDelivery("s3://bucket", S3Options(**options))
        try:
            return await delivery.describe()
        finally:
            delivery.close()

    return asyncio.run(run())


def test_describe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which endpoint, region and credentials, and who said so; never a secret."""
    told = describe(endpoint_url="http://127.0.0.1:1", region="eu-west-1")
    assert told == (
        "endpoint http://127.0.0.1:1 (from --endpoint-url), region eu-west-1 (from --region), credentials from env"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:2")
    assert "endpoint http://127.0.0.1:2 (from AWS_ENDPOINT_URL)" in describe()
    assert "top-secret" not in told and "AKIDEXAMPLE" not in told


def test_amazons_own_endpoint() -> None:
    """Without an endpoint URL it is Amazon's, and buckets are host names."""
    assert "endpoint https://s3.eu-west-1.amazonaws.com, region eu-west-1" in describe(region="eu-west-1")


@pytest.mark.parametrize(
    ("option", "scoped", "environment", "source"),
    [
        ("http://o", {}, {"AWS_ENDPOINT_URL_S3": "http://e"}, "--endpoint-url"),
        ("", {"endpoint_url": "http://f"}, {"AWS_ENDPOINT_URL_S3": "http://e"}, "AWS_ENDPOINT_URL_S3"),
        ("", {"endpoint_url": "http://f"}, {"AWS_ENDPOINT_URL": "http://e"}, "AWS_ENDPOINT_URL"),
        ("", {"endpoint_url": "http://f"}, {}, "the AWS config file"),
        ("", {"services": "mine"}, {}, "the AWS config file"),
        ("", {"endpoint_url": "http://f"}, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, ""),
        ("", {}, {}, ""),
    ],
)
def test_which_setting_supplied_the_endpoint(option: str, scoped: Any, environment: Any, source: str) -> None:
    """In botocore's own order."""
    full = {"services": {"mine": {"s3": {"endpoint_url": "http://s"}}}}
    assert endpoint_of(S3Options(endpoint_url=option), scoped, full, environment)[1] == source


@pytest.mark.parametrize("source", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "services", "profile"])
def test_botocore_agrees(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str) -> None:
    """Where we say the endpoint is from, there botocore goes, in path style."""
    if source.startswith("AWS"):
        monkeypatch.setenv(source, server.url)
    else:
        url = f"endpoint_url = {server.url}\n"
        services = f"[default]\nservices = mine\n[services mine]\ns3 =\n  {url}"
        (tmp_path / "config").write_text(services if source == "services" else f"[default]\n{url}")
    ask("", lambda t: t.put(put()))
    assert server.requests[0][1] == "/bucket/k"
    assert server.url in describe()


def test_debug_logs_no_secrets(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """boto3 at DEBUG writes tokens and key ids: its loggers are pinned."""
    with caplog.at_level(logging.DEBUG):
        ask(server.url, lambda t: t.put(put()))
    assert "AKIDEXAMPLE" not in caplog.text


def test_nothing_of_boto3_is_imported_early() -> None:
    """`jollyae --help` must be quick: boto3 comes with the first client."""
    program = (
        "import sys, jollyae.processors.s3; sys.exit(any(m in sys.modules for m in ('boto3', 'botocore', 'urllib3')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)})
