"""What a broker is to us: messages come from it, and of each it is told what became of it.

A source keeps a message, as its broker wants that done, from :meth:`Source.receive` until it is told ``done``,
``again`` or ``dead``. Whatever the broker cannot be told is not lost but comes again: messages are delivered at
least once.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..spool.outcomes import Scope, Temporary


@dataclass(slots=True, eq=False)
class Message:
    """What came. ``id``: for people and for telling repeats apart, as far as the broker has one; ``deliveries``: how
    often it was delivered, this time included, as far as the broker tells; ``handle``: the source's own; ``since``:
    when it came (monotonic). ``lost``: the broker has taken it back (a broken connection, a time limit) and delivers
    it again: nothing can be told of this one any more."""

    body: bytes
    id: str = ""
    deliveries: int = 1
    handle: Any = None
    since: float = 0.0
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Why:
    """Why a message goes to the dead letters. ``reason``: one word of a closed list (``worker/reasons.py``)."""

    error: str
    hint: str = ""
    reason: str = "other"
    more: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a queue shows. ``waiting``: messages that nobody has; ``consumers``: who takes from it by now
    (None: the broker does not say); ``dead``: where dead letters would go, '' for nowhere; ``more``: what else should
    be known."""

    waiting: int
    consumers: int | None
    dead: str
    more: str = ""


class Source(Protocol):
    """One queue of one broker. All is called on the event loop. Raises :class:`Temporary` (of the scope DESTINATION)
    with a hint for whatever is the matter with the broker: the caller opens it again after a while."""

    @property
    def name(self) -> str:
        """The queue, for people: a URL without a password."""

    @property
    def keeps_for(self) -> float:
        """Seconds for which the broker lets a message be kept; what takes longer must be given back before."""

    async def look(self) -> Seen:
        """Look at the queue, instead of opening it: no message is taken, and nothing is made."""

    async def open(self) -> None:
        """Connect, and have messages come. What was received before counts as lost, if that connection is over."""

    async def receive(self) -> list[Message]:
        """Wait for messages: those that are there. Cancelling it loses none."""

    def done(self, messages: Iterable[Message]) -> None:
        """These are dealt with: the broker may forget them. It is told soon."""

    async def again(self, messages: Iterable[Message]) -> None:
        """These are for whoever takes them next."""

    async def dead(self, message: Message, why: Why) -> None:
        """Put it among the dead letters, with the reason; only when it is there is the message done."""

    async def pause(self) -> None:
        """Let no more messages come; what was received is still ours."""

    async def close(self) -> None:
        """Tell the broker what it has not been told, and disconnect. It raises nothing."""


def away(what: str, hint: str, reason: str) -> Temporary:
    """The broker, or the queue, is not to be had."""
    return Temporary(what, hint=hint, scope=Scope.DESTINATION, reason=reason)
