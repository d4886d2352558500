"""Our signatures are botocore's, and those that AWS has published."""

import datetime
import hashlib
from typing import Any

import botocore.auth
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode
from hypothesis import given, settings
from hypothesis import strategies as st

from jollyae.processors.s3.sigv4 import Keys, Signer, canonical_query, encode_path
from jollyae.spool import names

EMPTY = hashlib.sha256(b"").hexdigest()
AWS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

FILE_NAMES = st.one_of(
    st.binary(max_size=60).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.text("/.%~ +*'()!$&,;=:@?#[]\\\"<>^`{|}-_aZ0ü\u2028", max_size=60),
)
KEYS_OF_OBJECTS = FILE_NAMES.map(names.encode)
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
BLANKS = st.text(" \t", max_size=3)
VALUES = st.one_of(
    PRINTABLE,
    st.tuples(BLANKS, PRINTABLE, BLANKS, PRINTABLE, BLANKS).map("".join),
    st.text(" \t:a", max_size=6),
)
TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789!#$&'*+.^_`|~-", min_size=1, max_size=20)
HEADERS = st.dictionaries(
    st.one_of(
        TOKENS.map(lambda name: f"x-amz-meta-{name}"),
        st.sampled_from(["content-type", "content-md5", "content-encoding", "cache-control", "if-none-match"]),
        st.sampled_from(["if-match", "x-amz-tagging", "x-amz-checksum-crc32c", "x-amz-acl", "x-amz-storage-class"]),
    ),
    VALUES,
    max_size=8,
)
SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
QUERIES = st.lists(st.tuples(SECRETS, st.text(st.characters(exclude_categories=["Cs"]), max_size=10)), max_size=4)
REGIONS = st.one_of(st.sampled_from(["us-east-1", "eu-central-1", "default", "auto", ""]), TOKENS)
DATES = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2100, 1, 1))


@settings(max_examples=3000)
@given(
    method=st.sampled_from(["PUT", "GET", "HEAD", "POST", "DELETE"]),
    key=KEYS_OF_OBJECTS,
    query=QUERIES,
    headers=HEADERS,
    keys=st.builds(Keys, SECRETS, SECRETS, st.one_of(st.just(""), SECRETS)),
    region=REGIONS,
    date=DATES,
    body=st.binary(max_size=20),
)
def test_as_botocore_signs(
    method: str,
    key: str,
    query: list[tuple[str, str]],
    headers: dict[str, str],
    keys: Keys,
    region: str,
    date: datetime.datetime,
    body: bytes,
) -> None:
    """For every key that our templates make, every header, every day and region."""
    now = date.replace(tzinfo=datetime.UTC).timestamp()
    path, written = f"/bucket/{encode_path(key)}", canonical_query(query)
    ours = Signer(region)
    signed = {**headers, "host": "store:9000", "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    signed["x-amz-date"] = ours.stamp(now)
    if keys.token:
        signed["x-amz-security-token"] = keys.token
    signed = dict(sorted(signed.items()))
    for _ in range(2):  # the second by what is kept
        value = ours.authorization(keys, method, path, written, signed, signed["x-amz-content-sha256"])
        assert value == by_botocore(method, f"http://store:9000{path}?{written}", headers, keys, region, date, body)


def by_botocore(
    method: str, url: str, headers: dict[str, str], keys: Keys, region: str, date: datetime.datetime, body: bytes
) -> str:
    """botocore's Authorization header."""
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    credentials = Credentials(keys.access_key, keys.secret_key, keys.token or None)
    signer: Any = S3SigV4Auth(credentials, "s3", region)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda *a, **b: date)
        signer.add_auth(request)
    return str(request.headers["Authorization"])


@settings(max_examples=1000)
@given(KEYS_OF_OBJECTS)
def test_paths_as_botocore_writes_them(key: str) -> None:
    """What is sent is what boto3 would send: the store decodes it to the same key."""
    assert encode_path(key) == percent_encode(key, safe="/~")


def test_queries_are_sorted_by_name() -> None:
    """Not by the whole, in which '=' comes after '-'."""
    assert canonical_query([("a-b", "1"), ("a", "2"), ("a", "1")]) == "a=1&a=2&a-b=1"


def test_one_signer_for_changing_days_and_keys() -> None:
    """The kept signing key is of this day and these keys only."""
    signer = Signer("us-east-1")
    other = Keys("AKIDOTHER", "other")
    for keys, now in [(AWS, 0.0), (AWS, 86400.0), (other, 86400.0), (AWS, 86400.0), (AWS, 0.0)]:
        headers = {"host": "h", "x-amz-date": signer.stamp(now)}
        fresh = Signer("us-east-1").authorization(keys, "PUT", "/", "", headers, EMPTY)
        assert signer.authorization(keys, "PUT", "/", "", headers, EMPTY) == fresh


HOST = "examplebucket.s3.amazonaws.com"
PUBLISHED = [
    (
        "GET",
        "/test.txt",
        "",
        {"host": HOST, "range": "bytes=0-9", "x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"},
        EMPTY,
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    (
        "PUT",
        encode_path("/test$file.text"),
        "",
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "host": HOST,
            "x-amz-content-sha256": hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
            "x-amz-date": "20130524T000000Z",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
        hashlib.sha256(b"Welcome to Amazon S3.").hexdigest(),
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    (
        "GET",
        "/",
        "lifecycle=",
        {"host": HOST, "x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"},
        EMPTY,
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    (
        "GET",
        "/",
        canonical_query([("prefix", "J"), ("max-keys", "2")]),
        {"host": HOST, "x-amz-content-sha256": EMPTY, "x-amz-date": "20130524T000000Z"},
        EMPTY,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]


@pytest.mark.parametrize(("method", "path", "query", "headers", "payload", "signature"), PUBLISHED)
def test_published_examples(
    method: str, path: str, query: str, headers: dict[str, str], payload: str, signature: str
) -> None:
    """AWS S3 API reference, "Signature calculations for the Authorization header: single chunk", its four examples."""
    value = Signer("us-east-1").authorization(AWS, method, path, query, headers, payload)
    assert value == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={';'.join(headers)}, Signature={signature}"
    )


def test_no_secret_is_shown() -> None:
    """Not in a traceback, not in a log."""
    assert "wJalr" not in repr(AWS) and "AKIA" not in repr(AWS)
