"""--exec: a program per item, and what its exit code means."""

import asyncio
import hashlib
import json
import logging
import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from jollyae import Rules, Spool, Summary, Worker
from jollyae.cli.main import main
from jollyae.processors import command as command_module
from jollyae.processors.command import Command, CommandError
from jollyae.processors.keys import KeyTemplate
from tests.helpers import eventually, until


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
    """Name, path, size and attempt are in the environment, and stdin is closed. No broker told of it: no source."""
    script = tmp_path / "tell.sh"
    told = "$JOLLYAE_NAME $JOLLYAE_SIZE $JOLLYAE_ATTEMPT ${JOLLYAE_SOURCE-unset}."
    script.write_text(f"cat; echo {told} >{tmp_path}/told")
    assert run(spool, f"sh {script} {{}}").failed == 0
    assert (tmp_path / "told").read_text() == "an item 7 1 .\n"


def test_what_cannot_be_split_is_refused() -> None:
    """An open quote or an empty command is an error at once."""
    for text in ("sh -c 'open", "  "):
        with pytest.raises(CommandError):
            Command(text)


def script(tmp_path: Path, text: str) -> str:
    """A command line that runs the shell script with the item's path."""
    path = tmp_path / "script.sh"
    path.write_text(text)
    return f"sh {path} {{}}"


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children() -> set[int]:
    """This process's children, zombies included."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread of another test that just ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def test_the_key_is_in_the_environment(spool: Spool, tmp_path: Path) -> None:
    """As --key says; the content's digest too, where the template has it."""
    command = Command(
        script(tmp_path, f'printf %s "$JOLLYAE_KEY" >{tmp_path}/told'), template=KeyTemplate("in/{sha256}-{name}")
    )
    assert Worker(spool, command, Rules(once=True, settle=0)).run().failed == 0
    digest = hashlib.sha256(b"content").hexdigest()
    assert (tmp_path / "told").read_text() == f"in/{digest}-an item"


def test_a_key_that_is_impossible_fails(spool: Spool) -> None:
    """As with a store: that item alone."""
    template = KeyTemplate("{name}" * 200)
    summary = Worker(spool, Command("true", template=template), Rules(once=True, settle=0)).run()
    assert summary.failed == 1


def test_the_last_lines_are_told(spool: Spool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of any amount of output the last ten lines are in the note and in status, in lines; nothing of it can move the
    cursor; the log has them in one line."""
    text = "seq 1 200000; printf 'bad \\033[2J colour\\n%0500d\\n' 7; exit 3"
    assert run(spool, script(tmp_path, text)).failed == 1
    [note] = spool.places.failed.glob(".*.note")
    error = json.loads(note.read_text())["error"]
    first, *lines = error.splitlines()
    assert first == "sh ended with exit code 3:" and lines[0] == "199993" and lines[-2] == "bad %1B[2J colour"
    assert len(lines) == 10 and len(lines[-1]) == 200
    assert main(["status", str(spool.places.control)]) == 0
    shown = capsys.readouterr().out
    assert "sh ended with exit code 3:\n" in shown and "| bad %1B[2J colour\n" in shown


def test_a_log_line_is_one(spool: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the command says, it makes no line of the log by itself."""
    logging.getLogger("jollyae").propagate = True
    with caplog.at_level(30, "jollyae"):
        run(spool, script(tmp_path, "echo one; echo two; exit 3"))
    assert "failed: sh ended with exit code 3: one | two" in [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("trap", ["", "trap '' TERM\n"])
def test_a_time_limit(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str) -> None:
    """Over it, the command and what it has started are ended, also where they do not listen; the item waits."""
    monkeypatch.setattr(command_module, "KILL_AFTER", 0.3)
    grandchild = f"sh -c 'echo $$ >{tmp_path}/grandchild; sleep 600'"
    text = f"{trap}{grandchild} & echo $$ >{tmp_path}/child; echo slow; wait; sleep 600"
    command = Command(script(tmp_path, text), timeout=2)  # a busy machine takes its time to begin, too
    before = children()
    summary = Worker(spool, command, Rules(once=True, settle=0)).run()
    assert (summary.exit_code, summary.deferred) == (75, 1)
    pids = [int((tmp_path / name).read_text()) for name in ("child", "grandchild")]
    until(lambda: not any(map(is_alive, pids)))
    assert children() <= before
    note = (spool.places.deferred / ".an item.note").read_text()
    assert "took more than 2 s and was ended: slow" in note


def test_what_it_leaves_running_does_not_hold_it_up(spool: Spool, tmp_path: Path) -> None:
    """A process that goes on in the background, its output still open, is left alone; the item is done."""
    assert run(spool, script(tmp_path, f"sleep 600 & echo $! >{tmp_path}/pid; echo done")).delivered == 1
    pid = int((tmp_path / "pid").read_text())
    assert is_alive(pid)
    os.kill(pid, 9)


def test_the_child_has_only_what_it_must(spool: Spool, tmp_path: Path) -> None:
    """Its descriptors are 0, 1, 2 and the claim's lock, whatever we have open, inheritable or not."""
    text = (
        "import os, sys\n"
        "found = [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if n not in '012'"
        " and os.path.exists(f'/proc/self/fd/{n}')]\n"
        "open(sys.argv[1], 'w').write('\\n'.join([os.readlink('/proc/self/fd/0'), *found]))\n"
    )
    (tmp_path / "tell.py").write_text(text)
    with open(tmp_path / "other", "w") as other:
        os.set_inheritable(other.fileno(), True)
        before, open_before = children(), len(os.listdir("/proc/self/fd"))
        command = f"{shlex.quote(sys.executable)} {tmp_path}/tell.py {tmp_path}/told {{}}"
        assert run(spool, command).delivered == 1
        assert children() <= before and len(os.listdir("/proc/self/fd")) <= open_before
    stdin, *others = [one for one in (tmp_path / "told").read_text().splitlines() if not one.startswith("/proc/")]
    assert stdin == "/dev/null" and len(others) == 1 and others[0].endswith("/.lock")


def test_no_descriptor_leaks(spool: Spool) -> None:
    """After many items, and commands that are not there, no more is open than before."""
    run(spool, "true")
    before = len(os.listdir("/proc/self/fd"))
    for number in range(30):
        (spool.places.incoming / f"i{number}").write_text("x")
    assert run(spool, "true").delivered == 30
    (spool.places.incoming / "missing").write_text("x")

    async def one() -> None:
        worker = Worker(spool, Command("/nowhere/program"), Rules(settle=0))
        task = asyncio.ensure_future(worker.serve())
        await eventually(lambda: list(spool.places.working.glob("*/.missing.note")))
        worker.stop()
        await task

    asyncio.run(one())
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_childs_lock_keeps_others_away(spool: Spool, tmp_path: Path) -> None:
    """As long as the command runs nobody takes its item over, even when its worker was killed."""
    go_on = tmp_path / "go"
    command = script(tmp_path, f"touch {tmp_path}/begun; while ! test -e {go_on}; do sleep 0.05; done")
    program = [sys.executable, "-m", "jollyae", "run", str(spool.places.control), "--exec", command, "--settle", "0"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    worker = subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL)
    until(lambda: (tmp_path / "begun").exists())
    worker.kill()
    worker.wait()
    assert run(spool, "true").delivered == 0
    go_on.touch()
    until(lambda: run(spool, "true").delivered)


def test_at_the_end_of_the_grace_time_it_is_ended(spool: Spool, tmp_path: Path) -> None:
    """A worker that must end takes its commands with it; the item stays in work, and is nobody's fault."""
    command = Command(script(tmp_path, f"trap '' TERM; echo $$ >{tmp_path}/pid; while :; do sleep 600; done"))

    async def main() -> None:
        worker = Worker(spool, command, Rules(settle=0, grace=0.1))
        task = asyncio.ensure_future(worker.serve())
        await eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        worker.stop()
        await task

    asyncio.run(main())
    until(lambda: not is_alive(int((tmp_path / "pid").read_text())))
    assert run(spool, "true").delivered == 1
