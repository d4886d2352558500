"""Whether the spool itself can be worked on: its disk may be full, read-only or broken, its rights gone.

That is no item's fault and no destination's. Nothing is taken until it is mended; what was acknowledged meanwhile is
kept in hand and written down first.
"""

import errno
import os
from collections.abc import Callable, Iterator

from ..spool import fs, names, users
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
        text, hint = told(error)
        if self.health.failed(text, hint, reason=of_errno(error.errno), state=str(error.errno), throttled=False):
            warn(f"paused: the spool: {text}", hint)

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


def told(error: OSError) -> tuple[str, str]:
    """What keeps the spool from being worked on, and what to do. A rename's error names the item, which is well; what
    is not is the directory that it leaves, or more often the one that it shall come to."""
    if error.errno in (errno.EACCES, errno.EROFS):
        for directory in _directories(error):
            if not os.access(directory, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
                hint = "Mount it for writing."
                if error.errno == errno.EACCES:
                    try:
                        hint = users.right_to(directory)
                    except OSError:  # what is above it is closed
                        continue
                return f"cannot write in {names.show(directory)}: {error.strerror}", hint
    if of_errno(error.errno) == "full":
        return describe(error), "Free some room."
    return describe(error), "Mend what it says."


def _directories(error: OSError) -> Iterator[str]:
    for path in (error.filename2, error.filename):
        if isinstance(path, str):
            yield os.path.dirname(path)
