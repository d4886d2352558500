"""What an action has to say on the page that follows it: kept here, and named there by a number that tells nothing."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

MOST = 500
"""So many are kept; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence, and lines that may be unfolded."""

    sentence: str
    details: tuple[str, ...] = ()
    is_good: bool = True


@dataclass(slots=True)
class Messages:
    """The latest messages."""

    _kept: OrderedDict[str, Message] = field(default_factory=OrderedDict)

    def add(self, message: Message) -> str:
        """Keep it; what it is asked for by."""
        key = secrets.token_urlsafe(6)
        self._kept[key] = message
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return key

    def get(self, key: str) -> Message | None:
        """The message, if it is still kept."""
        return self._kept.get(key)
