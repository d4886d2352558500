"""A message to a command: on its standard input, the most important of it in the environment.

Exit 0: taken; 75 (EX_TEMPFAIL): again later; 126 and 127: the command itself is missing; ended by a signal or over its
time: again later; anything else: failed. The command is split into words as a shell would, and no shell sees it.
"""

import asyncio
import os
import shlex
import shutil
import signal
from contextlib import suppress
from typing import Any

from ...spool import names
from ...spool.item import Item
from ...spool.outcomes import Permanent, Scope, Temporary
from . import message
from .message import Message

TIME = 60.0
"""Seconds that one call may take; then it and its children are killed."""
_NOT_FOUND = (126, 127)
_LAST = 1.0  # seconds for the end of one that was killed
_KEPT = 4096  # bytes of the command's output that are looked at where it fails


class CommandError(ValueError):
    """The command cannot be split into words."""


class Command:
    """Runs ``text`` for the message that is an item. Raises :class:`CommandError`."""

    def __init__(self, text: str) -> None:
        try:
            self._words = shlex.split(text)
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not self._words:
            raise CommandError("the command is empty")
        self.shown = f"exec:{self._words[0]}"

    async def __call__(self, item: Item) -> dict[str, Any]:
        """Run it. Raises :class:`Temporary` and :class:`Permanent`."""
        told = message.of(item)
        message_file = os.open(item.where, os.O_RDONLY | os.O_CLOEXEC)  # item.fd's offset may be somewhere
        try:
            child = await asyncio.create_subprocess_exec(
                *self._words,
                stdin=message_file,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=os.environ | environment(told, item.attempt),
                start_new_session=True,  # so that its children can be ended with it
                pass_fds=(item.owner.lock,),
            )
        except (FileNotFoundError, PermissionError) as error:
            raise self._missing(error.strerror or "not found") from error
        finally:
            os.close(message_file)
        try:
            async with asyncio.timeout(TIME):
                output = await _tail(child)
                code = await child.wait()
        except TimeoutError as error:
            await _kill(child)
            hint = "Look why it takes so long; a command that must, can do it in the background."
            raise Temporary(f"{self.shown} took over {TIME:.0f} s", hint=hint, reason="timeout") from error
        except asyncio.CancelledError:
            await _kill(child)
            raise
        self._judge(code, output)
        return {"notified": self.shown, "delivery": told.id}

    def reach(self) -> str:
        """Where the program is; it is not run. Raises :class:`Temporary`."""
        found = shutil.which(self._words[0])
        if found is None:
            raise self._missing("there is no such program that we may run")
        return found

    def _judge(self, code: int, output: str) -> None:
        told = f": {output}" if output else ""
        if code == 0:
            return
        if code == os.EX_TEMPFAIL:
            raise Temporary(f"{self.shown} says: again later{told}", reason="command")
        if code in _NOT_FOUND:
            raise self._missing(f"exit code {code}{told}")
        if code < 0:
            raise Temporary(f"{self.shown} was ended by signal {-code}{told}", reason="command")
        raise Permanent(f"{self.shown} ended with exit code {code}{told}", reason="command")

    def _missing(self, why: str) -> Temporary:
        hint = "Install it, or correct the target's URL; it is tried again by itself."
        return Temporary(f"{self.shown} cannot be run: {why}", hint=hint, scope=Scope.DESTINATION, reason="command")


def environment(told: Message, attempt: int) -> dict[str, str]:
    """What the command finds in its environment; no value holds a NUL or what is not UTF-8."""
    receipt = told.receipt
    stored = told.record["s3"]
    bucket, key = message.place(receipt)
    found = {
        "JOLLYAE_DELIVERY_ID": told.id,
        "JOLLYAE_EVENT": told.record["eventName"],
        "JOLLYAE_NAME": receipt.get("name", ""),
        "JOLLYAE_URL": receipt.get("url", ""),
        "JOLLYAE_BUCKET": bucket or stored["bucket"]["name"],
        "JOLLYAE_KEY": key,
        "JOLLYAE_SIZE": stored["object"]["size"],
        "JOLLYAE_ATTEMPT": attempt,
    }
    return {name: names.encode(str(value)) if "\0" in str(value) else str(value) for name, value in found.items()}


async def _tail(child: asyncio.subprocess.Process) -> str:
    """The last of what it says, in one line; it may say any amount."""
    assert child.stdout is not None
    kept = b""
    while data := await child.stdout.read(_KEPT):
        kept = (kept + data)[-_KEPT:]
    return names.printable(" ".join(kept.decode(errors="replace").split())[-500:])


async def _kill(child: asyncio.subprocess.Process) -> None:
    """End it with all that it started, and close its output; who ran away from its group is not waited for."""
    assert child.stdout is not None
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    with suppress(asyncio.CancelledError, TimeoutError):
        async with asyncio.timeout(_LAST):
            while await child.stdout.read(_KEPT):
                pass
            await child.wait()
    child._transport.close()  # type: ignore[attr-defined]  # asyncio has no other way to let go of the pipe
