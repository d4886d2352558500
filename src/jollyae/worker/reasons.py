"""Why something failed, waits or is paused: one word of a closed list, by which it is counted and grouped.

A processor gives the word with its :class:`Temporary` or :class:`Permanent`. A word that is not of the list (a
processor of one's own may say 'printer') counts as 'other'.
"""

import errno

from ..spool.outcomes import Permanent, Temporary

REASONS = (
    "network",  # not reached: refused, no such host, closed
    "timeout",  # no answer in time
    "tls",
    "throttled",  # it asked for fewer requests
    "server",  # it says that it is unwell
    "credentials",  # none, wrong or expired
    "denied",  # they lack a right
    "clock",
    "bucket",  # the bucket or directory is missing, elsewhere, or not as it must be
    "full",  # no room, or the quota is used up
    "collision",  # the key is taken by something else
    "key",  # no key can be made of it, or the destination takes it not
    "size",  # too large
    "content",  # the file is not what it must be, or changes
    "command",  # what --exec ran
    "died",  # workers died with it
    "machine",  # memory, open files, disk of this machine
    "fault",  # ours, or the processor's
    "other",
)
"""All that there are, in the order in which a tally counts them: append only."""

_NUMBERS = {reason: number for number, reason in enumerate(REASONS)}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def known(reason: str) -> str:
    """The reason itself if it is of the list, else 'other'.

    >>> known("timeout"), known("printer"), known("")
    ('timeout', 'other', 'other')
    """
    return reason if reason in _NUMBERS else "other"


def number(reason: str) -> int:
    """The reason's place in :data:`REASONS`."""
    return _NUMBERS[known(reason)]


def of_errno(code: int | None) -> str:
    """What a system's error number of this machine is counted as."""
    return "full" if code in _FULL else "machine"


def of(error: BaseException) -> str:
    """What an error that a processor raised is counted as.

    >>> of(Temporary("no", reason="clock")), of(Permanent("not an image", reason="content")), of(KeyError("x"))
    ('clock', 'content', 'fault')
    """
    if isinstance(error, (Temporary, Permanent)):
        return known(error.reason)
    return "fault"
