"""Reasons: one closed list, which every error of ours is counted by."""

import ast
import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from jollyae.processors.s3 import faults
from jollyae.worker import reasons
from jollyae.worker.reasons import REASONS

SOURCE = Path(reasons.__file__).parents[1]
ERRORS = {"Temporary", "Permanent", "Meaning"}
WITHOUT = {"worker/retirement.py", "service/legacy.py"}  # it passes one on; a random failure, as was asked for


def _raised() -> Iterator[tuple[str, ast.Call]]:
    """Where an error is made, and the call."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node


def test_every_error_of_ours_has_a_reason_of_the_list() -> None:
    """A word that is not of it would be counted as 'other', and nobody would see why."""
    found = list(_raised())
    assert len(found) > 50
    for where, call in found:
        if where.rpartition(":")[0] in WITHOUT:
            continue
        given = [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
        is_row = isinstance(call.func, ast.Name) and call.func.id == "Meaning"
        assert given or is_row, f"{where}: no reason"
        for value in given:
            words = [
                one.value for one in ast.walk(value) if isinstance(one, ast.Constant) and isinstance(one.value, str)
            ]
            if isinstance(value, (ast.Constant, ast.IfExp)):
                assert set(words) <= set(REASONS), f"{where}: {words}"


def test_the_stores_errors_have_theirs() -> None:
    """Only what no operator meets for these causes is 'other'."""
    rows = [*faults._BY_CODE.values(), *faults._BY_STATUS.values()]
    assert {row.reason for row in rows} <= set(REASONS)
    others = {row.what for row in rows if row.reason == "other"}
    assert others == {
        "the request could not be made",
        "the store does not do conditional writes",
        "the bucket takes no ACLs",
        "the store has no such storage class",
    }


@pytest.mark.parametrize(
    ("code", "told"), [(errno.ENOSPC, "full"), (errno.EDQUOT, "full"), (errno.EIO, "machine"), (None, "machine")]
)
def test_what_the_spools_disk_says(code: int | None, told: str) -> None:
    """No room is not the same as a broken disk."""
    assert reasons.of_errno(code) == told
