"""Spools with troubles in them, as workers leave them."""

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from jollyae import Spool
from jollyae.spool import notes
from jollyae.spool.places import Place
from jollyae.web.queue import Queue
from jollyae.worker.state import Snapshot


def trouble(spool: Spool, name: str, error: str, hint: str = "", place: Place = Place.FAILED, **more: object) -> Path:
    """An item in failed/ or deferred/ with its note, as a worker leaves it."""
    path = spool.places.of(place) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    note = notes.about(name, path.lstat())
    note.error, note.hint, note.at, note.attempts = error, hint, time.time(), 1
    for field, value in more.items():
        if field != "due":
            setattr(note, field, value)
    note_path = Path(notes.path_of(str(path)))
    note_path.write_bytes(msgspec.json.encode(note))  # not fsynced as by a worker: here are 100,000 of them
    if isinstance(due := more.get("due"), float):
        os.utime(note_path, (due, due))
    return path


def queue(spool: Spool, name: str = "photos") -> Queue:
    """The spool as a queue of the dashboard."""
    return Queue(name, spool, "s3://bucket/in")


def snapshot(**more: Any) -> Snapshot:
    """What a live worker says of itself."""
    usual: dict[str, Any] = {
        "worker": "host-1-00000000",
        "pid": 1,
        "started": 0.0,
        "destination": "s3://bucket/in",
        "watch": "inotify",
        "delivered": 0,
        "delivered_bytes": 0,
        "failed": 0,
        "deferred": 0,
        "unready": 0,
        "limit": 16,
        "in_flight": [],
        "held": 0,
        "paused": None,
    }
    return Snapshot(**usual | more)
