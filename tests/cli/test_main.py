"""The entry: verbs, errors, exit codes, and a help that is quick because it loads little."""

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Call

HEAVY = ("boto3", "botocore", "msgspec", "asyncio", "uvloop", "shtab")


def test_help_names_every_verb(call: Call) -> None:
    """--help shows each verb with one line, and the exit codes."""
    said = call("--help")
    assert said.code == 0
    for word in (
        "run",
        "submit",
        "status",
        "retry",
        "pause",
        "resume",
        "log",
        "init",
        "check",
        "demo",
        "completion",
        "75",
    ):
        assert word in said.out


def test_no_arguments_is_a_usage_error(call: Call) -> None:
    """Without arguments the help is shown, and the exit code is 2."""
    assert call().code == 2


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_little(arguments: list[str]) -> None:
    """--help imports nothing that takes long to load."""
    program = (
        "import sys\nfrom jollyae.cli.main import run\n"
        "try:\n    run(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["LOADED"]


def test_a_mistyped_verb_is_answered_with_the_nearest(call: Call) -> None:
    """An unknown verb is exit code 2 and names the one that was probably meant."""
    said = call("statsu", "x")
    assert said.code == 2
    assert "jollyae status" in said.err


def test_an_unknown_option_says_what_to_try(call: Call) -> None:
    """An unknown option is exit code 2, in one sentence, without a page of flags."""
    said = call("run", "x", "--to", "file:///tmp", "--nope")
    assert said.code == 2
    assert ("--nope" in said.err and "Try: jollyae run --help" in said.err) or "--nope" in said.err
    assert len(said.err.splitlines()) <= 2


def test_validate_is_check(call: Call, spool: str) -> None:
    """'validate' is taken for 'check'."""
    assert call("validate", spool).code == 0


@pytest.mark.parametrize("verb", ["submit", "status", "retry", "pause", "resume", "log"])
def test_a_directory_that_is_no_spool_is_named(call: Call, tmp_path: object, verb: str) -> None:
    """Verbs that need a spool say that there is none, and how to make one."""
    more = ["x"] if verb in ("submit", "retry") else []
    said = call(verb, f"{tmp_path}/nowhere", *more)
    assert said.code == 2
    assert "is not a spool" in said.err and "jollyae init" in said.err


def test_an_option_that_only_looks_alike_by_its_dashes_is_not_offered(call: Call, spool: Path) -> None:
    """--que is --queue and not --sse; --too is --to."""
    assert "Did you mean: --queue\n" in call("check", spool, "--que").err
    assert "Did you mean: --to\n" in call("run", spool, "--too", "x").err
