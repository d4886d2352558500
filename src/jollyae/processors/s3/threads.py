"""Threads that never keep the program from ending.

The threads of :class:`concurrent.futures.ThreadPoolExecutor` are waited for at exit, also those that hang in a dead
connection. Stopping is the same as dying here, so these are daemons: what they were doing is done again.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Threads(Executor):
    """At most ``most`` daemon threads, each started when it is needed.

    >>> with Threads(2) as threads:
    ...     threads.submit(pow, 2, 10).result()
    1024
    """

    def __init__(self, most: int, name: str = "s3") -> None:
        self._most = most
        self._name = name
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Run ``fn`` in a thread."""
        future: Future[_T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("these threads are closed")
            if self._idle > 0:
                self._idle -= 1
            elif self._started < self._most:
                self._started += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
        self._queue.put((future, lambda: fn(*args, **kwargs)))
        return future

    async def run(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run ``fn`` in a thread and wait for it on the event loop."""
        return await asyncio.wrap_future(self.submit(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more; the threads end with what they do now, and are not waited for."""
        with self._lock:
            self._closed = True
            for _ in range(self._started):
                self._queue.put(None)

    def _work(self) -> None:
        while job := self._queue.get():
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del future, call, job  # the body of a request is not kept until the next one
            with self._lock:
                self._idle += 1
