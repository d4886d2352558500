"""What can become of an item, and the two errors by which a processor says so.

A processor returns (Done), or raises :class:`Temporary` (Defer, or pause the destination) or :class:`Permanent` (Fail).
Anything else it raises counts as ``Temporary`` for that item alone: an unknown fault is not the item's.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Scope(StrEnum):
    """Whose fault a :class:`Temporary` is."""

    ITEM = "item"
    """This item's, this time: it is deferred, the others go on."""
    DESTINATION = "destination"
    """The destination's (network, store, credentials, clock, bucket, disk): it is paused and probed."""
    UNSURE = "unsure"
    """Not told by the error: three different items in a row make it the destination's."""


class _Told(Exception):
    """A message for the operator, a hint that says what to do, and one word for why."""

    def __init__(self, message: str, *, hint: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.reason = reason


class Temporary(_Told):
    """Not now: the item is tried again, for ever. Nothing goes to ``failed/`` because of it.

    ``hint`` is a sentence that tells the operator what to do. ``scope`` says whose fault it is, ``throttled`` that the
    destination asked for fewer requests, ``after`` after how many seconds it may be tried again first (doubling).
    ``reason`` is one word for why: it is counted by (see ``worker/reasons.py``, which has the list; another word counts
    as 'other'). ``state`` is one word for the state of the destination, where several reasons are signs of one: a pause
    is logged again only when it changes. Without it the reason is that word.

    >>> raise Temporary("the printer is out of paper", hint="Fill tray 2.", scope=Scope.DESTINATION)
    Traceback (most recent call last):
    jollyae.spool.outcomes.Temporary: the printer is out of paper
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        scope: Scope = Scope.ITEM,
        throttled: bool = False,
        after: float | None = None,
        reason: str = "",
        state: str = "",
    ) -> None:
        super().__init__(message, hint=hint, reason=reason)
        self.scope = scope
        self.throttled = throttled
        self.after = after
        self.state = state or reason


class Permanent(_Told):
    """Never: the item itself will fail for ever. It goes to ``failed/`` with this message beside it. ``reason``: as for
    :class:`Temporary`.

    >>> raise Permanent("not an image", hint="Put only pictures here.")
    Traceback (most recent call last):
    jollyae.spool.outcomes.Permanent: not an image
    """


@dataclass(frozen=True, slots=True)
class Done:
    """The destination acknowledged it. ``fields`` go into the receipt."""

    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Defer:
    """Not now: again in ``delay`` seconds."""

    delay: float
    error: str
    hint: str = ""
    reason: str = "other"


@dataclass(frozen=True, slots=True)
class Fail:
    """Never, and why."""

    error: str
    hint: str = ""
    reason: str = "other"


@dataclass(frozen=True, slots=True)
class Hold:
    """The destination is unwell: the item keeps its claim and waits for it."""

    error: str
    hint: str = ""
    throttled: bool = False
    after: float | None = None
    reason: str = "other"
    state: str = ""


Outcome = Done | Defer | Fail | Hold
