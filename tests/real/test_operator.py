"""What an operator meets on the real thing: deletion, dry runs, signals, pipes, and sentences instead of tracebacks."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .faultproxy import before
from .support import Process, Scene, body_of, same, sha256, until

pytestmark = pytest.mark.real

KiB = 1 << 10
LARGE = 66 << 20
"""Bytes of a file that goes in parts."""


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def state(spool: Path) -> dict[str, tuple[object, ...]]:
    """All there is below a directory, with what would tell that it was touched."""
    found: dict[str, tuple[object, ...]] = {}
    for path in spool.rglob("*"):
        stat = path.lstat()
        content = sha256(path.read_bytes()) if path.is_file() else ""
        found[str(path)] = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_nlink, content)
    return found


# --- deletion, dry run


def test_on_done_delete(scene: Scene) -> None:
    """Delivered files, sent whole or in parts, are deleted once the store proved to have them; a refused one stays."""
    scene.client.put_object(Bucket=scene.bucket, Key="p/taken", Body=b"somebody's")
    bodies = {"small": b"small", "empty": b"", "sub/middle": body_of("m", 1 << 20), "large": body_of("l", LARGE)}
    for name, body in bodies.items():
        scene.drop(name, body)
    scene.drop("taken", b"ours")
    done = scene.once("--on-done", "delete", "--settle", "0")
    assert done.code == 1, done.err
    expected = {name: sha256(body) for name, body in bodies.items()}
    same(expected | {"taken": sha256(b"somebody's")}, scene.objects(), scene.where)
    assert [place for place in ("incoming", "working", "deferred", "finished") if scene.lying(place)] == []
    assert scene.lying("failed") == ["taken"]
    told = {one["name"]: one.get("sha256") for one in scene.receipts()}
    assert told == expected | {"large": None}  # in parts: not hashed as a whole


def test_a_dry_run_changes_nothing(scene: Scene) -> None:
    """Nothing in the spool, nothing in the bucket, no request at all; stdout has one line for each item."""
    for name in ("a.txt", "sub/b c.txt", "line\nbreak"):
        scene.drop(name, b"x")
    (scene.incoming / ".hidden").write_bytes(b"x")
    untouched = state(scene.spool)
    with before(scene.rgw.endpoint) as proxy:
        words = ("--dry-run", "--key", "{date:%Y}/{path}", "--exclude", "nothing*")
        done = scene.worker(*words, endpoint=proxy.url).wait()
        assert proxy.seen == []
    assert done.code == 0, done.err
    assert state(scene.spool) == untouched
    assert scene.keys() == []
    year = time.gmtime().tm_year
    url = f"s3://{scene.bucket}/p/{year}"
    told = {f"a.txt -> {url}/a.txt", f"sub/b c.txt -> {url}/sub/b c.txt", f"line%0Abreak -> {url}/line%0Abreak"}
    assert set(done.out.splitlines()) == told
    assert "nothing was changed" in done.err


# --- signals


def in_flight(scene: Scene, worker: Process, count: int) -> None:
    """Wait until so many items are in work."""
    until(lambda: len(scene.lying("working")) >= count, lambda: f"{count} items in work: {worker.tail()}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(scene: Scene, number: signal.Signals) -> None:
    """What is in flight is finished, nothing more is taken, 0."""
    for item in range(12):
        scene.drop(f"item-{item:02d}", body_of(str(item), 50 * KiB))
    worker = scene.worker("--concurrency", "4", "--bandwidth", "100k", "--settle", "0")
    in_flight(scene, worker, 4)
    before_it = len(scene.lying("finished"))
    done = worker.end(number)
    assert done.code == 0, done.err
    assert scene.lying("working") == [] and not os.listdir(scene.spool / "working"), scene.where()
    assert 4 <= len(scene.lying("finished")) - before_it <= 6, scene.where()
    assert len(scene.lying("finished")) + len(scene.lying("incoming")) == 12, scene.where()
    assert set(scene.objects()) == set(scene.lying("finished"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_leaves_at_once(scene: Scene, number: signal.Signals, code: int) -> None:
    """It does not wait for what is in flight; the next worker takes that over and delivers it."""
    expected = {}
    for item in range(4):
        body = body_of(str(item), 50 * KiB)
        scene.drop(f"item-{item}", body)
        expected[f"item-{item}"] = sha256(body)
    worker = scene.worker("--bandwidth", "1k", "--settle", "0")
    in_flight(scene, worker, 3)
    worker.send(number)
    time.sleep(0.5)
    assert worker.popen.poll() is None, "it did not wait for what was in flight"
    began = time.monotonic()
    assert worker.end(number).code == code, worker.tail()
    assert time.monotonic() - began < 2
    assert len(scene.lying("working")) >= 3, scene.where()
    assert scene.once("--settle", "0").code == 0, scene.where()
    same(expected, scene.objects(), scene.where)
    assert scene.lying("finished") == sorted(expected)


def test_the_grace_time_runs_out(scene: Scene) -> None:
    """143, after the grace time and not later; what was left is said, is delivered by the next run, and did not count
    as a worker's death."""
    for item in range(12):
        scene.drop(f"item-{item}", body_of(str(item), 50 * KiB))
    for _ in range(4):
        worker = scene.worker("--bandwidth", "1k", "--settle", "0", "--grace", "0.3")
        worker.until_says("working on")
        in_flight(scene, worker, 3)
        time.sleep(0.2)
        began = time.monotonic()
        done = worker.end()
        assert (done.code, time.monotonic() - began < 5) == (143, True), done.err
        assert "still in flight" in done.err
    done = scene.once("--settle", "0")
    assert done.code == 0, done.err
    assert len(scene.lying("finished")) == len(scene.keys()) == 12 and scene.lying("failed") == []


def test_once_cut_short(scene: Scene) -> None:
    """``--once`` did not do what it was asked for: 143, even with nothing left in flight."""
    for item in range(4):
        scene.drop(f"item-{item}", body_of(str(item), 50 * KiB))
    worker = scene.worker("--once", "--bandwidth", "20k", "--settle", "0", "--concurrency", "1")
    in_flight(scene, worker, 1)
    assert worker.end().code == 143
    assert scene.lying("incoming"), "the test shows nothing"


# --- pipes


def test_data_goes_to_stdout_and_the_log_to_stderr(scene: Scene) -> None:
    """submit - reads stdin and prints the name; run prints nothing; status and log print what a program can read."""
    body = body_of("stdin", 3_000_000)
    spool = str(scene.spool)
    (scene.directory / "stdin").write_bytes(body)
    with (scene.directory / "stdin").open("rb") as stdin:
        done = scene.start("submit", spool, "-", "--name", "from/stdin.bin", stdin=stdin).wait()
    assert (done.code, done.out, done.err) == (0, "from/stdin.bin\n", "")
    done = scene.once("-v", "--settle", "0")
    assert (done.code, done.out) == (0, ""), done.err
    assert "delivered" in done.err and "from/stdin.bin" in done.err
    done = scene.jollyae("log", spool, "--json")
    (receipt,) = [json.loads(line) for line in done.out.splitlines()]
    assert (receipt["name"], receipt["sha256"], receipt["size"]) == ("from/stdin.bin", sha256(body), len(body))
    assert receipt["url"] == f"{scene.url}/from/stdin.bin" and receipt["etag"] and done.err == ""
    places = json.loads(scene.jollyae("status", spool, "--json").out)["places"]
    assert (places["finished"]["items"], places["finished"]["bytes"]) == (1, len(body))
    same({"from/stdin.bin": sha256(body)}, scene.objects())


def test_a_json_log_is_json(scene: Scene) -> None:
    """Each line on stderr is one object, hints and failures too."""
    scene.client.put_object(Bucket=scene.bucket, Key="p/taken", Body=b"somebody's")
    for name in ("fine", "taken", "line\nbreak"):
        scene.drop(name, b"x")
    done = scene.once("-v", "--log-format", "json", "--settle", "0")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert {"time", "level", "message"} <= set.intersection(*(set(line) for line in lines))
    assert [line["item"] for line in lines if line["level"] == "error"] == ["taken"]
    assert any("--if-exists" in line.get("hint", "") for line in lines)


def test_quiet_hides_no_error(scene: Scene) -> None:
    """-q: nothing but the failure."""
    scene.client.put_object(Bucket=scene.bucket, Key="p/taken", Body=b"somebody's")
    scene.drop("fine", b"x")
    assert scene.once("-q", "--settle", "0").err == ""
    scene.drop("taken", b"x")
    done = scene.once("-q", "--settle", "0")
    assert done.code == 1 and "taken" in done.err and "failed" in done.err


def test_the_reader_of_a_pipe_goes_away(scene: Scene) -> None:
    """``jollyae log | head -1``: no traceback."""
    for item in range(300):
        scene.drop(f"item-{item}", b"x")
    assert scene.once("--settle", "0").code == 0
    command = f"'{sys.executable}' -m jollyae log '{scene.spool}' --json | head -1"
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=scene.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(done.stdout)["size"] == 1
    assert done.stderr == ""


# --- what is wrong is said in a sentence


def complaint(scene: Scene, worker: Process) -> str:
    """What a worker says that cannot deliver; it goes on trying, nothing fails, and SIGTERM ends it in order."""
    worker.until_says("paused: ")
    time.sleep(0.2)
    done = worker.end()
    assert done.code == 0, done.err
    assert "Traceback" not in done.err, done.err
    assert scene.lying("failed") == [], scene.where()
    said: str = done.err
    return said


def test_no_credentials(scene: Scene) -> None:
    """The places where they were looked for, in a sentence."""
    scene.drop("item", b"x")
    env = {name: value for name, value in scene.environment().items() if not name.startswith("AWS_ACCESS")}
    env.pop("AWS_SECRET_ACCESS_KEY")
    said = complaint(scene, scene.worker("--settle", "0", env=env))
    assert "no credentials" in said
    for where in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "~/.aws/credentials", "~/.aws/config", "role", "aws configure"):
        assert where in said, f"{where}: {said}"


def test_credentials_from_a_file_and_which_setting_won(scene: Scene) -> None:
    """The AWS chain: ~/.aws/credentials, the endpoint from AWS_ENDPOINT_URL_S3; the log says what it took."""
    scene.drop("item", b"x")
    env = {name: value for name, value in scene.environment().items() if not name.startswith("AWS_")}
    aws = Path(env["HOME"]) / ".aws"
    aws.mkdir()
    keys = f"aws_access_key_id = {scene.rgw.access_key}\naws_secret_access_key = {scene.rgw.secret_key}\n"
    (aws / "credentials").write_text(f"[default]\n{keys}")
    env |= {"AWS_ENDPOINT_URL_S3": scene.rgw.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
    worker = scene.start("run", str(scene.spool), "--to", scene.url, "--settle", "0", env=env)
    scene.until_delivered(1)
    worker.until_says("delivering to")
    said = worker.end().err
    assert "from AWS_ENDPOINT_URL_S3" in said and "shared-credentials-file" in said, said
    assert scene.body("item") == b"x"


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("http://127.0.0.1:{closed}", ("connection refused", "127.0.0.1:{closed}", "endpoint URL")),
        ("http://no-such-host.invalid", ("name cannot be found", "no-such-host.invalid")),
        ("https://127.0.0.1:{rgw}", ("no secure connection", "127.0.0.1:{rgw}")),
    ],
    ids=["nobody-listens", "no-such-name", "not-https"],
)
def test_a_wrong_endpoint(scene: Scene, endpoint: str, words: tuple[str, ...]) -> None:
    """What happened, and where."""
    ports = {"closed": str(closed_port()), "rgw": scene.rgw.endpoint.rpartition(":")[2]}
    scene.drop("item", b"x")
    said = complaint(scene, scene.worker("--settle", "0", endpoint=endpoint.format(**ports)))
    for word in words:
        assert word.format(**ports) in said, said


@pytest.mark.parametrize("endpoint", ["ftp://127.0.0.1", "127.0.0.1:9000", "http://"])
def test_an_impossible_endpoint(scene: Scene, endpoint: str) -> None:
    """A configuration error at once: 78 and a sentence."""
    done = scene.worker(endpoint=endpoint).wait(20)
    assert done.code == 78, done.err
    assert "--endpoint-url" in done.err and "http" in done.err and "Traceback" not in done.err


def test_wrong_keys_and_buckets(scene: Scene) -> None:
    """The secret, the key, the bucket's name, the bucket's owner: each has its own sentence, and no secret is in it."""
    for item in range(4):
        scene.drop(f"item-{item}", b"x")
    secret = "wrongsecret00000000000000000000000000000"
    token = "sessiontoken0000000000000000000000000000"
    wrong = scene.environment(AWS_SECRET_ACCESS_KEY=secret)
    said = complaint(scene, scene.worker("-vv", "--settle", "0", env=wrong))
    assert "the secret key is wrong" in said and "AWS_SECRET_ACCESS_KEY" in said
    unknown = scene.environment(AWS_ACCESS_KEY_ID="nosuchkey00000000000", AWS_SECRET_ACCESS_KEY=secret)
    assert "does not know this access key" in complaint(scene, scene.worker("-vv", "--settle", "0", env=unknown))
    complaint(scene, scene.worker("-vv", "--settle", "0", env=unknown | {"AWS_SESSION_TOKEN": token}))
    other = scene.environment(
        AWS_ACCESS_KEY_ID=scene.rgw.second_access_key, AWS_SECRET_ACCESS_KEY=scene.rgw.second_secret_key
    )
    assert "access denied" in complaint(scene, scene.worker("-vv", "--settle", "0", env=other))
    words = ("run", str(scene.spool), "--endpoint-url", scene.rgw.endpoint, "--settle", "0")
    assert "there is no such bucket" in complaint(scene, scene.start(*words, "--to", "s3://no-such-bucket-here"))
    everything = "".join(process.out() + process.err() for process in scene.processes)
    everything += "".join(path.read_text() for path in scene.spool.rglob("*") if path.suffix in (".note", ".json"))
    assert scene.lying("failed") == []
    for hidden in (secret, token, scene.rgw.second_secret_key, scene.rgw.secret_key):
        assert hidden not in everything, "a secret was told"
    assert scene.jollyae("retry", str(scene.spool), "--all").code == 0  # what the 403 deferred need not wait
    assert scene.once("--settle", "0").code == 0, scene.where()
    assert len(scene.keys()) == 4


# --- by hand, and as in 2016


def test_paused_by_hand(scene: Scene) -> None:
    """``jollyae pause`` holds a running worker, with the reason in the log and in status; resume lets it go on."""
    spool = str(scene.spool)
    worker = scene.working()
    assert scene.jollyae("pause", spool, "--reason", "backup of the store").code == 0
    worker.until_says("paused by hand", "backup of the store")
    scene.drop("item", b"x")
    time.sleep(1.5)
    assert scene.lying("incoming") == ["item"]
    assert "backup of the store" in scene.jollyae("status", spool).out
    assert scene.jollyae("resume", spool).code == 0
    scene.until_delivered(1)
    assert worker.end().code == 0


def test_a_failed_item_is_retried(scene: Scene) -> None:
    """A collision, mended at the store: ``jollyae retry NAME`` brings it under its first name, beside a running
    worker."""
    scene.client.put_object(Bucket=scene.bucket, Key="p/report", Body=b"in the way")
    worker = scene.working()
    scene.drop("report", b"ours")
    worker.until_says("failed: refused")
    scene.client.delete_object(Bucket=scene.bucket, Key="p/report")
    until(lambda: scene.lying("failed") == ["report"], scene.where)
    assert scene.jollyae("retry", str(scene.spool), "report").code == 0
    scene.until_delivered(1)
    assert worker.end().code == 0
    assert scene.body("report") == b"ours" and scene.lying("failed") == []
    assert not list((scene.spool / "failed").iterdir()), "its note is gone with it"


def test_the_command_line_of_2016(scene: Scene) -> None:
    """Verbless, with directories of one's own: delivered, moved to DEST, and a dead worker's item is found again."""
    directories = {name: scene.directory / name for name in ("src", "interim", "dest", "fail")}
    for directory in directories.values():
        directory.mkdir()
    options = [word for name, path in directories.items() for word in (f"-{name[0]}", str(path))]
    env = scene.environment(AWS_ENDPOINT_URL_S3=scene.rgw.endpoint)
    for item in range(3):
        (directories["src"] / f"item-{item}").write_bytes(b"%d" % item)
    worker = scene.start("-b", scene.bucket, *options, "-v", env=env)
    try:
        until(lambda: len(list(directories["dest"].iterdir())) == 3, worker.tail)
        assert worker.end().code == 0, worker.tail()
    finally:
        shutil.rmtree(directories["dest"])
    assert sorted(scene.keys()) == ["item-0", "item-1", "item-2"]
