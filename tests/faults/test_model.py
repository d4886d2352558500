"""The table of moves, driven by Hypothesis: several workers, deaths at any operation, names that come again."""

import os
import subprocess
import sys

import pytest

from tests.faults import model, planted, tier

EXAMPLES, STEPS = tier.scaled(20, 400, 2000), tier.scaled(30, 50, 60)


def run(bug: str, examples: int = 400, steps: int = 50, *more: str) -> list[str]:
    """The first violation with this bug, in a process of its own. ``more``: 'leases'."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": planted.path(), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-m", "tests.faults.model", bug, str(examples), str(steps), *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_item_is_in_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    """After every step each item lies in exactly one place, with its bytes, and came there by a move of the table; in
    the end, all are delivered and nothing is left over."""
    assert model.check(EXAMPLES, STEPS) == []
    assert model.Moves.deaths >= EXAMPLES, "nobody died"
    with capsys.disabled():
        print(f" model: {EXAMPLES} lives, {model.Moves.steps} steps, {model.Moves.deaths} deaths: 0 violations", end="")


def test_each_item_is_in_one_place_with_leases(capsys: pytest.CaptureFixture[str]) -> None:
    """The same where workers have leases, and some stand still for longer than theirs while others take over."""
    before = model.Moves.deaths
    assert model.check(EXAMPLES, STEPS, model.LeasedMoves) == []
    assert model.Moves.deaths - before >= EXAMPLES, "nobody died"
    with capsys.disabled():
        print(f" model, leases: {EXAMPLES} lives, {model.Moves.deaths - before} deaths: 0 violations", end="")


def test_old_names_of_an_nfs_client_do_no_harm() -> None:
    """The same where a file is linked that has another name by now: who has a lease looks before."""
    assert run("links_by_handle", EXAMPLES, STEPS, "leases") == []


@pytest.mark.parametrize("bug", ["rename_over_an_existing_name", "lease_not_asked"])
def test_a_planted_bug_is_caught(bug: str) -> None:
    """A model that does not see it is broken."""
    wrong = run(bug)
    print(bug, wrong)
    assert wrong
