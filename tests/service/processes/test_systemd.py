"""What systemd is told, heard on a real datagram socket."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jollyae.service.processes.systemd import Notifier


class Manager:
    """Listens as systemd does."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self._socket.settimeout(30)

    def heard(self) -> list[str]:
        """The lines of the next datagram."""
        return self._socket.recv(4096).decode().split("\n")

    def settle(self, seconds: float) -> None:
        """Forget what was said, and wait only so long for more."""
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.heard()
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """One that listens at a path, and one at an abstract name."""
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@jollyae-test-{os.getpid()}")
    yield made
    made.close()


def test_what_is_said(manager: Manager) -> None:
    """Each message is one datagram of the form of sd_notify(3)."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.path})
    notifier.ready("delivering")
    assert manager.heard() == ["READY=1", "STATUS=delivering"]
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    [reloading, when] = manager.heard()
    assert reloading == "RELOADING=1"
    assert before <= int(when.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    notifier.ready()
    assert manager.heard() == ["READY=1"]
    notifier.status("delivering")  # what was said last
    notifier.alive()
    assert manager.heard() == ["WATCHDOG=1"]
    notifier.status("name with\nREADY=1 in it")
    assert manager.heard() == ["STATUS=name with READY=1 in it"]
    notifier.stopping("stopping")
    assert manager.heard() == ["STOPPING=1", "STATUS=stopping"]
    notifier.close()


def test_it_leaves_nothing_in_the_environment(manager: Manager) -> None:
    """Commands that we run are told nothing of the socket and the watchdog."""
    environment = {
        "NOTIFY_SOCKET": manager.path,
        "WATCHDOG_USEC": "60000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    notifier = Notifier(environment)
    assert environment == {"HOME": "/"}
    assert notifier.is_heard and notifier.watchdog == 60.0
    notifier.close()


@pytest.mark.parametrize(
    ("usec", "pid", "found"),
    [("30000000", "", 30.0), ("30000000", "1", None), ("", "", None), ("0", "", None), ("soon", "", None)],
)
def test_whom_the_watchdog_asks(manager: Manager, usec: str, pid: str, found: float | None) -> None:
    """Only the process that WATCHDOG_PID names, or any where it names none."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid})
    assert notifier.watchdog == found
    notifier.close()


@pytest.mark.parametrize("path", ["", "/nowhere/at/all", "@nobody-listens-here"])
def test_nobody_listens(path: str) -> None:
    """Without a manager all goes on."""
    notifier = Notifier({"NOTIFY_SOCKET": path})
    notifier.ready()
    notifier.alive()
    assert not notifier.is_heard


def test_a_manager_that_went_away(manager: Manager) -> None:
    """What cannot be said is lost, and no error."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.path})
    manager.close()
    for number in range(1000):
        notifier.status(f"line {number}")
    notifier.close()


def test_a_long_line_is_cut(manager: Manager) -> None:
    """systemd takes no more than one page of memory, and no half character."""
    notifier = Notifier({"NOTIFY_SOCKET": manager.path})
    notifier.status("ä" * 5000)
    [line] = manager.heard()
    assert re.fullmatch("STATUS=ä{500}", line)
    notifier.close()
