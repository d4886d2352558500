"""The line for cron, run as cron runs it: by /bin/sh, with next to no environment."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jollyae import Spool
from jollyae.service.managers import cron
from jollyae.service.managers.job import Job
from jollyae.service.settings import ConfigurationError
from tests.helpers import drop

FLOCK = shutil.which("flock")
needs_flock = pytest.mark.skipif(FLOCK is None, reason="no flock")


def _job(spool: Spool, to: Path, *more: str) -> Job:
    root = str(spool.places.control)
    words = ("run", root, "--to", f"file://{to}", "--settle", "0", *more)
    program = (sys.executable, "-m", "jollyae")
    return Job(program=program, run=words, check=(), about="", spools=(root,), environment={"LC_ALL": "C"})


def _as_cron(text: str) -> "subprocess.CompletedProcess[str]":
    """Run the last line of a user's crontab as crond does: the first five words are the time, an escaped per cent sign
    is one, the others would be the end of the command."""
    line = text.splitlines()[-1].split(None, 5)[5]
    first, _, _ = re.sub(r"(?<!\\)%", "\n", line).partition("\n")
    clean = {"HOME": os.path.expanduser("~"), "PATH": "/usr/bin:/bin", "PYTHONPATH": os.environ["PYTHONPATH"]}
    command = ["/bin/sh", "-c", first.replace(r"\%", "%")]
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(autouse=True)
def _source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3] / "src"))


@needs_flock
def test_the_line_delivers_and_is_silent(tmp_path: Path, to: Path) -> None:
    """Spaces and per cent signs come through; cron has nothing to mail; nothing is left beside the spool's places."""
    spool = Spool(tmp_path / "a spool")
    drop(spool, "a b.txt", "hello")
    text = cron.text(_job(spool, to, "--key", "{date:%Y}/{name}"), flock=FLOCK, with_user=False)
    before = sorted(spool.places.control.iterdir())
    done = _as_cron(text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (to / time.strftime("%Y", time.gmtime()) / "a b.txt").read_text() == "hello"
    assert sorted(spool.places.control.iterdir()) == before, "no lock file"


@needs_flock
def test_two_do_not_overlap(spool: Spool, to: Path) -> None:
    """While one works, the next does nothing and says nothing; after that it works."""
    drop(spool, "one", "1")
    text = cron.text(_job(spool, to), flock=FLOCK, with_user=False)
    holder = os.open(spool.places.control, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        done = _as_cron(text)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
        assert not list(to.iterdir())
    finally:
        os.close(holder)
    assert _as_cron(text).returncode == 0
    assert (to / "one").read_text() == "1"


def test_without_flock(spool: Spool, to: Path) -> None:
    """Where there is no flock(1) the line does without."""
    drop(spool, "one", "1")
    text = cron.text(_job(spool, to), flock=None, with_user=False)
    assert "flock -n" not in text and _as_cron(text).returncode == 0


def test_the_machine_s_crontab_says_whose_it_is(spool: Spool, to: Path) -> None:
    """Files in /etc/cron.d have the user after the time."""
    lines = cron.text(_job(spool, to), flock=None, with_user=True).splitlines()
    assert lines[0] == "LC_ALL=C" and lines[1].split()[5] == "jollyae"


@pytest.mark.parametrize("every", [30, 90, 7 * 60, 5 * 3600, 2 * 86400])
def test_times_that_cron_does_not_know(every: float) -> None:
    """Every seven minutes is not what cron's */7 means."""
    with pytest.raises(ConfigurationError):
        cron.times(every)
