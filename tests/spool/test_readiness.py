"""Both doors: only whole files, by the kernel's word where it gives one."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jollyae.spool import readiness
from jollyae.spool.readiness import Lease, Readiness, ignore_lease_signal
from jollyae.spool.readiness import test_lease as ask_lease

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux")


@pytest.fixture(autouse=True)
def safe() -> None:
    """Leases may be used."""
    assert ignore_lease_signal()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is old enough for every settle time."""
    path = tmp_path / "file"
    path.write_text("x")
    return path


def _wait(judge: Readiness, path: Path, *, renamed: bool = False) -> float:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return judge.wait(path.name, descriptor, os.fstat(descriptor), renamed=renamed)
    finally:
        os.close(descriptor)


def test_a_writer_is_seen_also_after_a_rename_and_by_another_name(file: Path) -> None:
    """The lease is refused while anybody has the file open for writing, under whatever name."""
    descriptor = os.open(file, os.O_RDONLY)
    with file.open("a"):
        file.rename(file.with_name("renamed"))
        os.link(file.with_name("renamed"), file.with_name("linked"))
        assert ask_lease(descriptor) is Lease.HELD
    assert ask_lease(descriptor) is Lease.FREE
    os.close(descriptor)


def test_a_writer_that_pauses_longer_than_settle_is_waited_for(file: Path) -> None:
    """A file that is held open is not taken however long it was not written to, through neither door."""
    judge = Readiness(0.0)
    with file.open("a"):
        assert _wait(judge, file) > 0
        assert _wait(judge, file, renamed=True) > 0
    assert _wait(judge, file) == 0


def test_door_1_is_at_once(file: Path) -> None:
    """A name that was renamed in is taken at once, whatever its change time."""
    assert _wait(Readiness(3600), file, renamed=True) == 0


def test_door_2_waits_for_the_rest_of_settle(file: Path) -> None:
    """Another file is taken when its change time is settle ago, and nothing is remembered of it."""
    judge = Readiness(3600)
    assert 3500 < _wait(judge, file) <= 3600
    assert _wait(Readiness(0), file) == 0
    assert not judge._looks


@pytest.mark.parametrize("lease", [True, False])
def test_a_change_time_that_cannot_be_believed(file: Path, monkeypatch: pytest.MonkeyPatch, lease: bool) -> None:
    """With a change time in the future, or no lease, the file must be seen unchanged twice, a settle apart, on our own
    clock; a change starts that again."""
    clock, ctime = 100.0, file.stat().st_ctime
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    monkeypatch.setattr(time, "time", lambda: ctime - 1000)
    judge = Readiness(5, lease=lease)
    assert _wait(judge, file) == 5
    clock += 3
    assert _wait(judge, file) == 2
    file.write_text("more")
    assert _wait(judge, file) == 5
    clock += 5
    assert _wait(judge, file) == 0


def test_what_is_remembered_is_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many names are remembered; those taken or gone are forgotten."""
    monkeypatch.setattr(readiness, "MAX_REMEMBERED", 3)
    judge = Readiness(5, lease=False)
    for name in "abcde":
        assert judge.wait(name, -1, file.stat(), renamed=False) == 5
    assert list(judge._looks) == ["c", "d", "e"]
    judge.forget("d")
    assert list(judge._looks) == ["c", "e"]


def test_the_default_settle_depends_on_the_lease(file: Path) -> None:
    """Without --settle it is one second with the lease and three without."""
    assert _wait(Readiness(), file) <= 1
    assert _wait(Readiness(lease=False), file) == 3


def test_a_producer_in_the_instant_of_the_test_does_not_kill(file: Path) -> None:
    """The signal that the kernel sends when somebody opens a file under a lease is ignored; unasked, it kills."""
    program = (
        "import fcntl, os, sys\nfrom jollyae.spool.readiness import ignore_lease_signal\n"
        "if sys.argv[2] == 'safe': assert ignore_lease_signal()\n"
        "d = os.open(sys.argv[1], os.O_RDONLY)\nfcntl.fcntl(d, fcntl.F_SETLEASE, fcntl.F_RDLCK)\n"
        "print('leased', flush=True)\nsys.stdin.read()\nfcntl.fcntl(d, fcntl.F_SETLEASE, fcntl.F_UNLCK)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(readiness.__file__).parents[2])}
    for how, code in (("safe", 0), ("unsafe", -signal.SIGIO)):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(file), how],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGIO, signal.SIG_DFL),
        ) as child:
            assert child.stdout and child.stdout.readline() == b"leased\n"
            with pytest.raises(BlockingIOError):
                os.open(file, os.O_WRONLY | os.O_NONBLOCK)
            assert child.stdin
            child.stdin.close()
            assert child.wait() == code


def test_the_lease_is_given_back(file: Path) -> None:
    """After the test a writer can open the file without waiting."""
    descriptor = os.open(file, os.O_RDONLY)
    assert ask_lease(descriptor) is Lease.FREE
    assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK
    os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
    os.close(descriptor)


def test_hammered_by_a_producer(file: Path) -> None:
    """A producer that opens and closes the file all the time, and thousands of tests: nobody dies."""
    program = "import sys\nwhile True:\n    with open(sys.argv[1], 'a'): pass"
    child = subprocess.Popen([sys.executable, "-c", program, str(file)])
    descriptor = os.open(file, os.O_RDONLY)
    try:
        seen: set[Lease] = set()
        deadline = time.monotonic() + 30
        while seen != {Lease.FREE, Lease.HELD} and time.monotonic() < deadline:
            seen |= {ask_lease(descriptor) for _ in range(1000)}
        assert seen == {Lease.FREE, Lease.HELD}
        assert child.poll() is None
    finally:
        os.close(descriptor)
        child.kill()
        child.wait()
