"""What a store's error means: for whom, for how long, and what the operator can do. Pure; tested with a table.

Network, store, credentials, clock and bucket are the world's faults: the destination is paused and nothing goes to
``failed/``. What we do not know is UNSURE: three different items in a row make it the destination's. Only what will
fail for this item for ever is permanent.
"""

from dataclasses import dataclass

from jollyae.spool.outcomes import Permanent, Scope, Temporary

from .transport import NoAnswer, StoreError


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of the table. ``scope`` None: permanent. ``after``: seconds. ``reason``: of the closed list by which
    errors are counted (``worker/reasons.py``)."""

    what: str
    hint: str = ""
    scope: Scope | None = Scope.DESTINATION
    throttled: bool = False
    after: float | None = None
    reason: str = "other"


_KEYS = (
    "Looked for in this order: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (not with --profile), the profile "
    "(--profile, AWS_PROFILE) in ~/.aws/credentials and ~/.aws/config (also assume-role, SSO, process), "
    "the container's and the machine's role. Try: aws configure, or --no-sign-request."
)
_EXPIRED = Meaning(
    "the credentials have expired",
    "Renew them (Try: aws sso login); waiting items go on by themselves.",
    reason="credentials",
)
_CLOCK = Meaning("the clock is wrong", "Set this machine's clock. Try: timedatectl set-ntp true", reason="clock")
_REGION = Meaning("the bucket is in another region", "Give the bucket's own region with --region.", reason="bucket")
_CONDITION = Meaning(
    "the store does not do conditional writes",
    "Try: --head-first (asks before each write; not atomic), or --if-exists overwrite.",
)
_SLOW = Meaning(
    "the store asks for fewer requests", "Nothing to do: fewer are sent.", throttled=True, reason="throttled"
)
_DAMAGED = Meaning("the bytes were damaged on their way", scope=Scope.ITEM, after=1.0, reason="network")
_TOO_LARGE = Meaning("too large for this store", "Split the file.", scope=None, reason="size")
_AGAIN = Meaning("another write to this key was under way", scope=Scope.ITEM, after=0.2, reason="collision")
_DENIED = Meaning(
    "access denied",
    "The credentials need s3:PutObject here, and s3:PutObjectAcl with --acl.",
    Scope.UNSURE,
    reason="denied",
)

_BY_CODE = {
    NoAnswer.REFUSED: Meaning(
        "connection refused", "Is the store running, and is the endpoint URL right?", reason="network"
    ),
    NoAnswer.NAME: Meaning(
        "the endpoint's name cannot be found", "Check the endpoint URL, the region and the DNS.", reason="network"
    ),
    NoAnswer.TIMEOUT: Meaning("no answer in time", "Check the network and the store.", reason="timeout"),
    NoAnswer.TLS: Meaning(
        "no secure connection", "Try: --ca-bundle FILE with the store's certificate authority.", reason="tls"
    ),
    NoAnswer.BUNDLE: Meaning(
        "the certificate authorities cannot be read",
        "Correct --ca-bundle, or AWS_CA_BUNDLE if that named the file.",
        reason="tls",
    ),
    NoAnswer.CLOSED: Meaning("the connection was closed", "Nothing to do if this is rare.", reason="network"),
    NoAnswer.PROXY: Meaning(
        "the proxy cannot be reached", "Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.", reason="network"
    ),
    NoAnswer.CREDENTIALS: Meaning("no credentials", _KEYS, reason="credentials"),
    NoAnswer.PROFILE: Meaning(
        "there is no such profile", "Try: aws configure list-profiles, then --profile NAME.", reason="credentials"
    ),
    NoAnswer.CLIENT: Meaning(
        "the request could not be made", "Check the endpoint's URL, the region and the store's other options."
    ),
    "NoSuchBucket": Meaning(
        "there is no such bucket", "Check the name in --to, or make it. Try: aws s3 mb s3://BUCKET", reason="bucket"
    ),
    "InvalidBucketName": Meaning("no bucket can have this name", "Check the name in --to.", reason="bucket"),
    "InvalidAccessKeyId": Meaning(
        "the store does not know this access key", "Check the credentials and the endpoint.", reason="credentials"
    ),
    "SignatureDoesNotMatch": Meaning(
        "the secret key is wrong", "Check AWS_SECRET_ACCESS_KEY or the profile.", reason="credentials"
    ),
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "InvalidToken": Meaning("the session token is not valid", "Renew the credentials.", reason="credentials"),
    "RequestTimeTooSkewed": _CLOCK,
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "AccountProblem": Meaning("the store has closed this account", "Ask the store's support.", reason="denied"),
    "AllAccessDisabled": Meaning("the store has closed this bucket", "Ask the store's support.", reason="denied"),
    "QuotaExceeded": Meaning("the quota is used up", "Make room in the bucket, or raise the quota.", reason="full"),
    "InvalidStorageClass": Meaning("the store has no such storage class", "Check --storage-class."),
    "AccessControlListNotSupported": Meaning("the bucket takes no ACLs", "Leave --acl out."),
    "NotImplemented": _CONDITION,
    "SlowDown": _SLOW,
    "SlowDownWrite": _SLOW,
    "Throttling": _SLOW,
    "ThrottlingException": _SLOW,
    "TooManyRequests": _SLOW,
    "RequestLimitExceeded": _SLOW,
    "AccessDenied": _DENIED,
    "BadDigest": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "IncompleteBody": _DAMAGED,
    "RequestTimeout": Meaning("the request took too long", "Check the network.", after=1.0, reason="timeout"),
    "ConditionalRequestConflict": _AGAIN,
    "OperationAborted": _AGAIN,
    "NoSuchUpload": Meaning(
        "the store has forgotten the upload", "It begins again.", Scope.ITEM, after=1.0, reason="server"
    ),
    "EntityTooLarge": _TOO_LARGE,
    "KeyTooLongError": Meaning(
        "the key is too long for this store", "Shorten the name, or change --key.", None, reason="key"
    ),
    "MetadataTooLarge": Meaning(
        "the metadata is too large for this store", "Shorten the name or --metadata.", None, reason="key"
    ),
}
_BY_STATUS = {
    301: _REGION,
    307: _REGION,
    403: _DENIED,
    407: _BY_CODE[NoAnswer.PROXY],
    409: _AGAIN,
    413: _TOO_LARGE,
    429: _SLOW,
    501: _CONDITION,
    503: Meaning("the store is unavailable", "Nothing to do but look at the store.", throttled=True, reason="server"),
    507: _BY_CODE["QuotaExceeded"],
}
_NO_TLS = Meaning(
    "no secure connection", "The server speaks no TLS there. Is its URL http:// rather than https://?", reason="tls"
)
_UNREACHABLE = frozenset({NoAnswer.REFUSED, NoAnswer.NAME, NoAnswer.TIMEOUT, NoAnswer.CLOSED})


def meaning(error: StoreError) -> Meaning:
    """The row for an error: by its code, else by its status, else by the hundreds of it."""
    if error.code == NoAnswer.TLS and "WRONG_VERSION_NUMBER" in error.message:  # OpenSSL's word, boto3 tells it too
        return _NO_TLS
    if row := _BY_CODE.get(error.code):
        return row
    if error.status is None:
        return _BY_CODE[NoAnswer.CLIENT]
    if row := _BY_STATUS.get(error.status):
        return row
    if error.status >= 500:
        return Meaning(
            "the store is unwell", "Nothing to do but look at the store: it is tried again.", reason="server"
        )
    return Meaning("the store refused", "Try: jollyae check", Scope.UNSURE)


def explain(error: StoreError, where: str, row: Meaning | None = None) -> Temporary | Permanent:
    """The error to raise for what the store said about ``where`` (a URL). ``row``: instead of the table's.

    >>> explain(StoreError(503, "SlowDown"), "s3://photos/a.jpg")
    Temporary('the store asks for fewer requests: s3://photos/a.jpg: 503 SlowDown')
    """
    row = row or meaning(error)
    message = f"{row.what}: {where}: {_why(error)}"
    if row.scope is None:
        return Permanent(message, hint=row.hint, reason=row.reason)
    return Temporary(
        message,
        hint=row.hint,
        scope=row.scope,
        throttled=row.throttled,
        after=row.after,
        reason=row.reason,
        state=_state(error, row),
    )


def _state(error: StoreError, row: Meaning) -> str:
    """The state of the store in one word, by which a pause is told once: a server that stops closes connections first
    and refuses them then; one that is overloaded answers now 500, now 503."""
    if error.code in _UNREACHABLE:
        return "unreachable"
    return "unwell" if row.throttled or (error.status or 0) in (500, 502, 503, 504) else row.what


def _why(error: StoreError) -> str:
    if error.status is None:
        return error.message or error.code
    said = f"{error.status} {error.code}".strip()
    if meaning(error) is _CLOCK and error.skew is not None:
        before = "behind" if error.skew > 0 else "ahead of"
        said += f": this clock is {abs(error.skew):.0f} s {before} the store's"
    elif error.message and error.message != error.code:
        said += f": {error.message}"
    return f"{said} (request {error.request_id})" if error.request_id else said
