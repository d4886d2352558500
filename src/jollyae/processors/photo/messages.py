"""What the parent and a decoding child say to each other.

A message is the lengths of its two parts, then JSON, then the bytes of the renditions. The file itself goes over as a
descriptor, beside the request. The child writes with what Python itself has: a library would cost each child memory.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from .picture import Picture

HEAD = struct.Struct(">II")
LARGEST = 64 << 20
"""Bytes of an answer: what is larger was not made by our code, and is not read."""


@dataclass(slots=True)
class Request:
    """Read the file that comes with this. ``extension``: the one it came under; ``mtime``: its time; ``seconds`` and
    ``memory`` (bytes) are what it may take."""

    extension: str
    mtime: float
    seconds: float
    memory: int


@dataclass(slots=True)
class Answer:
    """A picture, or why there is none. The first answer of a child comes unasked: nothing in it says that it is ready,
    an ``error`` why it cannot be. ``is_worn``: the child has grown and wants to be renewed. ``sizes``: bytes of the
    picture's renditions, which follow in this order."""

    picture: Picture | None = None
    error: str = ""
    hint: str = ""
    is_permanent: bool = False
    is_worn: bool = False
    sizes: dict[str, int] = field(default_factory=dict)


def packed(message: Request | Answer) -> bytes:
    """The bytes of a message."""
    bodies: Mapping[str, bytes] = {}
    if isinstance(message, Answer) and message.picture is not None:
        bodies, message.picture.renditions = message.picture.renditions, {}
        message.sizes = {name: len(body) for name, body in bodies.items()}
    head = json.dumps(asdict(message), ensure_ascii=False).encode("utf-8", "replace")
    return b"".join((HEAD.pack(len(head), sum(map(len, bodies.values()))), head, *bodies.values()))


def with_renditions(answer: Answer, bodies: bytes) -> Answer:
    """The answer with what followed it. Raises ValueError where that is not what it announced."""
    if answer.picture is None or min(answer.sizes.values(), default=0) < 0 or sum(answer.sizes.values()) != len(bodies):
        raise ValueError("renditions of other sizes than announced")
    place = 0
    for name, size in answer.sizes.items():
        answer.picture.renditions[name] = bodies[place : place + size]
        place += size
    return answer
