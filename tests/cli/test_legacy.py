"""The 2016 command line: its options mean what they meant."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Call


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """The four directories, and where the log goes."""
    found = {name: tmp_path / name for name in ("src", "interim", "dest", "fail")}
    for path in found.values():
        path.mkdir()
    return found | {"log": tmp_path / "log"}


@contextmanager
def running(log: Path, *arguments: object) -> Iterator[None]:
    """The old program, its stderr in ``log``, until the block ends; then it must end in order."""
    command = [sys.executable, "-m", "jollyae", *map(str, arguments)]
    with log.open("wb") as stderr:
        child = subprocess.Popen(command, stderr=stderr)
    try:
        yield
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 0
    finally:
        child.kill()
        child.wait()


def arrive(path: Path, seconds: float = 20.0) -> bool:
    """Whether the path comes into being."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return path.exists()


def drop(source: Path, name: str, text: str = "x") -> None:
    """Rename a file in, as the README says."""
    beside = source.parent / name
    beside.write_text(text)
    beside.rename(source / name)


def test_pretended_uploads_move_the_items_and_say_so(places: dict[str, Path]) -> None:
    """-n moves to DEST without an upload; each receipt and a last line say so."""
    args = ("-b", "bucket", "-s", places["src"], "-i", places["interim"], "-d", places["dest"], "-f", places["fail"])
    drop(places["src"], "before")
    with running(places["log"], *args, "-n", "-v"):
        assert arrive(places["dest"] / "before")
        drop(places["src"], "after")
        assert arrive(places["dest"] / "after")
    receipts = list((places["interim"] / ".receipts").glob("*.jsonl"))
    lines = [json.loads(line) for file in receipts for line in file.read_text().splitlines()]
    assert {line["name"] for line in lines} == {"before", "after"}
    assert all(line["upload"] is False and line["url"].startswith("s3://bucket/") for line in lines)
    assert "no upload: 2 items only moved" in places["log"].read_text()


def test_failures_go_to_fail(places: dict[str, Path]) -> None:
    """With -n and a random failure of 1, items land in FAIL with a reason."""
    args = ("-b", "b", "-s", places["src"], "-i", places["interim"], "-d", places["dest"], "-f", places["fail"])
    with running(places["log"], *args, "-n", "--random-no-upload-fail", "1"):
        drop(places["src"], "unlucky")
        assert arrive(places["fail"] / "unlucky")
    assert "random failure" in (places["fail"] / ".unlucky.note").read_text()


def test_fail_same_as_source_waits_and_does_not_spin(places: dict[str, Path]) -> None:
    """-f = SRC: what fails waits in INTERIM/.deferred."""
    args = ("-b", "b", "-s", places["src"], "-i", places["interim"], "-d", places["dest"], "-f", places["src"])
    with running(places["log"], *args, "-n", "--random-no-upload-fail", "1"):
        drop(places["src"], "again")
        assert arrive(places["interim"] / ".deferred" / "again")
    assert not (places["src"] / "again").exists()


def test_remove_deletes_what_is_done_and_what_failed(places: dict[str, Path]) -> None:
    """-r deletes delivered items, -R failed ones."""
    args = ("-b", "b", "-s", places["src"], "-i", places["interim"], "-r", "-R", "-n", "--random-no-upload-fail", "0.5")
    for number in range(20):
        drop(places["src"], f"f{number}")
    with running(places["log"], *args):
        end = time.monotonic() + 20
        while os.listdir(places["src"]) and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
    left = [
        path for path in places["interim"].rglob("*") if path.is_file() and path.suffix not in (".jsonl", ".minutes")
    ]
    assert left == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["-b", "b"], "source"),
        (["-b", "b", "-s", "/nowhere", "-d", "/nowhere"], "is not a directory"),
        (["-s", ".", "-d", ".", "-n"], "the same"),
        (["-s", ".", "-i", "/tmp", "-d", "/"], "need a bucket"),
    ],
)
def test_wrong_options_are_told(call: Call, arguments: list[str], part: str) -> None:
    """What the old program refused is refused, in a sentence."""
    said = call(*arguments)
    assert said.code == 2 and part in said.err
