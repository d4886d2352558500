"""What brings a worker its items, where no producer does: it puts them into ``incoming/`` and is told what became of
each."""

from typing import Protocol

from ..spool.item import Item
from ..spool.outcomes import Outcome
from ..spool.spool import Spool
from .health import Pause


class Supply(Protocol):
    """Lives on the worker's event loop, in its process. Only the worker calls it; none of it but :meth:`run` and
    :meth:`close` waits for anything."""

    @property
    def paused(self) -> Pause | None:
        """Why nothing comes: the broker, or the store where the objects are, is unwell."""

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way."""

    def begin(self, spool: Spool) -> None:
        """The worker has opened the spool and has not looked at it yet."""

    def source_of(self, item: Item) -> str:
        """The URL of the object that the item is made of; '' where that is not known. Asked before an attempt, if the
        item does not know it."""

    async def run(self) -> None:
        """Bring items, until cancelled."""

    def retired(self, item: Item, outcome: Outcome) -> None:
        """The item was retired: Done, Defer or Fail. It must not raise."""

    async def close(self) -> None:
        """The worker ends, and nothing is in flight any more: give back what has not been retired."""
