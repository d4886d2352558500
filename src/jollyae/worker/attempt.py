"""One attempt at one item: call the processor, and see that what it sent is what there is."""

import asyncio
import inspect
import os
import stat
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

from ..spool import users
from ..spool.item import Item
from ..spool.outcomes import Permanent, Temporary

Fields = dict[str, Any]
Process = Callable[[Item], Awaitable[Fields | None]] | Callable[[Item], Fields | None]
"""A processor: a coroutine function, or a plain one, which is run in a thread. It returns what the receipt shall say of
the delivery (or None), or raises :class:`Temporary` or :class:`Permanent`."""

AsyncProcess = Callable[[Item], Awaitable[Fields | None]]

Ended = Callable[[Item, Fields | Exception], None]


Begin = Callable[[list[Item], Ended], list[Item]]
"""What a processor may offer besides, as ``begin``: a way without a task, which costs more than many a small delivery.
It begins with as many of the items as it can and returns at once, with the others: for these the processor is called.
``ended(item, outcome)`` is to be called exactly once for each that was begun, by the event loop and after this has
returned, with what the call would have returned or raised. It raises nothing."""


def begin_of(process: Process) -> Begin | None:
    """That way, where the processor has it."""
    begin: Begin | None = getattr(process, "begin", None)
    return begin


ROUNDS = 3
"""How often in one attempt a file that changes while it is sent is sent again."""


def as_coroutine(process: Process, executor: Executor) -> AsyncProcess:
    """The processor as a coroutine function; a plain one is called in ``executor``'s threads."""
    called = process if inspect.isroutine(process) else type(process).__call__
    if inspect.iscoroutinefunction(called):
        return process  # type: ignore[return-value]

    async def in_thread(item: Item) -> Fields | None:
        return await asyncio.get_running_loop().run_in_executor(executor, process, item)  # type: ignore[arg-type]

    return in_thread


async def attempt(process: AsyncProcess, item: Item) -> Fields:
    """Process the item once, or again if its file changed meanwhile; what the receipt shall say. Raises what the
    processor raises, :class:`Permanent` for what is no readable file, :class:`Temporary` for one that keeps changing.
    """
    if item.fd < 0:
        raise _defect(item)
    for _ in range(ROUNDS):
        fields = await process(item) or {}
        if not isinstance(fields, dict):
            raise TypeError(f"the processor returned {type(fields).__name__}, not a dict or None")
        if not item.changed():
            return fields
        item.supersede(fields)
    raise Temporary(
        "it changes while it is sent", hint="Write to tmp/ and rename into incoming/ when complete.", reason="content"
    )


def _defect(item: Item) -> Permanent:
    if stat.S_ISREG(item.mode):
        whose = f"it belongs to user {users.user(item.stat.st_uid)} and its mode is {stat.filemode(item.mode)}"
        hint = f"We are {users.user(os.geteuid())}: chmod it, or have a group in common. Then: jollyae retry SPOOL NAME"
        return Permanent(f"it cannot be read: {whose}", hint=hint, reason="denied")
    kind = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    kind[stat.S_IFDIR] = "a directory"  # that took the file's place in the instant of the claim
    hint = "Put the file itself into incoming/, and remove this."
    return Permanent(
        f"it is not a regular file but {kind.get(stat.S_IFMT(item.mode), 'a device')}", hint=hint, reason="content"
    )
