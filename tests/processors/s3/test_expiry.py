"""When the credentials expire: told in time, so that nobody is surprised."""

import asyncio
import json
import os
import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jollyae.processors.s3 import BucketDelivery, S3Options
from jollyae.processors.s3.session import expiry

AT = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration whose credentials a program gives, for two hours."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    said = {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T", "Expiration": AT.isoformat()}
    (tmp_path / "said").write_text(json.dumps(said))
    command = f"{shlex.quote(sys.executable)} -c 'print(open(\"{tmp_path}/said\").read())'"
    config = tmp_path / "config"
    config.write_text(f"[default]\nregion = us-east-1\ncredential_process = {command}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    return config


@pytest.mark.parametrize("transport", ["auto", "boto3"])
def test_of_credentials_that_are_renewed(profile: Path, transport: str) -> None:
    """As boto3 knows it, on either transport; before they were asked for it is not known."""
    options = S3Options(endpoint_url="http://127.0.0.1:9", transport=transport)  # type: ignore[arg-type]
    delivery = BucketDelivery("s3://b", options)
    assert delivery.credentials_expiry() == 0
    asyncio.run(delivery.describe())
    assert delivery.credentials_expiry() == AT.timestamp()
    delivery.close()


def test_of_keys_that_do_not_expire(profile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And of no keys at all."""
    profile.write_text("[default]\nregion = us-east-1\naws_access_key_id = A\naws_secret_access_key = S\n")
    delivery = BucketDelivery("s3://b", S3Options(endpoint_url="http://127.0.0.1:9"))
    asyncio.run(delivery.describe())
    assert delivery.credentials_expiry() == 0 == expiry(None)
    delivery.close()
