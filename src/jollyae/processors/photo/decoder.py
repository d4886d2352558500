"""The parent's end of one decoding child."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from ...spool.outcomes import Scope, Temporary
from .messages import HEAD, LARGEST, Answer, Request, packed, with_renditions

_ROOT = str(Path(__file__).parents[3])
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONHOME", "VIRTUAL_ENV")
_ALLOCATOR = {
    # Each thread's arena and stack would count as a picture's memory; other cores have children of their own.
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # A photo's three or four buffers are kept for the next one: the kernel takes a tenth of the time to zero new ones.
    # What is larger than 32 MiB goes back at once.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(40 << 20),
}
_START = 60.0
"""Seconds in which a child must be ready; it takes a fifth of one."""
_BLOCK = 1 << 18


class Gone(Exception):
    """The child ended, or said what none of ours says. ``code``: its exit code, or minus the signal that ended it."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the child ended with {code}")
        self.code = code


class Decoder:
    """One child, which decodes one picture after the other. ``served``: how many it was asked for."""

    def __init__(self) -> None:
        self.served = 0
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.child", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_environment(),
                cwd="/",
                # A group of its own: Ctrl-C is the parent's, and what the child starts can be ended with it.
                process_group=0,
            )
        ours.setblocking(False)
        self._line = ours

    @classmethod
    async def start(cls) -> "Decoder":
        """A child that is ready. Raises :class:`Temporary`: no picture is at fault where none can be had."""
        try:
            decoder = cls()
        except OSError as error:
            raise _not_started(f"{error.strerror}", "Free memory or processes on this machine.") from error
        try:
            async with asyncio.timeout(_START):
                answer = await decoder._receive()
        except (Gone, TimeoutError) as error:
            decoder.kill()
            raise _not_started(f"{error}" or "it takes too long", _BY_HAND) from error
        except BaseException:
            decoder.kill()
            raise
        if answer.error:
            decoder.kill()
            raise _not_started(answer.error, answer.hint)
        return decoder

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    async def ask(self, request: Request, descriptor: int) -> Answer:
        """What it makes of the file behind ``descriptor``. Raises :class:`Gone`."""
        self.served += 1
        try:
            socket.send_fds(self._line, [packed(request)], [descriptor])
        except OSError as error:
            raise Gone(await self._ended()) from error
        return await self._receive()

    async def _receive(self) -> Answer:
        length, more = HEAD.unpack(await self._exactly(HEAD.size))
        try:
            if length + more > LARGEST:
                raise ValueError("too long")
            answer = msgspec.json.decode(await self._exactly(length), type=Answer)
            return with_renditions(answer, await self._exactly(more)) if more else answer
        except (ValueError, msgspec.MsgspecError) as error:
            self.kill()
            raise Gone(-signal.SIGABRT) from error  # its memory is damaged: that is a crash

    async def _exactly(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        data = bytearray()
        while len(data) < size:
            try:
                part = await loop.sock_recv(self._line, min(_BLOCK, size - len(data)))
            except OSError:
                part = b""
            if not part:
                raise Gone(await self._ended())
            data += part
        return bytes(data)

    async def _ended(self) -> int:
        """The exit code of a child whose line was closed: it is about to end, if it has not yet."""
        for _ in range(100):
            if (code := self._process.poll()) is not None:
                return code
            await asyncio.sleep(0.01)
        self.kill()
        return self._process.poll() or 0

    def cpu(self) -> float | None:
        """Seconds of CPU that it has used so far; None where this system does not tell (clock_getcpuclockid(3))."""
        if sys.platform == "linux":
            with suppress(OSError):
                return time.clock_gettime_ns(~self.pid << 3 | 2) / 1e9
        return None

    def kill(self) -> None:
        """End it, with what it started; nothing of it is left."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._line.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:  # it hangs in the kernel, over a disk that is gone
            threading.Thread(target=self._process.wait, daemon=True).start()


_BY_HAND = f"See what it says: {sys.executable} -m {__package__}.child 0"


def _not_started(why: str, hint: str) -> Temporary:
    told = f"the decoder of pictures does not start: {why}"
    return Temporary(told, hint=hint, scope=Scope.DESTINATION, reason="machine", state="decoder")


def _environment() -> dict[str, str]:
    """Where programs and libraries are, and nothing of the parent's secrets: a child reads what strangers made."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT}
    path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
    return kept | _ALLOCATOR | {"PYTHONPATH": path}
