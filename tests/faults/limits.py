"""What the kernel allows, made less for the length of a block or for one command, and put back whatever happens.

Each context or prefix skips the test, by name, where this machine does not let us.
"""

import fcntl
import glob
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
_CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def inotify_queue(events: int) -> Iterator[None]:
    """Queues of inotify that are made within the block hold so many events. The limit is the whole machine's: keep the
    block short."""
    if not os.access(_QUEUE, os.W_OK):
        pytest.skip(f"{_QUEUE} cannot be written here")
    # One at a time, threads and other runs included: else the second takes the first one's limit for the machine's own.
    # What a run that was killed could not put back is in the file.
    with (Path(tempfile.gettempdir()) / "jollyae-test-inotify-queue").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        before = lock.read() or _QUEUE.read_text()
        lock.truncate(0)
        lock.write(before)
        lock.flush()
        try:
            try:
                _QUEUE.write_text(f"{events}\n")
            except OSError as error:
                pytest.skip(f"{_QUEUE}: {error.strerror}")
            yield
        finally:
            _QUEUE.write_text(before)
            lock.truncate(0)


def inotify_limits(*, watches: int | None = None, instances: int | None = None) -> tuple[str, ...]:
    """A prefix: the command has so many watches or instances of inotify, in a user namespace of its own, where the
    limits are nobody else's."""
    lines = [
        f"echo {value} > /proc/sys/user/max_inotify_{name}"
        for name, value in (("watches", watches), ("instances", instances))
        if value is not None
    ]
    private = ("unshare", "--user", "--map-root-user", "sh", "-c")
    if subprocess.run([*private, " && ".join(lines)], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace in which /proc/sys/user/max_inotify_watches can be written")
    return (*private, f'{" && ".join(lines)} && exec "$@"', "sh")


def open_files(most: int) -> tuple[str, ...]:
    """A prefix: the command may have so many files open."""
    return ("prlimit", f"--nofile={most}:{most}")


class Group:
    """A cgroup of ours. ``kills``: how often the kernel killed in it for want of memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prefix(self) -> tuple[str, ...]:
        """A prefix: the command is in it."""
        return ("sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh")

    def kills(self) -> int:
        """How often the kernel ended a process here for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            with suppress(FileNotFoundError):
                fields = dict(line.split() for line in (self.path / name).read_text().splitlines())
                return int(fields.get("oom_kill", 0))
        return 0

    def peak(self) -> int:
        """The most bytes it ever had, the kernel's cache of files included; 0 where it is not told."""
        for name in ("memory.peak", "memory.max_usage_in_bytes"):
            with suppress(FileNotFoundError):
                return int((self.path / name).read_text())
        return 0

    def freeze(self, frozen: bool) -> None:
        """Stop all that is in it, or let it go on."""
        if (self.path / "freezer.state").exists():
            (self.path / "freezer.state").write_text("FROZEN" if frozen else "THAWED")
        else:
            (self.path / "cgroup.freeze").write_text(str(int(frozen)))


@contextmanager
def memory(most: int) -> Iterator[Group]:
    """A cgroup with so many bytes of memory, by the first or the second interface."""
    with _group("memory") as group:
        first, second = group.path / "memory.limit_in_bytes", group.path / "memory.max"
        file = first if first.exists() else second
        try:
            file.write_text(str(most))
        except OSError as error:
            pytest.skip(f"no limit of memory in a cgroup here: {error}")
        yield group


@contextmanager
def freezer() -> Iterator[Group]:
    """A cgroup that can be frozen."""
    with _group("freezer") as group:
        if not any((group.path / name).exists() for name in ("freezer.state", "cgroup.freeze")):
            pytest.skip("no freezer in a cgroup here")
        try:
            yield group
        finally:
            with suppress(OSError):
                group.freeze(False)


@contextmanager
def _group(controller: str) -> Iterator[Group]:
    top = _CGROUP / controller if (_CGROUP / controller).is_dir() else _CGROUP
    path = top / f"jollyae-test-{controller}-{os.getpid()}-{threading.get_ident()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        yield Group(path)
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    """Remove it, when what was in it is gone; the kernel takes a moment."""
    for _ in range(100):
        try:
            path.rmdir()
            return
        except OSError:
            for pid in (path / "cgroup.procs").read_text().split():
                os.kill(int(pid), 9)
            time.sleep(0.05)
    path.rmdir()


class Clock:
    """The clock of some commands, by libfaketime: what they take for the time of day jumps as it is told; the monotonic
    clock is the real one, and so are the times of files."""

    def __init__(self, file: Path) -> None:
        found = sorted(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1"))
        if not found:
            pytest.skip("no libfaketime here (Debian: faketime)")
        self._library = found[0]
        self._file = file
        self.set("+0")

    def set(self, offset: str) -> None:
        """From now on it is so far from the real one (``-1d``, ``+10y``, ``+0 x100``)."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{offset}\n")
        os.rename(beside, self._file)

    def prefix(self) -> tuple[str, ...]:
        """A prefix: the command has this clock."""
        return (
            "env",
            f"LD_PRELOAD={self._library}",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        )
