"""Whether a file ends where its format says. Decoders are content once they have all pixels of the first frame; a file
that was cut off behind them was cut off all the same. Only lengths are read here, nothing is decoded."""

import struct
from collections.abc import Iterator

from . import kinds
from .kinds import Kind, Read

_DIRECTORIES = ("dng", "cr2", "nef", "nrw", "arw", "sr2", "pef", "srw")
"""Raw files that are made of a TIFF's directories; nobody here decodes what is at their end."""
_MOST_BLOCKS = 1_000_000
"""Blocks that are looked at before a file counts as whole: it has a limit, as everything has."""


def is_whole(kind: Kind, read: Read, size: int) -> bool:
    """Whether nothing is missing at the end of a file of so many bytes, as far as its format tells."""
    if kind is kinds.PNG:
        return _png(read, size)
    if kind is kinds.GIF:
        return _gif(read, size)
    if kind in (kinds.WEBP, kinds.AVI):
        return 8 + int.from_bytes(read(4, 4), "little") <= size
    if kind in (kinds.AVIF, kinds.HEIC, kinds.HEIF, kinds.RAWS["cr3"]) or kind.demuxer == "mov":
        return _boxes(read, size)
    if kind.extension in _DIRECTORIES:
        return _tiff(read, size)
    return True


def _png(read: Read, size: int) -> bool:
    """Chunks up to IEND."""
    place = 8
    for _ in range(_MOST_BLOCKS):
        head = read(place, 8)
        if len(head) < 8:
            return False
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        place += 12 + length
        if name == b"IEND":
            return place <= size
    return True


def _gif(read: Read, size: int) -> bool:
    """Blocks up to the trailer."""
    place = 13 + _palette(read(10, 1))
    for _ in range(_MOST_BLOCKS):
        match read(place, 1):
            case b";":
                return True
            case b"!":
                place = _behind_sub_blocks(read, place + 2)
            case b",":
                place = _behind_sub_blocks(read, place + 11 + _palette(read(place + 9, 1)))
            case b"":
                return False
            case _:
                return True  # no block that is known: the decoder shall judge
    return True


def _palette(flags: bytes) -> int:
    """Bytes of the palette that these flags promise."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


def _behind_sub_blocks(read: Read, place: int) -> int:
    for _ in range(_MOST_BLOCKS):
        length = read(place, 1)
        if not length or length == b"\0":
            break
        place += 1 + length[0]
    return place + 1


def _boxes(read: Read, size: int) -> bool:
    """Boxes (ISO 14496-12) up to the end."""
    place = 0
    for _ in range(_MOST_BLOCKS):
        head = read(place, 16)
        if len(head) < 8:
            return True  # the last box ended here, but for some bytes of filling
        length = int.from_bytes(head[:4], "big")
        if length == 0:
            return True  # up to the end, wherever that is
        if length == 1:
            length = int.from_bytes(head[8:16], "big") if len(head) == 16 else 0
        if length < 8:
            return True  # no box: the decoder shall judge
        place += length
        if place > size:
            return False
    return True


_NUMBERS = {3: "H", 4: "I"}
_PIXELS = ((273, 279), (324, 325), (513, 514))
"""Tags that say where strips, tiles and previews begin, and how long they are."""
_BELOW = 330
_MOST_DIRECTORIES = 64
_MOST_PARTS = 100_000


def _tiff(read: Read, size: int) -> bool:
    """All that its directories point to."""
    order = "<" if read(0, 1) == b"I" else ">"
    waiting, seen = [int.from_bytes(read(4, 4), "little" if order == "<" else "big")], set[int]()
    while waiting and len(seen) < _MOST_DIRECTORIES:
        place = waiting.pop()
        if place == 0 or place in seen:
            continue
        seen.add(place)
        found = _directory(read, place, order)
        if found is None:
            return False
        tags, after = found
        for starts, lengths in _PIXELS:
            parts = zip(tags.get(starts, ()), tags.get(lengths, ()), strict=False)
            if any(start + length > size for start, length in parts):
                return False
        waiting += [after, *tags.get(_BELOW, ())]
    return True


def _directory(read: Read, place: int, order: str) -> tuple[dict[int, tuple[int, ...]], int] | None:
    """The whole numbers in a directory by their tag, and where the next directory is; None where it is cut off."""
    counted = read(place, 2)
    if len(counted) < 2:
        return None
    (count,) = struct.unpack(f"{order}H", counted)
    entries = read(place + 2, 12 * count + 4)
    if len(entries) < 12 * count:
        return None
    tags = dict(_whole_numbers(read, entries[: 12 * count], order))
    end = entries[12 * count :]
    return tags, struct.unpack(f"{order}I", end)[0] if len(end) == 4 else 0


def _whole_numbers(read: Read, entries: bytes, order: str) -> Iterator[tuple[int, tuple[int, ...]]]:
    for tag, kind, count, data in struct.iter_unpack(f"{order}HHI4s", entries):
        letter = _NUMBERS.get(kind)
        if letter is None or not 0 < count <= _MOST_PARTS or tag not in (_BELOW, *sum(_PIXELS, ())):
            continue
        length = struct.calcsize(f"{order}{count}{letter}")
        values = data[:length] if length <= 4 else read(struct.unpack(f"{order}I", data)[0], length)
        if len(values) == length:
            yield tag, struct.unpack(f"{order}{count}{letter}", values)
