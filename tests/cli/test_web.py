"""The verb ``web``: which queues it shows, and what it refuses."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from jollyae.spool.places import Places
from jollyae.web.model import MISSED
from tests.cli.conftest import Call
from tests.helpers import until


@contextmanager
def web(*arguments: str) -> Iterator[str]:
    """The dashboard as a process; its address."""
    command = [sys.executable, "-m", "jollyae", "web", "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        found = re.search(r"http\S+", line)
        try:
            assert found, line
            yield found[0]
        finally:
            process.terminate()
            assert process.wait(30) == 0


def queues(address: str) -> dict[str, Any]:
    """The queues it shows, by their names."""
    with urllib.request.urlopen(f"{address}api/queues", timeout=10) as answer:
        return {one["name"]: one for one in json.load(answer)["queues"]}


def test_spools_are_called_by_their_directories(tmp_path: Path) -> None:
    """By the last part of the path; by more of it where two would be called alike; once each. The messages about a
    spool's deliveries are queues, too."""
    for name in ("a/photos", "b/photos", "scans", "scans/notify/hook"):
        Spool(tmp_path / name)
    spools = [str(tmp_path / name) for name in ("a/photos", "b/photos", "scans", "a/photos")]
    with web(*spools) as address:
        assert list(queues(address))[:2] == ["photos", "b-photos"]
        assert {"scans", "scans/hook"} <= set(queues(address))
        with urllib.request.urlopen(f"{address}queue/scans/hook", timeout=10) as page:
            assert "scans/hook</h1>" in page.read().decode()
        form = urllib.request.Request(f"{address}queue/scans/hook/pause", b"reason=x", {"Origin": address.rstrip("/")})
        urllib.request.urlopen(form, timeout=10).close()
        assert (tmp_path / "scans/notify/hook/.paused").exists() and not (tmp_path / "scans/.paused").exists()
        with urllib.request.urlopen(f"{address}events/queue/scans/hook", timeout=10) as events:
            assert events.headers["Content-Type"].startswith("text/event-stream")


def test_a_configuration_says_what_and_how(tmp_path: Path) -> None:
    """Its queues, also one whose spool is not there yet; [web] says how to serve; the command line counts before it."""
    Spool(tmp_path / "photos")
    config = tmp_path / "jollyae.toml"
    config.write_text(
        '[web]\nlisten = "192.0.2.1:1"\nprefix = "/ops"\nread_only = true\n'
        '[queue.photos]\nspool = "photos"\nto = "s3://bucket/in"\n[queue.scans]\nspool = "scans"\nexec = "true"\n'
    )
    with web("-c", str(config)) as address:
        assert address.endswith("/ops/")
        found = queues(address)
        assert list(found) == ["photos", "scans"]
        assert found["photos"]["destination"] == "s3://bucket/in" and found["scans"]["reason"] == "gone"
        with urllib.request.urlopen(address, timeout=10) as page:
            assert "read-only" in page.read().decode()


def test_a_queue_that_comes_later_has_its_address_at_once(tmp_path: Path) -> None:
    """It is found when it is asked for by its address, though nobody looked at the first page since."""
    config = tmp_path / "jollyae.toml"
    config.write_text('[queue.photos]\nspool = "photos"\nexec = "true"\n')
    with web("-c", str(config)) as address:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}queue/scans", timeout=10)
        with config.open("a") as file:
            file.write('[queue.scans]\nspool = "my scans"\nincoming = "ftp"\nexec = "true"\n')
        Spool(places=Places.under(tmp_path / "my scans", incoming=tmp_path / "ftp")).pause("moving")
        time.sleep(MISSED)
        with urllib.request.urlopen(f"{address}queue/scans", timeout=10) as page:
            text = page.read().decode()
        assert f'data-copy="jollyae resume -c {config} --queue scans"' in text


def test_a_configuration_that_is_wrong_now_is_told(tmp_path: Path) -> None:
    """What runs goes on with the older one, and so does the page; what is wrong stands above it until it is corrected,
    as text."""
    config = tmp_path / "jollyae.toml"
    good = '[queue.photos]\nspool = "photos"\nexec = "true"\n'
    config.write_text(good)

    def page(address: str) -> str:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return str(answer.read().decode())

    with web("-c", str(config)) as address:
        assert "configuration is wrong" not in page(address)
        config.write_text(f'{good}"<b>x" = 1\nnonsense = 1\n')
        until(lambda: "configuration is wrong" in page(address))
        shown = page(address)
        assert f"{config} line 4: unknown key" in shown and "and 1 more" in shown
        assert "<b>x" not in shown and "/queue/photos" in shown
        config.unlink()
        until(lambda: f"cannot read {config}" in page(address))
        config.write_text(good)
        until(lambda: "configuration is wrong" not in page(address))


def test_a_configured_queue_without_a_worker_is_not_ready(tmp_path: Path) -> None:
    """Though nothing waits, nor for its messages; those of a target that is in the file no more are nobody's."""
    config = tmp_path / "jollyae.toml"
    for spool in ("photos", "photos/notify/hook", "photos/notify/old", "idle"):
        Spool(tmp_path / spool)
    config.write_text(
        '[queue.photos]\nspool = "photos"\nto = "s3://bucket/in"\nnotify = ["hook"]\n'
        '[queue.idle]\nspool = "idle"\nto = "s3://bucket/in"\nidle_exit = 60\n'
        '[notify.hook]\nurl = "https://hook.example"\n'
    )
    with web("-c", str(config)) as address:
        found = queues(address)
        assert {name: one["level"] for name, one in found.items() if one["level"] != "ok"} == {
            "photos": "trouble",
            "photos/hook": "trouble",
        }
        assert found["photos"]["try"] == found["photos/hook"]["try"] == f"jollyae run -c {config}"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"{address}readyz", timeout=10)
        with caught.value as answer:
            said = answer.read().decode()
        assert (answer.code, said) == (503, "not ready: photos has no worker\nnot ready: photos/hook has no worker\n")
    with web(str(tmp_path / "photos")) as address, urllib.request.urlopen(f"{address}readyz", timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "is not a spool"),
        (["{spool}", "-c", "x.toml"], "say only one"),
        (["{spool}", "--listen", "nonsense"], "HOST:PORT"),
        (["{spool}", "--prefix", "/a b"], "must be a path"),
        (["{spool}", "--listen", "0.0.0.0:0"], "no token and no TLS"),
        (["{spool}", "--token-file", "nowhere"], "cannot read the token"),
        (["{spool}", "--listen", "192.0.2.1:0", "--token-file", "{token}"], "no TLS"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    call: Call, spool: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    """Before anything listens."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    code, _, err = call("web", *(one.format(spool=spool, token=token) for one in arguments))
    assert code in (2, 78) and said in " ".join(err.split())


def test_a_stream_ends_with_the_server(tmp_path: Path) -> None:
    """An open page does not keep it from ending at once."""
    Spool(tmp_path / "photos")
    with web(str(tmp_path / "photos")) as address:
        stream = urllib.request.urlopen(f"{address}events/", timeout=10)
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert b"retry:" in stream.readline()
        began = time.monotonic()
    assert stream.read().count(b"event: parts") >= 1
    assert time.monotonic() - began < 8  # uvicorn would wait ten seconds for it
