"""Full disks, and disks whose fsync fails once: see :mod:`tests.faults.disk`."""

from pathlib import Path

import pytest

from tests.faults import disk, disks
from tests.faults.apart import apart
from tests.faults.tier import TIER, scaled

_CALLS = 30  # so many calls of the gate at least has the life of a worker with four items
_SILENT = "xfs"  # where the second fsync says OK


def _needs(kind: str, *programs: str) -> None:
    """Skip where the machine cannot do it, with the reason."""
    if why := disks.why_not(kind, *programs):
        pytest.skip(f"{kind}: {why}")


@pytest.mark.parametrize("kind", disks.KINDS)
def test_a_disk_that_is_full_for_a_while(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Full from any moment on, until there is room again: nothing is lost, nothing false acknowledged, it goes on."""
    _needs(kind)
    step = scaled(20, 4, 1)
    verdict = apart(tmp_path, disk.full, kind, tmp_path, step)
    with capsys.disabled():
        print(
            f"\ndisk full, {kind}: from {verdict.points} moments on, felt by {verdict.fired} workers, "
            f"{len(verdict.wrong)} violations"
        )
    assert verdict.wrong == []
    assert verdict.points * step > _CALLS and verdict.fired > 0


@pytest.mark.parametrize("kind", disks.KINDS)
def test_a_disk_that_is_full_to_the_brim(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even names can be moved: the items wait, the spool is paused and says so, and goes on when there is room."""
    if TIER == "sample" and kind != _SILENT:
        pytest.skip("in the commit tier")
    _needs(kind)
    verdict = apart(tmp_path, disk.brim, kind, tmp_path, scaled(100, 400, 2000))
    with capsys.disabled():
        print(
            f"\nfull to the brim, {kind}: {verdict.fired} of {verdict.points} items waited, "
            f"{len(verdict.wrong)} violations"
        )
    assert verdict.wrong == []
    assert verdict.fired > 0


@pytest.mark.parametrize("kind", disks.KINDS)
def test_an_fsync_that_fails_once(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was to be on the disk and is not: nothing says that it is, and nothing is lost."""
    if TIER == "sample" and kind != _SILENT:
        pytest.skip("in the commit tier")
    _needs(kind, "fstrim")
    whats = list(disk.FAILED_FSYNCS) * scaled(1, 1, 5)
    verdict = apart(tmp_path, disk.failed_fsyncs, kind, tmp_path, whats)
    with capsys.disabled():
        print(f"\nfailed fsync, {kind}: {verdict.points} cases, met {verdict.fired}, {len(verdict.wrong)} violations")
    assert verdict.wrong == []
    assert verdict.fired == verdict.points


@pytest.mark.parametrize("what", disk.FAILED_FSYNCS)
def test_a_planted_bug_is_caught(what: str, tmp_path: Path) -> None:
    """Who tries again is told OK, and it shows: each of the four ways by itself."""
    if TIER == "sample" and what != "submit":
        pytest.skip("in the commit tier")
    _needs(_SILENT, "fstrim")
    assert apart(tmp_path, disk.failed_fsyncs, _SILENT, tmp_path, [what], bug="fsync_tried_again").wrong != []
