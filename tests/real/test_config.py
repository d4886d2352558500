"""``run -c`` and ``check -c`` on real stores: queues whose configuration is loaded again while items flow, and what
``check`` proves of a store."""

import json
import signal
from typing import Any

import boto3
import pytest

from .support import PREFIX, Scene, body_of, repeated, same, sha256, until

pytestmark = pytest.mark.real

COUNT = 800
RELOADS = 5
ACCESS, SECRET = "someone", "a-secret"
"""The keys of the rclone that the tests start."""


def configuration(scene: Scene, *lines: str) -> str:
    """A queue from the scene's spool to its bucket."""
    head = f'[queue.photos]\nspool = "{scene.spool}"\nto = "{scene.url}"\nendpoint_url = "{scene.rgw.endpoint}"\n'
    return head + "settle = 0\n" + "".join(f"{line}\n" for line in lines)


def test_reloads_lose_nothing_and_send_nothing_twice(scene: Scene) -> None:
    """800 items, of which some are large enough for parts, land while the queue's configuration is loaded again five
    times, each time another: every item has one object, the same bytes, and one receipt; nothing is in work at the
    end."""
    file = scene.directory / "jollyae.toml"
    file.write_text(configuration(scene, "concurrency = 4"))
    run = scene.start("run", "-c", str(file), "--log-format", "json")
    run.until_says("working on")
    expected = {}
    for number in range(COUNT):
        body = body_of(str(number), 70 << 20 if number % 400 == 50 else number * 37 % 9000)
        name = f"item-{number:04d}"
        expected[name] = sha256(body)
        scene.drop(name, body)
        if number % (COUNT // RELOADS) == COUNT // RELOADS // 2:
            file.write_text(configuration(scene, f"concurrency = {5 + number}", f"processes = {1 + number % 3}"))
            run.send(signal.SIGHUP)
            told = 1 + number // (COUNT // RELOADS)
            until(lambda: len(run.lines("configuration loaded again: 1 queue changed")) >= told, scene.where)  # noqa: B023
    scene.until_delivered(COUNT)
    assert run.end().code == 0, run.tail()
    same(expected, scene.objects(), scene.where)
    assert not repeated(one["name"] for one in scene.receipts())
    assert sorted(one["name"] for one in scene.receipts()) == sorted(expected)
    assert not scene.lying("failed") and not list((scene.spool / "working").iterdir())
    lines = [json.loads(line) for line in run.err().splitlines()]
    assert {one["queue"] for one in lines if "worker" in one} == {"photos"}
    assert not [one for one in lines if one["level"] in ("warning", "error")]


def checked(scene: Scene, text: str, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code of ``check -c``, and its findings by their subjects."""
    file = scene.directory / "check.toml"
    file.write_text(text)
    done = scene.jollyae("check", "-c", str(file), "--json", *words)
    assert not done.err, done.err
    findings = [json.loads(line) for line in done.out.splitlines()]
    return done.code, {one["subject"]: one for one in findings}


def test_check_proves_what_delivery_needs(scene: Scene) -> None:
    """On Ceph RGW: written, read back, 412 for PUT, while Complete ignores the condition (Ceph 16); the clock compared,
    where the credentials came from; and the bucket is as it was, without object or upload."""
    code, found = checked(scene, configuration(scene))
    subjects = ("clock", "credentials", "write", "read back", "If-None-Match on PUT", "clean-up")
    assert {subject: found[subject]["state"] for subject in subjects} == dict.fromkeys(subjects, "ok"), found
    assert code == 0
    assert found["If-None-Match on Complete"]["state"] == "warning"
    assert found["credentials"]["text"] == "from the environment, they do not expire"
    assert found["lifecycle"]["state"] == "warning" and "AbortIncompleteMultipartUpload" in found["lifecycle"]["hint"]
    assert not scene.keys() and not scene.client.list_multipart_uploads(Bucket=scene.bucket).get("Uploads")
    scene.client.put_bucket_lifecycle_configuration(
        Bucket=scene.bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "parts",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                }
            ]
        },
    )
    assert checked(scene, configuration(scene))[1]["lifecycle"]["state"] == "ok"


def test_check_tells_what_is_not_there(scene: Scene) -> None:
    """A bucket that does not exist, keys that are wrong, a server that is away: 1, one line, and what to do."""
    text = configuration(scene)
    code, found = checked(scene, text.replace(scene.url, f"s3://{scene.bucket}-not/{PREFIX}"))
    assert code == 1 and found["write"]["state"] == "failed" and found["write"]["hint"]
    code, found = checked(scene, text.replace(scene.rgw.endpoint, "http://127.0.0.1:9"))
    assert code == 1 and "connection refused" in found["write"]["text"]
    assert checked(scene, text.replace(scene.rgw.endpoint, "http://127.0.0.1:9"), "--no-network")[0] == 0


def test_check_finds_a_store_that_ignores_the_condition(scene: Scene, rclone: str) -> None:
    """rclone's S3 replaces what it should not: 1, with the line to add; with that line it is well."""
    client = boto3.Session().client(
        "s3", endpoint_url=rclone, region_name="us-east-1", aws_access_key_id=ACCESS, aws_secret_access_key=SECRET
    )
    client.create_bucket(Bucket="checked")
    text = f'[queue.a]\nspool = "{scene.spool}"\nto = "s3://checked/x"\nendpoint_url = "{rclone}"\n'
    env = scene.environment(AWS_ACCESS_KEY_ID=ACCESS, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1")
    file = scene.directory / "rclone.toml"

    def check(text: str) -> tuple[int, dict[str, dict[str, Any]]]:
        file.write_text(text)
        done = scene.jollyae("check", "-c", str(file), "--json", env=env)
        return done.code, {one["subject"]: one for one in map(json.loads, done.out.splitlines())}

    code, found = check(text)
    assert code == 1 and found["If-None-Match on PUT"]["state"] == "failed", found
    assert "--head-first" in found["If-None-Match on PUT"]["hint"]
    code, found = check(text + "head_first = true\n")
    assert code == 0 and found["If-None-Match on PUT"]["state"] == "ok", found
    assert not client.list_objects_v2(Bucket="checked").get("Contents")
