"""Reading pictures in child processes, and whose fault it is when one ends over a picture.

| what happens | what it is | why |
|---|---|---|
| the child says that the file's bytes are no picture, damaged, or a bomb | ``Permanent`` | no other day changes bytes |
| it would take more memory than a file of that size may | ``Permanent`` | the limit goes with the file and is the same on every day; the machine's own want of memory ends the child from outside |
| it takes longer than it may, computing | ``Permanent`` | as above: its CPU time is counted, not the clock alone |
| it takes longer than it may, waiting | ``Temporary`` | the disk or the machine is slow |
| the codec crashes | ``Temporary``, the third time ``Permanent`` | bad memory crashes too, and so does what is mended by the next upgrade; but no picture may be tried for ever |
| the child is killed from outside | ``Temporary`` | the machine was out of memory, or somebody did it |
| no child can be started | ``Temporary``, the destination's | no picture is at fault |
"""  # noqa: E501 - a table

import asyncio
import os
import signal
from collections import OrderedDict

from ...spool.outcomes import Permanent, Temporary
from .decoder import Decoder, Gone
from .messages import Answer, Request
from .picture import Picture

SECONDS = 60.0
"""What a picture may take; a large one of a phone takes one."""
MEMORY = 768 << 20
"""Bytes that any picture may take: 90 million pixels of HEIC do. Small files may take less, see :mod:`.limits`."""
RENEWED_AFTER = 500
"""Pictures after which a child is renewed, with all that a library leaks. A start costs what two pictures do."""
CRASHES = 3
"""So often the same file may crash a codec."""

_SLOWEST = 20e6  # bytes per second of the slowest disk: a long video may take longer to be read
_REMEMBERED = 1000  # files that crashed
_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT})

_File = tuple[int, int, int, int]


class Pictures:
    """Reads pictures, ``children`` of them at a time, each in a process of its own that may take ``seconds`` (more for
    a very large file) and ``memory`` bytes for one. Children are started when they are needed and live on until
    :meth:`close`."""

    def __init__(self, *, children: int = 1, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._room = asyncio.Semaphore(children)
        self._idle: list[Decoder] = []
        self._busy: set[Decoder] = set()
        self._crashed: OrderedDict[_File, int] = OrderedDict()

    async def read(self, path: str | int, name: str, mtime: float) -> Picture:
        """Read the file at ``path``, or behind the descriptor that it is (its position does not matter). ``name`` is
        the one it came under: its extension tells raw files apart, whose content is alike. ``mtime`` (seconds since
        1970) is its date if it has none of its own. Raises :class:`Permanent` and :class:`Temporary`."""
        if isinstance(path, int):
            return await self._queue(path, name, mtime)
        descriptor = _open(path)
        try:
            return await self._queue(descriptor, name, mtime)
        finally:
            os.close(descriptor)

    @property
    def children(self) -> list[int]:
        """The process ids of the children that live."""
        return [decoder.pid for decoder in (*self._idle, *self._busy)]

    def close(self) -> None:
        """End the children. What is being read then is :class:`Temporary`."""
        for decoder in (*self._idle, *self._busy):
            decoder.kill()
        self._idle.clear()

    async def _queue(self, descriptor: int, name: str, mtime: float) -> Picture:
        size = os.fstat(descriptor).st_size
        request = Request(_extension(name), mtime, self._seconds + size / _SLOWEST, self._memory)
        async with self._room:
            answer = await self._ask(request, descriptor)
        if answer.picture is not None:
            return answer.picture
        kind = Permanent if answer.is_permanent else Temporary
        raise kind(answer.error, hint=answer.hint)

    async def _ask(self, request: Request, descriptor: int) -> Answer:
        decoder = await self._decoder()
        self._busy.add(decoder)
        before = decoder.cpu()
        is_good = False
        try:
            async with asyncio.timeout(request.seconds):
                answer = await decoder.ask(request, descriptor)
            is_good = not answer.is_worn and decoder.served < RENEWED_AFTER
            return answer
        except TimeoutError:
            raise _late(request.seconds, before, decoder.cpu()) from None
        except Gone as gone:
            raise self._died(gone.code, descriptor, request.seconds) from None
        finally:
            self._busy.discard(decoder)
            if is_good:
                self._idle.append(decoder)
            else:  # also where the task was cancelled: it is busy with what nobody wants any more
                decoder.kill()

    async def _decoder(self) -> Decoder:
        """A child that waits for work; a new one where there is none."""
        while self._idle:
            decoder = self._idle.pop()
            if decoder.is_alive:
                return decoder
            decoder.kill()
        return await Decoder.start()

    def _died(self, code: int, descriptor: int, seconds: float) -> Permanent | Temporary:
        """What it means that the child ended over this file."""
        if code == -signal.SIGXCPU:
            return _too_slow(seconds)
        if -code in _OUTSIDE:
            told = f"its decoder was ended from outside ({_signal(code)})"
            return Temporary(told, hint="The machine may be short of memory.", reason="machine")
        crashes = self._count_crash(descriptor)
        told = f"the decoder crashed over it ({_signal(code)})"
        if crashes < CRASHES:
            return Temporary(told, hint=f"It is tried {CRASHES} times.", reason="content")
        hint = "It is damaged, or made to do harm; or a library has a bug: upgrade Pillow, then retry it."
        return Permanent(f"{told}, {crashes} times", hint=hint, reason="content")

    def _count_crash(self, descriptor: int) -> int:
        """How often this very file has crashed a child of ours now."""
        found = os.fstat(descriptor)
        file = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        crashes = self._crashed.pop(file, 0) + 1
        self._crashed[file] = crashes
        if len(self._crashed) > _REMEMBERED:
            self._crashed.popitem(last=False)
        return crashes


def _extension(name: str) -> str:
    """The extension of a name, lower case, no dot; only what an extension can be.

    >>> _extension("a walk/DSC_0001.NEF"), _extension("notes"), _extension(".hidden")
    ('nef', '', '')
    """
    stem, dot, extension = name.rpartition("/")[2].rpartition(".")
    return extension.lower() if stem and dot and extension.isascii() and extension.isalnum() else ""


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Temporary(
            f"it cannot be opened: {error.strerror}", hint="Look at the file and its rights.", reason="denied"
        ) from error


def _late(seconds: float, before: float | None, after: float | None) -> Permanent | Temporary:
    """What it means that it was not read in time: did it compute, or wait?"""
    is_waiting = before is not None and after is not None and after - before < seconds / 2
    if not is_waiting:
        return _too_slow(seconds)
    told = f"it was not read within {seconds:.0f} s, and most of that its decoder waited"
    return Temporary(told, hint="The disk or the machine is slow or overloaded.", reason="machine")


def _too_slow(seconds: float) -> Permanent:
    told = f"it takes more than {seconds:.0f} s to decode"
    return Permanent(told, hint="It is made to take for ever, or too large to be shown.", reason="content")


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
