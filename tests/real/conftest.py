"""Real servers for the tests: Ceph RGW from Debian's packages, started once, ended with the session."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import rabbit as brokers

from .support import (
    free_port,
    listens,
    scene,  # noqa: F401 - the fixture
    until,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

SCRIPT = Path(__file__).with_name("ceph-rgw.sh")
NOT_POSSIBLE = 3  # ceph-rgw.sh: no root, or not Debian


@dataclass
class Rgw:
    """A running Ceph RGW. ``environment`` is what a program needs to use it, beside ``--endpoint-url``."""

    endpoint: str
    access_key: str
    secret_key: str
    second_access_key: str
    second_secret_key: str
    endpoint_tls: str
    ca_bundle: str
    directory: Path
    settings: dict[str, str] = field(repr=False)
    region: str = "us-east-1"
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """The first user's keys, for a program that is started."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
        }

    def client(self) -> "S3Client":
        """boto3's own client, to look and to prepare: not the code under test."""
        import boto3
        from botocore.config import Config

        config: Any = Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return boto3.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=config,
        )

    def bucket(self) -> str:
        """A new, empty bucket's name."""
        name = f"jollyae-{os.getpid()}-{next(self._numbers)}"
        self.client().create_bucket(Bucket=name)
        return name

    def down(self) -> None:
        """Stop the gateway: connections are refused, the objects stay."""
        self._script("down")

    def up(self) -> None:
        """Bring the gateway back."""
        self._script("start")

    def _script(self, verb: str) -> None:
        subprocess.run([SCRIPT, verb], env={**os.environ, **self.settings}, check=True, capture_output=True)


@pytest.fixture(autouse=True)
def _no_aws_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests see the settings they make and no others."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "JOLLYAE_", "BOTO"))]:
        monkeypatch.delenv(name)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))


@pytest.fixture(scope="session")
def rgw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rgw]:
    """Ceph RGW on ports and in a directory of its own; the tests that want it are skipped where it cannot run."""
    directory = tmp_path_factory.mktemp("rgw")
    settings = {
        "RGW_DIR": str(directory),
        "RGW_PORT": str(free_port()),
        "RGW_MON_PORT": str(free_port()),
        "RGW_TLS_PORT": str(free_port()),
        "RGW_OWNER": str(os.getpid()),
    }
    environment = {**os.environ, **settings}
    try:
        yield _started(directory, settings, environment)
    finally:
        subprocess.run([SCRIPT, "stop"], env=environment, check=False, capture_output=True)


def _started(directory: Path, settings: dict[str, str], environment: dict[str, str]) -> Rgw:
    done = subprocess.run([SCRIPT, "start"], env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode == NOT_POSSIBLE:
        pytest.skip(f"no Ceph RGW: {_last_line(done.stderr)}")
    if done.returncode != 0:
        pytest.skip(f"Ceph RGW did not start: {_last_line(done.stderr)}")
    told = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return Rgw(
        endpoint=told["ENDPOINT"],
        access_key=told["AWS_ACCESS_KEY_ID"],
        secret_key=told["AWS_SECRET_ACCESS_KEY"],
        second_access_key=told["SECOND_ACCESS_KEY_ID"],
        second_secret_key=told["SECOND_SECRET_ACCESS_KEY"],
        endpoint_tls=told["ENDPOINT_TLS"],
        ca_bundle=told["AWS_CA_BUNDLE"],
        directory=directory,
        settings=settings,
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Rabbit]:
    """RabbitMQ on ports and in a directory of its own; the tests that want it are skipped where it cannot run."""
    server = brokers.Rabbit(tmp_path_factory.mktemp("rabbit"))
    try:
        server.start()
        yield server
    except brokers.Unavailable as error:
        pytest.skip(str(error))
    finally:
        server.stop()


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of ``rclone serve s3``."""
    beside = Path(sys.executable).with_name("rclone")
    program = str(beside) if beside.exists() else shutil.which("rclone")
    if program is None:
        pytest.skip("rclone is not installed (the extra jollyae[demo])")
    directory, port = tmp_path_factory.mktemp("rclone"), free_port()
    command = [program, "serve", "s3", "--config", os.devnull, "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", "someone,a-secret", "--vfs-cache-mode", "off", str(directory)]
    with (directory.parent / "rclone.log").open("wb") as log, subprocess.Popen(command, stderr=log) as server:
        until(lambda: listens(port), "rclone")
        yield f"http://127.0.0.1:{port}"
        server.terminate()
