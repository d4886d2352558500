"""What this machine lets one process have."""

from pathlib import Path

import pytest

from jollyae.service import machine


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("files", "mine", "expected"),
    [
        ({}, "", None),
        ({"a/memory.max": "max\n", "memory.max": "x"}, "0::/a\n", None),
        ({"a/b/memory.max": "max\n", "a/memory.max": "1000\n"}, "0::/a/b\n", 1000),
        ({"memory/x/memory.limit_in_bytes": "2000\n"}, "5:cpu:/y\n4:memory:/x\n0::/\n", 2000),
        ({"memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, "4:cpuset,memory:/x\n", None),
        ({"memory/memory.limit_in_bytes": "3000\n"}, "4:memory:/docker/abc\n", 3000),
    ],
)
def test_the_limit_of_memory(tmp_path: Path, files: dict[str, str], mine: str, expected: int | None) -> None:
    """The least of all groups above counts; both interfaces are understood; in a container the top is the group."""
    for name, text in files.items():
        _write(tmp_path / "groups" / name, text)
    _write(tmp_path / "mine", mine)
    assert machine.memory_limit(tmp_path / "mine", tmp_path / "groups") == expected


def test_no_proc(tmp_path: Path) -> None:
    """Elsewhere than on Linux nobody tells."""
    assert machine.memory_limit(tmp_path / "gone", tmp_path) is None
