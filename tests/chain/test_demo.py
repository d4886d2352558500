"""The demo of the chain refuses what it cannot show before it starts anything."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("option", "value", "least"),
    [
        ("--items", "0", 1),
        ("--items", "-5", 1),
        ("--items", "many", 1),
        ("--strikes", "-1", 0),
        ("--strikes", "1.5", 0),
    ],
)
def test_numbers_that_mean_nothing_are_refused(option: str, value: str, least: int) -> None:
    """In one clear line, as an error of usage."""
    command = [sys.executable, "-m", "tests.chain.demo", f"{option}={value}"]
    said = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False
    )
    assert said.returncode == 2 and "Starting" not in said.stdout
    assert f"{value!r} must be a whole number, {least} or more" in said.stderr
