"""Ceph RGW as the chain has it: reached by all hosts, killed and started again with its objects, asked what it did."""

import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from tests.rabbit import Unavailable, free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

SCRIPT = Path(__file__).parents[1] / "real/ceph-rgw.sh"
_LOG = "client.rgw.log"
PUT = re.compile(r'^\d{4}-.* beast: .*"PUT /([^/? ]+)/([^? ]+) HTTP/1\.1" (\d+) ')


@dataclass(frozen=True)
class Store:
    """A running RGW. ``keys``: what a program's environment needs."""

    directory: Path
    settings: dict[str, str]
    keys: dict[str, str]
    client: "S3Client"

    @property
    def endpoint(self) -> str:
        """On the loopback."""
        return self.at("127.0.0.1")

    def at(self, address: str) -> str:
        """Its URL by another of its addresses."""
        return f"http://{address}:{self.settings['RGW_PORT']}"

    def sns(self) -> Any:
        """RGW's interface for topics, which knows the older signatures only."""
        return _client("sns", self.endpoint, self.keys, Config(signature_version="s3"), region="default")

    def kill(self) -> None:
        """kill -9 of the gateway; the objects stay."""
        self._script("down")

    def tend(self) -> bool:
        """Start the gateway if it died by itself, as a service manager does: RGW 16 does that now and then. Whether it
        had."""
        if subprocess.run([SCRIPT, "status"], env={**os.environ, **self.settings}, capture_output=True).returncode == 0:
            return False
        self._script("start")
        return True

    def start(self) -> None:
        """Start it again."""
        self._script("start")

    def objects(self, bucket: str) -> dict[str, str]:
        """The ETag of each object, which here is its MD5, by its key."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {one["Key"]: one["ETag"].strip('"') for page in pages for one in page.get("Contents", [])}

    def written(self, bucket: str) -> Counter[str]:
        """How often each key was written, as the gateway's own log says: PUTs that it answered with 200.
        What it repeats of its log when it crashes begins with a number and not with the date."""
        found: Counter[str] = Counter()
        with (self.directory / _LOG).open(errors="replace") as log:
            for line in log:
                if (put := PUT.match(line)) and put[1] == bucket and put[3] == "200":
                    found[put[2]] += 1
        return found

    def _script(self, verb: str) -> None:
        subprocess.run([SCRIPT, verb], env={**os.environ, **self.settings}, check=True, capture_output=True)


class Starting:
    """An RGW on its way, so that others can start meanwhile; it is ended by :meth:`stop`."""

    def __init__(self, directory: Path, also: str) -> None:
        port, mon = free_ports(2)
        self._directory = directory
        self._settings = {
            "RGW_DIR": str(directory),
            "RGW_PORT": str(port),
            "RGW_MON_PORT": str(mon),
            "RGW_OWNER": str(os.getpid()),
            "RGW_ALSO": "" if also == "127.0.0.1" else also,
        }
        directory.mkdir(parents=True, exist_ok=True)
        (directory / _LOG).unlink(missing_ok=True)
        self._script = subprocess.Popen(
            [SCRIPT, "start"], env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self._settings}

    def wait(self) -> Store:
        """Wait until it answers. Raises :class:`Unavailable`."""
        out, err = self._script.communicate()
        if self._script.returncode:
            raise Unavailable(f"no Ceph RGW: {(err.strip().splitlines() or ['it did not start'])[-1]}")
        told = dict(line.split("=", 1) for line in out.splitlines())
        keys = {name: told[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}
        config: Any = Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
        client = _client("s3", told["ENDPOINT"], keys, config, keys["AWS_REGION"])
        return Store(self._directory, self._settings, keys, client)

    def stop(self) -> None:
        """End every process of it."""
        self._script.kill()
        self._script.communicate()
        subprocess.run([SCRIPT, "stop"], env=self._environment, capture_output=True, check=False)


def _client(service: Any, endpoint: str, keys: dict[str, str], config: Any, region: str) -> Any:
    return boto3.Session().client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        config=config,
    )
