"""Whether a file ends where its format says. Decoders are content once they have all pixels of the first frame; a file
that was cut off behind them was cut off all the same. Only lengths are read here, nothing is decoded."""

from . import kinds
from .kinds import Kind, Read

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
    if kind in (kinds.AVIF, kinds.HEIC, kinds.HEIF) or kind.demuxer == "mov":
        return _boxes(read, size)
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
