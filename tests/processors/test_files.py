"""Delivery into a directory: whole, on the disk, never over other content."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from jollyae import Permanent, Scope, Spool, Temporary
from jollyae.processors.files import FileDelivery
from jollyae.processors.keys import KeyTemplate
from jollyae.spool import fs, names
from jollyae.worker import receipts
from tests.helpers import drop, needs_root, once, whereabouts
from tests.spool.test_spool import HARD_NAMES


def _deliver(spool: Spool, to: Path, key: str = "{path}", **options: Any) -> int:
    return once(spool, FileDelivery(str(to), KeyTemplate(key), **options)).exit_code


def _why(spool: Spool, name: str) -> str:
    from jollyae.spool import notes

    for place in (spool.places.failed, spool.places.deferred):
        note = notes.read(str(place / name)) if (place / name).exists() else None
        if note:
            return note.error
    return ""


@pytest.mark.parametrize("name", HARD_NAMES)
def test_any_name(spool: Spool, to: Path, name: str) -> None:
    """The bytes are there under the name's key, or, where that cannot be a file's name, it failed with a reason."""
    drop(spool, f"sub/{name}", "content")
    code = _deliver(spool, to)
    if len(names.encode(name).encode()) > 255:
        assert code == 1 and "255 bytes" in _why(spool, f"sub/{name}")
    else:
        assert code == 0
        assert (to / "sub" / names.encode(name)).read_text() == "content"


def test_time_mode_and_digest(spool: Spool, to: Path) -> None:
    """Modification time and mode are kept, and the receipt has the digest of what is there."""
    path = drop(spool, "f", "x" * 3_000_000)
    path.chmod(0o640)
    os.utime(path, ns=(5, 1_000_000_007))
    assert _deliver(spool, to, "{date:%Y}/{sha256}-{name}") == 0
    digest = hashlib.sha256(b"x" * 3_000_000).hexdigest()
    target = to / "1970" / f"{digest}-f"
    assert (target.stat().st_mtime_ns, target.stat().st_mode & 0o7777) == (1_000_000_007, 0o640)
    (one,) = receipts.read(spool.places.receipts)
    assert (one["url"], one["sha256"], one["size"]) == (f"file://{target}", digest, 3_000_000)


def test_the_url_of_a_partition(spool: Spool, to: Path) -> None:
    """Readers that take the path of a URL as it is find ``dt=…`` there; what cannot stand in a URL is encoded."""
    path = drop(spool, "a b=c", "x")
    os.utime(path, (0, 0))
    assert _deliver(spool, to, "dt={date:%Y}/{name}") == 0
    (one,) = receipts.read(spool.places.receipts)
    assert one["url"] == f"file://{to}/dt=1970/a%20b=c"


def test_on_the_disk_in_order(spool: Spool, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes before the name, the name before the acknowledgement."""
    drop(spool, "a/f", "x")
    delivery = FileDelivery(str(to), KeyTemplate())
    seen: list[str] = []
    claimed: list[Any] = []

    def process(item: Any) -> dict[str, Any]:
        claimed.append(item)
        monkeypatch.setattr(fs, "observer", lambda operation, path: seen.append(operation))
        try:
            return delivery(item)
        finally:
            monkeypatch.setattr(fs, "observer", None)

    assert once(spool, process).exit_code == 0
    assert seen == ["mkdir", "fsync", "write", "fsync", "rename", "fsync"]


def test_the_same_again_is_not_written_again(spool: Spool, to: Path) -> None:
    """With --if-exists overwrite too, the same bytes under the same key are there already."""
    (to / "f").write_text("x")
    inode = (to / "f").stat().st_ino
    drop(spool, "f", "x")
    assert _deliver(spool, to, if_exists="overwrite") == 0
    (one,) = receipts.read(spool.places.receipts)
    assert one["already_there"] is True
    assert (os.listdir(to), (to / "f").stat().st_ino) == (["f"], inode)


def test_what_is_in_the_way(spool: Spool, to: Path) -> None:
    """A directory, a dangling link or a pipe under the key is a collision of that item: nothing hangs or pauses."""
    (to / "directory").mkdir()
    (to / "link").symlink_to("nowhere")
    os.mkfifo(to / "pipe")
    (to / "file").write_text("x")
    for name in ("directory", "link", "pipe", "file/below", "good"):
        drop(spool, name, "x")
    assert _deliver(spool, to, if_exists="refuse") == 1
    assert whereabouts(spool).pop("good") == ["finished"]
    assert {name for name, places in whereabouts(spool).items() if places == ["failed"]} == {
        *("directory", "link", "pipe", "file/below")
    }
    assert "is a directory" in _why(spool, "directory")
    assert os.readlink(to / "link") == "nowhere"


def test_a_directory_that_is_not_mounted_is_not_filled(spool: Spool, to: Path) -> None:
    """When the directory is missing the destination is paused, and nothing is made in its place."""
    drop(spool, "f", "x")
    missing = FileDelivery(str(to / "mnt"), KeyTemplate())
    item: list[Temporary] = []

    def process(one: Any) -> dict[str, Any]:
        try:
            return missing(one)
        except Temporary as error:
            item.append(error)
            raise Permanent("enough") from error

    once(spool, process)
    assert item[0].scope is Scope.DESTINATION and "Mount" in item[0].hint
    assert os.listdir(to) == []


@needs_root
def test_rights_are_doubtful(spool: Spool, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that we may not write to is that item's trouble, until it is everybody's."""
    drop(spool, "f", "x")

    def observer(operation: str, path: str) -> None:
        if operation == "rename" and str(to) in path:
            raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(fs, "observer", observer)
    assert _deliver(spool, to) == 75
    assert whereabouts(spool) == {"f": ["deferred"]}


def test_a_failed_fsync_is_never_believed(spool: Spool, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync nothing is acknowledged, and the next attempt writes a new file."""
    inodes: list[int] = []

    def observer(operation: str, path: str) -> None:
        if operation == "fsync" and path.isdigit() and "delivered" in os.readlink(f"/proc/self/fd/{path}"):
            found = os.fstat(int(path))
            if found.st_size == 1:
                inodes.append(found.st_ino)
                holder.append(os.dup(int(path)))  # so that the inode's number is not used again
                if len(inodes) == 1:
                    raise OSError(5, "Input/output error")

    holder: list[int] = []
    monkeypatch.setattr(fs, "observer", observer)
    drop(spool, "f", "x")
    assert _deliver(spool, to) == 0  # paused, probed, delivered
    for descriptor in holder:
        os.close(descriptor)
    assert len(set(inodes)) == 2
    assert (to / "f").read_text() == "x" and os.listdir(to) == ["f"]


def test_a_crash_leaves_a_temporary_file_that_is_used_again(spool: Spool, to: Path) -> None:
    """What a dead attempt left under the target's own temporary name is overwritten and gone afterwards."""
    mark = hashlib.sha256(b"f").hexdigest()[:16]
    (to / f".jollyae-{mark}.tmp").write_text("half of something longer")
    drop(spool, "f", "x")
    assert _deliver(spool, to) == 0
    assert {path.name: path.read_text() for path in to.iterdir()} == {"f": "x"}
