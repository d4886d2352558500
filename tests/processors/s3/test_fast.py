"""One set of requests and answers over both transports, boto3's and ours, against a server that verifies signatures."""

import asyncio
import base64
import datetime
import email.utils
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote_to_bytes

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from jollyae.processors.s3 import BucketDelivery, S3Options, access, checksums, fast
from jollyae.processors.s3.boto import BotoTransport
from jollyae.processors.s3.fast import FastTransport
from jollyae.processors.s3.origin import Origin
from jollyae.processors.s3.transport import Attributes, NoAnswer, Put, Stored, StoreError
from jollyae.spool import names

SECRETS = {"AKIDEXAMPLE": "top-secret"}
REGION = "eu-west-9"
Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (200, {"ETag": '"abc"'}, b"")
Result = Stored | StoreError


class Store(ThreadingHTTPServer):
    """Answers each PUT whose signature, digest and length are right with ``answer``, and keeps what it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Answer = OK
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.unsigned = False

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """As S3."""
        store: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        store.got.append((self.path, headers, body))
        wrong = self._wrong(headers, body, unsigned=store.unsigned)
        self._send(store.answer if not wrong else error(403, wrong))

    def do_HEAD(self) -> None:
        """HeadBucket, by which boto3 looks for the region."""
        self._send((404, {}, b""))

    def _send(self, answer: Answer) -> None:
        status, headers, body = answer
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def _wrong(self, headers: dict[str, str], body: bytes, *, unsigned: bool) -> str:
        if unsigned:
            return "AccessDenied" if "authorization" in headers else ""
        if headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
            return "XAmzContentSHA256Mismatch"
        return "" if headers["authorization"] == self._signed(headers, body) else "SignatureDoesNotMatch"

    def _signed(self, headers: dict[str, str], body: bytes) -> str:
        """What botocore would have signed for what has arrived."""
        listed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        must = [
            name for name in headers if name.startswith("x-amz-") or name in ("host", "content-type", "content-md5")
        ]
        if not set(must) <= set(listed):
            return f"not signed: {set(must) - set(listed)}"
        key, _, region = headers["authorization"].partition("Credential=")[2].split("/")[:3]
        token = headers.get("x-amz-security-token")
        signed = {name: headers[name] for name in listed if not name.startswith(("x-amz-date", "x-amz-security"))}
        request = AWSRequest("PUT", f"http://{headers['host']}{self.path}", signed, body)
        now = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        with LOCK, pytest.MonkeyPatch.context() as patch:
            patch.setattr(botocore.auth, "get_current_datetime", lambda *a, **b: now)
            signer: Any = S3SigV4Auth(Credentials(key, SECRETS.get(key, "?"), token), "s3", region)
            signer.add_auth(request)
        return str(request.headers["Authorization"]) if region == REGION else "another region"

    def log_message(self, *_: Any) -> None:
        """Not on the terminal."""


LOCK = threading.Lock()


def error(status: int, code: str, message: str = "", headers: dict[str, str] | None = None) -> Answer:
    """An error as S3 writes it."""
    body = (
        f'<?xml version="1.0"?>\n<Error><Code>{code}</Code><Message>{message}</Message><Resource>/b</Resource></Error>'
    )
    return status, {"Content-Type": "application/xml", **(headers or {})}, body.encode()


@pytest.fixture(autouse=True)
def _only_these_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy") or name == "REQUESTS_CA_BUNDLE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top-secret")


@pytest.fixture
def store() -> Iterator[Store]:
    """A server that says OK."""
    with Store() as made:
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield made
        made.shutdown()


class Both:
    """Asks by one transport or the other."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, url: str, *requests: Put, bucket: str = "bucket", **options: Any) -> Result:
        """The result of the last request."""
        return asyncio.run(self._ask(url, requests, bucket, options))

    async def _ask(self, url: str, requests: tuple[Put, ...], bucket: str, options: dict[str, Any]) -> Result:
        chosen = S3Options(endpoint_url=url, **options)
        control = BotoTransport(bucket, chosen, 2)
        transport = FastTransport(bucket, chosen, control, 2) if self.name == "fast" else control
        try:
            for request in requests:
                result = await transport.put(request)
            return result
        except StoreError as error:
            return error
        finally:
            transport.close()
            if control._connected:
                control._connected.client.close()

    def error(self, url: str, *requests: Put, **options: Any) -> StoreError:
        """Its error."""
        result = self(url, *requests, **options)
        assert isinstance(result, StoreError), result
        return result

    def stored(self, url: str, *requests: Put, **options: Any) -> Stored:
        """Its success."""
        result = self(url, *requests, **options)
        assert isinstance(result, Stored), result
        return result


@pytest.fixture(params=["fast", "boto3"])
def ask(request: pytest.FixtureRequest) -> Both:
    """Both transports."""
    return Both(request.param)


def put(body: bytes = b"hello", key: str = "k", attributes: Attributes | None = None, **more: Any) -> Put:
    """A request."""
    digest = hashlib.sha256(body).hexdigest()
    return Put(key=key, body=body, sha256=digest, attributes=attributes or Attributes(), **more)


def test_stored(store: Store, ask: Both) -> None:
    """ETag without quotes, version, and the checksums that the store computed."""
    store.answer = (
        200,
        {"ETag": '"abc"', "x-amz-version-id": "v1", "x-amz-checksum-crc32": "AAAA", "x-amz-checksum-sha256": "BBBB"},
        b"",
    )
    assert ask(store.url, put()) == Stored(etag="abc", version="v1", checksums={"crc32": "AAAA", "sha256": "BBBB"})
    [(path, _, body)] = store.got
    assert (path, body) == ("/bucket/k", b"hello")


@pytest.mark.parametrize("etag", [None, "", '""'])
def test_without_etag(store: Store, ask: Both, etag: str | None) -> None:
    """It is empty then: delivery takes it for no acknowledgement."""
    store.answer = (200, {} if etag is None else {"ETag": etag}, b"")
    assert ask.stored(store.url, put()).etag == ""


REFUSALS: list[tuple[Answer, tuple[int, str, str]]] = [
    (error(412, "PreconditionFailed", "At least one"), (412, "PreconditionFailed", "At least one")),
    (error(409, "ConditionalRequestConflict", "again"), (409, "ConditionalRequestConflict", "again")),
    (
        error(403, "AccessDenied", "Access &lt;Denied&gt; &amp; &#39;no&#39;"),
        (403, "AccessDenied", "Access <Denied> & 'no'"),
    ),
    (error(403, "ExpiredToken", "ü"), (403, "ExpiredToken", "ü")),
    (error(404, "NoSuchBucket", "no"), (404, "NoSuchBucket", "no")),
    (error(503, "SlowDown", "less"), (503, "SlowDown", "less")),
    (error(501, "NotImplemented", "no"), (501, "NotImplemented", "no")),
    (error(400, "EntityTooLarge", "no"), (400, "EntityTooLarge", "no")),
    ((500, {}, b""), (500, "", "Internal Server Error")),
    ((403, {}, b""), (403, "", "Forbidden")),
    ((502, {"Content-Type": "text/html"}, b"<html><h1>Bad</h1><br></html>"), (502, "", "Bad Gateway")),
    ((503, {}, b"busy"), (503, "", "Service Unavailable")),
]


@pytest.mark.parametrize(("answer", "told"), REFUSALS)
def test_refused(store: Store, ask: Both, answer: Answer, told: tuple[int, str, str]) -> None:
    """Status, S3's code and its text; where the store said nothing, the status' own."""
    store.answer = answer
    error = ask.error(store.url, put())
    assert (error.status, error.code, error.message) == told
    assert len(store.got) == 1


def test_request_id_and_skew(store: Store, ask: Both) -> None:
    """For the store's support, and for whoever must set a clock."""
    date = email.utils.formatdate(time.time() + 3600, usegmt=True)
    store.answer = error(403, "RequestTimeTooSkewed", "no", {"x-amz-request-id": "tx1", "Date": date})
    told = ask.error(store.url, put())
    assert told.request_id == "tx1"
    assert told.skew is not None and 3590 < told.skew < 3605


def test_request_id_in_the_body(store: Store) -> None:
    """Some stores have it only there (where boto3 does not look)."""
    store.answer = (500, {}, b"<Error><Code>InternalError</Code><Message>m</Message><RequestId>tx2</RequestId></Error>")
    assert Both("fast").error(store.url, put()).request_id == "tx2"


@pytest.mark.parametrize(
    ("status", "code"), [(301, "PermanentRedirect"), (307, "TemporaryRedirect"), (400, "AuthorizationHeaderMalformed")]
)
def test_another_region(store: Store, ask: Both, status: int, code: str) -> None:
    """A redirect to another host is not followed but told."""
    store.answer = error(status, code, "elsewhere.", {"Location": "http://127.0.0.1:1/"})
    told = ask.error(store.url, put())
    assert (told.status, told.code, told.message) == (status, code, "elsewhere.")


@pytest.mark.parametrize("status", [301, 307, 400])
def test_the_right_region(store: Store, status: int) -> None:
    """Where the store tells the bucket's region, the error names it. (boto3 signs for that one and sends again.)"""
    store.answer = error(status, "PermanentRedirect", "elsewhere.", {"x-amz-bucket-region": "mars-1"})
    told = Both("fast").error(store.url, put())
    assert (told.status, told.message) == (status, "elsewhere. The bucket's region is mars-1.")
    assert len(store.got) == 1


HOSTILE = [
    "plain/name.txt",
    "a b/c  d",
    " leading and trailing ",
    "ü/日本/😀",
    "a+b&c=d?e#f",
    "100%.txt",
    "%2F%25",
    names.encode("bad\udcff\x01name"),
    "~tilde_-.()!*'",
    'quote"<>\\^`{|}',
    "trailing/dot.",
    "..a/.b",
    "semi;colon:at@",
    "n\u0303 ñ \u2028",
]


@pytest.mark.parametrize("key", HOSTILE)
def test_keys(store: Store, ask: Both, key: str) -> None:
    """Every key arrives as it is, byte for byte, and its signature is right."""
    ask.stored(store.url, put(key=key))
    [(path, _, _)] = store.got
    assert unquote_to_bytes(path).decode() == f"/bucket/{key}"


def test_attributes(store: Store, ask: Both) -> None:
    """Each in its header."""
    attributes = Attributes(
        content_type="a/b; c=d",
        content_encoding="gzip",
        cache_control="no-store",
        storage_class="STANDARD_IA",
        acl="private",
        sse="aws:kms",
        sse_kms_key_id="key",
        metadata={"mtime": "1", "Odd.Name": " two  blanks ", "empty": ""},
        tags={"a b": "c&d", "ü": "/~+"},
    )
    ask.stored(store.url, put(attributes=attributes))
    headers = store.got[0][1]
    expected = {
        "content-type": "a/b; c=d",
        "content-encoding": "gzip",
        "cache-control": "no-store",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-acl": "private",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "key",
        "x-amz-meta-mtime": "1",
        "x-amz-meta-empty": "",
        "x-amz-tagging": "a%20b=c%26d&%C3%BC=%2F~%2B",
    }
    assert {name: headers.get(name) for name in expected} == expected
    assert headers["x-amz-meta-odd.name"].strip() == "two  blanks"


@pytest.mark.parametrize("algorithm", ["sha256", "crc32", "md5"])
def test_checksums(store: Store, ask: Both, algorithm: str) -> None:
    """As a header, and nothing behind the body."""
    checksum = checksums.of(b"hello", algorithm)
    ask.stored(store.url, put(checksum=checksum))
    headers = store.got[0][1]
    name = "content-md5" if algorithm == "md5" else f"x-amz-checksum-{algorithm}"
    assert checksum is not None and headers[name] == checksum.value
    assert base64.b64decode(checksum.value)
    assert not {"x-amz-trailer", "transfer-encoding", "expect"} & set(headers)


@pytest.mark.parametrize("conditions", [{"if_none_match": True}, {"if_match": '"abc"'}, {"if_match": "abc"}, {}])
def test_conditions(store: Store, ask: Both, conditions: dict[str, Any]) -> None:
    """As asked for, and signed."""
    ask.stored(store.url, put(**conditions))
    headers = store.got[0][1]
    assert headers.get("if-none-match") == ("*" if "if_none_match" in conditions else None)
    assert headers.get("if-match") == conditions.get("if_match")
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"if-none-match", "if-match"} & set(headers) <= set(signed)


@pytest.mark.parametrize("body", [b"", b"\0\r\n" * 100, b"x" * (1 << 20), b"x" * ((1 << 20) + 1)])
def test_bodies(store: Store, ask: Both, body: bytes) -> None:
    """Empty, with any bytes, and over what the event loop sends itself."""
    ask.stored(store.url, put(body), put(body))
    assert [got for _, _, got in store.got] == [body, body]


def test_a_session(store: Store, ask: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's token goes along, signed."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "to/ken==")
    ask.stored(store.url, put())
    assert store.got[0][1]["x-amz-security-token"] == "to/ken=="


def test_unsigned(store: Store, ask: Both) -> None:
    """Without a signature, and without what belongs to one."""
    store.unsigned = True
    ask.stored(store.url, put(), no_sign_request=True)
    assert not {"authorization", "x-amz-date", "x-amz-security-token"} & set(store.got[0][1])


def test_a_wrong_secret(store: Store, ask: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of these tests does look."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert ask.error(store.url, put()).code == "SignatureDoesNotMatch"


BAD = [
    Attributes(content_type="a\r\nx-amz-acl: public-read"),
    Attributes(cache_control="a\nb"),
    Attributes(metadata={"a": "b\r\nc: d"}),
]


@pytest.mark.parametrize("attributes", BAD)
def test_no_header_can_be_smuggled(store: Store, ask: Both, attributes: Attributes) -> None:
    """A line break in a value is an error of this side; nothing is sent."""
    told = ask.error(store.url, put(attributes=attributes))
    assert told.status is None
    assert told.code == (NoAnswer.CLIENT if ask.name == "fast" else NoAnswer.CLOSED)  # urllib3 does not tell them apart
    assert not [got for got in store.got if "x-amz-acl" in got[1]]


@pytest.mark.parametrize("name", ["AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"])
@pytest.mark.parametrize("value", ["secret\r\nx: y", "secret\u20ac"])
def test_odd_credentials(store: Store, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Credentials that cannot stand in a header are an error that does not tell them."""
    monkeypatch.setenv(name, value)
    told = Both("fast").error(store.url, put())
    assert (told.status, told.code) == (None, NoAnswer.CLIENT)
    assert "secret" not in str(told) and told.__cause__ is None
    assert not store.got


def test_an_impossible_key(store: Store, ask: Both) -> None:
    """A lone surrogate, which no template makes, is an error and no crash."""
    assert ask.error(store.url, put(key="a\udcff")).code == NoAnswer.CLIENT


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://127.0.0.1:x"])
def test_an_impossible_endpoint(ask: Both, url: str) -> None:
    """A port that is none is an error and no crash."""
    assert ask.error(url, put()).code == NoAnswer.CLIENT


def test_nobody_there(ask: Both) -> None:
    """Refused, and a name that is none."""
    assert ask.error("http://127.0.0.1:1", put()).code == NoAnswer.REFUSED
    assert ask.error("http://no-such-host.invalid", put()).code == NoAnswer.NAME


def test_no_ca_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file of certificates that is not there or is none: told, and it is the options' before the environment's."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    ask = Both("fast")
    for name in ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
        monkeypatch.setenv(name, f"/no/{name}")
        told = ask.error("https://127.0.0.1:1", put())
        assert told.code == NoAnswer.BUNDLE and f"/no/{name}" in told.message
    told = ask.error("https://127.0.0.1:1", put(), ca_bundle=str(empty))
    assert told.code == NoAnswer.BUNDLE and str(empty) in told.message


def test_after_close(store: Store) -> None:
    """No more requests are taken, also if the first comes after it."""

    async def run() -> None:
        options = S3Options(endpoint_url=store.url)
        transport = FastTransport("bucket", options, BotoTransport("bucket", options), 2)
        transport.close()
        with pytest.raises(StoreError):
            await transport.put(put())

    asyncio.run(run())
    assert not store.got


ORIGINS = [
    ("http://h", True, ("h", 80, "h", "/b/")),
    ("https://h", True, ("h", 443, "h", "/b/")),
    ("http://H:8080/", True, ("h", 8080, "h:8080", "/b/")),
    ("https://h:443", True, ("h", 443, "h", "/b/")),
    ("http://h:443", True, ("h", 443, "h:443", "/b/")),
    ("http://[::1]:9000", True, ("::1", 9000, "[::1]:9000", "/b/")),
    ("http://h/base/", True, ("h", 80, "h", "/base/b/")),
    ("http://h/b ase%20/", True, ("h", 80, "h", "/b%20ase%20/b/")),
    ("https://s3.eu-west-1.amazonaws.com", False, ("b.s3.eu-west-1.amazonaws.com", 443, None, "/")),
]


@pytest.mark.parametrize(("url", "path_style", "expected"), ORIGINS)
def test_origins(url: str, path_style: bool, expected: tuple[str, int, str | None, str]) -> None:
    """Host, port, what the Host header says, and the path before the key."""
    origin = Origin(url, "b", path_style=path_style)
    host, port, authority, path = expected
    assert (origin.host, origin.port, origin.authority, origin.path) == (host, port, authority or host, path)
    assert origin.tls == url.startswith("https")


# --- access: what comes from where

WITHOUT_BOTO = """
import asyncio, hashlib, sys
from jollyae.processors.s3 import BucketDelivery, S3Options
from jollyae.processors.s3.transport import Attributes, Put

async def main():
    delivery = BucketDelivery("s3://bucket", S3Options())
    print(await delivery.describe())
    body = b"hello"
    request = Put(key="k", body=body, sha256=hashlib.sha256(body).hexdigest(), attributes=Attributes())
    print((await delivery.transport.put(request)).etag)
    delivery.close()

asyncio.run(main())
print(sorted(name for name in ("boto3", "botocore", "urllib3") if name in sys.modules))
"""


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_boto_is_not_even_imported(store: Store, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Where the environment says all, a PUT needs nothing of boto3."""
    monkeypatch.setenv(variable, store.url)
    monkeypatch.setenv("PYTHONPATH", str(Path(fast.__file__).parents[3]))
    done = subprocess.run([sys.executable, "-c", WITHOUT_BOTO], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines()[1:] == ["abc", "[]"], done.stderr
    assert done.stdout.startswith(f"endpoint {store.url} (from {variable}), region {REGION}")
    assert "credentials from env" in done.stdout and "top-secret" not in done.stdout + done.stderr


ENV = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1"}
URL = {"AWS_ENDPOINT_URL": "http://h:1"}
AWS_OWN = "https://s3.eu-west-1.amazonaws.com"
FOUND: list[tuple[dict[str, str], dict[str, Any], str, tuple[str, str, bool]]] = [
    ({}, {}, "photos", (AWS_OWN, "eu-west-1", False)),
    ({}, {}, "photos.example", (AWS_OWN, "eu-west-1", True)),
    ({}, {}, "Photos_1", (AWS_OWN, "eu-west-1", True)),
    (URL, {}, "photos", ("http://h:1", "eu-west-1", True)),
    ({**URL, "AWS_ENDPOINT_URL_S3": "http://s:1"}, {}, "photos", ("http://s:1", "eu-west-1", True)),
    (URL, {"endpoint_url": "http://o:1", "region": "x"}, "photos", ("http://o:1", "x", True)),
    ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "x", **URL}, {}, "photos", ("http://h:1", "x", True)),
    ({"AWS_REGION": "garage", **URL}, {}, "photos", ("http://h:1", "garage", True)),
]


@pytest.mark.parametrize(("environment", "options", "bucket", "expected"), FOUND)
def test_from_the_environment(
    environment: dict[str, str], options: dict[str, Any], bucket: str, expected: tuple[str, str, bool], tmp_path: Path
) -> None:
    """Endpoint, region and addressing, as boto3 would find them."""
    environment = {**ENV, "AWS_CONFIG_FILE": str(tmp_path / "none"), **environment}
    found = access.from_environment(bucket, S3Options(**options), environment)
    assert found is not None
    assert (found.url, found.region, found.path_style) == expected
    assert found.keys is not None and found.is_fresh()


ASKED: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"AWS_SECRET_ACCESS_KEY": ""}, {}),
    ({"AWS_ACCESS_KEY_ID": ""}, {}),
    ({"AWS_REGION": ""}, {}),
    ({"AWS_PROFILE": "p"}, {}),
    ({"AWS_DEFAULT_PROFILE": "p"}, {}),
    ({}, {"profile": "p"}),
    ({"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", **URL}, {}),
    ({"AWS_REGION": "cn-north-1"}, {}),
    ({"AWS_REGION": "us-gov-west-1"}, {}),
    ({"AWS_ENDPOINT_URL": "h:9000"}, {}),
    ({"AWS_CONFIG_FILE": __file__, **URL}, {}),
    ({"AWS_CONFIG_FILE": __file__}, {"endpoint_url": "http://h"}),
]


@pytest.mark.parametrize(("environment", "options"), ASKED)
def test_what_boto_is_asked_for(environment: dict[str, str], options: dict[str, Any], tmp_path: Path) -> None:
    """Profiles, configuration files, other partitions of AWS, and what is missing or odd."""
    environment = {**ENV, "AWS_CONFIG_FILE": str(tmp_path / "none"), **environment}
    assert access.from_environment("photos", S3Options(**options), environment) is None


@pytest.mark.parametrize(
    ("bucket", "environment", "why"),
    [
        ("photos", {"https_proxy": "http://p"}, "https_proxy"),
        ("photos", {"Http_Proxy": "http://p"}, "Http_Proxy"),
        ("photos", {"AWS_USE_FIPS_ENDPOINT": "true"}, "FIPS"),
        ("photos", {"AWS_USE_DUALSTACK_ENDPOINT": "TRUE"}, "DUALSTACK"),
        ("arn:aws:s3:::x", {}, "ARN"),
        ("photos--use1-az4--x-s3", {}, "ordinary"),
        ("alias--op-s3", {}, "ordinary"),
    ],
)
def test_what_boto_does_alone(bucket: str, environment: dict[str, str], why: str) -> None:
    """Proxies, other hosts and other kinds of buckets."""
    assert why in access.why_not(bucket, environment)


@pytest.mark.parametrize("environment", [{"HTTP_PROXY": ""}, {"AWS_USE_FIPS_ENDPOINT": "false"}, {"NO_PROXY": "*"}])
def test_what_changes_nothing(environment: dict[str, str]) -> None:
    """Settings that are empty or off."""
    assert access.why_not("photos-s3alias", environment) == ""


def test_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path, if nothing speaks against it."""

    def chosen(**options: Any) -> type:
        delivery = BucketDelivery("s3://photos", S3Options(**options))
        delivery.close()
        return type(delivery.transport)

    assert chosen() is FastTransport
    assert chosen(transport="boto3") is BotoTransport
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert chosen() is BotoTransport


def test_a_profile(store: Store, ask: Both, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys, region and endpoint of the configuration files are used by the hot path as by boto3."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(f"[profile p]\nregion = {REGION}\nendpoint_url = {store.url}\n")
    (tmp_path / "credentials").write_text("[p]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = top-secret\n")
    assert ask.stored("", put(), profile="p").etag == "abc"
    assert store.got[0][0] == "/bucket/k"


def test_the_ca_bundle_of_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is the hot path's, too."""
    (tmp_path / "config").write_text("[default]\nca_bundle = /no/such.pem\n")
    told = Both("fast").error("https://127.0.0.1:1", put())
    assert told.code == NoAnswer.BUNDLE and "/no/such.pem" in told.message


def test_no_credentials(ask: Both, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said so by both."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert ask.error(store.url, put()).code == NoAnswer.CREDENTIALS


class Refreshing:
    """Credentials as botocore has them."""

    def __init__(self) -> None:
        self.asked = 0
        self.keys: tuple[str, str, str | None] = ("AKIDEXAMPLE", "top-secret", None)
        self.error: Exception | None = None

    def get_frozen_credentials(self) -> Any:
        """As they are now."""
        self.asked += 1
        if self.error:
            raise self.error
        key, secret, token = self.keys
        return type("Frozen", (), {"access_key": key, "secret_key": secret, "token": token})


def test_keys_are_refreshed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore is asked again after a while, once for all requests, and new keys sign the next request."""
    credentials = Refreshing()
    now = time.monotonic()
    monkeypatch.setattr(access, "time", SimpleNamespace(monotonic=lambda: now))  # not the event loop's

    async def run() -> None:
        nonlocal now
        options = S3Options(endpoint_url=store.url)
        control = BotoTransport("bucket", options)
        transport = FastTransport("bucket", options, control, 4)
        line = fast.Line("bucket", options, access.Access(store.url, REGION, True, None), 4)
        line.access._credentials, line.access._until = credentials, now
        transport._line = line
        await asyncio.gather(*(transport.put(put()) for _ in range(8)))
        assert credentials.asked == 1
        before = line.access.keys
        now += access.KEYS_FOR + 1
        await transport.put(put())
        assert credentials.asked == 2 and line.access.keys is before  # the same: nothing is derived anew
        monkeypatch.setitem(SECRETS, "AKIDNEW", "new")
        credentials.keys = ("AKIDNEW", "new", "token")
        await transport.put(put())
        assert "AKIDEXAMPLE" in store.got[-1][1]["authorization"]
        now += access.KEYS_FOR + 1
        await transport.put(put())
        assert "AKIDNEW" in store.got[-1][1]["authorization"]
        assert store.got[-1][1]["x-amz-security-token"] == "token"
        now += access.KEYS_FOR + 1
        credentials.error = RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired.")
        with pytest.raises(StoreError, match="still expired") as caught:
            await transport.put(put())
        assert caught.value.code == NoAnswer.CREDENTIALS
        credentials.error = None
        await transport.put(put())  # a failure is not kept
        transport.close()
        await asyncio.sleep(0.02)

    asyncio.run(run())


RUN_ONCE = """
import sys
from jollyae.service import compose
if sys.argv.pop() == "asyncio":
    compose.loop_factory = lambda: None
from jollyae.cli.main import entry
entry()
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_nothing_is_left_at_the_end_of_a_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loop: str
) -> None:
    """Kept connections are closed on the loop they belong to: no traceback, no warning."""
    incoming = tmp_path / "q" / "incoming"
    incoming.mkdir(parents=True)
    (incoming / "a.txt").write_text("hello")
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
    monkeypatch.setenv("PYTHONPATH", str(Path(fast.__file__).parents[3]))
    command = [sys.executable, "-X", "dev", "-c", RUN_ONCE, "run", str(tmp_path / "q"), "--to", "s3://bucket", "--once"]
    done = subprocess.run([*command, loop], capture_output=True, text=True, timeout=60, check=False)
    # twice: this store says 200 to everything, and the first object finds out what it honours
    assert done.returncode == 0 and [path for path, _, _ in store.got] == ["/bucket/a.txt"] * 2, done.stderr
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr
