"""Making the boto3 client: which endpoint, region and credentials, and who said so.

Nothing of boto3 is imported before the first client is made: ``jollyae --help`` must be quick.
"""

import io
import logging
import os
import warnings
from typing import Any, NamedTuple

from .options import S3Options, check_endpoint, without_password
from .transport import NoAnswer, StoreError

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
"""Seconds; botocore's own 60 s to connect and five attempts take 311 s to give up on a dead server (measured)."""
_EXPECT_FROM = 1 << 20
"""Bytes from which a request asks '100-continue' first: below, the round trip costs more than a refused body."""


class Connected(NamedTuple):
    """A client, and the sentence that says where it goes and who decided that."""

    client: Any
    description: str
    credentials: Any = None
    """botocore's, which may refresh themselves; None for none."""
    ca_bundle: str = ""
    """The file of certificate authorities that environment or configuration file name."""


def connect(options: S3Options, connections: int) -> Connected:
    """A boto3 client with ``connections`` connections at most. Raises boto3's errors, :class:`StoreError` and
    :class:`~.options.OptionError`; never a secret in the text."""
    for name in ("boto3", "botocore", "urllib3", "s3transfer"):  # at DEBUG they log session tokens and signatures
        logging.getLogger(name).setLevel(logging.WARNING)
    import boto3
    import botocore.session

    core = botocore.session.Session(profile=options.profile or None)
    # The SDKs' common variable, which boto3 does not read, before boto3's own.
    region = options.region or os.environ.get("AWS_REGION") or None
    session = boto3.Session(botocore_session=core, region_name=region)
    endpoint, source = endpoint_of(options, core.get_scoped_config(), core.full_config, dict(os.environ))
    check_endpoint(endpoint, source)
    if not options.verify_ssl:
        _silence_insecure_warning()
    client = session.client(
        "s3",
        endpoint_url=options.endpoint_url or None,
        verify=_verify(options),
        config=_config(options, connections, path_style=bool(endpoint)),
    )
    ca_bundle = core.get_config_variable("ca_bundle") or ""
    if options.verify_ssl and client.meta.endpoint_url.startswith("https:"):
        check_bundle(options.ca_bundle or ca_bundle)
    client.meta.events.register_last("before-call.s3", _no_expect_for_small)
    client.meta.events.register_last("before-call.s3", _no_redirect)
    description = _describe(options, session, client, endpoint, source)
    return Connected(client, description, session.get_credentials(), ca_bundle)


def endpoint_of(
    options: S3Options, scoped: dict[str, Any], full: dict[str, Any], environment: dict[str, str]
) -> tuple[str, str]:
    """The endpoint URL and the setting that supplied it; ('', '') for Amazon's own. In botocore's order of precedence.

    ``scoped`` is the profile's part of the configuration file, ``full`` all of it.

    >>> endpoint_of(S3Options(), {}, {}, {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"})
    ('http://b', 'AWS_ENDPOINT_URL_S3')
    """
    if options.endpoint_url:
        return options.endpoint_url, "--endpoint-url"
    ignored = environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or scoped.get("ignore_configured_endpoint_urls")
    if str(ignored).lower() == "true":
        return "", ""
    for variable in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if environment.get(variable):
            return environment[variable], variable
    services = full.get("services", {}).get(scoped.get("services"), {})
    url = services.get("s3", {}).get("endpoint_url") or scoped.get("endpoint_url")
    return (url, "the AWS config file") if url else ("", "")


def expiry(credentials: Any) -> float:
    """When they expire, in seconds since 1970; 0 where they do not, or nobody says. What can be renewed is, before."""
    until = getattr(credentials, "_expiry_time", None)  # botocore tells it nowhere else
    return until.timestamp() if until is not None else 0.0


def check_bundle(path: str) -> None:
    """Raise :class:`StoreError` where the file of certificate authorities cannot be read: botocore's own error does not
    name it. A directory of them is boto3's to judge."""
    try:
        if path and not os.path.isdir(path):
            open(path, "rb").close()
    except OSError as error:
        raise StoreError(None, NoAnswer.BUNDLE, f"{path}: {error.strerror}") from error


def _verify(options: S3Options) -> bool | str | None:
    if not options.verify_ssl:
        return False
    return options.ca_bundle or None


def _config(options: S3Options, connections: int, *, path_style: bool) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    s3: Any = {"payload_signing_enabled": True}
    if path_style:
        s3["addressing_style"] = "path"
    return Config(
        retries={"total_max_attempts": 1, "mode": "standard"},  # the worker retries; shared budgets collapse
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        max_pool_connections=connections,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        s3=s3,
        **({"signature_version": UNSIGNED} if options.no_sign_request else {}),
    )


def _no_expect_for_small(params: dict[str, Any], **_: Any) -> None:
    body = params.get("body")  # botocore has put the bytes into a BytesIO
    if (body.getbuffer().nbytes if isinstance(body, io.BytesIO) else len(body or b"")) < _EXPECT_FROM:
        params["headers"].pop("Expect", None)


def _no_redirect(params: dict[str, Any], **_: Any) -> None:
    """botocore sends a redirected request once more, signed for the region that it was told, and keeps that region for
    the bucket until the process ends, whoever said so. Here one attempt is one request; the operator is told."""
    params["context"].get("s3_redirect", {})["redirected"] = True


def _silence_insecure_warning() -> None:
    from urllib3.exceptions import InsecureRequestWarning

    warnings.filterwarnings("ignore", category=InsecureRequestWarning)


def _describe(options: S3Options, session: Any, client: Any, endpoint: str, source: str) -> str:
    where = (
        f"endpoint {without_password(endpoint)} (from {source})" if endpoint else f"endpoint {client.meta.endpoint_url}"
    )
    region = session.region_name or client.meta.region_name
    asked = "--region" if options.region else "the AWS environment" if session.region_name else "the default"
    if options.no_sign_request:
        return f"{where}, region {region} (from {asked}), requests not signed"
    found = session.get_credentials()
    method = f"credentials from {found.method}" if found else "no credentials found"
    return f"{where}, region {region} (from {asked}), {method}"
