"""Notes: beside the item, about this very file, and never in the way."""

import errno
import os
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from jollyae.spool import fs, notes
from jollyae.spool.places import Places
from jollyae.spool.sweep import sweep


@pytest.mark.parametrize("name", ["f", "x" * 249, "x" * 250, "x" * 255, "\udcff" * 255, "é" * 127, "-rf", "a\nb", "🎉"])
def test_every_name_can_have_a_note(tmp_path: Path, name: str) -> None:
    """A note can lie beside any item, is hidden, and is found again; two long names have two notes."""
    item = tmp_path / name
    item.write_text("x")
    note = notes.about(name, item.stat())
    note.error, note.memory = "why", {"upload": "1"}
    notes.write(str(item), note, due=1e9)
    beside = notes.path_of(str(item))
    assert os.path.basename(beside).startswith(".") and len(os.fsencode(os.path.basename(beside))) <= 255
    assert notes.read(str(item)) == note
    assert notes.due_at(str(item)) == 1e9
    notes.make_due(str(item))
    assert notes.due_at(str(item)) > time.time() - 60
    assert notes.path_of(str(item)) != notes.path_of(str(item)[:-1] + "y")
    notes.forget(str(item))
    notes.forget(str(item))
    assert notes.read(str(item)) is None and notes.due_at(str(item)) == 0
    notes.make_due(str(item))
    assert os.listdir(tmp_path) == [name]


def test_a_note_about_another_file_is_nobodys(tmp_path: Path) -> None:
    """When the file was replaced, or written to, its old note says nothing."""
    item = tmp_path / "f"
    item.write_text("x")
    notes.write(str(item), notes.about("f", item.stat()))
    item.write_text("xy")
    assert notes.read(str(item)) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"name": 1}', b"\xff", b'{"name":"f","inode":"x"}'])
def test_a_torn_note_is_none(tmp_path: Path, content: bytes) -> None:
    """A note that cannot be read counts as lost."""
    (tmp_path / "f").touch()
    (tmp_path / ".f.note").write_bytes(content)
    assert notes.read(str(tmp_path / "f")) is None


def test_a_directory_of_that_name_is_none(tmp_path: Path) -> None:
    """Whatever else stands where the note would be is no note."""
    (tmp_path / "f").touch()
    (tmp_path / ".f.note").mkdir()
    assert notes.read(str(tmp_path / "f")) is None


@pytest.mark.parametrize(
    ("code", "raised"), [(errno.ENOSPC, False), (errno.EDQUOT, False), (errno.EROFS, False), (errno.EIO, True)]
)
def test_a_note_without_room_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, raised: bool
) -> None:
    """It is left out where the disk is full or takes no writes; a disk that is broken is told of."""
    item = tmp_path / "f"
    item.touch()

    def refuse(operation: str, path: str) -> None:
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(fs, "observer", refuse)
    with pytest.raises(OSError, match=os.strerror(code)) if raised else nullcontext():
        notes.write_if_room(str(item), notes.about("f", item.stat()))
    assert os.listdir(tmp_path) == ["f"]


# --- the sweep


def test_litter_is_swept(tmp_path: Path) -> None:
    """Notes without an item and temporary files go when they are old enough; nothing else does."""
    places = Places.under(tmp_path)
    for place in places.all():
        place.mkdir(exist_ok=True)
    (places.deferred / "a").mkdir()
    stays = ["tmp/mine.tmp", "deferred/a/f", "failed/.other", "failed/" + "x" * 255, "finished/.g.note.txt"]
    goes = ["tmp/.jollyae-0123456789abcdef.tmp", "deferred/a/.gone.note", "failed/." + "0" * 32 + ".note"]
    for name in (*stays, *goes):
        (tmp_path / name).touch()
    for item in (places.deferred / "a" / "f", places.failed / ("x" * 255)):
        notes.write(str(item), notes.about("f", item.stat()), due=0)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert sweep(places) == 0
    assert sweep(places, age=-1) == len(goes)
    assert before - {path for path in tmp_path.rglob("*") if path.is_file()} == {tmp_path / name for name in goes}


def test_a_submit_that_waits_for_its_bytes_is_left_alone(tmp_path: Path) -> None:
    """The temporary file of a live submit is never litter."""
    import io

    from jollyae import Spool

    spool = Spool(tmp_path)
    swept = []

    class Slow(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            swept.append(sweep(spool.places, age=-1))
            return b""

    spool.submit(Slow(), "f")  # type: ignore[arg-type]
    assert swept == [0] and (spool.places.incoming / "f").exists()
