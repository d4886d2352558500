"""The demo, as a visitor sees it: the tour, what is to be tried, and nothing left running."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import until

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (Path(sys.executable).parent / "rclone").exists() and shutil.which("rclone") is None,
        reason="rclone is not installed (the extra jollyae[demo])",
    ),
]


def alive(directory: Path) -> list[str]:
    """The command lines of processes that have to do with the directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line:
            found.append(line)
    return found


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Path]:
    """A directory with a space in its name; what still runs there at the end is a fault."""
    directory = tmp_path / "the demo"
    yield directory
    until(lambda: not alive(directory), "everything to end")


def demo(directory: Path, *more: str) -> list[str]:
    """The command line of the demo."""
    return [sys.executable, "-m", "jollyae", "demo", str(directory), *more]


def test_the_tour_without_a_terminal(stage: Path) -> None:
    """Without a terminal the tour is made, checked byte by byte, and ends by itself; a second time as well."""
    for _ in range(2):
        done = subprocess.run(demo(stage), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "byte for byte the same" in done.stdout and "Nothing is left running" in done.stdout
        assert "The dashboard is at http://127.0.0.1:" in done.stdout


def test_without_the_dashboards_libraries_it_goes_on(stage: Path, tmp_path: Path) -> None:
    """It says how to get them."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'uvicorn' else found(name, *more)\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(
        demo(stage), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "There is no dashboard" in done.stdout and "pip install '.[web]'" in done.stdout
    assert "byte for byte the same" in done.stdout


def test_a_directory_of_somebody_else_is_left_alone(stage: Path) -> None:
    """A directory that is not a demo's is not emptied."""
    stage.mkdir()
    (stage / "precious").touch()
    done = subprocess.run(demo(stage), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78 and "not empty" in done.stderr
    assert (stage / "precious").exists()


def test_what_a_visitor_tries(stage: Path, tmp_path: Path) -> None:
    """After the tour a dropped file arrives, a killed worker is started again, and Ctrl-C ends all of it."""
    told = tmp_path / "told"
    with told.open("wb") as output:
        child = subprocess.Popen(demo(stage, "--stay"), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        for step in ("2. 300 small", "killed: ", "3. The S3", "Now you"):  # each with patience of its own
            until(lambda step=step: step in told.read_text() or child.poll() is not None, step)  # type: ignore[misc]
        (stage / "spool" / "incoming" / "mine.txt").write_text("hello")
        until((stage / "s3" / "demo" / "mine.txt").exists, "the dropped file")
        worker = re.search(r"kill -9 (\d+)", told.read_text())
        assert worker is not None
        address = re.search(r"The dashboard is at (\S+)", told.read_text())
        assert address is not None
        page = urllib.request.urlopen(address[1], timeout=10).read().decode()
        assert all(f">{name}</a>" in page for name in ("spool", "stopped-server", "forbidden", "poisoned"))
        os.kill(int(worker.group(1)), signal.SIGKILL)
        until(lambda: "the worker died: started again" in told.read_text(), "a new worker")
        (stage / "spool" / "incoming" / "second.txt").write_text("again")
        until((stage / "s3" / "demo" / "second.txt").exists, "a file for the new worker")
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
        assert "Nothing is left running" in told.read_text()
        commands = [line for line in told.read_text().splitlines() if line.startswith("    ")]
        assert [shlex.split(line)[0] for line in commands if not line.strip()[0].isdigit()][-5:] == [
            *("cp", "ls", "jollyae", "kill", "kill")
        ]
    finally:
        child.kill()
        child.wait()
