"""Submit, pause, retry, and the proof that a spool can work."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jollyae import Spool, SpoolError
from jollyae.spool import fs, notes
from jollyae.spool.places import MOVES, Place, Places
from tests.helpers import drop, mount_namespace, needs_root, whereabouts
from tests.spool.test_fs import OTHER_FILESYSTEM

HARD_NAMES = ["line\nbreak", "esc\x1b[2J", "bad\udcff\udcfe.jpg", "x" * 255, "-rf", "100%41", "🎉", "a b", "é" * 127]


@pytest.mark.parametrize("name", HARD_NAMES)
def test_submit_takes_any_name(spool: Spool, name: str) -> None:
    """A name that the file system can hold can be submitted, also below a subdirectory."""
    for one in (name, f"sub/{name}"):
        assert spool.submit(io.BytesIO(b"x"), one) == one
        assert (spool.places.incoming / one).read_bytes() == b"x"
    assert os.listdir(spool.places.tmp) == []


def test_submit_is_durable_in_order(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are on the disk before the rename, and the name is after it, also those of new directories."""
    seen: list[str] = []
    real = fs.fsync_directory

    def fsync_directory(path: str) -> None:
        seen.append(f"directory {path}")
        real(path)

    monkeypatch.setattr(fs, "observer", lambda operation, path: seen.append(operation))
    monkeypatch.setattr(fs, "fsync_directory", fsync_directory)
    (tmp_path / "f").write_text("x")
    spool.submit(tmp_path / "f")
    incoming = spool.places.incoming
    assert seen == ["create", "write", "fsync", "rename", f"directory {incoming}", "fsync"]
    seen.clear()
    spool.submit(tmp_path / "f", "a/b/f")
    assert seen[:6] == ["create", "write", "fsync", "mkdir", "mkdir", "rename"]
    directories = [one for one in seen if one.startswith("directory")]
    assert directories == [f"directory {incoming / path}" for path in ("a/b", "a", "")]


def test_submit_into_a_directory_that_it_cannot_read(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In incoming/ of mode 1733 another user cannot open the directory to fsync it: the renamed file's own fsync
    brings the name to the disk, and the submit has not failed."""
    seen: list[str] = []

    def fsync_directory(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(fs, "fsync_directory", fsync_directory)
    monkeypatch.setattr(fs, "observer", lambda operation, path: seen.append(operation))
    (tmp_path / "f").write_text("x")
    assert spool.submit(tmp_path / "f") == "f"
    assert seen == ["create", "write", "fsync", "rename", "fsync"]


def test_a_link_in_the_way_is_not_followed(spool: Spool, tmp_path: Path) -> None:
    """Somebody's link to a directory elsewhere is no directory of the spool: submit and retry put nothing there."""
    (tmp_path / "elsewhere").mkdir()
    (spool.places.incoming / "d").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "f").write_text("x")
    with pytest.raises(NotADirectoryError):
        spool.submit(tmp_path / "f", "d/f")
    (spool.places.failed / "d").mkdir()
    (spool.places.failed / "d/f").write_text("x")
    assert list(spool.retry(["d/f"])) == [("d/f", "it stays in failed/: Not a directory")]
    assert os.listdir(tmp_path / "elsewhere") == os.listdir(spool.places.tmp) == []


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_rights(tmp_path: Path, umask: int) -> None:
    """Directories are made 0700, whatever the umask is; --mode opens those for producers, and lets nobody else write to
    the spool's own."""
    before = os.umask(umask)
    try:
        for name, mode, own in (("closed", 0o700, 0o700), ("open", 0o1733, 0o711), ("group", 0o2770, 0o750)):
            Spool(tmp_path / name, make=False).make(mode)
            found = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / name).iterdir()}
            assert found.pop("tmp") == found.pop("incoming") == mode
            assert (tmp_path / name).stat().st_mode & 0o7777 == own and set(found.values()) == {0o700}
    finally:
        os.umask(before)


def test_submit_keeps_time_and_mode(spool: Spool, tmp_path: Path) -> None:
    """Modification time and mode are those of the file."""
    file = tmp_path / "f"
    file.write_text("x")
    file.chmod(0o604)
    os.utime(file, ns=(5, 1_000_000_007))
    spool.submit(file)
    found = (spool.places.incoming / "f").stat()
    assert (found.st_mtime_ns, found.st_mode & 0o7777) == (1_000_000_007, 0o604)


def test_submit_never_overwrites(spool: Spool) -> None:
    """Two submits of one name: the second is refused, the first untouched, and nothing is left in tmp."""
    spool.submit(io.BytesIO(b"first"), "f")
    with pytest.raises(FileExistsError):
        spool.submit(io.BytesIO(b"second"), "f")
    assert (spool.places.incoming / "f").read_bytes() == b"first"
    assert os.listdir(spool.places.tmp) == []


def test_submit_never_overwrites_in_a_race(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the name is taken in the instant before the rename."""

    def observer(operation: str, path: str) -> None:
        if operation == "rename":
            (spool.places.incoming / "f").write_bytes(b"other")

    monkeypatch.setattr(fs, "observer", observer)
    with pytest.raises(FileExistsError):
        spool.submit(io.BytesIO(b"mine"), "f")
    assert (spool.places.incoming / "f").read_bytes() == b"other"
    assert os.listdir(spool.places.tmp) == []


@pytest.mark.parametrize("name", [".f", "a/.b/c", "x.part", "../x", "/x", "", "a//b", "x" * 256])
def test_submit_refuses_what_would_never_be_taken(spool: Spool, name: str) -> None:
    """A name that every worker would ignore, or that no item can have, is an error at once."""
    with pytest.raises(ValueError, match=r"would be ignored|cannot be"):
        spool.submit(io.BytesIO(b"x"), name)


def test_submit_refuses_what_is_no_file(spool: Spool, tmp_path: Path) -> None:
    """Directories and pipes are refused, and a pipe without a writer does not hold us; a file in the way is told."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match="not a regular file"):
            spool.submit(path, "x")
    spool.submit(io.BytesIO(b""), "a")
    with pytest.raises(NotADirectoryError):
        spool.submit(io.BytesIO(b""), "a/b")
    assert os.listdir(spool.places.tmp) == []


def test_a_failed_fsync_is_final(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file cannot be brought to the disk, the submit fails and nothing is queued."""

    def observer(operation: str, path: str) -> None:
        if operation == "fsync":
            raise OSError(5, "I/O error")

    monkeypatch.setattr(fs, "observer", observer)
    with pytest.raises(OSError, match="I/O error"):
        spool.submit(io.BytesIO(b"x"), "f")
    monkeypatch.setattr(fs, "observer", None)
    assert whereabouts(spool) == {} and os.listdir(spool.places.tmp) == []


# --- operators


def test_pause_and_resume(spool: Spool) -> None:
    """A pause is a file that ls -a shows and rm ends; whatever it is, it pauses."""
    assert spool.paused() is None and not spool.resume()
    spool.pause("moving house")
    assert spool.paused() == "moving house"
    assert (spool.places.control / ".paused").read_text() == "moving house\n"
    assert spool.resume() and spool.paused() is None
    (spool.places.control / ".paused").touch()
    assert spool.paused() == "no reason given"
    os.unlink(spool.places.control / ".paused")
    (spool.places.control / ".paused").mkdir()
    assert "Is a directory" in (spool.paused() or "")


def test_retry_never_over_another(spool: Spool) -> None:
    """A failed item goes back under its first name, but not over a newer one of that name."""
    failed = spool.places.failed / "f~20261121T220000-x7k.txt"
    failed.write_text("old")
    notes.write(str(failed), notes.about("sub/f.txt", failed.stat()))
    newer = drop(spool, "sub/f.txt", "new")
    assert [how for _, how in spool.retry()] == ["incoming/ has an item named sub/f.txt now: it stays in failed/"]
    assert (failed.read_text(), newer.read_text()) == ("old", "new")
    newer.unlink()
    assert list(spool.retry([failed.name])) == [(failed.name, "retried")]
    assert newer.read_text() == "old"
    assert list(spool.places.failed.iterdir()) == []


def test_retry_makes_deferred_items_due(spool: Spool) -> None:
    """A deferred item stays where it is and is due now; a name that is not there, or no name, is told."""
    item = spool.places.deferred / "f"
    item.write_text("x")
    notes.write(str(item), notes.about("f", item.stat()), due=9e9)
    answers = dict(spool.retry(["f", "g", "../f"]))
    assert notes.due_at(str(item)) < 8e9
    assert answers["f"] == "retried"
    assert "no such item" in answers["g"] and "not a name" in answers["../f"]


def test_a_forged_note_moves_nothing_out_of_the_spool(spool: Spool) -> None:
    """The first name in a note is only believed when it can be an item's."""
    failed = spool.places.failed / "f"
    failed.write_text("x")
    note = notes.about("f", failed.stat())
    note.name = "../../escaped"
    notes.write(str(failed), note)
    assert list(spool.retry()) == [("f", "retried")]
    assert (spool.places.incoming / "f").exists()


# --- places


def test_every_move_is_in_the_table() -> None:
    """The table of moves is that of the design."""
    assert (Place.INCOMING, Place.WORKING) in MOVES and (Place.DEFERRED, Place.INCOMING) not in MOVES
    assert len(MOVES) == 9


def test_unknown_places_are_refused() -> None:
    """A misspelt place is an error, a given one is used."""
    with pytest.raises(TypeError, match="incomming"):
        Places.under("/x", incomming="/y")
    assert Places.under("/x", incoming="/y").incoming == Path("/y")


def test_prove_leaves_nothing(spool: Spool) -> None:
    """The proof renames a dotfile through all places and removes it; a missing place is told with what to do."""
    spool.prove()
    assert not [path for path in spool.places.control.rglob("*") if path.is_file()]
    spool.places.failed.rmdir()
    with pytest.raises(SpoolError, match="failed") as error:
        spool.prove()
    assert "mkdir" in error.value.hint


def test_places_on_two_file_systems_are_refused(tmp_path: Path) -> None:
    """Where a rename cannot work the error says which places, and what to do; copying can be allowed."""
    if not OTHER_FILESYSTEM.is_dir() or OTHER_FILESYSTEM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at hand")
    elsewhere = OTHER_FILESYSTEM / f"jollyae-test-spool-{os.getpid()}"
    try:
        places = Places.under(tmp_path / "spool", incoming=elsewhere)
        with pytest.raises(SpoolError, match="different file systems") as error:
            Spool(places=places).prove()
        assert "--copy" in error.value.hint and "--incoming" in error.value.hint
        spool = Spool(places=places, copy=True)
        spool.prove()
        spool.submit(io.BytesIO(b"x"), "sub/f")
        assert (elsewhere / "sub" / "f").read_bytes() == b"x"
        assert os.listdir(spool.places.tmp) == []
    finally:
        subprocess.run(["rm", "-rf", elsewhere], check=True)


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="no files without a name on this system")
def test_to_foresee_names_nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sweeps what a kill would leave there: what is tried in other directories has no name, and what is moved
    goes through the places that are there."""
    seen: list[str] = []
    monkeypatch.setattr(fs, "observer", lambda operation, path: seen.append(path))
    spool = Spool(tmp_path / "spool", make=False)
    spool.foresee()
    assert (seen, os.listdir(tmp_path)) == ([], [])
    for place in (spool.places.incoming, spool.places.finished):
        place.mkdir(parents=True)
    spool.foresee()
    assert seen and {Path(path).parent for path in seen} == {spool.places.incoming, spool.places.finished}
    assert sorted(os.listdir(spool.places.control)) == ["finished", "incoming"]


def test_two_file_systems_are_foreseen(tmp_path: Path) -> None:
    """Also where the place is still missing."""
    if not OTHER_FILESYSTEM.is_dir() or OTHER_FILESYSTEM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at hand")
    places = Places.under(tmp_path / "spool", finished=OTHER_FILESYSTEM / f"jollyae-none-{os.getpid()}")
    with pytest.raises(SpoolError, match="different file systems"):
        Spool(places=places, make=False).foresee()
    Spool(places=places, make=False, copy=True).foresee()


@needs_root
def test_a_bind_mount_is_found_though_its_device_number_is_the_same(tmp_path: Path) -> None:
    """The proof is a rename, not a comparison of device numbers."""
    Spool(tmp_path / "spool")
    (tmp_path / "other").mkdir()
    program = (
        "import sys\nfrom jollyae import Spool, SpoolError\n"
        "try: Spool(sys.argv[1]).prove()\n"
        "except SpoolError as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(fs.__file__).parents[2])}
    bind = f"mount --bind '{tmp_path}/other' '{tmp_path}/spool/incoming'"
    shell = f"{bind} && exec '{sys.executable}' -c \"$0\" '{tmp_path}/spool'"
    done = subprocess.run(
        [*mount_namespace(), "sh", "-c", shell, program], env=environment, check=True, capture_output=True, text=True
    )
    assert "different file systems" in done.stdout
