"""``gs://`` and ``az://``: what is sent, what obstore's errors mean, which options apply. (What every destination
promises is in :mod:`.conformance`.)"""

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from jollyae import Permanent, Scope, Temporary
from jollyae.processors.clouds import Cloud, CloudDelivery, open_cloud, split_url
from jollyae.processors.clouds.faults import explain
from jollyae.processors.finding import Finding, State
from jollyae.processors.keys import KeyTemplate
from jollyae.processors.s3 import OptionError, S3Options
from jollyae.service import check, compose
from jollyae.service.settings import ConfigurationError, Settings
from jollyae.spool.item import Item
from tests.processors.s3.fake import Bench
from tests.processors.s3.servers import Server, Visit

from .conformance import BODY, LARGE, SHA, MiB
from .gcs import BUCKET, TOKEN, Gcs


@pytest.fixture(autouse=True)
def _only_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AZURE_", "GOOGLE_")) or "proxy" in name.lower()]:
        monkeypatch.delenv(name)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Items in work."""
    with Bench(tmp_path) as bench:
        yield bench


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    """A server with Google's XML API, and the right token in the environment."""
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", TOKEN)
    with Gcs() as server:
        yield server


def deliver(url: str, item: Item, bucket: str = BUCKET, limiter: Any = None, **options: Any) -> dict[str, Any]:
    """One attempt, to this endpoint."""

    async def attempt() -> dict[str, Any]:
        chosen = S3Options(endpoint_url=url, **options)
        delivery = CloudDelivery(open_cloud("gs", bucket, chosen), KeyTemplate(), chosen, limiter)
        try:
            return await delivery(item)
        finally:
            delivery.close()

    return asyncio.run(attempt())


# --- what is sent


def test_what_is_sent(gcs: Gcs, bench: Bench) -> None:
    """The condition, what was asked for, and the metadata that brings a file back."""
    options: dict[str, Any] = {"cache_control": "no-cache", "storage_class": "NEARLINE", "metadata": {"colour": "red"}}
    receipt = deliver(gcs.url, bench.item(BODY), **options)
    etag = hashlib.md5(BODY).hexdigest()
    version = str(gcs.objects["a/b.txt"].generation)
    url = f"gs://{BUCKET}/a/b.txt"
    assert receipt == {"url": url, "size": 5, "sha256": SHA, "etag": etag, "version": version}
    [(verb, key, headers)] = gcs.asked
    assert (verb, key, headers["x-goog-if-generation-match"]) == ("PUT", "a/b.txt", "0")
    assert gcs.objects["a/b.txt"].headers == {
        "cache-control": "no-cache",
        "content-type": "text/plain",
        "x-goog-storage-class": "NEARLINE",
        "x-goog-meta-colour": "red",
        "x-goog-meta-mtime": "1795305598.1234567",
        "x-goog-meta-mode": "100640",
        "x-goog-meta-jollyae-sha256": SHA,
    }


def test_a_repeat_is_told_without_reading_it(gcs: Gcs, bench: Bench) -> None:
    """The digest beside the object is enough: HEAD, and no GET."""
    deliver(gcs.url, bench.item(BODY))
    assert deliver(gcs.url, bench.item(BODY))["already_there"] is True
    assert [verb for verb, _, _ in gcs.asked] == ["PUT", "PUT", "HEAD"]


def test_large_files_are_looked_for_first(gcs: Gcs, bench: Bench) -> None:
    """In parts there is no condition: one HEAD before, and the receipt says that this is not atomic."""
    receipt = deliver(gcs.url, bench.item(bytes(11 * MiB)), **LARGE)
    assert (receipt["parts"], receipt["part_size"], receipt["atomic"]) == (3, 5 * MiB, False)
    assert [verb for verb, _, _ in gcs.asked][:2] == ["HEAD", "POST"]
    assert gcs.objects["a/b.txt"].headers["x-goog-meta-jollyae-sha256"] == receipt["sha256"]
    overwritten = deliver(gcs.url, bench.item(bytes(11 * MiB)), **LARGE, if_exists="overwrite")
    assert "atomic" not in overwritten


def test_a_large_file_that_changes_while_it_is_sent(gcs: Gcs, bench: Bench) -> None:
    """What is sent must be what was hashed: the upload ends before it is an object, and leaves no parts."""
    item = bench.item(bytes(11 * MiB))

    class Writer:
        calls = 0

        async def take(self, size: int) -> None:
            self.calls += 1
            if self.calls == 2:
                with open(item.path, "r+b") as file:
                    file.write(b"changed")
            if self.calls == 3:
                with open(item.path, "r+b") as file:
                    file.seek(10 * MiB)
                    file.write(b"changed")

    with pytest.raises(Temporary, match="changed while it was read") as caught:
        deliver(gcs.url, item, limiter=Writer(), **LARGE)
    assert caught.value.scope is Scope.ITEM
    assert not gcs.objects and not gcs.uploads


def test_a_large_file_replaces_what_we_sent(gcs: Gcs, bench: Bench) -> None:
    """Changed after it was delivered: the object is still ours, so it is replaced."""
    item = bench.item(bytes(6 * MiB))
    item.superseded = deliver(gcs.url, item, **LARGE)
    bench.grow(item)
    again = bench.again()
    again.superseded = item.superseded
    assert deliver(gcs.url, again, **LARGE)["size"] == 6 * MiB + 4
    assert gcs.objects["a/b.txt"].body == bytes(6 * MiB) + b"more"


def test_head_first(gcs: Gcs, bench: Bench) -> None:
    """For what ignores conditions: it asks, and says that this is not atomic."""
    gcs.ignores_conditions = True
    assert deliver(gcs.url, bench.item(BODY), head_first=True)["atomic"] is False
    with pytest.raises(Permanent, match="other content"):
        deliver(gcs.url, bench.item(b"other"), head_first=True)
    assert [verb for verb, _, _ in gcs.asked] == ["HEAD", "PUT", "HEAD"]


@pytest.mark.parametrize("mark", ["", "-1"])
def test_proof_before_a_delete(gcs: Gcs, bench: Bench, mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ETag that is our MD5, else HEAD with size and digest."""
    store = gcs.store
    monkeypatch.setattr(gcs, "store", lambda key, body, headers: store(key, body, headers, mark))
    deliver(gcs.url, bench.item(BODY), verify=True)
    assert [verb for verb, _, _ in gcs.asked] == ["PUT", "HEAD"] if mark else ["PUT"]


def test_no_proof_no_delete(gcs: Gcs, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that kept other bytes: the item stays."""
    store = gcs.store
    monkeypatch.setattr(gcs, "store", lambda key, body, headers: store(key, b"jello", {}))
    with pytest.raises(Temporary, match="not proved"):
        deliver(gcs.url, bench.item(BODY), verify=True)


def test_bandwidth_is_asked_for_before_a_body_is_sent(gcs: Gcs, bench: Bench) -> None:
    """The limiter hears of every byte, part by part."""
    taken: list[int] = []

    class Limiter:
        async def take(self, size: int) -> None:
            taken.append(size)

    deliver(gcs.url, bench.item(bytes(11 * MiB)), limiter=Limiter(), **LARGE)
    deliver(gcs.url, bench.item(BODY, "small"), limiter=Limiter())
    assert taken == [5 * MiB, 5 * MiB, MiB, 5]


@pytest.mark.parametrize("memory", [1, 4, 16])
def test_small_files_pass_the_large_ones(gcs: Gcs, bench: Bench, memory: int) -> None:
    """With large files under way and more of them waiting, a small one is delivered, also with little memory."""
    items = [bench.item(bytes([number]) * (11 * MiB), f"{number}") for number in range(4)]
    small = bench.item(BODY, "small")

    async def attempt() -> None:
        gone = asyncio.Event()

        class Limiter:
            async def take(self, size: int) -> None:
                if size != len(BODY):
                    await gone.wait()

        options = S3Options(endpoint_url=gcs.url, memory=memory * 5 * MiB, **LARGE)
        delivery = CloudDelivery(open_cloud("gs", BUCKET, options), KeyTemplate(), options, Limiter())
        try:
            large = asyncio.gather(*map(delivery, items))
            await delivery(small)
            assert list(gcs.objects) == ["small"]
            gone.set()
            await large
        finally:
            delivery.close()

    asyncio.run(attempt())
    assert len(gcs.objects) == 5


@pytest.mark.parametrize(("memory", "part", "parts"), [(256, 16, 4), (64, 16, 1), (128, 16, 4), (256, 105, 1)])
def test_parts_in_flight(memory: int, part: int, parts: int) -> None:
    """As many as the memory has room for, never none."""
    store = MemoryStore()
    delivery = CloudDelivery(Cloud("gs://b", store, store), KeyTemplate(), S3Options(memory=memory * MiB))
    assert delivery.parts_at_a_time(part * MiB) == parts


def test_azures_names(bench: Bench) -> None:
    """Azure takes only identifiers as metadata, and no component that ends with a dot."""
    store = MemoryStore()
    cloud = Cloud("az://c", store, store)

    async def attempt() -> dict[str, Any]:
        delivery = CloudDelivery(cloud, KeyTemplate(), S3Options())
        try:
            return await delivery(bench.item(BODY, "a\\b./c."))
        finally:
            delivery.close()

    assert asyncio.run(attempt())["url"] == "az://c/a%5Cb%2E/c%2E"
    attributes = store.get("a%5Cb%2E/c%2E").attributes
    assert attributes["jollyae_sha256"] == SHA and not [name for name in attributes if name.startswith("jollyae-")]


# --- what errors mean


@pytest.mark.parametrize(
    ("refusal", "scope", "throttled", "words"),
    [
        ((401, "AuthenticationRequired"), Scope.DESTINATION, False, "no credentials that the store takes"),
        ((403, "AccessDenied"), Scope.UNSURE, False, "access denied"),
        ((404, "NoSuchBucket"), Scope.DESTINATION, False, "no such bucket"),
        ((429, "SlowDown"), Scope.DESTINATION, True, "asks for fewer"),
        ((500, "InternalError"), Scope.DESTINATION, False, "unwell"),
        ((503, "ServiceUnavailable"), Scope.DESTINATION, True, "unavailable"),
        ((400, "InvalidArgument"), Scope.UNSURE, False, "the store refused"),
    ],
)
@pytest.mark.parametrize("size", [5, 6 * MiB])
def test_refusals(
    gcs: Gcs, bench: Bench, refusal: tuple[int, str], scope: Scope, throttled: bool, words: str, size: int
) -> None:
    """Each is the world's fault, told once and with a hint, and no request is repeated behind the worker's back."""
    gcs.refusal = refusal
    with pytest.raises(Temporary, match=words) as caught:
        deliver(gcs.url, bench.item(bytes(size)), **LARGE)
    assert (caught.value.scope, caught.value.throttled) == (scope, throttled)
    assert caught.value.hint and "\n" not in caught.value.message
    assert len(gcs.asked) == 1 if size == 5 or refusal[0] != 404 else len(gcs.asked) == 2


def test_too_large_for_the_store(gcs: Gcs, bench: Bench) -> None:
    """413 will be so for ever."""
    gcs.refusal = (413, "EntityTooLarge")
    with pytest.raises(Permanent, match="too large"):
        deliver(gcs.url, bench.item(BODY))


def test_a_409_with_nothing_there_is_again(gcs: Gcs, bench: Bench) -> None:
    """obstore calls 409 and 412 the same; where nothing is at the key it was no collision."""
    gcs.on_put = lambda: (409, "OperationAborted")
    with pytest.raises(Temporary, match="was in the way and is gone"):
        deliver(gcs.url, bench.item(BODY))


def test_we_may_not_look(gcs: Gcs, bench: Bench) -> None:
    """A taken key that we may not read defers that item alone, and says which right is missing."""
    gcs.store("a/b.txt", b"other")
    gcs.on_head = lambda: (403, "AccessDenied")
    with pytest.raises(Temporary, match="we may not look") as caught:
        deliver(gcs.url, bench.item(BODY))
    assert caught.value.scope is Scope.ITEM and "read" in caught.value.hint


def _closes(visit: Visit) -> None:
    visit.request()


def _garbage(visit: Visit) -> None:
    visit.request()
    visit.send(b"what?\r\n\r\n")


@pytest.mark.parametrize("behave", [_closes, _garbage])
def test_a_broken_answer(bench: Bench, behave: Callable[[Visit], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer, or one that is none, pauses the destination; it is sent once."""
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", TOKEN)
    with Server(behave) as server, pytest.raises(Temporary) as caught:
        deliver(f"http://127.0.0.1:{server.port}", bench.item(BODY))
    assert caught.value.scope is Scope.DESTINATION
    assert server.visits == 1


def test_no_answer_in_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers is left at the deadline."""
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", TOKEN)
    monkeypatch.setattr("jollyae.processors.clouds.delivery.DEADLINE", 0.2)
    with Server(Visit.wait_for_end) as server, pytest.raises(Temporary, match="no answer in time") as caught:
        deliver(f"http://127.0.0.1:{server.port}", bench.item(BODY))
    assert (caught.value.scope, caught.value.state) == (Scope.DESTINATION, "unreachable")


def test_no_such_host(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is told."""
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", TOKEN)
    with pytest.raises(Temporary, match="name cannot be found"):
        deliver("http://no-such-host.invalid", bench.item(BODY))


def test_no_signature_is_shown() -> None:
    """What a URL has behind its '?' may be a key."""
    told = explain(Exception("error for url (https://h/k?sig=secret&se=1): HTTP error: reset"), "az://c/k")
    assert "secret" not in told.message and "https://h/k" in told.message


# --- settings


def settings(to: str = f"gs://{BUCKET}", **given: Any) -> Settings:
    """Of ``run``."""
    return Settings(to=to, **given)


@pytest.mark.parametrize(
    ("to", "given", "flag"),
    [
        ("gs://b", {"acl": "private"}, "--acl"),
        ("az://b", {"sse": "AES256"}, "--sse"),
        ("gs://b", {"region": "eu"}, "--region"),
        ("gs://b", {"profile": "me"}, "--profile"),
        ("gs://b", {"no_sign_request": True}, "--no-sign-request"),
        ("az://b", {"checksum_algorithm": "md5"}, "--checksum-algorithm"),
        ("az://b", {"transport": "boto3"}, "--transport"),
        ("gs://b", {"tag": (("a", "b"),)}, "--tag"),
        ("gs://b", {"metadata": (("Content-Type", "b"),)}, "--metadata"),
        ("az://b", {"metadata": (("a-b", "c"),)}, "--metadata"),
        ("gs://b", {"ca_bundle": "/not/there"}, "--ca-bundle"),
        ("gs://", {}, "gs://BUCKET"),
        ("az://b", {}, "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_what_does_not_apply_is_refused(to: str, given: dict[str, Any], flag: str) -> None:
    """An option that only S3 knows ends the program with its name; none is left out in silence."""
    with pytest.raises(ConfigurationError) as caught:
        compose.destination(settings(to, **given))
    assert flag in str(caught.value)


def test_a_credentials_file_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at the start, with where credentials are looked for."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/not/there.json")
    with pytest.raises(OptionError, match=r"/not/there\.json.*GOOGLE_SERVICE_ACCOUNT"):
        open_cloud("gs", "b", S3Options())


def test_who_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log says which setting won; the option before the environment. No secret is in it."""
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING", "AccountName=me;AccountKey=c2VjcmV0;BlobEndpoint=http://a:1/me"
    )
    cloud = open_cloud("az", "c", S3Options())
    source = "AZURE_STORAGE_CONNECTION_STRING"
    assert cloud.description == f"endpoint http://a:1/me (from {source}), credentials from {source}"
    assert "c2VjcmV0" not in repr(cloud)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "http://b:1/me")
    assert "http://b:1/me (from AZURE_STORAGE_ENDPOINT)" in open_cloud("az", "c", S3Options()).description
    there = open_cloud("az", "c", S3Options(endpoint_url="http://c:1/me"))
    assert "http://c:1/me (from --endpoint-url)" in there.description


@pytest.mark.parametrize("url", ["gs:/b", "az://", "gs://b?x", "s3://b"])
def test_no_url_of_a_cloud(url: str) -> None:
    """What is none says how one is written."""
    with pytest.raises(OptionError, match="gs://BUCKET"):
        split_url(url)


def test_without_the_extra() -> None:
    """The error says what to install, and exit code 78 follows."""
    program = (
        "import sys; sys.modules['obstore'] = None; sys.path.insert(0, 'src')\n"
        "from jollyae.service import compose, settings\n"
        "try: compose.destination(settings.Settings(to='gs://b'))\n"
        "except settings.ConfigurationError as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "gs:// needs the extra: pip install '.[clouds]' in the checkout\n"


# --- check


def findings(given: Settings) -> dict[str, Finding]:
    """What ``check`` says of the destination."""

    async def look() -> dict[str, Finding]:
        return {finding.subject: finding async for finding in check.store(given)}

    return asyncio.run(look())


def test_check(gcs: Gcs) -> None:
    """It writes, reads, tries to overwrite, and leaves nothing."""
    found = findings(settings(f"gs://{BUCKET}/in", endpoint_url=gcs.url))
    states = {subject: finding.state for subject, finding in found.items()}
    assert states.pop("large files") is State.WARNING
    assert states == dict.fromkeys(("settings", "write", "read back", "create only", "clean-up"), State.OK)
    assert not gcs.objects
    assert all(key.startswith("in/.jollyae-check-") for _, key, _ in gcs.asked)


@pytest.mark.parametrize("head_first", [False, True])
def test_check_finds_a_store_without_conditions(gcs: Gcs, head_first: bool) -> None:
    """And says which option helps."""
    gcs.ignores_conditions = True
    found = findings(settings(endpoint_url=gcs.url, head_first=head_first))["create only"]
    assert found.state is (State.OK if head_first else State.FAILED)
    assert head_first or "--head-first" in found.hint


def test_check_of_what_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that makes the rest pointless is the last."""
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", TOKEN)
    found = findings(settings(endpoint_url="http://127.0.0.1:1"))
    assert list(found) == ["settings", "write"] and found["write"].state is State.FAILED
    assert "connection refused" in found["write"].text


# --- the whole program


def test_run(gcs: Gcs, tmp_path: Path) -> None:
    """``jollyae run --to gs://… --once`` delivers, ``--dry-run`` says where, and the receipt is written."""
    spool = tmp_path / "spool"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def jollyae(*arguments: str) -> str:
        command = [sys.executable, "-m", "jollyae", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    jollyae("init", str(spool))
    (spool / "incoming" / "a.txt").write_text("hello")
    to = ("run", str(spool), "--to", f"gs://{BUCKET}/in", "--endpoint-url", gcs.url)
    assert jollyae(*to, "--dry-run") == f"a.txt -> gs://{BUCKET}/in/a.txt\n"
    assert not gcs.asked
    jollyae(*to, "--once", "--settle", "0", "--on-done", "delete", "--bandwidth", "10M")
    assert gcs.objects["in/a.txt"].body == b"hello"
    assert not list((spool / "finished").iterdir())
    receipt = json.loads(jollyae("log", str(spool), "--json"))
    assert (receipt["url"], receipt["sha256"]) == (f"gs://{BUCKET}/in/a.txt", SHA)
