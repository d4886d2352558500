"""Options: flag over environment over default, and errors that say which."""

import argparse

import pytest

from jollyae.cli import options
from jollyae.cli.main import build_parser


def parse(*arguments: str) -> argparse.Namespace:
    """The parsed arguments of ``run``."""
    return build_parser(("run",)).parse_args(["run", "spool", *arguments])


def test_flag_wins_over_environment_and_environment_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """JOLLYAE_CONCURRENCY replaces the default, --concurrency replaces both."""
    assert parse().concurrency is None
    monkeypatch.setenv("JOLLYAE_CONCURRENCY", "7")
    assert parse().concurrency == 7
    assert parse("--concurrency", "3").concurrency == 3


def test_a_repeatable_option_from_the_environment_is_replaced_not_extended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list in the environment is separated by commas; the first flag replaces it, the next ones add."""
    monkeypatch.setenv("JOLLYAE_EXCLUDE", "*.log,*.bak")
    assert parse().exclude == ("*.log", "*.bak")
    assert parse("--exclude", "a", "--exclude", "b").exclude == ("a", "b")


def test_a_switch_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A switch is on for 1, true, yes, on and off for the opposite."""
    monkeypatch.setenv("JOLLYAE_HEAD_FIRST", "yes")
    assert parse().head_first is True
    monkeypatch.setenv("JOLLYAE_HEAD_FIRST", "0")
    assert parse().head_first is False


def test_a_wrong_value_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says wrongly is a usage error that names the variable."""
    monkeypatch.setenv("JOLLYAE_ON_DONE", "burn")
    with pytest.raises(options.UsageError, match="JOLLYAE_ON_DONE=burn"):
        parse()


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--concurrency", "0"], "1 or more"),
        (["--metadata", "nonsense"], "KEY=VALUE"),
        (["--bandwidth", "fast"], "no size"),
        (["--settle", "soon"], "no duration"),
        (["--if-exists", "ask"], "keep-both"),
    ],
)
def test_a_wrong_value_is_a_usage_error(flags: list[str], part: str) -> None:
    """A value that cannot be is refused with what would be right."""
    with pytest.raises(options.UsageError, match=part):
        parse(*flags)


def test_hidden_spellings_work() -> None:
    """--dryrun and --bwlimit, as other tools spell them, are taken."""
    assert parse("--dryrun").dry_run is True
    assert parse("-n").dry_run is True
    assert parse("--bwlimit", "10M").bandwidth == "10M"
