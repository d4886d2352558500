"""``check``: what it says of spools, credentials, clocks and configurations."""

import json
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.credentials import Credentials, RefreshableCredentials

from jollyae import Spool
from jollyae.cli import main as cli
from jollyae.processors.finding import Finding, State
from jollyae.processors.s3.check import clock, credentials
from jollyae.service import check
from jollyae.spool import mount
from jollyae.spool.floor import Amount, Floor
from jollyae.spool.leases import Leases
from tests.helpers import as_nobody, mount_namespace, needs_root

NOW = 1_795_000_000.0
Call = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def checked(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """``checked(text, words…)``: the exit code and the findings for that configuration."""
    for name in list(os.environ):
        if name.startswith(("JOLLYAE_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))

    def checked(text: str, *words: str) -> tuple[int, list[dict[str, Any]]]:
        path = tmp_path / "jollyae.toml"
        path.write_text(text)
        code = cli.run(["check", "-c", str(path), "--json", *words])
        said = capfd.readouterr()
        assert code == 78 or not said.err, said.err
        return code, [json.loads(line) for line in said.out.splitlines()]

    return checked


def of(findings: list[dict[str, Any]], queue: str, subject: str) -> dict[str, Any]:
    """The one finding of that queue on that subject."""
    (found,) = [one for one in findings if (one["queue"], one["subject"]) == (queue, subject)]
    return found


# --- shared spools


def test_sharing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a local disk nothing is said; of a shared one who lives there; of one that cannot be, why and what to do."""
    spool = Spool(tmp_path / "spool")

    def said(shared: str) -> Finding | None:
        found = [one for one in check.spool(spool.places, copy=False, shared=shared) if one.subject == "sharing"]
        return found[0] if found else None

    assert said("auto") is None
    Leases(str(spool.places.working)).publish()
    found = said("yes")
    assert found is not None and found.state is State.OK
    assert found.text == "shared, lease 30 s; 1 worker running, 0 dead"
    monkeypatch.setattr(mount, "find", lambda directory, mountinfo=None: mount.Mount("cifs", {}))
    found = said("yes")
    assert found is not None and found.state is State.FAILED and "--shared no" in found.hint
    monkeypatch.setattr(mount, "find", lambda directory, mountinfo=None: mount.Mount("ceph", {}))
    found = said("yes")
    assert found is not None and found.state is State.WARNING


# --- configurations


def test_a_configuration_that_is_well(tmp_path: Path, checked: Call) -> None:
    """All queues are tried, and each line says whose it is; what run will make is no failure; nothing is left."""
    Spool(tmp_path / "a")
    (tmp_path / "out").mkdir()
    text = f"""
[metrics]
file = "x.prom"
[queue.a]
spool = "a"
to = "file://{tmp_path}/out"
[queue.b]
spool = "b"
exec = "true {{}}"
"""
    code, findings = checked(text)
    assert code == 0
    assert findings[0]["text"] == f"{tmp_path}/jollyae.toml: 2 queues"
    assert of(findings, "a", "places")["state"] == "ok"
    assert of(findings, "a", "write")["text"] == f"wrote to {tmp_path}/out, and removed it"
    assert of(findings, "b", "places")["state"] == "warning"
    assert of(findings, "b", "command")["state"] == "ok"
    assert of(findings, "", "metrics")["state"] == "ok"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "jollyae.toml", "out"]


def test_what_fails_is_1_and_what_cannot_be_is_78(tmp_path: Path, checked: Call) -> None:
    """A program that is not there can be installed; settings that contradict each other must be changed."""
    assert checked('[queue.a]\nspool = "a"\nexec = "nosuch {}"')[0] == 1
    code, findings = checked(f'[queue.a]\nspool = "a"\nto = "file://{tmp_path}"\ncompress = "gzip"')
    assert code == 78 and "Content-Encoding" in of(findings, "a", "settings")["text"]
    assert checked('[queue.a]\nspoool = "a"\nto = "s3://b"') == (78, [])


@pytest.mark.parametrize(
    ("lines", "code", "subject", "why"),
    [
        ('to = "file://{here}/a/incoming"', 78, "settings", "lie in each other"),
        (
            'to = "file://{here}/out"\nmanifest = "file://{here}/lists"',
            *(78, "settings", "redshift can tell of s3:// only"),
        ),
        ('to = "file://{here}/out"\nfinished = "/dev/shm/jollyae-none"', 1, "places", "are on different file systems"),
        ('to = "file:///proc/x"', 78, "settings", "cannot make /proc/x"),
        ('to = "file://{here}/jollyae.toml/x"', 78, "settings", "Not a directory"),
        ('to = "file://{here}/out"\nnotify = ["spool://{here}/a/notify/x"]', 78, "settings", "this very spool"),
    ],
)
def test_what_run_refuses_check_does_not_pass(
    tmp_path: Path,
    checked: Call,
    capfd: pytest.CaptureFixture[str],
    lines: str,
    code: int,
    subject: str,
    why: str,
) -> None:
    """With the same words, once, for the spool that is missing and for one that is there; and neither makes anything,
    of the queue that is well, either."""
    if "/dev/shm" in lines and os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own")
    text = "[queue.a]\nspool = 'a'\n" + lines.format(here=tmp_path)
    text = f"[queue.well]\nspool = 'well'\nto = 'file://{tmp_path}/new'\n{text}\n"
    (tmp_path / "jollyae.toml").write_text(text)
    assert cli.run(["run", "-c", str(tmp_path / "jollyae.toml"), "--once"]) == 78
    said = capfd.readouterr().err
    assert why in said and "made" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["jollyae.toml"]
    assert cli.run(["check", "-c", str(tmp_path / "jollyae.toml"), "--would-run"]) == 78
    assert why in capfd.readouterr().out
    found_code, findings = checked(text, "--no-network")
    told = [finding for finding in findings if why in finding["text"]]
    assert (found_code, [(one["state"], one["subject"]) for one in told]) == (code, [("failed", subject)]), findings
    assert [path.name for path in tmp_path.iterdir()] == ["jollyae.toml"]
    Spool(tmp_path / "a")
    found_code, findings = checked(text, "--no-network")
    assert found_code == code and len([one for one in findings if why in one["text"]]) == 1, findings


def test_a_spool_on_the_command_line_is_refused_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As run would."""
    Spool(tmp_path / "a")
    words = [str(tmp_path / "a"), "--to", f"file://{tmp_path}/a/incoming"]
    assert cli.run(["run", *words, "--once"]) == 78
    capfd.readouterr()
    assert cli.run(["check", *words]) == 78
    assert capfd.readouterr().out.count("lie in each other") == 1
    assert cli.run(["check", *words, "--would-run"]) == 78
    assert cli.run(["check", str(tmp_path / "a"), "--to", f"file://{tmp_path}/out", "--would-run"]) == 0
    assert cli.run(["check", str(tmp_path / "a"), "--exec", "nosuch {}", "--would-run"]) == 0


def test_without_the_network_only_what_is_here_is_tried(tmp_path: Path, checked: Call) -> None:
    """A service that starts while the network is down must start."""
    Spool(tmp_path / "a")
    text = '[queue.a]\nspool = "a"\nto = "s3://b"\nendpoint_url = "http://127.0.0.1:9"\n'
    code, findings = checked(text, "--no-network")
    assert code == 0 and of(findings, "a", "settings")["text"].startswith("s3://b: not asked")
    code, findings = checked(text, "--no-sign-request")
    assert code == 1 and "connection refused" in of(findings, "a", "write")["text"]


def test_targets_and_ports(tmp_path: Path, checked: Call) -> None:
    """Of notifications: can there be such a target? A port that is taken may be the running service's own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = f"""
[metrics]
addr = "127.0.0.1:{server.getsockname()[1]}"
[queue.a]
spool = "a"
exec = "true"
notify = ["hook"]
[notify.hook]
url = "http://127.0.0.1:9/x"
secret_file = "secret"
"""
        code, findings = checked(text)
        assert of(findings, "", "metrics")["state"] == "warning"
        assert code == 78 and f"{tmp_path}/secret" in of(findings, "a", "settings")["text"]
        (tmp_path / "secret").write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        code, findings = checked(text)
        assert code == 1 and "an internal address" in of(findings, "a", "notify hook")["text"]
        code, findings = checked(text, "--no-network")
        assert code == 0 and "not tried" in of(findings, "a", "notify hook")["text"]


# --- spools


def one(findings: Any, subject: str) -> Finding:
    """The finding on that subject."""
    found: list[Finding] = [one for one in findings if one.subject == subject]
    assert len(found) == 1, found
    return found[0]


def open_for_all(path: Path) -> None:
    """Let others look into the directory and those above it that are the tests' own."""
    for one in (path, *path.parents[:3]):
        one.chmod(one.stat().st_mode | 0o055)


@needs_root
def test_whose_the_spool_is(tmp_path: Path) -> None:
    """Where we may not write it says by whose right one may, in the numbers that a container is given."""
    open_for_all(tmp_path)
    spool = Spool(tmp_path / "spool")
    for path in spool.places.all():
        os.chown(path, 1000, 1000)
        path.chmod(0o755)
    with as_nobody():
        found = one(check.spool(spool.places, copy=False), "rights")
    assert found.state is State.FAILED and found.text == f"cannot write in {spool.places.incoming}"
    assert found.hint.startswith("It is owned by 1000:1000, we are 65534:")
    assert "run as its owner (a container with --user 1000:1000)" in found.hint


@needs_root
def test_a_spool_that_cannot_be_seen(tmp_path: Path) -> None:
    """Another user's, with the rights that init gives: whose it is, and no traceback."""
    open_for_all(tmp_path)
    spool = Spool(tmp_path / "spool")
    os.chown(spool.places.control, 1000, 1000)
    with as_nobody():
        found = one(check.spool(spool.places, copy=False), "rights")
    assert found.text == f"cannot look into {spool.places.control}" and "1000:1000" in found.hint


@needs_root
def test_a_spool_that_cannot_be_made(tmp_path: Path) -> None:
    """What run would make, it must be able to make."""
    open_for_all(tmp_path)
    missing = Spool(tmp_path / "spool").places
    for path in missing.all():
        if path != missing.control:
            path.rmdir()
    os.chown(missing.control, 1000, 1000)
    missing.control.chmod(0o755)
    with as_nobody():
        found = one(check.spool(missing, copy=False, makes=True), "places")
    assert (
        found.state is State.FAILED
        and found.text.startswith(f"cannot make {missing.incoming}: Perm")
        and "1000:1000" in found.hint
    )
    assert one(check.spool(missing, copy=False, makes=True), "places").state is State.WARNING
    assert one(check.spool(missing, copy=False), "places").state is State.FAILED


@needs_root
def test_what_is_mounted_read_only(tmp_path: Path) -> None:
    """It says so, for what is there and for what is missing, and no longer that the owner lacks a right; in a unit, how
    that gets to write there. So does run, with 78."""
    (tmp_path / "disk").mkdir()
    config = tmp_path / "jollyae.toml"
    config.write_text(f"[queue.a]\nspool = '{tmp_path}/disk/a'\nto = 'file://{tmp_path}/disk/out'\n")
    there = f"'{tmp_path}/disk'"
    mount = f'mount -t tmpfs none {there} && {{init}} && mount -o remount,ro {there} && exec "$@"'
    words = [sys.executable, "-m", "jollyae"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JOLLYAE_"))}
    clean = clean | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def told(init: str, *verb: str, **more: str) -> tuple[int, str]:
        command = [*mount_namespace(), "sh", "-c", mount.format(init=init), "sh", *words, *verb, "-c", str(config)]
        done = subprocess.run(command, env=clean | more, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    init = shlex.join([*words, "init", f"{tmp_path}/disk/a"])
    for before in ("true", init):
        code, said = told(before, "check", "--no-network")
        assert code == 78 and "mount it for writing" in said and "chmod" not in said, said
        code, said = told(before, "check", "--no-network", INVOCATION_ID="1")
        assert "jollyae service systemd -c FILE --install" in said, said
    code, said = told("true", "run", INVOCATION_ID="1")
    assert code == 78 and "cannot make" in said and "Read-only file system" in said, said
    assert "jollyae service systemd -c FILE --install" in said, said


def test_room(spool: Spool) -> None:
    """Bytes and inodes that are free, and a floor that is not kept."""
    told = one(check.spool(spool.places, copy=False), "room")
    assert "free" in told.text
    low = one(check.spool(spool.places, copy=False, floor=Floor(free=Amount(percent=100))), "room")
    assert low.state is State.WARNING and "submit refuses" in low.hint


@needs_root
def test_files_of_other_owners(spool: Spool) -> None:
    """Who may not ask the kernel about the files of others is told, where others may put files in."""
    subject = "other owners"
    spool.places.incoming.chmod(0o1733)
    assert subject not in [found.subject for found in check.spool(spool.places, copy=False)], "root may"
    open_for_all(spool.places.control.parent)
    for path in spool.places.all():
        os.chown(path, 65534, 65534)
    with as_nobody():
        assert one(check.spool(spool.places, copy=False), subject).state is State.WARNING


# --- stores


@pytest.mark.parametrize(
    ("skew", "state", "text"),
    [
        (0.3, State.OK, "within 1 s of the store's"),
        (-29.0, State.OK, "within 29 s of the store's"),
        (45.0, State.WARNING, "this clock is 45 s behind the store's"),
        (-3600.0, State.FAILED, "this clock is 3600 s ahead of the store's"),
    ],
)
def test_clocks(skew: float, state: State, text: str) -> None:
    """By how much this clock is off, and in which direction."""
    found = clock(skew)
    assert (found.state, found.text) == (state, text)


def _renewed(method: str, seconds: float) -> RefreshableCredentials:
    until = datetime.fromtimestamp(NOW + seconds, UTC)
    return RefreshableCredentials("a", "b", "c", until, lambda: {}, method, time_fetcher=lambda: until - timedelta(1))


@pytest.mark.parametrize(
    ("found", "state", "text"),
    [
        (None, State.FAILED, "none found: looked in the environment, ~/.aws, the container's and the machine's role"),
        (Credentials("a", "b", None, "env"), State.OK, "from the environment, they do not expire"),
        (Credentials("a", "b", "c", "env"), State.WARNING, "with a session token: they expire"),
        (Credentials("a", "b", None, "shared-credentials-file"), State.OK, "from ~/.aws/credentials"),
        (_renewed("iam-role", 7200), State.OK, "hold until 2026-11-18 13:06 UTC, and are renewed before"),
        (_renewed("sso", 600), State.WARNING, "hold until 2026-11-18 11:16 UTC"),
        (_renewed("sso", 7200), State.OK, "from a session of aws sso login"),
        (_renewed("env", 7200), State.WARNING, "from the environment, they hold until"),
    ],
)
def test_where_credentials_came_from(found: Any, state: State, text: str) -> None:
    """In words of people, with when they expire and whether somebody renews them; never the secret."""
    told = credentials(found, NOW)
    assert told.state is state and text in told.text
