"""What we tell of a delivery beside what Ceph RGW tells of the very same object by its own bucket notifications."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from jollyae import Spool
from tests.helpers import drop, until
from tests.processors.notify.scene import Receiver
from tests.real.conftest import Rgw
from tests.real.support import environment

pytestmark = pytest.mark.real

OURS_ONLY = {"jollyae"}
"""At the top: the receipt."""
THEIRS_ONLY = {"eventId", "s3.bucket.id", "s3.object.metadata", "s3.object.tags", "s3.object.versionId"}
THEIRS_ONLY |= {"opaqueData"}
"""What is Ceph's own and not of Amazon's structure; and the version, which Ceph has empty in a bucket without versions,
where Amazon has none."""


def _notify(rgw: Rgw, bucket: str, receiver: str) -> None:
    """Have RGW post its own notifications. Skips where it cannot."""
    config = Config(signature_version="s3")  # its own interface for topics knows the older signatures only
    sns: Any = boto3.Session().client(
        "sns",
        endpoint_url=rgw.endpoint,
        region_name="default",
        aws_access_key_id=rgw.access_key,
        aws_secret_access_key=rgw.secret_key,
        config=config,
    )
    try:
        topic = sns.create_topic(Name=f"topic-{bucket}", Attributes={"push-endpoint": receiver})["TopicArn"]
        rgw.client().put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={
                "TopicConfigurations": [{"Id": "shape", "TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]
            },
        )
    except (ClientError, BotoCoreError) as error:
        pytest.skip(f"this RGW has no bucket notifications: {error}")


def _shape(value: Any, path: str = "") -> dict[str, str]:
    """The type of each leaf, by its path."""
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _shape(inner, f"{path}.{key}".lstrip("."))
        return found or {path: "object"}
    if isinstance(value, list):
        return {path: "list"}
    return {path: type(value).__name__}


def test_our_message_has_the_shape_of_rgws_own(rgw: Rgw, tmp_path: Path) -> None:
    """The same keys with the same types, recursively, but for what is named above; and of the same object the same
    bucket, size and ETag."""
    bucket, spool = rgw.bucket(), Spool(tmp_path / "spool")
    with Receiver() as theirs, Receiver() as ours:
        _notify(rgw, bucket, theirs.url)
        drop(spool, "a b+ö/plain.txt", b"content")
        command = [sys.executable, "-m", "jollyae", "run", str(spool.places.control), "--to", f"s3://{bucket}/in"]
        command += ["--endpoint-url", rgw.endpoint, "--once", "--settle", "0"]
        command += ["--notify", ours.url, "--notify-internal"]
        made = environment(tmp_path, **rgw.environment)
        done = subprocess.run(command, env=made, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        until(lambda: theirs.received, "RGW's own notification")
        told, own = json.loads(ours.received[0].body), json.loads(theirs.received[0].body)
    assert set(told) - set(own) == OURS_ONLY
    (record,), (its,) = told["Records"], own["Records"]
    mine, other = _shape(record), _shape(its)
    assert mine.keys() - other.keys() == set()
    assert other.keys() - mine.keys() <= THEIRS_ONLY
    different = {path: (mine[path], other[path]) for path in mine.keys() & other.keys() if mine[path] != other[path]}
    assert not different
    assert record["s3"]["bucket"]["name"] == its["s3"]["bucket"]["name"]
    for key in ("size", "eTag"):
        assert record["s3"]["object"][key] == its["s3"]["object"][key]
    assert its["eventName"].endswith(record["eventName"])
