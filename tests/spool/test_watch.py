"""Wake-ups, with the kernel's own events."""

import os
import select
import struct
import sys
from pathlib import Path

import pytest

from jollyae.spool import watch
from jollyae.spool.watch import Hint, Inotify, Kind, Poll

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux")


class Watched:
    """A watched directory, and what it tells."""

    def __init__(self, tmp_path: Path) -> None:
        self.control = tmp_path / "spool"
        self.incoming = self.control / "incoming"
        self.outside = tmp_path / "outside"
        self.incoming.mkdir(parents=True)
        self.outside.mkdir()
        self.watch = Inotify(str(self.incoming), str(self.control))
        self.watch.add("")

    def hints(self) -> list[Hint]:
        """All there are now."""
        found: list[Hint] = []
        descriptor = self.watch.fileno()
        assert descriptor is not None
        there = select.poll()  # select() knows no descriptor above 1023
        there.register(descriptor, select.POLLIN)
        while there.poll(0):
            found += self.watch.read()
        return found


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A watched directory."""
    return Watched(tmp_path)


@pytest.fixture(autouse=True)
def closed(request: pytest.FixtureRequest) -> None:
    """Close the watch at the end."""
    if "watched" in request.fixturenames:
        found: Watched = request.getfixturevalue("watched")
        request.addfinalizer(found.watch.close)


def test_what_is_told(watched: Watched) -> None:
    """A rename in is RENAMED; a creation, a link and the end of a writer are CHANGED; going away says nothing."""
    (watched.outside / "a").touch()
    (watched.outside / "a").rename(watched.incoming / "a")
    assert watched.hints() == [Hint(Kind.RENAMED, "a")]
    with (watched.incoming / "b").open("w") as file:
        file.write("x")
    assert set(watched.hints()) == {Hint(Kind.CHANGED, "b")}
    os.link(watched.incoming / "a", watched.incoming / "c")
    assert watched.hints() == [Hint(Kind.CHANGED, "c")]
    (watched.incoming / "a").unlink()
    (watched.incoming / "b").rename(watched.outside / "b")
    assert watched.hints() == []


def test_any_name(watched: Watched) -> None:
    """Names that are not UTF-8, or hold control characters, come through as the file system has them."""
    for raw in (b"bad\xff\xfe.jpg", b"line\nbreak", b"-rf", b"x" * 255):
        (watched.outside / "a").touch()
        os.rename(watched.outside / "a", os.path.join(os.fsencode(watched.incoming), raw))
        assert watched.hints() == [Hint(Kind.RENAMED, os.fsdecode(raw))]


def test_directories(watched: Watched) -> None:
    """A directory that comes is to be scanned; once watched it tells of its own; moved out it tells only that."""
    (watched.outside / "d").mkdir()
    (watched.outside / "d").rename(watched.incoming / "d")
    assert watched.hints() == [Hint(Kind.DIRECTORY, "d")]
    watched.watch.add("d")
    watched.watch.add("d")
    (watched.incoming / "d" / "f").touch()
    assert set(watched.hints()) == {Hint(Kind.CHANGED, "d/f")}
    (watched.incoming / "d").rename(watched.incoming / "e")
    assert Hint(Kind.DIRECTORY, "e") in watched.hints()
    watched.watch.add("e")
    (watched.incoming / "e" / "g").touch()
    assert set(watched.hints()) == {Hint(Kind.CHANGED, "e/g")}
    (watched.incoming / "e").rename(watched.outside / "e")
    (watched.outside / "e" / "h").touch()
    assert watched.hints() == [Hint(Kind.DIRECTORY, "e")]  # a scan finds that it is gone
    (watched.outside / "e" / "i").touch()
    assert watched.hints() == []


def test_a_removed_directory_is_forgotten(watched: Watched) -> None:
    """Watches of directories that come and go do not pile up."""
    for _ in range(20):
        (watched.incoming / "d").mkdir()
        watched.watch.add("d")
        watched.hints()
        (watched.incoming / "d").rmdir()
        watched.hints()
    assert len(watched.watch._directories) == 2 and list(watched.watch._ids) == [""]


def test_incoming_made_again(watched: Watched) -> None:
    """When incoming/ is removed or moved away and made again, both are told as "scan everything"."""
    watched.incoming.rename(watched.outside / "incoming")
    assert Hint(Kind.OVERFLOW) in watched.hints()
    (watched.outside / "incoming" / "f").touch()
    assert watched.hints() == []
    watched.incoming.mkdir()
    assert watched.hints() == [Hint(Kind.OVERFLOW)]
    watched.watch.add("")
    (watched.incoming / "f").touch()
    assert set(watched.hints()) == {Hint(Kind.CHANGED, "f")}
    (watched.incoming / "f").unlink()
    watched.incoming.rmdir()
    assert Hint(Kind.OVERFLOW) in watched.hints()


def test_control(watched: Watched) -> None:
    """A pause, its end, and a touch of the spool are told as such."""
    for act in ((watched.control / ".paused").touch, (watched.control / ".paused").unlink, watched.control.touch):
        act()
        assert {hint.kind for hint in watched.hints()} == {Kind.CONTROL}


def test_overflow(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's word that events were lost is "scan everything"."""
    event = struct.pack("iIII", -1, 0x4000, 0, 0)  # IN_Q_OVERFLOW
    monkeypatch.setattr(os, "read", lambda descriptor, size: event)
    assert watched.watch.read() == [Hint(Kind.OVERFLOW)]


def test_a_real_overflow(watched: Watched) -> None:
    """More creations than the kernel's queue holds, with nobody reading, end in OVERFLOW."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip("the queue of this kernel is too long for a quick test")
    for number in range(limit // 2 + 2):
        os.close(os.open(watched.incoming / str(number), os.O_WRONLY | os.O_CREAT))
    assert watched.hints()[-1].kind is Kind.OVERFLOW


def test_the_limit_of_watches(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no watch is to be had any more, the rest is polled, and the reason is shown."""

    def full(path: str, mask: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watched.watch._notify, "add_watch", full)
    watched.watch.add("d")
    assert watched.watch.interval == watch.POLL
    assert "max_user_watches" in watched.watch.why


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    """A watch that could not be made, or was closed, leaves no open file."""
    before = len(os.listdir("/proc/self/fd"))
    found = watch.watch(str(tmp_path), str(tmp_path / "missing"))
    assert (isinstance(found, Poll) and found.fileno() is None and "missing" in found.why) or "No such" in found.why
    watch.watch(str(tmp_path), str(tmp_path)).close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_network_file_system_is_polled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others' changes are not told, the directory is polled, and the reason is shown."""
    monkeypatch.setattr("jollyae.spool.mount.kind", lambda path: "nfs4")
    found = watch.watch(str(tmp_path))
    assert (found.interval, found.read(), found.fileno()) == (watch.POLL, [], None)
    assert "nfs4" in found.why
