"""Real brokers and a real store for the tests of the sources."""

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.rabbit import Rabbit
from tests.real.conftest import rabbit, rclone, rgw  # noqa: F401 - the fixtures
from tests.sources.scene import Queue, Taking, event, message, taking

_NUMBERS = itertools.count(os.getpid() * 1000)


@pytest.fixture
def queue(rabbit: Rabbit) -> Queue:  # noqa: F811
    """A queue of its own."""
    return Queue(rabbit, f"q{next(_NUMBERS)}")


@dataclass(frozen=True)
class Store:
    """A store with a bucket. ``environment``: how a program reaches it; ``client``: boto3's, to prepare and to look."""

    bucket: str
    environment: dict[str, str]
    client: Any

    def put(self, key: str, body: bytes) -> bytes:
        """Put an object; the message that tells of it."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)
        return message(event(self.bucket, key, body))


@pytest.fixture
def store(rclone: str) -> Store:  # noqa: F811
    """A bucket of ``rclone serve s3``: quick to start, and real files behind it."""
    import boto3
    from botocore.config import Config

    keys = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "a-secret", "AWS_REGION": "us-east-1"}
    config: Any = Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
    client = boto3.client(
        "s3",
        endpoint_url=rclone,
        region_name="us-east-1",
        aws_access_key_id="someone",
        aws_secret_access_key="a-secret",
        config=config,
    )
    bucket = f"bucket-{next(_NUMBERS)}"
    client.create_bucket(Bucket=bucket)
    return Store(bucket, {**keys, "AWS_ENDPOINT_URL_S3": rclone}, client)


@pytest.fixture
def workers(queue: Queue, store: Store, tmp_path: Path) -> Iterator[Taking]:
    """Workers that take from the queue what is in the store."""
    with taking(queue.url, store.environment, tmp_path) as made:
        yield made
