"""The program of a decoding child: ``python -m jollyae.processors.photo.child DESCRIPTOR``.

It serves requests that come over the socket with that descriptor, one after the other, until its end is closed. It is
started anew, not forked: the parent has threads, connections and secrets, of which nothing is here.
"""

import json
import os
import select
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Sequence

from ...spool.outcomes import Permanent, Temporary
from . import limits
from .messages import HEAD, Answer, Request, packed

WORN = 160 << 20
"""Bytes of real memory after a picture, from which on a child is renewed: the memory of a large one that the allocator
did not give back, or a library's leak."""


def main(words: Sequence[str]) -> int:
    """Serve until the parent closes the line; the exit code."""
    line = socket.socket(fileno=int(words[0]))
    limits.harden()
    warnings.simplefilter("ignore")  # a damaged picture is told as an error, or is none
    threading.Thread(target=_end_with_parent, args=(line,), daemon=True).start()
    try:
        from . import reading  # noqa: F401 - Pillow, loaded before the first request
    except ImportError as error:
        line.sendall(packed(Answer(error=f"pictures cannot be decoded: {error}", hint="Install jollyae[album].")))
        return 1
    line.sendall(packed(Answer()))
    while (asked := _receive(line)) is not None:
        request, descriptor = asked
        try:
            answer = _answer(request, descriptor)
        finally:
            os.close(descriptor)
        answer.is_worn = answer.is_worn or limits.resident() > WORN
        line.sendall(packed(answer))
    return 0


def _end_with_parent(line: socket.socket) -> None:
    """End when the other end is closed, also in the middle of a picture, and whatever was started for it."""
    poll = select.poll()
    poll.register(line, 0)  # that it is hung up is told without being asked for
    poll.poll()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _receive(line: socket.socket) -> tuple[Request, int] | None:
    """The next request with its descriptor; None: there is none any more."""
    data, descriptors, _, _ = socket.recv_fds(line, HEAD.size, 1)
    if len(data) < HEAD.size or not descriptors:
        return None
    length, _ = HEAD.unpack(data)
    body = b""
    while len(body) < length:
        if not (part := line.recv(length - len(body))):
            return None
        body += part
    return Request(**json.loads(body)), descriptors[0]


def _answer(request: Request, descriptor: int) -> Answer:
    from . import reading

    allowed = request.memory

    def allow(size: int, smallest: int) -> int:
        nonlocal allowed
        allowed = limits.allowance(size, request.memory, smallest)
        limits.allow(allowed, request.seconds)
        return allowed

    try:
        picture = reading.read(descriptor, request.extension, request.mtime, allow, request.seconds)
    except MemoryError:
        # The limit goes with the file's size, so this is the picture's fault and not the machine's. What was
        # interrupted so may have left anything behind: the child is not used again.
        told = f"it would take more than {allowed >> 20} MiB of memory to decode"
        return Answer(error=told, hint="It is a bomb, or too large to be shown.", is_permanent=True, is_worn=True)
    except Permanent as refusal:
        return Answer(error=refusal.message, hint=refusal.hint, is_permanent=True)
    except Temporary as delay:
        return Answer(error=delay.message, hint=delay.hint)
    finally:
        limits.lift()
    return Answer(picture)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
