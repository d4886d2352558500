"""Reading back what was delivered: what any store can be asked for."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

BLOCK = 1 << 20
"""Bytes of a piece."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store tells of an object. ``size`` in bytes; ``etag`` without quotes; ``metadata`` by the names that S3
    has for it; ``checksums``: what the store computed over the whole, algorithm → base64."""

    size: int
    etag: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """Reads the objects of one bucket, below the prefix that its URL names. Raises
    :class:`~jollyae.spool.outcomes.Temporary` and :class:`~jollyae.spool.outcomes.Permanent`, which say why."""

    url: str

    async def size(self, key: str) -> int | None:
        """The object's size in bytes; None if there is none."""

    async def look(self, key: str) -> Kept | None:
        """What is kept with the object; None if there is none."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Its bytes from ``start`` up to and without ``end``, in pieces. Raises :class:`FileNotFoundError`."""

    def list(self, folder: str) -> AsyncIterator[tuple[str, int]]:
        """Keys and sizes of all objects below a folder, in the order of the keys."""

    def close(self) -> None:
        """Take no more requests. Nothing is waited for."""
