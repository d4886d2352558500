"""The unit file for systemd that users copy: as tight as it says, and its command is one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jollyae.cli.main import build_parser

UNIT = Path(__file__).parents[2] / "docs" / "jollyae.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_the_unit_is_tight() -> None:
    """systemd's own rating is 2.0 or better."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot rate a file (before 250)")
    assert done.returncode == 0 and "Overall exposure level" in done.stdout, done.stdout + done.stderr


def test_the_command_is_one() -> None:
    """What it starts is a command line of this version, and a fault that stays is not tried again."""
    text = UNIT.read_text()
    [words] = re.findall("^ExecStart=/usr/local/bin/jollyae (.*)$", text, re.M)
    parsed = build_parser(("run",)).parse_args(words.split())
    assert parsed.verb == "run" and parsed.spool in re.findall("^ReadWritePaths=(.*)$", text, re.M)
    assert "\nRestartPreventExitStatus=2 78\n" in text
