"""--exec: a program per item, and what its exit code means."""

import os
from pathlib import Path

import pytest

from jollyae import Rules, Spool, Summary, Worker
from jollyae.processors.command import Command, CommandError


def run(spool: Spool, command: str) -> Summary:
    """One round over the spool."""
    return Worker(spool, Command(command), Rules(once=True, settle=0)).run()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool with one item whose name has a space."""
    place = Spool(tmp_path / "spool")
    (place.places.incoming / "an item").write_text("content")
    return place


def test_exit_0_is_done(spool: Spool, tmp_path: Path) -> None:
    """The path stands for {}, whatever is in it; exit 0 retires the item."""
    summary = run(spool, f"cp {{}} {tmp_path}/copy")
    assert (summary.exit_code, summary.delivered) == (0, 1)
    assert (tmp_path / "copy").read_text() == "content"
    assert (spool.places.finished / "an item").exists()


def test_no_shell_sees_it(spool: Spool, tmp_path: Path) -> None:
    """Nothing of the command or the name is given to a shell."""
    (spool.places.incoming / f"$(touch {os.sep.join(['x'])})").write_text("")
    assert run(spool, f"printf %s '$(touch {tmp_path}/hacked)' {{}}").failed == 0
    assert not (tmp_path / "hacked").exists()


def test_exit_75_is_again_later(spool: Spool) -> None:
    """EX_TEMPFAIL defers the item; with --once that is 75."""
    summary = run(spool, "sh -c 'exit 75' {}")
    assert (summary.exit_code, summary.deferred) == (75, 1)
    assert (spool.places.deferred / "an item").exists()


def test_any_other_exit_code_fails_with_what_it_said(spool: Spool) -> None:
    """Exit 3 is the item's own fault; what the command said last is in the note."""
    assert run(spool, "sh -c 'echo no such colour >&2; exit 3' {}").exit_code == 1
    assert "no such colour" in (spool.places.failed / ".an item.note").read_text()


def test_ended_by_a_signal_is_again_later(spool: Spool) -> None:
    """A child that was killed says nothing about the item."""
    assert run(spool, "sh -c 'kill -9 $$' {}").deferred == 1


def test_the_environment_tells_about_the_item(spool: Spool, tmp_path: Path) -> None:
    """Name, path, size and attempt are in the environment, and stdin is closed."""
    script = tmp_path / "tell.sh"
    script.write_text(f"cat; echo $JOLLYAE_NAME $JOLLYAE_SIZE $JOLLYAE_ATTEMPT >{tmp_path}/told")
    assert run(spool, f"sh {script} {{}}").failed == 0
    assert (tmp_path / "told").read_text() == "an item 7 1\n"


def test_what_cannot_be_split_is_refused() -> None:
    """An open quote or an empty command is an error at once."""
    for text in ("sh -c 'open", "  "):
        with pytest.raises(CommandError):
            Command(text)
