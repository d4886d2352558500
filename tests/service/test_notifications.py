"""Notifications as a whole: the program with --notify, its targets as queues, --once and its exit code."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from jollyae.processors.finding import State
from jollyae.processors.notify.webhook import Webhook
from jollyae.service import notifications
from jollyae.service.observing import status
from jollyae.service.settings import ConfigurationError, Settings, Target
from jollyae.spool.outcomes import Temporary
from jollyae.worker import receipts
from tests.helpers import drop, until
from tests.processors.notify.scene import Received, Receiver

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
ROOT = Path(__file__).parents[2]


def _command(spool: Spool, *words: str) -> list[str]:
    to = spool.places.control.parent / "to"
    return [sys.executable, "-m", "jollyae", "run", str(spool.places.control), "--to", f"file://{to}", *words]


def _environment(**more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOLLYAE_", "AWS_"))}
    return clean | {"PYTHONPATH": str(ROOT / "src")} | more


def run_once(spool: Spool, *words: str, **environment: str) -> tuple[int, str]:
    """``jollyae run --once``: the exit code and the log."""
    command = _command(spool, "--once", "--settle", "0", *words)
    done = subprocess.run(command, env=_environment(**environment), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stderr


@contextmanager
def running(spool: Spool, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """``jollyae run``, killed at the end if it still runs."""
    with subprocess.Popen(_command(spool, "--settle", "0", *words), env=_environment(), start_new_session=True) as one:
        try:
            yield one
        finally:
            if one.poll() is None:
                one.terminate()
                one.wait(30)


def ids(spool: Spool) -> dict[str, str]:
    """The delivery id of each item, by the receipts."""
    return {one["name"]: one["id"] for one in receipts.read(spool.places.receipts)}


def _until_more(receiver: Receiver, spool: Spool) -> None:
    before = len(receiver.received)
    until(lambda: len(receiver.received) > before or not list(spool.places.incoming.iterdir()))


def told(got: Received) -> Any:
    """What a request said."""
    return json.loads(got.body)


def test_every_way_at_once(spool: Spool, tmp_path: Path) -> None:
    """Webhook, command and another spool each get one message for each delivery, and --once waits for all of them."""
    names = {drop(spool, f"item-{number}", b"x").name for number in range(5)}
    other = Spool(tmp_path / "other")
    script = f"exec:sh -c 'cat > {tmp_path}/got-$JOLLYAE_NAME-$JOLLYAE_DELIVERY_ID'"
    with Receiver(secret=SECRET) as receiver:
        words = ["--notify", receiver.url, "--notify", f"spool://{other.places.control}", "--notify", script]
        code, log = run_once(spool, *words, "--notify-internal", JOLLYAE_WEBHOOK_SECRET=SECRET)
        assert code == 0, log
        assert receiver.refused == 0
        assert {told(got)["jollyae"]["name"] for got in receiver.received} == names
        assert {got.headers["webhook-id"] for got in receiver.received} == set(ids(spool).values())
    assert {path.name for path in other.places.incoming.iterdir()} == {f"{one}.json" for one in ids(spool).values()}
    for name, one in ids(spool).items():
        assert json.loads((tmp_path / f"got-{name}-{one}").read_bytes())["jollyae"]["deliveryId"] == one
    assert SECRET not in log and "hook?x" not in log
    for target in (spool.places.control / "notify").iterdir():
        left = [path for path in target.rglob("*") if path.is_file() and path.parent.name != "receipts"]
        assert not left, left


@pytest.mark.parametrize(("script", "code"), [("exit 1", 1), ("exit 75", 75)])
def test_once_says_what_became_of_the_notifications(spool: Spool, script: str, code: int) -> None:
    """All is delivered, but a notification failed or waits: the exit code says so, and the log which."""
    drop(spool, "item", b"x")
    found, log = run_once(spool, "--notify", f"exec:sh -c '{script}'")
    assert found == code, log
    assert [path.name for path in spool.places.finished.iterdir()] == ["item"]
    assert "queue=spool/sh-" in log


def test_several_workers_and_delete(spool: Spool) -> None:
    """With --processes and --on-done delete: one message for each, and the items are gone."""
    names = {drop(spool, f"item-{number}", b"x").name for number in range(60)}
    with Receiver() as receiver:
        words = ["--processes", "3", "--on-done", "delete", "--notify", receiver.url, "--notify-internal"]
        code, log = run_once(spool, *words)
        assert code == 0, log
        assert {told(got)["jollyae"]["name"] for got in receiver.received} == names
    assert not list(spool.places.finished.iterdir())


def test_a_receiver_that_is_away_holds_nobody_up(spool: Spool) -> None:
    """Deliveries go on while it is down; killed and started again, all messages come when it is back."""
    with Receiver() as receiver:
        port = receiver.port
    words = ("--notify", receiver.url, "--notify-internal")
    with running(spool, *words) as first:
        names = {drop(spool, f"item-{number}", b"x").name for number in range(20)}
        until(lambda: len(list(spool.places.finished.iterdir())) == 20, "all deliveries")
        os.killpg(first.pid, signal.SIGKILL)
    with running(spool, *words):
        names.add(drop(spool, "another", b"x").name)
        until(lambda: (spool.places.finished / "another").exists(), "another delivery")
        with Receiver(port=port) as receiver:
            until(lambda: {told(got)["jollyae"]["name"] for got in receiver.received} >= names, "all messages")
            seen = [got.headers["webhook-id"] for got in receiver.received]
    assert set(seen) == set(ids(spool).values())


def test_killed_again_and_again(spool: Spool) -> None:
    """kill -9 of all processes at any time: at least one message for each delivery, and repeats have its id."""
    names = {drop(spool, f"item-{number:03}", b"x").name for number in range(150)}
    with Receiver(secret=SECRET) as receiver:
        secret = spool.places.control.parent / "secret"
        secret.write_text(SECRET)
        words = ["--notify", receiver.url, "--notify-internal", "--notify-secret-file", str(secret)]
        for round in range(6):
            with running(spool, *words, "--concurrency", "4") as one:
                _until_more(receiver, spool)
                time.sleep(0.02 * round)
                os.killpg(one.pid, signal.SIGKILL)
        if run_once(spool, *words)[0] == 1:  # three deaths are much for an item that is in work whenever we look
            for place in (spool, Spool(next((spool.places.control / "notify").iterdir()))):
                assert all(became == "retried" for _, became in place.retry())
        code, log = run_once(spool, *words)
        assert code == 0, log
        found: dict[str, set[str]] = {}
        for got in receiver.received:
            found.setdefault(told(got)["jollyae"]["name"], set()).add(got.headers["webhook-id"])
        assert receiver.refused == 0
    assert found.keys() == names
    assert {name: one.pop() for name, one in found.items() if len(one) == 1} == ids(spool)


def test_status_tells_how_the_notifications_are(spool: Spool) -> None:
    """In the status of the queue itself: at three in the morning nobody remembers that there is another spool."""
    drop(spool, "item", b"x")
    assert run_once(spool, "--notify", "exec:sh -c 'exit 75'", "--notify", "exec:true")[0] == 75
    seen = status.look(spool)
    told = {one["target"].partition("-")[0]: one for one in seen["notifications"]}
    assert {name: (one["waiting"], one["failed"]) for name, one in told.items()} == {"sh": (1, 0), "true": (0, 0)}
    assert told["sh"]["level"] == "trouble" and told["true"]["level"] == "ok"
    names = [one["target"] for one in told.values()]
    tries = [one["try"] for one in status.look(spool, config="/j.toml", targets=names)["notifications"]]
    assert sorted(tries) == ["", "jollyae run -c /j.toml"]
    tries = [one["try"] for one in status.look(spool, config="/j.toml")["notifications"]]
    assert tries == ["", ""], "the configuration names them no more: its command sends nothing"
    command = [sys.executable, "-m", "jollyae", "status", str(spool.places.control)]
    text = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True).stdout
    assert f"notifications:\n  {told['sh']['target']}: {told['sh']['why']}"[:60] in text


# --- targets


def test_a_bare_url_is_always_the_same_target() -> None:
    """Its name says what it is, and two URLs are two."""
    urls = [
        "https://h.example/a",
        "https://h.example/b",
        "sqs://q",
        "sns://arn:aws:sns:eu-west-1:1:t",
        "exec:/bin/x -y",
    ]
    urls += ["events://bus", "spool:///var/spool/other"]
    found = [notifications.target(url).name for url in urls]
    assert len(set(found)) == len(urls) and found == [notifications.target(url).name for url in urls]
    assert [name.rpartition("-")[0] for name in found] == [
        "h.example",
        "h.example",
        "q",
        "t",
        "x",
        "bus",
        "var-spool-other",
    ]


@pytest.mark.parametrize("url", ["", "hook", "ftp://host/", "https://", "exec:", "spool:", "file:///x"])
def test_what_is_no_target(url: str) -> None:
    """The forms are told."""
    with pytest.raises(ValueError, match="spool:///DIR"):
        notifications.target(url)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (Target(name="../x", url="https://h/"), "cannot be a target's name"),
        (Target(name=".x", url="https://h/"), "cannot be a target's name"),
        (Target(name="x", url="https://u:p@h/"), "user or password"),
        (Target(name="x", url="https://h/", secret_file="/nowhere"), "No such file"),
        (Target(name="x", url="exec:'"), "quotation"),
        (Target(name="x", url="spool://host/dir"), "no directory"),
        (Target(name="x", url="sns://topic"), "sns://arn"),
        (Target(name="x", url="sqs://a/b/c"), "sqs://ACCOUNT/NAME"),
    ],
)
def test_a_target_that_cannot_be_is_told_at_the_start(spool: Spool, target: Target, why: str) -> None:
    """Exit code 78, before anything is delivered."""
    with pytest.raises(ConfigurationError, match=why):
        notifications.examine(spool.places, Settings(to="file:///x", notify=(target,)))


def test_no_circles_and_no_name_twice(spool: Spool) -> None:
    """Messages into the very spool that they are about would have no end."""
    for url in (f"spool://{spool.places.control}", f"spool://{spool.places.control}/notify/x"):
        with pytest.raises(ConfigurationError, match="this very spool"):
            notifications.examine(spool.places, Settings(to="file:///x", notify=(Target(name="x", url=url),)))
    twice = (Target(name="x", url="https://h/a"), Target(name="x", url="https://h/b"))
    with pytest.raises(ConfigurationError, match="twice"):
        notifications.examine(spool.places, Settings(to="file:///x", notify=twice))


# --- tried by check


def _tried(url: str, *, network: bool = True, **more: Any) -> Any:
    return asyncio.run(notifications.tried(Target(name="x", url=url, **more), network=network))


def test_check_connects_to_a_webhook_and_sends_nothing() -> None:
    """Name, address, guard and TLS are tried for real."""
    with Receiver() as receiver:
        found = _tried(receiver.url, allow_internal=True)
        assert (found.state, "there; nothing was sent" in found.text) == (State.OK, True)
        assert (receiver.connections, receiver.received) == (1, [])
        assert _tried(receiver.url).state == State.FAILED  # internal
        assert _tried(receiver.url, network=False).state == State.OK
        assert receiver.connections == 1
    found = _tried(receiver.url, allow_internal=True)
    assert found.state == State.FAILED and found.hint


def test_check_looks_for_a_command_and_a_spool(spool: Spool) -> None:
    """Also without the network; neither is touched."""
    assert _tried("exec:true", network=False).state == State.OK
    assert _tried("exec:/nowhere/at/all", network=False).state == State.FAILED
    assert _tried(f"spool://{spool.places.control}", network=False).state == State.OK
    assert _tried("spool:///nowhere/at/all", network=False).state == State.FAILED
    assert _tried("sns://topic").state == State.FAILED


def test_a_secret_that_is_not_there_is_to_be_made(tmp_path: Path) -> None:
    """With the command that makes it; where it is there and may not be read, that is another thing."""
    there = tmp_path / "a secret"
    missing = Target(name="x", url="https://h/", secret_file=str(there))
    with pytest.raises(ConfigurationError) as caught:
        notifications.destination(missing)
    assert "No such file" in caught.value.message and f"openssl rand -base64 32)\" > '{there}'" in caught.value.hint
    there.write_text("")
    with pytest.raises(ConfigurationError) as caught:
        notifications.destination(missing)
    assert "is empty" in caught.value.message and "openssl" in caught.value.hint


def test_an_address_is_not_said_to_be_itself() -> None:
    """Of a name, where it leads; of an address, what it is."""
    for host, said in (("127.0.0.1", "127.0.0.1: loopback"), ("localhost", "localhost is ")):
        with pytest.raises(Temporary) as caught:
            asyncio.run(Webhook(f"http://{host}:9/", ()).reach())
        assert said in caught.value.message and "127.0.0.1 is 127.0.0.1" not in caught.value.message
