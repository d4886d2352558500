"""What may be read of a live worker: a snapshot, written to ``working/WORKER/.state.json`` at most once a second."""

import os
import time
from contextlib import suppress

import msgspec

from ..spool import fs

FILE = ".state.json"
EVERY = 1.0
"""Seconds between two writes at the least."""
MOST_STUCK = 10
"""So many of those that cannot be taken are told."""


class Flight(msgspec.Struct, frozen=True):
    """One item in flight; ``sent`` and ``size`` in bytes."""

    name: str
    size: int
    sent: int


class Stuck(msgspec.Struct, frozen=True):
    """An item in ``incoming/`` that cannot be taken."""

    name: str
    error: str


class Paused(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why nothing is claimed. ``since``: seconds since 1970; ``by``: 'destination', 'spool' or 'hand'."""

    by: str
    error: str
    hint: str = ""
    since: float = 0.0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A live worker at one moment. Counters run from its start; times are seconds since 1970."""

    worker: str
    pid: int
    started: float
    destination: str
    watch: str
    delivered: int
    delivered_bytes: int
    failed: int
    deferred: int
    unready: int
    limit: int
    in_flight: list[Flight]
    held: int
    paused: Paused | None
    stuck: list[Stuck] = []


class StateFile:
    """Keeps ``.state.json`` in ``directory`` up to date."""

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, FILE)
        self._last = b""
        self._written = 0.0

    def show(self, snapshot: Snapshot) -> None:
        """Write it, if a second has passed since the last try and it says something new. A full disk costs only this
        view."""
        now = time.monotonic()
        if now - self._written < EVERY:
            return
        data = msgspec.json.encode(snapshot)
        if data == self._last:
            return
        self._written = now
        with suppress(OSError):
            fs.write_beside(self._path, data)
            self._last = data


def read(directory: str) -> Snapshot | None:
    """The snapshot of the worker whose directory this is; None where there is none to be read."""
    try:
        with open(os.path.join(directory, FILE), "rb") as file:
            return msgspec.json.decode(file.read(), type=Snapshot)
    except (OSError, msgspec.DecodeError):
        return None
