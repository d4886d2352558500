"""Power loss on ext4, xfs and btrfs: see :mod:`tests.faults.power`."""

from pathlib import Path

import pytest

from tests.faults import disks, power, recording
from tests.faults.apart import apart
from tests.faults.tier import TIER, scaled


def _needs(kind: str, *programs: str) -> None:
    """Skip where the machine cannot do it, with the reason."""
    if why := disks.why_not(kind, *programs):
        pytest.skip(f"{kind}: {why}")


@pytest.mark.parametrize("kind", disks.KINDS)
def test_power_loss_by_write_log(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever part of its writes had reached the disk: the next worker loses nothing, doubles nothing, and heals what
    has two names."""
    _needs(kind, recording.PROGRAM)
    count = scaled(12, 400, 3000)
    verdict = apart(tmp_path, power.replay, kind, tmp_path, count)
    with capsys.disabled():
        print(
            f"\npower, {kind}: {verdict.images} images, {verdict.busy} with work left, {verdict.items} acknowledged "
            f"items, {verdict.doubled} double names healed, {len(verdict.wrong)} violations "
            f"({verdict.receipts_lost} receipts lost)"
        )
    assert verdict.wrong == []
    assert verdict.images == count and verdict.busy > 0 and verdict.items > 0


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_power_loss_under_load(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The disk is gone at a random moment: what was acknowledged is there afterwards, and is delivered, once."""
    _needs(kind)
    cuts = scaled(2, 20, 200)  # each is judged with all that went before: 500 took hours
    verdict = apart(tmp_path, power.shut_down, kind, tmp_path, cuts)
    with capsys.disabled():
        print(f"\nshut down, {kind}: {verdict.images} cuts, {verdict.items} items, {len(verdict.wrong)} violations")
    assert verdict.wrong == []
    assert verdict.images == cuts


_PLANTED = {"finished_before_upload": "ext4", "submit_without_fsync": "xfs", "double_name_ignored": "btrfs"}


@pytest.mark.parametrize("bug", _PLANTED)
def test_a_planted_bug_is_caught(bug: str, tmp_path: Path) -> None:
    """A suite that does not see it is itself broken."""
    _needs(_PLANTED[bug], recording.PROGRAM)
    assert apart(tmp_path, power.replay, _PLANTED[bug], tmp_path, 1000, bug=bug).wrong != []


def test_a_planted_bug_is_caught_under_load(tmp_path: Path) -> None:
    """What is finished before it is sent is not delivered when the power goes in between."""
    if TIER == "sample":
        pytest.skip("some 15 s: in the commit tier")
    _needs("ext4")
    assert apart(tmp_path, power.shut_down, "ext4", tmp_path, 40, bug="finished_before_upload").wrong != []
