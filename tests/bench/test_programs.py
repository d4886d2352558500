"""How peers are found and run."""

import stat
import sys
from pathlib import Path

import pytest

from bench import commands, machine, programs
from bench.figures import Run
from bench.lab import Contestant, Lab, Settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose path has a blank, with a peers' venv in it."""
    home = tmp_path / "a b" / ".bench"
    (home / "venv/bin").mkdir(parents=True)
    (home / "venv/bin/python").symlink_to(sys.executable)
    monkeypatch.setattr(machine, "HOME", home)
    return home


def _script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_a_script_whose_first_line_cannot_be_run(home: Path, tmp_path: Path) -> None:
    """aws-cli's script names its python with the blank as it is: it is run by that python all the same."""
    aws = _script(home / "venv/bin/aws", f"#!{home}/venv/bin/python\nprint('aws-cli/1', 'ran')\n")
    assert commands.program("aws") == [str(home / "venv/bin/python"), str(aws)]
    used = programs.run(commands.program("aws"), {}, tmp_path / "out")
    assert (used.code, used.told) == (0, "aws-cli/1 ran\n")
    other = _script(home / "venv/bin/s5cmd", "#!/bin/sh\n")
    assert commands.program("s5cmd") == [str(other)]
    assert machine.versions()["aws"] == "aws-cli/1 ran"


def test_a_peer_that_cannot_be_run_is_a_gap(home: Path, tmp_path: Path) -> None:
    """The others run on."""
    broken = _script(home / "venv/bin/broken", "#!/no/such interpreter\n")

    def run(words: list[str], number: int) -> Run:
        programs.run(words, {}, tmp_path / "out")
        return Run("x", words[0], number, 1, 1, {"seconds": 1.0})

    with Lab(Settings(), tmp_path, tmp_path, lambda text: None) as lab:
        contestants = [
            Contestant("broken", lambda number: run([str(broken)], number)),
            Contestant("true", lambda number: run(["/bin/true"], number)),
        ]
        lab.compete("x", contestants, 2)
    assert [one.who for one in lab.runs] == ["/bin/true", "/bin/true"]
    assert [gap.who for gap in lab.gaps] == ["broken"]
