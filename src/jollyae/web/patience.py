"""Asks what may never answer: a look at a disk that hangs must not hold the looks at the others."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 3.0
"""Seconds that are waited for an answer…"""
GLANCE = 0.05
"""…and while one is overdue already."""


class Unanswered(Exception):
    """There was no answer. ``seconds``: since it was asked."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer for {seconds:.0f} s")
        self.seconds = seconds


class _Question(Generic[T]):
    """One call, in a thread that nobody waits for at the end of the program."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._answer: list[T] = []
        self._error: BaseException | None = None
        self._over = threading.Event()
        self.began = time.monotonic()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._answer.append(self._work())
        except BaseException as error:
            self._error = error
        self._over.set()

    def wait(self, seconds: float) -> bool:
        """Whether it is answered within so long."""
        return self._over.wait(seconds)

    def answer(self) -> T:
        """What was answered, or the error that was raised."""
        if self._error is not None:
            raise self._error
        return self._answer[0]


class Patience(Generic[T]):
    """Calls ``work`` in a thread, one call at a time: who asks while one is under way gets its answer."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._question: _Question[T] | None = None

    def ask(self) -> T:
        """The answer. Raises what ``work`` raises, and :class:`Unanswered` where there is no answer for too
        long."""
        with self._lock:
            question = self._question
            if question is None or question.wait(0):
                question = self._question = _Question(self._work)
        overdue = time.monotonic() - question.began
        if not question.wait(PATIENCE if overdue < PATIENCE else GLANCE):
            raise Unanswered(time.monotonic() - question.began)
        return question.answer()
