"""Run a program per item, as print and mail spools always did.

The command is split into words as a shell would, and no shell sees it; ``{}`` is the item's path, inside a word too.
Exit 0: done; 75 (EX_TEMPFAIL): again later; 126 and 127: the command itself is missing, which is no item's fault; ended
by a signal, or by us because it took too long: again later; anything else: failed.

It runs in a process group of its own, so what it has started ends with it where it must be ended. Over is the attempt
when the command is: what it leaves running does not hold it up, and is not read any more.
"""

import asyncio
import hashlib
import os
import shlex
import signal
import subprocess
from contextlib import suppress
from typing import Any

from ..spool import names
from ..spool.item import Item
from ..spool.outcomes import Permanent, Scope, Temporary
from .keys import KeyTemplate

KILL_AFTER = 5.0
"""Seconds between SIGTERM and SIGKILL for a command that takes too long."""
_CANCELLED = 0.5  # the same, where the worker itself ends: it waits a second for what it has cancelled
_LINGER = 0.2  # seconds for the last of the output, where something that it started still has it open
_POLL = 0.02  # seconds between two looks whether it has ended, where nothing tells
_LAST = 1.0  # seconds in which what was killed is gone, if the kernel lets it go at all
_NOT_FOUND = (126, 127)
_KEPT = 8192  # bytes of the command's output that are kept
_LINES, _COLUMNS = 10, 200  # of these so much is told
_CHUNK = 1 << 20


class CommandError(ValueError):
    """The command cannot be split into words."""


class Command:
    """Runs ``text`` for each item. The child gets no input; JOLLYAE_NAME, JOLLYAE_PATH, JOLLYAE_SIZE, JOLLYAE_ATTEMPT,
    JOLLYAE_SOURCE and JOLLYAE_KEY (by ``template``) in its environment; and the claim's lock: as long as it runs,
    nobody takes the item over. After ``timeout`` seconds it is ended, with all of its process group.

    Raises :class:`CommandError`.

    >>> Command("convert {} -resize 50% 'jpg:/small pictures/last'").words("/spool/a b.jpg")
    ['convert', '/spool/a b.jpg', '-resize', '50%', 'jpg:/small pictures/last']
    """

    def __init__(self, text: str, *, template: KeyTemplate | None = None, timeout: float | None = None) -> None:
        try:
            self._words = shlex.split(text)
        except ValueError as error:
            raise CommandError(f"--exec {text!r}: {error}") from error
        if not self._words:
            raise CommandError("--exec: the command is empty")
        self._template = template or KeyTemplate()
        self._timeout = timeout or None
        self._environment = dict(os.environb)  # ours, once: to copy 40 variables took 40 µs an item

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
        about = await self._about(item)
        with _Output() as output:
            try:
                # Not by the event loop: uvloop's children have copies of what they get, and all that is inheritable.
                process = subprocess.Popen(
                    self.words(item.where),
                    stdin=subprocess.DEVNULL,
                    stdout=output.theirs,
                    stderr=subprocess.STDOUT,
                    env=self._environment | about,
                    pass_fds=(item.owner.lock,),
                    start_new_session=True,
                )
            except (FileNotFoundError, PermissionError) as error:
                raise self._missing(error.strerror or "not found") from error
            output.begin()
            try:
                async with asyncio.timeout(self._timeout):
                    code = await _over(process)
            except TimeoutError:
                await _end(process, KILL_AFTER)
                raise self._too_long(await output.text()) from None
            except asyncio.CancelledError:
                await _end(process, _CANCELLED)
                raise
            return self._judge(code, await output.text())

    async def _about(self, item: Item) -> dict[bytes, bytes]:
        digest = await asyncio.to_thread(_digest, item) if self._template.needs_digest else ""
        told = {
            b"JOLLYAE_NAME": item.name,
            b"JOLLYAE_PATH": item.where,
            b"JOLLYAE_SIZE": str(item.size),
            b"JOLLYAE_ATTEMPT": str(item.attempt),
            b"JOLLYAE_SOURCE": item.source.replace("\0", "%00"),  # the one character that no variable can hold
            b"JOLLYAE_KEY": self._template.key(item.name, item.mtime, digest),
        }
        return {name: os.fsencode(text) for name, text in told.items()}

    def _judge(self, code: int, output: str) -> dict[str, Any]:
        if code == 0:
            return {"command": self.name}
        if code == os.EX_TEMPFAIL:
            raise Temporary(_with(f"{self.name} says: again later", output), reason="command")
        if code in _NOT_FOUND:
            raise self._missing(_with(f"exit code {code}", " | ".join(output.splitlines())))
        if code < 0:
            raise Temporary(_with(f"{self.name} was ended by signal {-code}", output), reason="command")
        raise Permanent(_with(f"{self.name} ended with exit code {code}", output), reason="command")

    def _missing(self, why: str) -> Temporary:
        hint = f"Install {self.name}, or correct --exec; it is tried again by itself."
        return Temporary(f"{self.name} cannot be run: {why}", hint=hint, scope=Scope.DESTINATION, reason="command")

    def _too_long(self, output: str) -> Temporary:
        return Temporary(
            _with(f"{self.name} took more than {self._timeout:g} s and was ended", output),
            hint="It is tried again later; if it must take so long: --exec-timeout.",
            reason="timeout",
        )


def _with(what: str, output: str) -> str:
    """What happened, with what the command said: in the same line where that is one, else below."""
    between = "\n" if "\n" in output else " "
    return f"{what}:{between}{output}" if output else what


def _digest(item: Item) -> str:
    digest, offset = hashlib.sha256(), 0
    while data := os.pread(item.fd, _CHUNK, offset):
        digest.update(data)
        offset += len(data)
    return digest.hexdigest()


async def _over(process: subprocess.Popen[bytes]) -> int:
    """Wait until the process has ended; its exit code, or minus the signal."""
    await _ended(process)
    return process.wait()


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Return when it has ended; it is not reaped by that, where the kernel has descriptors for processes."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or old, or forbidden
        while process.poll() is None:
            await asyncio.sleep(_POLL)
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    """End the child and all that is in its group: ask first, and after ``patience`` seconds do not ask. It is reaped
    last: until then its number is nobody else's."""
    try:
        _signal(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await _ended(process)
        _signal(process.pid, signal.SIGKILL)  # also what has outlived the child
        await _over(process)
    except asyncio.CancelledError:  # the loop ends: nobody will wait for it but we, here
        _signal(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LAST)
        raise


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody is left; or a child with another user's rights
        os.killpg(group, number)


class _Output:
    """The end of what the child says, which may be any amount. ``theirs``: the descriptor for it to write to."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.pipe()
        os.set_blocking(self._ours, False)
        self._kept = bytearray()
        self._over = asyncio.Event()

    def __enter__(self) -> "_Output":
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up()
        self._close_theirs()

    def begin(self) -> None:
        """The child has its end: read."""
        self._close_theirs()
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    def _close_theirs(self) -> None:
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def _hang_up(self) -> None:
        if self._ours >= 0:
            asyncio.get_running_loop().remove_reader(self._ours)
            os.close(self._ours)
            self._ours = -1

    def _read(self) -> None:
        try:
            data = os.read(self._ours, 65536)
        except BlockingIOError:
            return
        self._kept += data
        del self._kept[:-_KEPT]
        if not data:
            self._hang_up()
            self._over.set()

    async def text(self) -> str:
        """The last lines, as any terminal, log or note can hold them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                await self._over.wait()
        lines = [" ".join(line.split()) for line in self._kept.decode(errors="replace").splitlines()]
        lines = [names.printable(line)[:_COLUMNS] for line in lines if line]
        return "\n".join(lines[-_LINES:])
