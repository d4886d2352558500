"""Does a worker live on a spool? For a container's health check: by the kernel's locks and what the workers say of
themselves. Nothing is asked over a network, and the destination has no part in it."""

import os
import time

from ...spool import survey
from ...spool.places import Places
from ...worker import state
from ..units import counted
from . import standing


def look(places: Places, now: float | None = None) -> tuple[bool, str]:
    """Whether each worker on the spool lives and there is one, and a sentence. ``now``: seconds since 1970."""
    now = time.time() if now is None else now
    held = survey.workers(places)
    live = [path for path, holder in held if holder == os.path.basename(path)]
    if not live:
        return False, f"no worker is running on {places.control}"
    for path in live:
        if against := _against(path, now):
            return False, f"worker {os.path.basename(path)} {against}"
    return True, f"{counted(len(live), 'worker')} running on {places.control}"


def _against(path: str, now: float) -> str:
    snapshot = state.read(path)
    if snapshot is not None:
        silent = standing.silence(snapshot, now)
    else:  # it has just begun, or its disk is full
        silent = now - os.stat(path).st_mtime if os.path.exists(path) else 0.0
    return "" if silent < standing.SILENT else f"has not looked at its spool for {silent:.0f} s"
