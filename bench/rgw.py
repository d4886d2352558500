"""Ceph RGW, as the tests have it, and what lies in it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import ROOT
from .sink import Unavailable, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

SCRIPT = ROOT / "tests/real/ceph-rgw.sh"
BUCKET = "bench"
MEMORY = 6 * 2**30
"""Bytes that the objects may take."""


@dataclass(frozen=True)
class Rgw:
    """A running Ceph RGW with an empty bucket."""

    endpoint: str
    keys: dict[str, str]
    client: "S3Client"

    def holds(self, prefix: str) -> tuple[int, int]:
        """How many objects there are below a prefix, and their bytes."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        sizes = [one["Size"] for page in pages for one in page.get("Contents", [])]
        return len(sizes), sum(sizes)

    def clear(self, prefix: str) -> None:
        """Remove all objects below a prefix."""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
            keys: Any = [{"Key": one["Key"]} for one in page.get("Contents", [])]
            if keys:
                self.client.delete_objects(Bucket=BUCKET, Delete={"Objects": keys, "Quiet": True})


@contextmanager
def serve(directory: Path) -> Iterator[Rgw]:
    """A Ceph RGW of our own while the context lasts; it ends by itself when we do. Raises :class:`Unavailable`."""
    settings = {
        "RGW_DIR": str(directory),
        "RGW_PORT": str(free_port()),
        "RGW_MON_PORT": str(free_port()),
        "RGW_MEM": str(MEMORY),
        "RGW_OWNER": str(os.getpid()),
    }
    environment = {**os.environ, **settings}
    done = subprocess.run([SCRIPT, "start"], env=environment, capture_output=True, text=True, check=False)
    try:
        if done.returncode:
            raise Unavailable(f"no Ceph RGW: {(done.stderr.strip().splitlines() or ['it did not start'])[-1]}")
        yield _open(dict(line.split("=", 1) for line in done.stdout.splitlines()))
    finally:
        subprocess.run([SCRIPT, "stop"], env=environment, capture_output=True, check=False)


def _open(told: dict[str, str]) -> Rgw:
    import boto3
    from botocore.config import Config

    keys = {name: told[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}
    config: Any = Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
    client = boto3.client(
        "s3",
        endpoint_url=told["ENDPOINT"],
        region_name=keys["AWS_REGION"],
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        config=config,
    )
    client.create_bucket(Bucket=BUCKET)
    return Rgw(told["ENDPOINT"], keys, client)
