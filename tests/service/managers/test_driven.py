"""The units' command lines, driven as systemd drives them: what they say is run, word for word, in its order."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jollyae import Spool
from jollyae.cli.main import run
from tests.helpers import drop, until
from tests.service.processes.test_systemd import Manager

ROOT = Path(__file__).parents[3]
CONFIG = """
[queue.one]
spool = "{root}/a spool"
to = "file://{root}/100%25"
key = "{{date:%Y}}/{{name}}"
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """This checkout's jollyae, as an installed one is started."""
    path = tmp_path / "jollyae"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jollyae "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Where systemd would listen."""
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.close()


def _words(line: str, pid: int = 0) -> list[str]:
    """A command line of a unit as systemd.service(5) reads it: quotes, then %% and $$, and the one variable."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    words = [re.sub(r"\\(.)", r"\1", quoted) if quoted else plain for quoted, plain in found]
    return [re.sub(r"%%|\$\$", lambda two: two.group()[0], word.replace("$MAINPID", str(pid))) for word in words]


def _unit(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, list[str]]:
    """The keys of the printed unit that are commands."""
    assert run(["service", "systemd", *map(str, words)]) == 0
    keys: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(Exec\w+)=(.*)$", capsys.readouterr().out, re.M):
        keys.setdefault(key, []).append(value)
    return keys


def test_a_service_s_life(
    tmp_path: Path, program: Path, manager: Manager, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start, READY=1, a delivery, reload, stop: each command of the unit does what it is there for. A queue whose
    program is missing is no reason not to reload; a file that is wrong is one."""
    for name in [name for name in os.environ if name.startswith(("JOLLYAE_", "AWS_"))]:
        monkeypatch.delenv(name)
    config = tmp_path / "jollyae.toml"
    config.write_text(CONFIG.format(root=tmp_path))
    keys = _unit(capsys, "-c", config, "--program", program)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    spool = Spool(tmp_path / "a spool")

    def execute(line: str, pid: int = 0) -> int:
        return subprocess.run(_words(line, pid), env=environment, stdout=subprocess.DEVNULL, check=False).returncode

    [start] = keys["ExecStart"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        started = environment | {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "60000000"}
        service = subprocess.Popen(_words(start), env=started, stderr=file)
    try:
        _until_said(manager, "READY=1")
        drop(spool, "item", "x")
        until(lambda: list(tmp_path.glob("100%/*/item")), log.read_text())
        assert [execute(line, service.pid) for line in keys["ExecReload"]] == [0, 0]
        _until_said(manager, "RELOADING=1")
        _until_said(manager, "READY=1")
        config.write_text(f"{CONFIG.format(root=tmp_path)}[queue.lame]\nspool = 'lame'\nexec = '/mnt/none {{}}'\n")
        assert [execute(line, service.pid) for line in keys["ExecReload"]] == [0, 0]
        _until_said(manager, "RELOADING=1")
        _until_said(manager, "READY=1")
        config.write_text(f"{CONFIG.format(root=tmp_path)}[queue.round]\nspool = 'r'\nto = 'file://{tmp_path}/r/tmp'\n")
        assert execute(keys["ExecReload"][0]) == 78, "what can be read may still be refused"
        config.write_text("[queue.one]\nspol = 1\n")
        assert execute(keys["ExecReload"][0]) != 0, "systemd does not send the signal then"
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0, log.read_text()
    finally:
        service.kill()
        service.wait()


def _until_said(manager: Manager, wanted: str) -> None:
    while wanted not in manager.heard():
        pass
