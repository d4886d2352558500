"""The promises of a destination over both transports to S3 (Ceph RGW, rclone's server) and to Azure's own emulator."""

import base64
import datetime
import hashlib
import hmac
import http.client
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from obstore.store import AzureStore

from jollyae.processors.clouds import CloudDelivery, open_cloud
from jollyae.processors.keys import KeyTemplate
from jollyae.processors.s3 import BucketDelivery, S3Options
from tests.helpers import until
from tests.processors.conformance import HOSTILE, Delivery, Place, Promises

from .support import free_port, listens

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent.parent
NOBODY = "http://127.0.0.1:1"
_numbers = itertools.count()


class Bucket(Place):
    """A bucket of a server that speaks S3, by one transport."""

    options: dict[str, Any] = {}  # noqa: RUF012 - only read

    def __init__(self, client: "S3Client", bucket: str, endpoint: str, transport: str) -> None:
        self.client = client
        self.bucket = bucket
        self.endpoint = endpoint
        self.transport = transport
        self.url = f"s3://{bucket}/"

    def delivery(self, template: KeyTemplate, **options: Any) -> Delivery:
        chosen = {"endpoint_url": self.endpoint, "transport": self.transport, **self.options, **options}
        return BucketDelivery(self.url, S3Options(**chosen), key=template, concurrency=8)

    def there(self) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        keys = [one["Key"] for one in found]
        return {key: self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def unreachable(self) -> Delivery:
        return self.delivery(KeyTemplate(), endpoint_url=NOBODY)

    def wrong_keys(self) -> Delivery:
        os.environ["AWS_SECRET_ACCESS_KEY"] = "wrong"
        return self.delivery(KeyTemplate())


class Gateway(Bucket):
    """Of Ceph RGW."""


class Rclone(Bucket):
    """Of ``rclone serve s3``, which ignores If-None-Match."""

    options = {"head_first": True}  # noqa: RUF012 - only read
    lacks = {  # noqa: RUF012 - only read
        "atomic": "it ignores If-None-Match, so the last one wins",
        **{what: "its files cannot have this name" for what in HOSTILE if "255" in what or what == "no utf-8 at all"},
        "decomposed": "it normalizes names, and has the composed one already",
    }


@pytest.fixture(params=["auto", "boto3"])
def transport(request: pytest.FixtureRequest) -> str:
    """The hot path and the reference."""
    return str(request.param)


@pytest.fixture
def s3_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in the environment, put back after a test that changes them."""
    for name, value in (("ACCESS_KEY_ID", "someone"), ("SECRET_ACCESS_KEY", "a-secret"), ("REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)


class TestGateway(Promises):
    """A real S3 server."""

    @pytest.fixture
    def place(self, rgw: Any, s3_keys: None, monkeypatch: pytest.MonkeyPatch, transport: str) -> Place:
        """A new bucket."""
        for name, value in rgw.environment.items():
            monkeypatch.setenv(name, value)
        return Gateway(rgw.client(), rgw.bucket(), rgw.endpoint, transport)


class TestRclone(Promises):
    """A server that knows no conditions, with --head-first."""

    @pytest.fixture
    def place(self, rclone: str, s3_keys: None, transport: str) -> Place:
        """A new bucket."""
        import boto3
        from botocore.config import Config

        client: S3Client = boto3.Session().client(
            "s3", endpoint_url=rclone, region_name="us-east-1", config=Config(s3={"addressing_style": "path"})
        )
        bucket = f"bucket-{next(_numbers)}"
        client.create_bucket(Bucket=bucket)
        return Rclone(client, bucket, rclone, transport)


ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's own account and key, the same everywhere (Azurite's README)."""


class Azure(Place):
    """A container of Azurite."""

    lacks = {"nonchar": "Azurite cannot list a name that XML cannot hold"}  # noqa: RUF012 - only read

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        self.container = f"container-{next(_numbers)}"
        self.url = f"az://{self.container}/"
        self._create(port)
        self.own = AzureStore(
            self.container,
            account_name=ACCOUNT,
            account_key=KEY,
            endpoint=self.endpoint,
            client_options={"allow_http": True},
        )

    def _create(self, port: int) -> None:
        """Make the container (obstore cannot)."""
        path = f"/{ACCOUNT}/{self.container}"
        headers = {"x-ms-date": f"{datetime.datetime.now(datetime.UTC):%a, %d %b %Y %H:%M:%S GMT}"}
        headers |= {"x-ms-version": "2021-08-06"}
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        signed = "PUT" + "\n" * 12 + f"{lines}/{ACCOUNT}{path}\nrestype:container"
        digest = hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("PUT", f"{path}?restype=container", headers=headers)
        assert connection.getresponse().status == 201
        connection.close()

    def delivery(self, template: KeyTemplate, **options: Any) -> Delivery:
        chosen = S3Options(**{"endpoint_url": self.endpoint, **options})
        return CloudDelivery(open_cloud("az", self.container, chosen), template, chosen)

    def there(self) -> dict[str, bytes]:
        found = [meta["path"] for page in obstore.list(self.own) for meta in page]
        return {key: bytes(obstore.get(self.own, key).bytes()) for key in found}

    def put(self, key: str, body: bytes) -> None:
        obstore.put(self.own, key, body)

    def unreachable(self) -> Delivery:
        return self.delivery(KeyTemplate(), endpoint_url=f"{NOBODY}/{ACCOUNT}")

    def wrong_keys(self) -> Delivery:
        os.environ["AZURE_STORAGE_ACCOUNT_KEY"] = KEY.replace("Eby8", "Abc8")
        return self.delivery(KeyTemplate())


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of Azurite, Microsoft's emulator of Azure Storage, which tools/test-tools.sh puts beside .venv's own."""
    program = ROOT / ".venv" / "node" / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists() or shutil.which("node") is None:
        pytest.skip("no Azurite: tools/test-tools.sh installs it where npm is")
    directory, port = tmp_path_factory.mktemp("azurite"), free_port()
    command = [str(program), "--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    command += ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
        try:
            until(lambda: listens(port), "Azurite")
            yield port
        finally:
            server.terminate()
            server.wait(10)


class TestAzurite(Promises):
    """Azure's own emulator."""

    @pytest.fixture
    def place(self, azurite: int, monkeypatch: pytest.MonkeyPatch) -> Place:
        """A new container."""
        for name in [name for name in os.environ if name.startswith("AZURE_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
        return Azure(azurite)
