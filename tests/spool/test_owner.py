"""A worker's own directory in working/."""

import errno
from pathlib import Path

import pytest

from jollyae.spool import fs, owner


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
