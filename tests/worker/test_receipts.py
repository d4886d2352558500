"""Receipts: none is omitted, files are bounded, torn lines are passed over."""

import os
import time
from pathlib import Path

import pytest

from jollyae.spool import fs
from jollyae.worker import receipts
from jollyae.worker.receipts import Receipts, delivery_id, moment


def _one(number: int) -> dict[str, object]:
    return {"id": str(number), "finished": moment(1000.0 + number)}


def _ids(directory: Path, since: float | None = None) -> list[str]:
    return [one["id"] for one in receipts.read(directory, since)]


def test_rotation(tmp_path: Path) -> None:
    """A file is closed at its size and another begun; they are read in order."""
    book = Receipts(str(tmp_path), "host-1-x", max_bytes=200)
    for number in range(20):
        book.write([_one(number)])
    book.close()
    files = list(tmp_path.iterdir())
    assert len(files) > 3 and all(file.name.startswith("host-1-x-") for file in files)
    assert all(file.stat().st_size < 300 for file in files)
    assert sorted(_ids(tmp_path), key=int) == [str(number) for number in range(20)]


def test_the_oldest_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their number and their bytes are bounded; the one at hand is kept."""
    monkeypatch.setattr(receipts, "MAX_FILES", 3)
    for number in range(5):
        (tmp_path / f"old-{number}.jsonl").write_text("{}\n")
        os.utime(tmp_path / f"old-{number}.jsonl", (number, number))
    (tmp_path / "other.txt").touch()
    book = Receipts(str(tmp_path), "w")
    book.write([_one(1)])
    assert len(list(tmp_path.glob("old*"))) == 2 and (tmp_path / "other.txt").exists()
    monkeypatch.setattr(receipts, "MAX_TOTAL", 1)
    book2 = Receipts(str(tmp_path), "w2")
    book2.write([_one(2)])
    book.close()
    book2.close()
    assert [path.name[:3] for path in tmp_path.glob("*.jsonl")] == ["w2-"]


def test_a_file_that_was_removed_is_begun_again(tmp_path: Path) -> None:
    """When another worker removed our file as one of the oldest, nothing is written into the void."""
    book = Receipts(str(tmp_path), "w")
    book.write([_one(1)])
    for path in tmp_path.iterdir():
        path.unlink()
    book.write([_one(2)])
    book.close()
    assert _ids(tmp_path) == ["2"]


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a write that failed half-way all of it can be written again, and every line is whole."""
    book = Receipts(str(tmp_path), "w")
    book.write([_one(1)])
    real = fs.write_all

    def torn(descriptor: int, data: bytes | memoryview) -> None:
        real(descriptor, memoryview(data)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fs, "write_all", torn)
    with pytest.raises(OSError, match="No space"):
        book.write([_one(2)])
    monkeypatch.setattr(fs, "write_all", real)
    book.write([_one(2), _one(3)])
    book.close()
    (path,) = tmp_path.iterdir()
    assert path.read_bytes().count(b"\n") == 3
    assert _ids(tmp_path) == ["1", "2", "3"]


def test_torn_lines(tmp_path: Path) -> None:
    """What is no receipt is passed over, and the rest is read."""
    (tmp_path / "a.jsonl").write_bytes(b'{"id": "1"}\n\xff\n[1]\n{"id": "2", "finished": 7}\n{"id": "3"')
    assert _ids(tmp_path) == ["1", "2"]
    assert _ids(tmp_path / "missing") == []


def test_since(tmp_path: Path) -> None:
    """Only those that were finished at that time or later, also in a file that was written just then."""
    book = Receipts(str(tmp_path), "w")
    book.write([_one(number) for number in range(5)])
    now = time.time()
    book.write([{"id": "now", "finished": moment(now)}])
    book.close()
    assert _ids(tmp_path, 1003.0) == ["3", "4", "now"]
    assert _ids(tmp_path, now) == ["now"]
    assert _ids(tmp_path, now + 3600) == []
    assert [one["id"] for one in receipts.newest(receipts.read(tmp_path))][:2] == ["0", "1"]


def test_delivery_ids() -> None:
    """The same delivery has the same id, any other another; names that are not UTF-8 have one too."""
    first = ("file:///a/b", "ab", 7, 1)
    ids = {delivery_id(*one) for one in (first, ("file:///a/c", *first[1:]), (*first[:1], "ac", 7, 1), (*first[:3], 2))}
    assert len(ids) == 4 and delivery_id(*first) in ids
    assert len(delivery_id("\udcff", "", 0, 0)) == 20
