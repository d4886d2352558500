"""Run a program per item, as print and mail spools always did.

The command is split into words as a shell would, and no shell sees it; ``{}`` is the item's path, inside a word too.
Exit 0: done; 75 (EX_TEMPFAIL): again later; 126 and 127: the command itself is missing, which is no item's fault; ended
by a signal: again later; anything else: failed.
"""

import asyncio
import os
import shlex
from collections import deque
from contextlib import suppress
from typing import Any

from ..spool.item import Item
from ..spool.outcomes import Permanent, Scope, Temporary

_NOT_FOUND = (126, 127)
_KEPT = 4096  # bytes of the command's output that are told where it fails


class CommandError(ValueError):
    """The command cannot be split into words."""


class Command:
    """Runs ``text`` for each item. The child gets no input, JOLLYAE_NAME, JOLLYAE_PATH, JOLLYAE_SIZE and
    JOLLYAE_ATTEMPT in its environment, and the claim's lock: as long as it runs, nobody takes the item over.

    Raises :class:`CommandError`.

    >>> Command("convert {} -resize 50% 'jpg:/small pictures/last'").words("/spool/a b.jpg")
    ['convert', '/spool/a b.jpg', '-resize', '50%', 'jpg:/small pictures/last']
    """

    def __init__(self, text: str) -> None:
        try:
            self._words = shlex.split(text)
        except ValueError as error:
            raise CommandError(f"--exec {text!r}: {error}") from error
        if not self._words:
            raise CommandError("--exec: the command is empty")

    @property
    def name(self) -> str:
        """The program's name."""
        return self._words[0]

    def words(self, path: str) -> list[str]:
        """The command line for an item at ``path``; where ``{}`` is nowhere, the path is the last word."""
        words = [word.replace("{}", path) for word in self._words]
        return words if any("{}" in word for word in self._words) else [*words, path]

    async def __call__(self, item: Item) -> dict[str, Any]:
        """Run it. Raises :class:`Temporary` and :class:`Permanent`."""
        try:
            child = await asyncio.create_subprocess_exec(
                *self.words(item.where),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=os.environ | _about(item),
                pass_fds=(item.owner.lock,),
            )
        except (FileNotFoundError, PermissionError) as error:
            raise self._missing(error.strerror or "not found") from error
        try:
            output = await _tail(child)
            code = await child.wait()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                child.terminate()
            raise
        return self._judge(code, output)

    def _judge(self, code: int, output: str) -> dict[str, Any]:
        told = f": {output}" if output else ""
        if code == 0:
            return {"command": self.name}
        if code == os.EX_TEMPFAIL:
            raise Temporary(f"{self.name} says: again later{told}")
        if code in _NOT_FOUND:
            raise self._missing(f"exit code {code}{told}")
        if code < 0:
            raise Temporary(f"{self.name} was ended by signal {-code}{told}")
        raise Permanent(f"{self.name} ended with exit code {code}{told}")

    def _missing(self, why: str) -> Temporary:
        hint = f"Install {self.name}, or correct --exec; it is tried again by itself."
        return Temporary(f"{self.name} cannot be run: {why}", hint=hint, scope=Scope.DESTINATION, reason="command")


def _about(item: Item) -> dict[str, str]:
    return {
        "JOLLYAE_NAME": item.name,
        "JOLLYAE_PATH": item.where,
        "JOLLYAE_SIZE": str(item.size),
        "JOLLYAE_ATTEMPT": str(item.attempt),
    }


async def _tail(child: asyncio.subprocess.Process) -> str:
    """The last of what the child says, in one line; it may say any amount."""
    assert child.stdout is not None
    kept: deque[bytes] = deque(maxlen=2)
    while data := await child.stdout.read(_KEPT):
        kept.append(data)
    return " ".join(b"".join(kept)[-_KEPT:].decode(errors="replace").split())[-500:]
