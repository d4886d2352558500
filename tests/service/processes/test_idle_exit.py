"""``--idle-exit``: a real run ends when nothing is to do, and not before; and something starts it again when something
lands, as a .path unit of systemd does."""

import ctypes
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jollyae import Spool
from tests.helpers import drop, until, whereabouts

ROOT = Path(__file__).parents[3]
IDLE = 1.5


def _environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOLLYAE_", "AWS_"))}
    return clean | {"PYTHONPATH": str(ROOT / "src")}


def _command(spool: Spool, *words: str) -> list[str]:
    root = str(spool.places.control)
    return [sys.executable, "-m", "jollyae", "run", root, "--settle", "0", "--idle-exit", str(IDLE), *words]


@contextmanager
def running(spool: Spool, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A run, killed at the end if it still runs; its log is in the directory above the spool."""
    with (spool.places.control.parent / "log").open("ab") as log:
        process = subprocess.Popen(_command(spool, *words), stderr=log, env=_environment())
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _log(spool: Spool) -> str:
    return (spool.places.control.parent / "log").read_text()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_it_ends_when_nothing_is_to_do(spool: Spool, to: Path, processes: str) -> None:
    """What is there is delivered, and what lands meanwhile; then it ends with 0 and leaves nothing in working/."""
    drop(spool, "before")
    with running(spool, "--to", f"file://{to}", "--processes", processes) as process:
        until(lambda: (to / "before").exists(), _log(spool))
        drop(spool, "later")
        until(lambda: (to / "later").exists(), _log(spool))
        assert process.wait(30) == 0, _log(spool)
    assert whereabouts(spool) == {"before": ["finished"], "later": ["finished"]}
    assert not list(spool.places.working.iterdir())
    assert "ending: nothing was to do" in _log(spool)


def _still_written(spool: Spool) -> None:
    growing = spool.places.incoming / "growing"
    os.set_inheritable(os.open(growing, os.O_CREAT | os.O_WRONLY), False)


def _paused(spool: Spool) -> None:
    spool.pause("a test")


def _soon_due(spool: Spool) -> None:
    drop(spool, "again")


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize(
    ("what", "words"),
    [
        (_still_written, ("--to", "file:///nowhere")),
        (_paused, ("--exec", "true")),
        (_soon_due, ("--exec", "sh -c 'exit 75'", "--idle-exit", "3600")),
    ],
)
def test_what_waits_is_to_do(
    spool: Spool, to: Path, what: Callable[[Spool], None], words: tuple[str, ...], processes: str
) -> None:
    """A file that is still written, a pause by hand, and an item that is soon due keep it."""
    before = set(map(int, os.listdir("/proc/self/fd")))
    what(spool)
    words = tuple(word.replace("file:///nowhere", f"file://{to}") for word in words)
    with running(spool, *words, "--processes", processes) as process:
        until(lambda: list(spool.places.working.glob("*/.state.json")), _log(spool))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2.5 * IDLE)
    for number in set(map(int, os.listdir("/proc/self/fd"))) - before:
        with suppress(OSError):
            os.close(number)


def test_what_will_never_be_is_not_to_do(spool: Spool) -> None:
    """Litter, partial files, an empty directory, and what is due much later do not keep it."""
    for name in (".hidden", "film.mov.part", "Thumbs.db"):
        (spool.places.incoming / name).write_text("")
    (spool.places.incoming / "empty").mkdir()
    drop(spool, "later")
    command = tmp_command(spool.places.control.parent)
    with running(spool, "--exec", f"{command}") as process:
        until(lambda: whereabouts(spool).get("later") == ["deferred"], _log(spool))
        note = next(spool.places.deferred.glob(".*note*"))
        os.utime(note, (time.time() + 3000, time.time() + 3000))
        assert process.wait(60) == 0, _log(spool)
    assert whereabouts(spool)["later"] == ["deferred"]


def tmp_command(directory: Path) -> Path:
    """A command that says: again later."""
    command = directory / "again"
    command.write_text("#!/bin/sh\nexit 75\n")
    command.chmod(0o755)
    return command


# --- started when something lands


class PathUnit:
    """What systemd does for ``PathModified=DIRECTORY``, as its src/core/path.c has it: while the service is down the
    directory is watched, an event starts the service, and while that runs nothing is watched."""

    MASK = 0x400 | 0x800 | 0x4 | 0x8 | 0x100 | 0x200 | 0x40 | 0x80 | 0x2
    """IN_DELETE_SELF, MOVE_SELF, ATTRIB, CLOSE_WRITE, CREATE, DELETE, MOVED_FROM, MOVED_TO, MODIFY: inotify(7)."""

    def __init__(self, directory: Path, command: list[str], log: Path) -> None:
        self.starts = 0
        self._directory = directory
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._watch()

    def _watch(self) -> None:
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._descriptor >= 0
        assert self._libc.inotify_add_watch(self._descriptor, os.fsencode(self._directory), self.MASK) >= 0

    def _has_event(self) -> bool:
        if not select.select([self._descriptor], [], [], 0)[0]:
            return False
        data = os.read(self._descriptor, 65536)
        return len(data) >= struct.calcsize("iIII")

    def turn(self) -> bool:
        """Deal with what has happened; whether the service runs."""
        if self._process is None and self._has_event():
            os.close(self._descriptor)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(self._command, stderr=log, env=_environment())
            self.starts += 1
        elif self._process is not None and self._process.poll() is not None:
            assert self._process.returncode == 0, self._log.read_text()
            self._process = None
            self._watch()
        return self._process is not None

    def close(self) -> None:
        """Stop all of it."""
        if self._process is None:
            os.close(self._descriptor)
        else:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def unit(spool: Spool, to: Path, tmp_path: Path) -> Iterator[PathUnit]:
    """The spool's incoming/, watched; the service is not running."""
    made = PathUnit(spool.places.incoming, _command(spool, "--to", f"file://{to}"), tmp_path / "log")
    yield made
    made.close()


def _until(unit: PathUnit, condition: Callable[[], bool]) -> None:
    until(lambda: (unit.turn(), condition())[1], unit._log.read_text() if unit._log.exists() else "")


@pytest.mark.parametrize("how", ["renamed in", "closed after writing"])
def test_something_lands_and_it_starts_and_ends(spool: Spool, to: Path, unit: PathUnit, how: str) -> None:
    """One start delivers all, ends by itself, and is not started by what it did itself."""
    for number in range(3):
        if how == "renamed in":
            drop(spool, f"item-{number}")
        else:
            (spool.places.incoming / f"item-{number}").write_text("x")
    _until(unit, lambda: len(list(to.iterdir())) == 3)
    _until(unit, lambda: not unit.turn())
    assert unit.starts == 1 and not list(spool.places.working.iterdir())
    drop(spool, "again")
    _until(unit, lambda: (to / "again").exists())
    assert unit.starts == 2
    _until(unit, lambda: not unit.turn())
    assert whereabouts(spool).keys() == {"item-0", "item-1", "item-2", "again"}
    assert not list(spool.places.incoming.iterdir()), "nothing is left behind"


def test_litter_does_not_make_it_spin(spool: Spool, unit: PathUnit) -> None:
    """A partial file, a dotfile and an empty directory start it once; it ends, and they do not start it again, as
    DirectoryNotEmpty= would."""
    (spool.places.incoming / "film.mov.part").write_text("half")
    (spool.places.incoming / ".DS_Store").write_text("")
    (spool.places.incoming / "empty").mkdir()
    _until(unit, lambda: unit.starts == 1)
    _until(unit, lambda: not unit.turn())
    quiet_until = time.monotonic() + 2 * IDLE
    _until(unit, lambda: time.monotonic() > quiet_until)
    assert unit.starts == 1 and len(list(spool.places.incoming.iterdir())) == 3
