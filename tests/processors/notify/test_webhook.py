"""The webhook, against real servers: what is sent, what the answers mean, and that nothing internal is reached."""

import asyncio
import base64
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jollyae.processors.notify import UrlError, addresses, webhook
from jollyae.processors.notify.signature import secrets
from jollyae.processors.notify.webhook import Webhook, retry_after
from jollyae.processors.s3 import wire
from jollyae.processors.s3.connection import Answer
from jollyae.spool.outcomes import Permanent, Scope, Temporary
from tests.processors.notify.scene import RECEIPT, Receiver, item
from tests.processors.s3.servers import certificate

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
OLD = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def post(hook: Webhook, directory: Path, times: int = 1, **more: Any) -> dict[str, Any]:
    """Post the message, and close; the receipt's fields of the last."""

    async def live() -> dict[str, Any]:
        fields: dict[str, Any] = {}
        try:
            with item(directory, **more) as one:
                for _ in range(times):
                    fields = await hook(one)
        finally:
            hook.close()
            await asyncio.sleep(0)
        return fields

    return asyncio.run(live())


def refused(hook: Webhook, directory: Path) -> Temporary:
    """Post it in vain; the error."""
    with pytest.raises(Temporary) as raised:
        post(hook, directory)
    return raised.value


def test_what_is_sent_verifies_by_the_standard(tmp_path: Path) -> None:
    """A receiver with the secret takes it; id and timestamp are signed with the very body."""
    with Receiver(secret=SECRET) as receiver:
        fields = post(Webhook(receiver.url, secrets(SECRET), allow_internal=True), tmp_path)
        (got,) = receiver.received
        assert receiver.refused == 0
    assert (got.path, got.headers["content-type"]) == ("/hook?x=1", "application/json")
    assert got.headers["webhook-id"] == RECEIPT["id"]
    assert got.body == (tmp_path / f"{RECEIPT['id']}.json").read_bytes()
    assert json.loads(got.body)["jollyae"]["deliveryId"] == RECEIPT["id"]
    assert fields == {"notified": f"http://127.0.0.1:{receiver.port}", "delivery": RECEIPT["id"], "status": 204}


def test_a_secret_is_changed_without_a_gap(tmp_path: Path) -> None:
    """Signed with both, a receiver that knows the old one and one that knows the new one take it."""
    for known in (SECRET, OLD):
        with Receiver(secret=known) as receiver:
            post(Webhook(receiver.url, secrets(f"{SECRET} {OLD}"), allow_internal=True), tmp_path)
            assert receiver.refused == 0


def test_a_wrong_secret_is_doubtful(tmp_path: Path) -> None:
    """401: the item is deferred; three in a row pause the target."""
    with Receiver(secret=SECRET) as receiver:
        told = refused(Webhook(receiver.url, secrets(OLD), allow_internal=True), tmp_path)
    assert (told.scope, told.reason) == (Scope.UNSURE, "denied")


def test_connections_are_kept(tmp_path: Path) -> None:
    """Many messages go over one connection."""
    with Receiver() as receiver:
        post(Webhook(receiver.url, allow_internal=True), tmp_path, times=5)
        assert (len(receiver.received), receiver.connections) == (5, 1)


def test_over_tls_the_certificate_counts(tmp_path: Path) -> None:
    """One that nobody trusts is refused; a trusted one is not."""
    pem = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with Receiver(tls=context) as receiver:
        told = refused(Webhook(receiver.url, allow_internal=True), tmp_path)
        assert (told.scope, told.reason) == (Scope.DESTINATION, "tls")
        trusting = ssl.create_default_context(cafile=str(pem))
        assert post(Webhook(receiver.url, allow_internal=True, tls=trusting), tmp_path)["status"] == 204


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    """Wherever it leads: it pauses the target, and says so."""
    with Receiver() as there, Receiver() as receiver:
        receiver.answers = [(307, {"location": there.url})]
        told = refused(Webhook(receiver.url, allow_internal=True), tmp_path)
        assert not there.received
    assert told.scope is Scope.DESTINATION and "edirect" in told.hint


ANSWERS: dict[int, tuple[dict[bytes, bytes], Scope, str, bool, float | None]] = {
    410: ({}, Scope.DESTINATION, "bucket", False, 600.0),
    429: ({b"retry-after": b"17"}, Scope.DESTINATION, "throttled", True, 17.0),
    500: ({}, Scope.DESTINATION, "server", False, None),
    502: ({}, Scope.DESTINATION, "server", False, None),
    503: ({b"retry-after": b"99999"}, Scope.DESTINATION, "throttled", True, 3600.0),
    504: ({}, Scope.DESTINATION, "server", False, None),
    408: ({}, Scope.DESTINATION, "server", False, None),
    301: ({}, Scope.DESTINATION, "bucket", False, None),
    400: ({}, Scope.UNSURE, "other", False, None),
    401: ({}, Scope.UNSURE, "denied", False, None),
    403: ({}, Scope.UNSURE, "denied", False, None),
    404: ({}, Scope.UNSURE, "other", False, None),
    422: ({}, Scope.UNSURE, "other", False, None),
}


@pytest.mark.parametrize("status", ANSWERS)
def test_what_an_answer_means(status: int) -> None:
    """A table: whose fault it is, its reason, and when to come again. Nothing is given up for good."""
    headers, scope, reason, throttled, after = ANSWERS[status]
    told = webhook.refusal(Answer(status, headers, b"no\n  way"), "https://h", 0.0)
    assert told is not None and told.hint and "no way" in told.message
    assert (told.scope, told.reason, told.throttled, told.after) == (scope, reason, throttled, after)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_yes(status: int) -> None:
    """As the standard has it."""
    assert webhook.refusal(Answer(status, {}, b""), "https://h", 0.0) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("999999999999", 3600.0), ("-1", None), ("", None), ("\u0663", None), ("Thu, 01 Jan 1970", None)],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Seconds or a date; an hour at the most; nonsense is nothing."""
    assert retry_after(text, 0.0) == seconds


def test_nobody_answers(tmp_path: Path) -> None:
    """Nobody listens: the target is paused."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        told = refused(Webhook(url, allow_internal=True), tmp_path)
    assert (told.scope, told.reason) == (Scope.DESTINATION, "network")


def test_a_receiver_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a limit of time for the whole."""
    monkeypatch.setattr(webhook, "TIME", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        told = refused(Webhook(f"http://127.0.0.1:{silent.getsockname()[1]}/", allow_internal=True), tmp_path)
    assert (told.scope, told.reason) == (Scope.DESTINATION, "timeout")


def test_an_answer_without_end_is_not_read_without_end(tmp_path: Path) -> None:
    """What a receiver answers is bounded, and none of it comes to a terminal as it is."""
    with Receiver() as receiver:
        receiver.answers = [(500, {"x-evil": "\x1b[2J"})]
        told = refused(Webhook(receiver.url, allow_internal=True), tmp_path)
    assert "\x1b" not in told.message and len(told.message) < 500
    long = webhook.refusal(Answer(500, {}, b"\x1b[2J" + b"x" * 100_000), "https://h", 0.0)
    assert long is not None and "\x1b" not in long.message and len(long.message) < 500


def test_a_file_that_is_no_message_fails(tmp_path: Path) -> None:
    """It is sent nowhere."""
    with Receiver() as receiver, item(tmp_path, b"hello") as one:
        with pytest.raises(Permanent):
            asyncio.run(Webhook(receiver.url, allow_internal=True)(one))
        assert not receiver.received


# --- internal addresses


HOSTS = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]"]


@pytest.mark.parametrize("host", [*HOSTS, "169.254.169.254", "10.0.0.1", "[fd00:ec2::254]"])
def test_nothing_internal_is_reached(tmp_path: Path, host: str) -> None:
    """However it is written: no connection is made, and the hint says how to allow it."""
    with Receiver() as receiver:
        told = refused(Webhook(f"http://{host}:{receiver.port}/", secrets(SECRET)), tmp_path)
        assert receiver.connections == 0
    assert (told.scope, told.reason) == (Scope.DESTINATION, "denied")
    assert "allow_internal" in told.hint


Lookup = Callable[..., list[tuple[Any, ...]]]


class Names:
    """A resolver that says something else each time; the last for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []
        self._real: Lookup = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *arguments: Any, **more: Any) -> list[tuple[Any, ...]]:
        if host != "rebind.example":
            return self._real(host, port, *arguments, **more)
        self.asked.append(host)
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2 counts as an address of the public internet, so that there is a server on one."""
    real = addresses.why_internal
    monkeypatch.setattr(addresses, "why_internal", lambda text: "" if text == "127.0.0.2" else real(text))


def test_a_name_that_changes_after_it_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two: None) -> None:
    """DNS rebinding: public at the look, internal ever after. The connection goes to the address that was looked at; at
    the next look it is refused."""
    names = Names(["127.0.0.2"], ["127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", names)
    with Receiver("127.0.0.2") as public, Receiver("127.0.0.1", public.port) as internal:
        hook = Webhook(f"http://rebind.example:{public.port}/")

        async def live() -> None:
            try:
                with item(tmp_path) as one:
                    await hook(one)
                    assert (len(public.received), internal.connections, len(names.asked)) == (1, 0, 1)
                    monkeypatch.setattr(wire, "RESOLVE_EVERY", 0.0)
                    for connection in hook._pool._idle:
                        connection.close()
                    for _ in range(3):
                        with pytest.raises(Temporary, match="internal"):
                            await hook(one)
            finally:
                hook.close()

        asyncio.run(live())
        assert (len(public.received), internal.connections) == (1, 0)
        assert len(names.asked) > 1
        assert public.received[0].headers["host"] == f"rebind.example:{public.port}"


@pytest.mark.parametrize("found", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]])
def test_a_name_with_one_internal_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two: None, found: list[str]
) -> None:
    """Of a name with several addresses, all must be public."""
    monkeypatch.setattr(socket, "getaddrinfo", Names(found))
    with Receiver("127.0.0.2") as public, Receiver("127.0.0.1", public.port) as internal:
        told = refused(Webhook(f"http://rebind.example:{public.port}/"), tmp_path)
        assert (public.connections, internal.connections) == (0, 0)
    assert told.reason == "denied"


@pytest.mark.parametrize(
    "url",
    [
        "https://",
        "https:///path",
        "ftp://host/",
        "https://user:password@host/",
        "https://user@host/",
        "https://host:99999/",
        "https://host:0/",
        "https://[::1",
        "https://host/ö",
        "https://host/a b",
        "https://host/\r\nX-Evil: 1",
        "https://host/#fragment",
    ],
)
def test_what_is_no_webhooks_url(url: str) -> None:
    """It is told at the start, without what may be secret in it."""
    with pytest.raises(UrlError) as raised:
        Webhook(url)
    assert "password" not in str(raised.value).replace("user or password", "")


def test_what_is_shown_of_a_url() -> None:
    """Some have their secret in the path: only scheme and host are seen in logs, notes and receipts."""
    assert webhook.shown("https://hooks.example:444/services/T0/SECRET?token=x") == "https://hooks.example:444"
