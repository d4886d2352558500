"""Opening a bucket or container: which options apply, where endpoint and credentials come from, and who said so.

Credentials come from the environment that each cloud's own tools read, never from options. obstore is loaded here and
nowhere earlier: its library has 16 MB.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import applicable
from ..s3.boto import DEADLINE, SLOWEST
from ..s3.metadata import SHA256
from ..s3.options import OptionError, S3Options

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_URL = re.compile(r"(gs|az)://([^/?#\s]+)(?:/(.*))?")
_PART_TRIES = 3
"""How often more a part is sent before the attempt at the whole file ends: nothing of it would be left for the next."""
_LAST_DOT = re.compile(r"\.(?=/|$)")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADERS = frozenset(
    {
        *("cache-control", "content-disposition", "content-encoding", "content-language", "content-type"),
        "storage-class",
    }
)
"""Names that obstore takes for a header's and not for metadata (obstore's reference, "Attribute")."""

_CREDENTIALS = {
    "gs": (
        *("GOOGLE_BEARER_TOKEN", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY"),
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "az": (
        *("AZURE_STORAGE_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"),
        *("AZURE_STORAGE_KEY", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET"),
        *("AZURE_FEDERATED_TOKEN_FILE", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_USE_AZURE_CLI"),
    ),
}
_ENDPOINTS = {"gs": ("GOOGLE_BASE_URL",), "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")}
HINTS = {
    "gs": "Looked for: GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS (a file), GOOGLE_SERVICE_ACCOUNT_KEY "
    "(its text), gcloud's own (Try: gcloud auth application-default login), the machine's service account.",
    "az": "Looked for: AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, "
    "AZURE_STORAGE_CONNECTION_STRING, AZURE_CLIENT_ID with AZURE_CLIENT_SECRET and AZURE_TENANT_ID, "
    "AZURE_USE_AZURE_CLI, the machine's managed identity.",
}
"""Where credentials are looked for."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """One bucket or container. ``url`` is without a prefix; ``store`` tries each request once (the worker retries),
    ``patient`` three times more (parts of large files, reading back). ``keeps_attributes``: False for obstore's stores
    that keep nothing beside the bytes."""

    url: str
    store: "ObjectStore"
    patient: "ObjectStore"
    description: str = ""
    keeps_attributes: bool = True
    credentials_hint: str = field(default="", repr=False)

    def metadata_name(self, name: str) -> str:
        """How a name of metadata is written there: Azure takes only identifiers (Azure Storage, "Naming and referencing
        containers, blobs, and metadata")."""
        return name.replace("-", "_") if self.url.startswith("az:") else name

    def key(self, key: str) -> str:
        """How a key is written there. Azure wants no component to end with a dot (the same page), and its emulator
        loses a backslash at the end: there both are percent-encoded, which can be taken back.

        >>> Cloud("az://c", None, None).key("a./b\\\\c.txt"), Cloud("gs://b", None, None).key("a./b")
        ('a%2E/b%5Cc.txt', 'a./b')
        """
        if not self.url.startswith("az:"):
            return key
        return _LAST_DOT.sub("%2E", key.replace("\\", "%5C"))

    def common_name(self, name: str) -> str:
        """The name that S3 has for a name of metadata here.

        >>> Cloud("az://c", None, None).common_name("jollyae_sha256"), Cloud("gs://b", None, None).common_name("a_b")
        ('jollyae-sha256', 'a_b')
        """
        return name.replace("_", "-") if self.url.startswith("az:") and name.startswith("jollyae_") else name

    @property
    def digest_name(self) -> str:
        """The metadata that has the content's SHA-256."""
        return self.metadata_name(SHA256)


def split_url(url: str) -> tuple[str, str, str]:
    """Scheme, bucket and prefix of ``gs://bucket[/prefix]`` or ``az://container[/prefix]``. Raises
    :class:`OptionError`.

    >>> split_url("gs://photos/2026/summer/")
    ('gs', 'photos', '2026/summer')
    """
    match = _URL.fullmatch(url)
    if not match:
        raise OptionError(f"{url!r}: write gs://BUCKET[/PREFIX] or az://CONTAINER[/PREFIX]")
    return match.group(1), match.group(2), (match.group(3) or "").strip("/")


def refuse_what_does_not_apply(scheme: str, options: S3Options) -> None:
    """Raise :class:`OptionError` for an option that only S3 knows: none is left out in silence."""
    default = S3Options()
    for name in applicable.without_meaning(scheme):
        ours = {"tag": "tags"}.get(name, name)
        given = getattr(options, ours, None)
        if given and given != getattr(default, ours):
            raise OptionError(applicable.why(applicable.flag(name), scheme))
    for name in options.metadata:
        if name.lower() in _HEADERS:
            raise OptionError(f"--metadata {name!r}: it is a header's name there. Use another.")
        if scheme == "az" and not _IDENTIFIER.fullmatch(name):
            raise OptionError(f"--metadata {name!r}: Azure takes letters, digits and '_', and no digit first")


def open_cloud(scheme: str, bucket: str, options: S3Options, environment: Mapping[str, str] = os.environ) -> Cloud:
    """The bucket or container as options and environment say; nothing is asked of it yet. Raises
    :class:`OptionError`."""
    refuse_what_does_not_apply(scheme, options)
    try:
        from obstore.exceptions import BaseError
    except ImportError as error:
        raise OptionError(f"{scheme}:// needs the extra: pip install '.[clouds]' in the checkout") from error
    endpoint, source = _endpoint(scheme, options, environment)
    config = _azure(environment) if scheme == "az" else {}
    if not endpoint and "endpoint" in config:
        endpoint, source = config["endpoint"], "AZURE_STORAGE_CONNECTION_STRING"
    if endpoint:
        config["endpoint" if scheme == "az" else "base_url"] = endpoint
    plain = endpoint.startswith("http://")
    try:
        store = _open(scheme, bucket, config, _client(scheme, options, options.multipart_threshold, plain), 0)
        patient = _open(scheme, bucket, config, _client(scheme, options, options.part_size, plain), _PART_TRIES)
    except (BaseError, ValueError) as error:
        text = str(error).partition("\n")[0].removeprefix("Generic GCS error: ")
        text = text.removeprefix("Generic MicrosoftAzure error: ")
        raise OptionError(f"{scheme}://{bucket} cannot be used: {text}. {HINTS[scheme]}") from error
    where = f"endpoint {endpoint} (from {source})" if endpoint else "the cloud's own endpoint"
    found = next((name for name in _CREDENTIALS[scheme] if environment.get(name)), "")
    keys = f"credentials from {found}" if found else "credentials from this machine or user"
    return Cloud(f"{scheme}://{bucket}", store, patient, f"{where}, {keys}", credentials_hint=HINTS[scheme])


def _open(scheme: str, bucket: str, config: dict[str, Any], client: Any, tries: int) -> "ObjectStore":
    from obstore.store import AzureStore, GCSStore

    retry: Any = {"max_retries": tries}
    kind: Any = AzureStore if scheme == "az" else GCSStore
    made: ObjectStore = kind(bucket, config=config, client_options=client, retry_config=retry)
    return made


def _client(scheme: str, options: S3Options, body: int, plain: bool) -> dict[str, Any]:
    """obstore's own deadline is 30 s for a request with its body; ours grows with the body."""
    client: dict[str, Any] = {"connect_timeout": "10s", "timeout": f"{DEADLINE + body / SLOWEST:.0f}s"}
    if plain:
        client["allow_http"] = True
    if not options.verify_ssl:
        client["allow_invalid_certificates"] = True
    if options.ca_bundle:
        try:
            with open(options.ca_bundle, "rb") as file:
                client["root_certificate"] = file.read()
        except OSError as error:
            raise OptionError(f"--ca-bundle {options.ca_bundle}: {error.strerror}") from error
    if (
        scheme == "gs"
    ):  # or it unpacks what is stored with Content-Encoding: gzip ("Transcoding of gzip-compressed files")
        client["default_headers"] = {"accept-encoding": "gzip"}
    return client


def _endpoint(scheme: str, options: S3Options, environment: Mapping[str, str]) -> tuple[str, str]:
    if options.endpoint_url:
        return options.endpoint_url.rstrip("/"), "--endpoint-url"
    for name in _ENDPOINTS[scheme]:
        if environment.get(name):
            return environment[name].rstrip("/"), name
    return "", ""


def _azure(environment: Mapping[str, str]) -> dict[str, Any]:
    """What obstore does not read by itself: the connection string, and the names that Azure's own command line has.

    >>> text = "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=a2V5;EndpointSuffix=core.windows.net"
    >>> _azure({"AZURE_STORAGE_CONNECTION_STRING": text}) == {
    ...     "account_name": "me", "account_key": "a2V5", "endpoint": "https://me.blob.core.windows.net"}
    True
    """
    config: dict[str, Any] = {}
    for name, key in (("ACCOUNT", "account_name"), ("KEY", "account_key")):
        if value := environment.get(f"AZURE_STORAGE_{name}"):
            config[key] = value
    words = (word.partition("=") for word in environment.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"))
    said = {name.strip(): value.strip() for name, _, value in words if value}
    names = {"AccountName": "account_name", "AccountKey": "account_key", "SharedAccessSignature": "sas_key"}
    config |= {key: said[name] for name, key in (*names.items(), ("BlobEndpoint", "endpoint")) if name in said}
    if "EndpointSuffix" in said and "AccountName" in said and "endpoint" not in config:
        scheme = said.get("DefaultEndpointsProtocol", "https")
        config["endpoint"] = f"{scheme}://{said['AccountName']}.blob.{said['EndpointSuffix']}"
    return config
