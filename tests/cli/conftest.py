"""The command line, called in this process; the environment's own settings are out of the way."""

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from jollyae.cli import main as cli


class Said(NamedTuple):
    """What a call said and its exit code."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("JOLLYAE_", "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def _log_handlers() -> Iterator[None]:
    """A call sets the log up for this process's stderr of that moment; the next test has another."""
    logger = logging.getLogger("jollyae")
    yield
    logger.handlers[:] = []
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """``call("submit", spool, file)``: the exit code and what was printed."""

    def call(*arguments: object) -> Said:
        try:
            code = cli.run([str(argument) for argument in arguments])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        said = capfd.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
def spool(tmp_path: Path, call: Call) -> Path:
    """A spool, made by ``init``."""
    assert call("init", tmp_path / "spool").code == 0
    return tmp_path / "spool"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to submit."""
    path = tmp_path / "report.csv"
    path.write_text("a,b\n")
    return path
