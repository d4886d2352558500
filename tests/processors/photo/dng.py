"""A raw file as a camera or a phone writes it (Adobe DNG): a small picture, and the sensor's below it."""

import struct
from collections.abc import Mapping

from tests.processors.photo.makers import encoded, scene

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _UNDEFINED, _SRATIONAL = 1, 2, 3, 4, 5, 7, 10
Tags = Mapping[int, tuple[int, object]]
_SIZES = {_BYTE: "B", _ASCII: "s", _SHORT: "H", _LONG: "I"}


def dng(size: tuple[int, int] = (320, 240), orientation: int = 1, *, preview: bool = True) -> bytes:
    """The file; ``preview``: whether there is a picture in it that can be shown."""
    width, height = size
    shown = encoded(scene(size))
    sensor = struct.pack(f"<{width * height}H", *([600, 900] * (width * height // 2)))
    first: Tags = {
        254: (_LONG, [1]),
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [8, 8, 8]),
        259: (_SHORT, [7]),
        262: (_SHORT, [6]),
        271: (_ASCII, b"Maker\0"),
        272: (_ASCII, b"Maker One\0"),
        273: (_LONG, ["preview"]),
        274: (_SHORT, [orientation]),
        277: (_SHORT, [3]),
        278: (_LONG, [height]),
        279: (_LONG, [len(shown)]),
        306: (_ASCII, b"2026:05:01 12:34:56\0"),
        330: (_LONG, ["below"]),
        50706: (_BYTE, [1, 4, 0, 0]),
        50707: (_BYTE, [1, 1, 0, 0]),
        50708: (_ASCII, b"Maker One\0"),
        50721: (_SRATIONAL, [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]),
        50728: (_RATIONAL, [1, 2, 1, 1, 1, 2]),
        50778: (_SHORT, [21]),
    }
    below: Tags = {
        254: (_LONG, [0]),
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [16]),
        259: (_SHORT, [1]),
        262: (_SHORT, [32803]),
        273: (_LONG, ["sensor"]),
        277: (_SHORT, [1]),
        278: (_LONG, [height]),
        279: (_LONG, [len(sensor)]),
        33421: (_SHORT, [2, 2]),
        33422: (_BYTE, [0, 1, 1, 2]),
        50717: (_SHORT, [4095]),
    }
    if not preview:
        kept = {tag: first[tag] for tag in first if tag in (271, 272, 274, 306) or tag > 50_000}
        first, below = {**below, **kept}, {}
    return _file(first, below, {"preview": shown if preview else b"", "sensor": sensor})


def floating(size: tuple[int, int]) -> bytes:
    """A TIFF in colour, each of them a 32-bit float: what programs for panoramas write."""
    width, height = size
    pixels = struct.pack(f"<{3 * width * height}f", *([0.5] * (3 * width * height)))
    tags: Tags = {
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [32, 32, 32]),
        259: (_SHORT, [1]),
        262: (_SHORT, [2]),
        273: (_LONG, ["sensor"]),
        277: (_SHORT, [3]),
        278: (_LONG, [height]),
        279: (_LONG, [len(pixels)]),
        339: (_SHORT, [3, 3, 3]),
    }
    return _file(tags, {}, {"sensor": pixels})


def _file(first: Tags, below: Tags, blobs: dict[str, bytes]) -> bytes:
    """Directories at the beginning, then all values, then the blobs."""
    places = {"below": 8 + _length(first)}
    place = places["below"] + (_length(below) if below else 0)
    for name, blob in blobs.items():
        places[name] = place
        place += len(blob)
    parts = [b"II*\0\x08\0\0\0", _directory(first, 8, places)]
    if below:
        parts.append(_directory(below, places["below"], places))
    return b"".join([*parts, *blobs.values()])


def _length(tags: Tags) -> int:
    return len(_directory(tags, 0, {"below": 0, "preview": 0, "sensor": 0}))


def _directory(tags: Tags, start: int, places: dict[str, int]) -> bytes:
    entries, values = b"", b""
    after = start + 2 + 12 * len(tags) + 4
    for tag, (kind, value) in sorted(tags.items()):
        count, data = _packed(kind, value, places)
        if len(data) > 4:
            where = struct.pack("<I", after + len(values))
            values += data + b"\0" * (len(data) % 2)
        else:
            where = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + where
    return struct.pack("<H", len(tags)) + entries + bytes(4) + values


def _packed(kind: int, value: object, places: dict[str, int]) -> tuple[int, bytes]:
    if isinstance(value, bytes):
        return len(value), value
    assert isinstance(value, list)
    numbers = [places[one] if isinstance(one, str) else one for one in value]
    if kind in (_RATIONAL, _SRATIONAL):
        return len(numbers) // 2, struct.pack(f"<{len(numbers)}I", *numbers)
    return len(numbers), struct.pack(f"<{len(numbers)}{_SIZES[kind]}", *numbers)
