"""A worker's own directory in working/."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from jollyae.spool import fs, owner, sweep


def test_what_is_gone_at_once_each_time_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker may take a nameless directory for a dead one's; but that is not tried for ever."""
    seen: list[str] = []

    def observer(operation: str, path: str) -> None:
        if operation == "create":
            seen.append(path)
            assert len(seen) < 100
            raise FileNotFoundError(errno.ENOENT, "gone", path)

    monkeypatch.setattr(fs, "observer", observer)
    with pytest.raises(FileNotFoundError, match="gone at once"):
        owner.publish(str(tmp_path))
    assert len(seen) > 1


def test_the_directory_goes_where_an_open_file_keeps_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS gives a file that is removed while it is open another name, until it is closed: so it does with the lock."""
    made, silly, close = owner.publish(str(tmp_path)), Path("unset"), os.close
    discard = fs.discard

    def rename_it(path: str) -> None:
        nonlocal silly
        if path.endswith(owner.LOCK):
            silly = Path(path).with_name(".nfs000000000000002a00000001")
            os.rename(path, silly)
        else:
            discard(path)

    def remove_it(descriptor: int) -> None:
        close(descriptor)
        if descriptor == made.lock:
            silly.unlink()

    monkeypatch.setattr(fs, "discard", rename_it)
    monkeypatch.setattr(os, "close", remove_it)
    assert made.remove()
    assert list(tmp_path.iterdir()) == []


def test_who_only_looks_takes_no_lock_that_needs_the_right_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS refuses an exclusive lock on a descriptor that cannot write (EBADF): status would end with that,
    and what is still being submitted would pass for litter."""
    flock = fcntl.flock

    def strict(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", strict)
    made = owner.publish(str(tmp_path))
    assert owner.holder(made.path) == made.name
    assert not sweep._is_abandoned(f"{made.path}/{owner.LOCK}")
    os.close(made.lock)
    assert owner.holder(made.path) == ""
    assert sweep._is_abandoned(f"{made.path}/{owner.LOCK}")
