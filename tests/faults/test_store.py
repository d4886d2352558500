"""A store that fails in every way that was seen or feared: nothing is lost, nothing doubled, nobody hammers it, and
when it is well again everything is finished.

Where a store's answer cannot show that it lied (it keeps half of the bytes, tells no checksum and an ETag that is no
MD5, or invents both), nobody can notice without reading the object back; those are not here.
"""

import asyncio
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from jollyae.processors.s3 import BucketDelivery, S3Options
from jollyae.processors.s3.transport import Attributes, Put, StoreError
from tests.faults import weather
from tests.faults.store import Fault, Object, Request, Store, at_random, befalls
from tests.faults.tier import TIER, scaled
from tests.faults.weather import KILLED, TRANSPORTS, Case, Line, LineStorm, Storm, Verdict
from tests.helpers import private_mounts
from tests.processors.s3 import servers
from tests.real.support import until

AT_ONCE = 4
"""Cases at a time: most of what they do is wait."""
SAMPLE = (Fault.RESET_AFTER, Fault.CORRUPTED, Fault.LOST_PART, Fault.HANG_AFTER, Fault.PORTAL, Fault.LYING_HEAD)


def cases(items: int, bug: str = "") -> Iterator[Case]:
    """Each fault at 20 % and at 100 %, by both transports in turn (``long``: each by each)."""
    for number, fault in enumerate(SAMPLE if TIER == "sample" else Fault):
        kills = 3 if fault in KILLED else 0
        for transport, share in ((TRANSPORTS[number % 2], 0.2), (TRANSPORTS[1 - number % 2], 1.0)):
            if TIER != "sample" or share == (0.2, 1.0)[number % 2]:
                yield Case(fault, share, transport, items, kills if share < 1 else 0, bug)
            if TIER == "long":
                yield Case(fault, 1.2 - share, transport, items, kills if share == 1 else 0, bug)


def run(directory: Path, every: list[Case]) -> list[Verdict]:
    """All cases, a few at a time."""

    def one(number: int) -> Verdict:
        return Storm(every[number], directory / str(number)).run()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(len(every))))


def test_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fifth of the requests, or all of them for a while, meet the fault; then a worker finishes everything."""
    verdicts = run(tmp_path, list(cases(scaled(24, 300, 300))))
    wrong = [sentence for verdict in verdicts for sentence in verdict.wrong]
    with capsys.disabled():
        print("\n" + weather.told(verdicts))
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate")
    return servers.certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("line", Line)
def test_the_line_to_the_store(
    tmp_path: Path, certificate: Path, line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is cut in the middle, also of a TLS handshake; nobody listens; no name is found: then it is well again."""
    if line is Line.NO_NAME and not private_mounts():
        pytest.skip("no mount namespace for names of our own: not root")
    items = scaled(16, 300, 300)
    shares = (0.2, 1.0) if line in (Line.CUT, Line.CUT_TLS) and TIER != "sample" else (1.0,)
    every = [Case(line, share, transport, items) for share in shares for transport in TRANSPORTS]
    if TIER == "sample":
        every = [every[list(Line).index(line) % 2]]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = list(pool.map(lambda case: LineStorm(case, tmp_path / str(case), certificate).run(), every))
    with capsys.disabled():
        print(f"\n{line}: " + weather.told(verdicts))
    assert not [sentence for verdict in verdicts for sentence in verdict.wrong]


ANSWERED = [
    fault
    for fault in Fault
    if fault not in weather.LONGEST and befalls(fault, Request(1, "PUT", "key", {}, {"content-length": "5"}))
]
"""Faults of a PUT that need no deadline to end."""


@pytest.mark.parametrize("name", TRANSPORTS)
def test_one_attempt_is_one_request(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transport repeats anything by itself, whatever went wrong: its own retries, boto3's too, and redirections are
    off."""
    for variable in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with Store() as store:
        for variable, value in store.environment().items():
            monkeypatch.setenv(variable, value)
        asyncio.run(_attempts(name, store))
        asked = Counter((request.key, fault) for request, fault in store.seen)
    assert asked == Counter((fault.name, fault) for fault in ANSWERED)


async def _attempts(name: str, store: Store) -> None:
    """One PUT with each fault, on a new connection, however it ends."""
    options = S3Options(transport=name)  # type: ignore[arg-type]
    boto3 = BucketDelivery("s3://bucket", options).transport
    for fault in ANSWERED:
        store.plan = lambda request, fault=fault: fault  # type: ignore[misc]
        body, attributes = b"hello", Attributes()
        put = Put(key=fault.name, body=body, sha256=hashlib.sha256(body).hexdigest(), attributes=attributes)
        transport = boto3 if name == "boto3" else BucketDelivery("s3://bucket", options).transport
        with suppress(StoreError):
            await transport.put(put)
        if transport is not boto3:
            transport.close()
    boto3.close()


def test_other_content_is_never_overwritten(tmp_path: Path) -> None:
    """Where somebody else's objects are, while every fifth request fails after it was done: those items, and no others,
    end in failed/ with what to do, and the objects are as they were."""
    with Store(at_random(Fault.ERROR_AFTER, 0.2)) as store:
        scene = weather.Hurried(tmp_path, store)
        content = weather.bodies(24)
        taken = sorted(content)[::5]
        for name in taken:
            store.objects[name] = Object(b"theirs", hashlib.md5(b"theirs").hexdigest(), {}, {})
        for name, body in content.items():
            scene.submit(name, body)
        worker = scene.start("--settle", "0")
        until(lambda: not scene.waiting(), worker.tail)
        assert worker.end().code == 0
        assert scene.judge() == []
        assert sorted(scene.lying("failed")) == taken
        assert all("--if-exists" in hint for _, hint in scene.reasons().values())
        assert {store.objects[name].body for name in taken} == {b"theirs"}


@pytest.mark.parametrize(
    ("bug", "fault", "share", "expected"),
    [
        ("no_conditional_put", Fault.RESET_AFTER, 1.0, "written "),
        ("a_412_taken_as_success", Fault.LYING_412, 0.2, "finished but not delivered"),
        ("a_412_taken_as_failure", Fault.RESET_AFTER, 1.0, "failed, though it is the store's fault"),
        ("returned_checksum_not_compared", Fault.CORRUPTED, 0.2, "finished but not delivered"),
        ("digest_in_metadata_believed", Fault.CORRUPTED, 0.2, "finished but not delivered"),
        ("retry_at_once", Fault.INTERNAL, 1.0, "hammering"),
    ],
)
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str, fault: Fault, share: float, expected: str) -> None:
    """Each of these is seen by one small case."""
    verdict = Storm(Case(fault, share, "auto", 16, bug=bug), tmp_path).run()
    assert any(expected in sentence for sentence in verdict.wrong), verdict
