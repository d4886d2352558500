"""What each error of a store means."""

import pytest

from jollyae.processors.s3.faults import explain
from jollyae.processors.s3.transport import NoAnswer, StoreError
from jollyae.spool.outcomes import Permanent, Scope, Temporary

D, U, I = Scope.DESTINATION, Scope.UNSURE, Scope.ITEM  # noqa: E741 (three columns of a table)
WHERE = "s3://bucket/key"

TABLE = [
    *((None, code, D, "") for code in NoAnswer),
    (500, "InternalError", D, ""),
    (502, "", D, ""),
    (503, "ServiceUnavailable", D, ""),
    (504, "", D, ""),
    (404, "NoSuchBucket", D, "--to"),
    (403, "InvalidAccessKeyId", D, "credentials"),
    (403, "SignatureDoesNotMatch", D, "AWS_SECRET_ACCESS_KEY"),
    (400, "ExpiredToken", D, "aws sso login"),
    (403, "RequestTimeTooSkewed", D, "clock"),
    (301, "PermanentRedirect", D, "--region"),
    (301, "", D, "--region"),
    (400, "AuthorizationHeaderMalformed", D, "--region"),
    (501, "NotImplemented", D, "--head-first"),
    (501, "", D, "--head-first"),
    (400, "InvalidStorageClass", D, "--storage-class"),
    (400, "AccessControlListNotSupported", D, "--acl"),
    (403, "QuotaExceeded", D, "quota"),
    (507, "", D, "quota"),
    (403, "AccessDenied", U, "s3:PutObject"),
    (403, "", U, "s3:PutObject"),
    (400, "InvalidArgument", U, ""),
    (418, "Teapot", U, ""),
    (405, "MethodNotAllowed", U, ""),
    (409, "ConditionalRequestConflict", I, ""),
    (409, "", I, ""),
    (400, "BadDigest", I, ""),
    (400, "XAmzContentSHA256Mismatch", I, ""),
    (404, "NoSuchUpload", I, ""),
    (400, "EntityTooLarge", None, "Split"),
    (413, "", None, "Split"),
    (400, "KeyTooLongError", None, "--key"),
    (400, "MetadataTooLarge", None, "--metadata"),
]


@pytest.mark.parametrize(("status", "code", "scope", "hint"), TABLE)
def test_the_table(status: int | None, code: str, scope: Scope | None, hint: str) -> None:
    """Whose fault it is, and what to do about it."""
    told = explain(StoreError(status, code, "because"), WHERE)
    assert hint in told.hint
    assert (WHERE in told.message and "because" in told.message) or code == "RequestTimeTooSkewed"
    if scope is None:
        assert isinstance(told, Permanent)
    else:
        assert isinstance(told, Temporary) and told.scope is scope


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (429, ""), (503, ""), (400, "ThrottlingException")])
def test_throttling(status: int, code: str) -> None:
    """The worker is told to send fewer."""
    told = explain(StoreError(status, code), WHERE)
    assert isinstance(told, Temporary) and told.throttled and told.scope is D


def reason(status: int | None, code: str) -> str:
    """What a pause is told by."""
    told = explain(StoreError(status, code, "because", request_id="tx1"), WHERE)
    assert isinstance(told, Temporary)
    return told.state


def test_one_outage_has_one_reason() -> None:
    """A server that stops: closed, then refused. One that is overloaded: now 500, now 503. Others are told apart."""
    gone = {reason(None, code) for code in (NoAnswer.CLOSED, NoAnswer.REFUSED, NoAnswer.TIMEOUT, NoAnswer.NAME)}
    unwell = {reason(500, "InternalError"), reason(502, ""), reason(503, "SlowDown"), reason(503, ""), reason(429, "")}
    others = [(None, NoAnswer.TLS), (403, "AccessDenied"), (403, "SignatureDoesNotMatch"), (501, ""), (507, "")]
    assert len(gone) == len(unwell) == 1
    assert len(gone | unwell | {reason(status, code) for status, code in others}) == 2 + len(others)


@pytest.mark.parametrize(("skew", "text"), [(900.2, "900 s behind"), (-4000.0, "4000 s ahead of")])
def test_the_clock_is_wrong_by_how_much(skew: float, text: str) -> None:
    """The server's Date tells."""
    told = explain(StoreError(403, "RequestTimeTooSkewed", skew=skew), WHERE)
    assert f"this clock is {text} the store's" in told.message


def test_no_credentials_says_where_it_looked() -> None:
    """In order."""
    hint = explain(StoreError(None, NoAnswer.CREDENTIALS), WHERE).hint
    places = ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "~/.aws/credentials", "~/.aws/config", "container", "machine"]
    assert sorted(places, key=hint.index) == places


def test_no_tls_is_told_from_no_trust() -> None:
    """A server that speaks plain http needs another URL and no certificates, in OpenSSL's words and in botocore's."""
    plain = "SSL validation failed for https://h [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1016)"
    assert "http://" in explain(StoreError(None, NoAnswer.TLS, plain), WHERE).hint
    untrusted = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"
    assert "--ca-bundle FILE" in explain(StoreError(None, NoAnswer.TLS, untrusted), WHERE).hint


def test_the_request_id_is_told() -> None:
    """The store's support asks for it."""
    told = explain(StoreError(500, "InternalError", "sorry", request_id="tx42"), WHERE)
    assert told.message == "the store is unwell: s3://bucket/key: 500 InternalError: sorry (request tx42)"
