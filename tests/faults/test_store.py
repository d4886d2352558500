"""A store that fails in every way that was seen or feared: nothing is lost, nothing doubled, nobody hammers it, and
when it is well again everything is finished.

Where a store's answer cannot show that it lied (it keeps half of the bytes, tells no checksum and an ETag that is no
MD5, or invents both), nobody can notice without reading the object back; those are not here.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults import weather
from tests.faults.store import Fault
from tests.faults.tier import TIER, scaled
from tests.faults.weather import KILLED, TRANSPORTS, Case, Storm, Verdict

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


@pytest.mark.parametrize(
    ("bug", "fault", "share", "expected"),
    [
        ("no_conditional_put", Fault.RESET_AFTER, 1.0, "written "),
        ("a_412_taken_as_success", Fault.LYING_412, 0.2, "finished but not delivered"),
        ("a_412_taken_as_failure", Fault.RESET_AFTER, 1.0, "failed, though it is the store's fault"),
        ("returned_checksum_not_compared", Fault.CORRUPTED, 0.2, "finished but not delivered"),
        ("digest_in_metadata_believed", Fault.CORRUPTED, 0.2, "finished but not delivered"),
        ("retry_at_once", Fault.CONFLICT, 1.0, "hammering"),
        ("retry_at_once", Fault.INTERNAL, 1.0, "hammering"),
        ("retry_without_a_pause", Fault.INTERNAL, 1.0, "hammering"),
    ],
)
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str, fault: Fault, share: float, expected: str) -> None:
    """Each of these is seen by one small case."""
    verdict = Storm(Case(fault, share, "auto", 16, bug=bug), tmp_path).run()
    assert any(expected in sentence for sentence in verdict.wrong), verdict
