"""Retries of all that match, run by the server: one at a time for each queue, going on when its asker has left."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from . import actions
from .actions import Retried
from .failures import Failures, Filter
from .queue import Queue

PATIENCE = 5.0
"""Seconds that a page waits for a retry to be over before it is shown as going on."""


@dataclass(slots=True)
class Retries:
    """The retry of one queue that goes on, or the last one."""

    queue: Queue
    failures: Failures
    state: Retried = field(default_factory=Retried)
    _task: "asyncio.Task[None] | None" = None

    @property
    def is_going_on(self) -> bool:
        """Whether one is not over yet."""
        return self._task is not None and not self._task.done()

    async def matching(self, wanted: Filter, told: Callable[[], Coroutine[Any, Any, None]]) -> Retried:
        """Retry all that match; how far it is after some seconds. ``told`` is called after each step. One that goes on
        already is gone on with first."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=PATIENCE)
            if not self._task.done():
                return self.state
        self.state = Retried(over=False)
        self._task = asyncio.create_task(self._run(wanted, told))
        await asyncio.wait({self._task}, timeout=PATIENCE)
        if self._task.done():
            self._task.result()
        return self.state

    async def _run(self, wanted: Filter, told: Callable[[], Coroutine[Any, Any, None]]) -> None:
        steps = actions.retrying(self.queue, self.failures, wanted)
        while (step := await asyncio.to_thread(next, steps, None)) is not None:
            self.state = step
            await told()
