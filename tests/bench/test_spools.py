"""Spools for the benchmarks."""

from pathlib import Path

import pytest

from bench import spools
from bench.programs import Failed


def test_a_spool_is_filled_drained_and_put_back(tmp_path: Path) -> None:
    """All that lies in finished/ with one receipt each passes; anything else does not; then all waits again."""
    spools.make(tmp_path)
    spools.fill(tmp_path, 3, 100)
    bodies = {path.read_bytes() for path in (tmp_path / "incoming").iterdir()}
    assert {len(body) for body in bodies} == {100} and len(bodies) == 3
    for path in (tmp_path / "incoming").iterdir():
        path.rename(tmp_path / "finished" / path.name)
    with pytest.raises(Failed, match="'receipts': 0"):
        spools.check(tmp_path, 3)
    (tmp_path / "receipts" / "w.jsonl").write_text("{}\n" * 3)
    spools.check(tmp_path, 3)
    spools.put_back(tmp_path)
    assert [spools.lying(tmp_path, place) for place in ("incoming", "finished")] == [3, 0]
    assert spools.receipts(tmp_path) == 0


def test_more_than_fits_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """A petabyte is not begun."""
    spools.make(tmp_path)
    with pytest.raises(Failed, match="are free at"):
        spools.fill(tmp_path, 1 << 20, 1 << 30)
    assert spools.lying(tmp_path, "incoming") == 0


def test_large_files_have_their_size(tmp_path: Path) -> None:
    """Also where a file is more than the block that it is made of."""
    spools.write(tmp_path / "x", (2 << 20) + 17, 1)
    assert (tmp_path / "x").stat().st_size == (2 << 20) + 17
