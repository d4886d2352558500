"""Manifests beside what they tell of, in a real store: each format, kills at random, and what an operator sees."""

import csv
import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

import pytest

from .support import Process, Scene, body_of, environment, until

pytestmark = pytest.mark.real

KILLS = int(os.environ.get("JOLLYAE_KILLS", "40")) // 5
ITEMS = int(os.environ.get("JOLLYAE_ITEMS", "600")) // 2
SEED = int(os.environ.get("JOLLYAE_SEED", "1"))
NAMES = ["a.csv", "a b+c,d.csv", "day 1/ü.csv", "100%.csv", 'x"y.csv', "new\nline.csv"]


def _manifests(scene: Scene, prefix: str = "manifests/") -> dict[str, bytes]:
    """The manifests in the bucket."""
    keys = filter(lambda key: key.startswith(prefix), scene.keys())
    return {key: scene.client.get_object(Bucket=scene.bucket, Key=key)["Body"].read() for key in keys}


def _urls(form: str, body: bytes) -> list[str]:
    """What the reader of such a manifest finds; sizes too, where it tells them."""
    if form == "redshift":
        return [one["url"] for one in json.loads(body)["entries"]]
    if form == "emr":
        return [json.loads(line)["path"] for line in gzip.decompress(body).splitlines()]
    if form == "symlink":
        return body.decode().splitlines()
    return [f"s3://{bucket}/{unquote(key)}" for bucket, key in csv.reader(body.decode().splitlines())]


def _where(scene: Scene, *options: str) -> tuple[str, ...]:
    return ("--manifest", f"s3://{scene.bucket}/manifests", *options)


@pytest.mark.parametrize("form", ["redshift", "emr", "symlink", "batch"])
def test_every_format(scene: Scene, form: str) -> None:
    """--once: all that was delivered, under partitioned keys, is in manifests when the command ends; nothing else."""
    for name in NAMES:
        scene.drop(name, body_of(name, 100))
        os.utime(scene.incoming / name, (1795305599, 1795305599))
    options = _where(scene, "--manifest-format", form, "--manifest-items", "4", "--key", "dt={date:%Y-%m-%d}/{path}")
    done = scene.once("--settle", "0", *options)
    assert done.code == 0, done.err
    found = _manifests(scene)
    assert len(found) == 2
    assert all(key.startswith(time.strftime("manifests/%Y/", time.gmtime())) for key in found)
    urls = [url for body in found.values() for url in _urls(form, body)]
    assert sorted(urls) == sorted(one["url"] for one in scene.receipts()) and len(urls) == len(NAMES)
    assert all(url.startswith(f"{scene.url}/dt=2026-11-21/") for url in urls)
    for url in urls:
        scene.client.head_object(Bucket=scene.bucket, Key=url.removeprefix(f"s3://{scene.bucket}/"))
    if form == "redshift":
        sizes = [one["meta"]["content_length"] for body in found.values() for one in json.loads(body)["entries"]]
        assert sizes == [100] * len(NAMES)


def test_a_daemon_makes_them_in_time(scene: Scene) -> None:
    """So many seconds after the first, without --once; and when it is told to end, the rest is made by the next run at
    the latest."""
    worker = scene.working(*_where(scene, "--manifest-every", "1", "--settle", "0"))
    scene.drop("first", b"1")
    until(lambda: _manifests(scene), "a manifest")
    scene.drop("second", b"2")
    until(lambda: not list((scene.spool / "notify" / "manifest" / "incoming").iterdir()), "its message is taken")
    scene.until_delivered(2)
    worker.end()
    assert scene.once("--settle", "0", *_where(scene)).code == 0
    urls = [url for body in _manifests(scene).values() for url in _urls("redshift", body)]
    assert sorted(urls) == [f"{scene.url}/first", f"{scene.url}/second"]


def test_what_is_sent_again_is_told_once(scene: Scene) -> None:
    """The same file once more, by a link or after a crash: another receipt with the same id, and no second entry."""
    scene.drop("one", b"1")
    assert scene.once("--settle", "0", *_where(scene)).code == 0
    os.link(scene.spool / "finished" / "one", scene.incoming / "one")
    scene.drop("two", b"2")
    assert scene.once("--settle", "0", *_where(scene)).code == 0
    ids = [one["id"] for one in scene.receipts() if one["name"] == "one"]
    assert len(ids) == 2 and len(set(ids)) == 1
    urls = [_urls("redshift", body) for body in _manifests(scene).values()]
    assert sorted(urls) == [[f"{scene.url}/one"], [f"{scene.url}/two"]]


def test_the_store_of_the_manifests_is_away(scene: Scene) -> None:
    """A bucket that is not there holds nobody up: items are delivered, manifests wait, and go when it is."""
    scene.drop("one", b"1")
    other = f"{scene.bucket}-m"
    options = ("--settle", "0", "--manifest", f"s3://{other}", "--manifest-every", "0.2")
    worker = scene.working(*options)
    scene.until_delivered(1)
    waiting = scene.spool / "notify" / "manifests"
    until(lambda: [path for path in waiting.rglob("*.manifest") if not path.name.startswith(".")], "it waits")
    until(
        lambda: "manifests: paused" in scene.jollyae("status", str(scene.spool)).out, "status says that they are paused"
    )
    scene.client.create_bucket(Bucket=other)
    until(lambda: scene.client.list_objects_v2(Bucket=other).get("Contents"), "it is delivered")
    worker.end()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--exec", "true"), "--manifest goes with --to"),
        (("--to", "file:///tmp/nowhere"), "can tell of s3:// only"),
        (("--to", "s3://b", "--manifest-key", "same"), "all manifests would have one key"),
        (("--to", "s3://b", "--manifest-key", "{nmae}"), "--manifest-key"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    """At the start, with what to do."""
    command = [sys.executable, "-m", "jollyae", "run", str(tmp_path / "s"), *words, "--manifest", "s3://m", "--once"]
    (tmp_path / "home").mkdir()
    done = subprocess.run(command, env=environment(tmp_path / "home"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 78 and told in done.stderr, done.stderr


def _family(process: Process) -> list[int]:
    """The process and its children, by /proc."""
    found = [process.popen.pid]
    with suppress(OSError):
        found += [int(pid) for pid in Path(f"/proc/{found[0]}/task/{found[0]}/children").read_text().split()]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds children by Linux's /proc")
def test_kills_lose_and_double_no_entry(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """kill -9 at random, of the parent, of one worker or of all: in the end the union of all manifests is what the
    receipts tell of, and each delivery is in exactly one."""
    chance = random.Random(SEED)
    options = ("--settle", "0", *_where(scene, "--manifest-items", "7", "--manifest-every", "0.3"))
    dropped = 0
    for number in range(KILLS):
        worker = scene.worker(*options)
        goal = (number + 1) * ITEMS // KILLS
        while dropped < goal:
            scene.drop(f"item-{dropped:04d}", body_of(str(dropped), 500))
            dropped += 1
        time.sleep(chance.uniform(0.3, 1.5))
        family = _family(worker)
        hit = chance.choice([family[:1], [chance.choice(family)], family])
        for pid in hit:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if hit[0] == family[0]:
            worker.wait()
            until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family[1:]), "the children's end")  # noqa: B023
        else:
            time.sleep(chance.uniform(0.1, 0.8))
            worker.kill()
    done = scene.once(*options)
    assert done.code == 0, done.err
    found = _manifests(scene)
    told = Counter(url for body in found.values() for url in _urls("redshift", body))
    receipts = {one["url"] for one in scene.receipts()}
    with capsys.disabled():
        repeats = len(scene.receipts()) - len(receipts)
        print(f"\n{KILLS} kills, {len(receipts)} delivered, {repeats} receipts repeated, {len(found)} manifests")
    assert len(receipts) == dropped
    assert set(told) == receipts, "an entry is missing, or nobody's"
    assert {url for url, count in told.items() if count > 1} == set()
