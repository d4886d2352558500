"""Forks of one parent: how a child is made, told of its parent's end, and waited for.

A child is forked while the parent has no thread, no event loop, no connection and no descriptor of an item; so a start
costs milliseconds, whatever was loaded is shared, and the child can become anything. Parent and child have a pair of
sockets, and its end tells each that the other is gone, whatever ended it.
"""

import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from .siblings import Line

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""The signals of every parent; one that can load its configuration again hears SIGHUP too."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process, and our end of the line to it."""

    pid: int
    line: Line


class Nursery:
    """Has children, hears signals, and waits for both. ``in_child`` is called in each new process, to set its output
    up; ``reloads``: whether SIGHUP is heard. A child does not die of SIGHUP then: it is sent to whole groups."""

    def __init__(self, in_child: Callable[[], None], *, reloads: bool = False) -> None:
        self._in_child = in_child
        self._signals = (*HEARD, signal.SIGHUP) if reloads else HEARD
        self._children: dict[int, Child] = {}
        self.private: set[socket.socket] = set()
        """What no child has open that does not need it: a port would be taken for as long as it lives."""

    @contextmanager
    def open(self, hear: Callable[[int], None]) -> Iterator[None]:
        """During the context signals are heard: ``hear`` is called with each, by :meth:`wait`."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        before = {number: signal.signal(number, lambda *_: None) for number in self._signals}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, nobody's end could be seen
        wakeup = signal.set_wakeup_fd(theirs.fileno())
        self._ends = (ours, theirs)
        try:
            with selectors.DefaultSelector() as self._selector:
                self._selector.register(ours, selectors.EVENT_READ, lambda: _each(ours, hear))
                yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            ours.close()
            theirs.close()

    def wait(self, seconds: float | None) -> bool:
        """Wait so long at the most, and deal with all that was heard; whether anything was."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            key.data()
        return bool(ready)

    def fork(
        self, live: Callable[[Line], int], heard: Callable[[Child], None], *, keep: Iterable[socket.socket] = ()
    ) -> Child:
        """A child that calls ``live`` with its end of the line, and ends with what that returns. ``heard`` is called by
        :meth:`wait` when it has said something or is gone. ``keep``: which of those that are private it has open.
        Raises :class:`OSError`."""
        ours, theirs = socket.socketpair()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # a terminal that is gone
                stream.flush()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)  # none must meet our handlers in the child
        try:
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._become(live, Line(theirs), before, self.private.difference(keep))
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        child = self._children[pid] = Child(pid, Line(ours))
        self._selector.register(child.line, selectors.EVENT_READ, lambda: heard(child))
        return child

    def deafen(self, child: Child) -> None:
        """Nothing comes from it any more: its line has ended."""
        self._selector.unregister(child.line)
        child.line.close()

    def reap(self, child: Child) -> int | None:
        """The exit code of one whose line has ended; None where it is not quite gone: ask again, for nothing here waits
        for a process (that may hang in the kernel, with a file of a dead server)."""
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if not pid:
            return None
        del self._children[pid]
        return os.waitstatus_to_exitcode(status)

    def _become(
        self, live: Callable[[Line], int], line: Line, mask: Iterable[int], not_ours: set[socket.socket]
    ) -> NoReturn:
        """The rest of a new process's life."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in self._signals:
                signal.signal(number, signal.SIG_DFL)  # there is nothing to stop in order yet
            if signal.SIGHUP in self._signals:
                signal.signal(signal.SIGHUP, lambda *_: None)  # a handler: commands we run begin with the default
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for end in (*self._ends, *not_ours):
                end.close()
            self._selector.close()
            for other in self._children.values():
                other.line.close()  # else they would not see our parent's end
            self._in_child()
            code = live(line)
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stderr.flush()
            os._exit(code)  # a thread that still waits for a dead server is not waited for


def _each(ours: socket.socket, hear: Callable[[int], None]) -> None:
    for number in ours.recv(64):
        hear(number)
