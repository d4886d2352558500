"""A command per message: what it gets, and what its exit code means."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
import uvloop

from jollyae.processors.notify import command
from jollyae.processors.notify.command import Command, CommandError
from jollyae.spool.outcomes import Permanent, Scope, Temporary
from tests.helpers import until
from tests.processors.notify.scene import RECEIPT, item


def run(directory: Path, text: str, **more: Any) -> dict[str, Any]:
    """Run it for the message, on the loop that is used."""

    async def live() -> dict[str, Any]:
        with item(directory, **more) as one:
            return await Command(text)(one)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(live())


def test_it_gets_the_message_and_the_environment(tmp_path: Path) -> None:
    """The whole message on stdin; the important parts in the environment, the key as it is."""
    script = f"sh -c 'cat > {tmp_path}/body; env > {tmp_path}/env'"
    fields = run(tmp_path, script, url="s3://photos/a b+ö.txt")
    assert fields == {"notified": "exec:sh", "delivery": RECEIPT["id"]}
    assert json.loads((tmp_path / "body").read_bytes())["jollyae"]["deliveryId"] == RECEIPT["id"]
    environment = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert {
        name: value for name, value in environment.items() if name.startswith("JOLLYAE_") and name not in os.environ
    } == {
        "JOLLYAE_DELIVERY_ID": RECEIPT["id"],
        "JOLLYAE_EVENT": "ObjectCreated:Put",
        "JOLLYAE_NAME": "a/b.txt",
        "JOLLYAE_URL": "s3://photos/a b+ö.txt",
        "JOLLYAE_BUCKET": "photos",
        "JOLLYAE_KEY": "a b+ö.txt",
        "JOLLYAE_SIZE": "3",
        "JOLLYAE_ATTEMPT": "1",
    }


def test_it_need_not_read_the_message(tmp_path: Path) -> None:
    """A command that only looks at its environment is done as well."""
    assert run(tmp_path, "true")["delivery"] == RECEIPT["id"]


@pytest.mark.parametrize(
    ("script", "scope"), [("exit 75", Scope.ITEM), ("exit 127", Scope.DESTINATION), ("kill -9 $$", Scope.ITEM)]
)
def test_again_later(tmp_path: Path, script: str, scope: Scope) -> None:
    """75, a signal, a missing program: nothing is lost."""
    with pytest.raises(Temporary) as raised:
        run(tmp_path, f"sh -c '{script}'")
    assert raised.value.scope is scope


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """The target is paused until it is."""
    with pytest.raises(Temporary) as raised:
        run(tmp_path, "/nowhere/at/all")
    assert (raised.value.scope, raised.value.reason) == (Scope.DESTINATION, "command")


def test_any_other_code_is_failed_with_what_it_said(tmp_path: Path) -> None:
    """The last of its output is in the reason, and harmless to a terminal."""
    with pytest.raises(Permanent, match="exit code 3: x no such colour%1B"):
        run(tmp_path, 'sh -c \'printf "%100000s" x; echo; printf "no such colour\\033[2J" >&2; exit 3\'')


def test_its_time_is_limited_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over its time, it and what it started are killed, and it is tried again later."""
    monkeypatch.setattr(command, "TIME", 2.0)
    with pytest.raises(Temporary, match="took over"):
        run(tmp_path, f"sh -c 'sleep 600 & echo $! > {tmp_path}/pid; wait'")
    child = int((tmp_path / "pid").read_text())
    until(lambda: not _lives(child), "the end of the command's child")


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]
    except OSError:
        return False


@pytest.mark.parametrize("text", ["", "   ", "echo 'x"])
def test_what_is_no_command(text: str) -> None:
    """It is told at the start."""
    with pytest.raises(CommandError):
        Command(text)
