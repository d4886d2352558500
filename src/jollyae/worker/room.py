"""Whether the spool itself can be worked on: its disk may be full, read-only or broken, its rights gone.

That is no item's fault and no destination's. Nothing is taken until it is mended; what was acknowledged meanwhile is
kept in hand and written down first.
"""

import os
from collections.abc import Callable

from ..spool import fs
from .health import Health
from .reasons import of_errno
from .retry import describe
from .telling import notice, warn

_PROBE = ".probe"
_PROBE_BYTES = 4096


class Room:
    """The spool's own health. ``directory``: the worker's, where writing is tried."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.health = Health(1)

    def trouble(self, error: OSError) -> None:
        """The spool cannot be worked on."""
        text = describe(error)
        if self.health.failed(text, "", reason=of_errno(error.errno), state=str(error.errno), throttled=False):
            warn(f"paused: the spool: {text}", "Free some room, or mend what it says.")

    def is_well(self, catch_up: Callable[[], bool]) -> bool:
        """Whether it can be worked on. After a trouble that is tried from time to time, by writing a little and by
        ``catch_up``, which does what could not be done and says whether nothing of it is left."""
        if self.health.paused is None:
            return True
        if not self.health.room(0):
            return False
        self.health.started()
        try:
            fs.write_beside(os.path.join(self._directory, _PROBE), bytes(_PROBE_BYTES))
            if not catch_up():
                return False
        except OSError as error:
            self.trouble(error)
            return False
        self.health.succeeded(0)
        notice("resumed: the spool")
        return True
