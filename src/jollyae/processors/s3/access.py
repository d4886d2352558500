"""Where the hot path sends its requests, and with which keys: from the environment where that says all, else from
boto3.

Making a boto3 client costs 0.3 s of CPU, so nothing is asked of it that the environment answers.
"""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .boto import BotoTransport
from .options import S3Options, without_password
from .session import endpoint_of
from .sigv4 import Keys
from .transport import NoAnswer, StoreError

KEYS_FOR = 60.0
"""Seconds for which keys that can be refreshed are used before botocore is asked again. It renews them 15 minutes
before they expire (botocore.credentials, advisory refresh)."""

_PROXIES = frozenset({"https_proxy", "http_proxy", "all_proxy"})
_OTHER_HOSTS = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
_ALIAS = re.compile(r"--[a-z]+-s3\Z")
"""Directory buckets, access points of Outposts and the like: other hosts, other services' names in the signature."""
_IN_A_HOST = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z")
_STANDARD_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d\Z")


def why_not(bucket: str, environment: Mapping[str, str]) -> str:
    """Why boto3 must do it all ('' if the hot path can): what this transport does not speak.

    >>> why_not("photos", {}), why_not("arn:aws:s3:::x", {}), why_not("photos", {"HTTPS_PROXY": "http://p"})
    ('', 'the bucket is an ARN', 'HTTPS_PROXY is set')
    """
    for name, value in environment.items():
        if value and name.lower() in _PROXIES:
            return f"{name} is set"
    for name in _OTHER_HOSTS:
        if environment.get(name, "").lower() not in ("", "false"):
            return f"{name} is set"
    if ":" in bucket:
        return "the bucket is an ARN"
    return "it is no ordinary bucket" if _ALIAS.search(bucket) else ""


@dataclass(slots=True)
class Access:
    """An endpoint with its region, and keys that may change. ``path_style``: the bucket is in the path, not in the
    host's name."""

    url: str
    region: str
    path_style: bool
    keys: Keys | None
    description: str = ""
    ca_bundle: str = ""
    _credentials: Any = None
    _until: float = float("inf")

    def is_fresh(self) -> bool:
        """Whether the keys may be used as they are."""
        return time.monotonic() < self._until

    async def refresh(self, control: BotoTransport) -> None:
        """Ask botocore for the keys as they are now. Raises :class:`StoreError`."""
        try:
            frozen = await control.in_thread(self._credentials.get_frozen_credentials)
        except RuntimeError as error:  # botocore: "refreshed credentials are still expired"
            raise StoreError(None, NoAnswer.CREDENTIALS, str(error)) from error
        self.keys = _same_or_new(self.keys, frozen)
        self._until = time.monotonic() + KEYS_FOR


async def resolve(bucket: str, options: S3Options, control: BotoTransport) -> Access:
    """The access that options, environment and configuration files give. Raises :class:`StoreError`."""
    found = from_environment(bucket, options, os.environ)
    return found if found is not None else await _from_boto(bucket, options, control)


def from_environment(bucket: str, options: S3Options, environment: Mapping[str, str]) -> Access | None:
    """The access, if options and environment say all; None where a file or another service must be asked."""
    access, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    region = options.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    profile = options.profile or environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE")
    if profile or not region or environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") or _has_config(environment):
        return None
    token = environment.get("AWS_SECURITY_TOKEN") or environment.get("AWS_SESSION_TOKEN") or ""  # botocore's order
    keys = Keys(access, secret, token) if access and secret else None
    if keys is None and not options.no_sign_request:
        return None
    keys = None if options.no_sign_request else keys
    url, source = endpoint_of(options, {}, {}, dict(environment))
    if not (url.startswith(("http://", "https://")) if url else _STANDARD_REGION.match(region)):
        return None  # what boto3 knows or refuses
    where = (
        f"endpoint {without_password(url)} (from {source})" if url else f"endpoint https://s3.{region}.amazonaws.com"
    )
    asked = "--region" if options.region else "the AWS environment"
    signed = "credentials from env" if keys is not None else "requests not signed"
    description = f"{where}, region {region} (from {asked}), {signed}"
    own = f"https://s3.{region}.amazonaws.com"
    path_style = bool(url) or not _IN_A_HOST.match(bucket)
    return Access(url or own, region, path_style, keys, description, _ca_bundle(environment))


def _has_config(environment: Mapping[str, str]) -> bool:
    """Whether there is a configuration file, which may name an endpoint, forbid the environment's, or have the
    certificate authorities."""
    return os.path.exists(environment.get("AWS_CONFIG_FILE") or os.path.expanduser("~/.aws/config"))


def _ca_bundle(environment: Mapping[str, str]) -> str:
    return environment.get("AWS_CA_BUNDLE") or environment.get("REQUESTS_CA_BUNDLE") or ""


async def _from_boto(bucket: str, options: S3Options, control: BotoTransport) -> Access:
    connected = await control.connected()
    meta = connected.client.meta
    path_style = (meta.config.s3 or {}).get("addressing_style") == "path" or not _IN_A_HOST.match(bucket)
    ca_bundle = connected.ca_bundle or _ca_bundle(os.environ)
    access = Access(meta.endpoint_url, meta.region_name, path_style, None, connected.description, ca_bundle)
    if options.no_sign_request:
        return access
    if connected.credentials is None:
        raise StoreError(None, NoAnswer.CREDENTIALS, "Unable to locate credentials")
    access._credentials = connected.credentials
    await access.refresh(control)
    return access


def _same_or_new(keys: Keys | None, frozen: Any) -> Keys:
    new = Keys(frozen.access_key, frozen.secret_key, frozen.token or "")
    return keys if keys == new and keys is not None else new
