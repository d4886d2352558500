"""What an error means: a pure function from the error and the item's history to an outcome.

The world's faults are not the item's: only :class:`Permanent` sends an item to ``failed/``. Everything else waits, for
ever, and is shown.
"""

import errno

from ..spool import names
from ..spool.outcomes import Defer, Fail, Hold, Outcome, Permanent, Scope, Temporary
from . import reasons

FIRST_DELAY = 5.0
"""Seconds until the second attempt of a deferred item; doubled at each further one."""
LAST_DELAY = 3600.0
"""The longest time between two attempts, in seconds."""
JITTER = 0.2
"""The share of a delay by which it is spread, so that what was deferred together does not return together."""

_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}
)


def delay(attempts: int, chance: float, first: float = FIRST_DELAY) -> float:
    """Seconds until an item is tried again that is deferred for the ``attempts``-th time; ``chance`` is a random number
    in [0, 1).

    >>> [delay(attempts, 0.5) for attempts in (1, 2, 3, 30)]
    [5.0, 10.0, 20.0, 3600.0]
    """
    whole = min(first * 2.0 ** min(attempts - 1, 30), LAST_DELAY)
    return whole * (1 + JITTER * (2 * chance - 1))


def first_delay(after: float | None) -> float:
    """The ``first`` of :func:`delay`. ``after``: seconds for which the other side has asked to be left alone, where it
    has: no jitter comes to less than that.

    >>> first_delay(None), delay(1, 0.0, first_delay(20.0)), delay(1, 0.5, first_delay(20.0))
    (5.0, 20.0, 25.0)
    """
    return after / (1 - JITTER) if after else FIRST_DELAY


def decide(error: BaseException, attempts: int, *, epidemic: bool, chance: float) -> Outcome:
    """The outcome of an attempt that ended with ``error``. ``attempts``: how often the item was deferred, this time
    included.
    ``epidemic``: the items before this one met an error of the same doubtful kind. ``chance``: random, in [0, 1).

    >>> decide(Permanent("not an image"), 1, epidemic=False, chance=0.5)
    Fail(error='not an image', hint='', reason='other')
    >>> decide(Temporary("busy"), 2, epidemic=False, chance=0.5)
    Defer(delay=10.0, error='busy', hint='', reason='other')
    """
    reason = reasons.of(error)
    if isinstance(error, Permanent):
        return Fail(error.message, error.hint, reason)
    if isinstance(error, Temporary):
        if error.scope is Scope.DESTINATION or (error.scope is Scope.UNSURE and epidemic):
            return Hold(error.message, error.hint, error.throttled, error.after, reason, error.state)
        return Defer(delay(attempts, chance, first_delay(error.after)), error.message, error.hint, reason)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _MACHINE):
        hint = "Free some room, memory or open files."
        return Hold(f"this machine: {describe(error)}", hint, reason="machine", state="machine")
    hint = "A fault in the processor: with -vv the log shows where. If it is jollyae's own, please report it."
    if epidemic:
        return Hold(describe(error), hint, reason=reason, state=reason)
    return Defer(delay(attempts, chance), describe(error), hint, reason)


def describe(error: BaseException) -> str:
    """The error in one line that any terminal, log or note can hold (it may tell an item's name), without a traceback.

    >>> import os
    >>> describe(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/spool/receipts"))
    'No space left on device: /spool/receipts'
    >>> describe(OSError(errno.EACCES, os.strerror(errno.EACCES), "/spool/\\x1b[2J"))
    'Permission denied: /spool/%1B[2J'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {_path(error.filename)}" if error.filename else error.strerror
    text = names.printable(" ".join(str(error).encode(errors="backslashreplace").decode().split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _path(filename: object) -> str:
    return names.show(filename) if isinstance(filename, str) else str(filename)
