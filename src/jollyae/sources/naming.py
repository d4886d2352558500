"""The item's name for an object's key. Nearly always that is the key itself, so ``{name}`` and ``--key`` mean what they
mean elsewhere. What no item can be called (a dotfile, ``a//b``, a key that ends in ``/``, a component of 300 bytes, …)
is written below a directory of its own, with escapes; no two keys get one name.
"""

import os
import re
from collections.abc import Iterator

from ..spool import names

APART = "%key"
"""The directory of names that are not their keys. A key that begins like this is written there too."""
_ROOM = 200  # bytes in a component; a longer one is cut, and ends with a lone %
_UNSAFE = re.compile("[\udc80-\udcff\x00-\x1f\x7f-\x9f%]")


def name_of(key: str) -> str:
    """The name of the item that is made of the object with this key.

    >>> name_of("2026/a b.jpg"), name_of("a//.b"), name_of("folder/")
    ('2026/a b.jpg', '%key/a/%/%2E%62', '%key/folder/%')
    """
    if not names.why_impossible(key) and names.is_wanted(key) and key.partition("/")[0] != APART:
        return key
    return "/".join([APART, *(part for one in key.split("/") for part in _parts(one))])


def key_of(name: str) -> str:
    """The key that :func:`name_of` made the name of.

    >>> key_of("%key/a/%/%2E%62")
    'a//.b'
    """
    first, _, rest = name.partition("/")
    if first != APART:
        return name
    key = ""
    for part in rest.split("/"):
        is_cut = part.endswith("%") and part != "%"
        key += names.decode(part.removesuffix("%")) + ("" if is_cut else "/")
    return key.removesuffix("/")


def _parts(component: str) -> Iterator[str]:
    """What is written for a component: its characters, escaped where they must be, in pieces that are not too long."""
    if not component:
        yield "%"
    piece: list[str] = []
    size = 0
    for char in component:
        token = _whole(char) if _UNSAFE.match(char) else char
        size += len(os.fsencode(token))
        if size > _ROOM:
            yield _wanted(piece) + "%"
            piece, size = [], len(os.fsencode(token))
        piece.append(token)
    if piece:
        yield _wanted(piece)


def _wanted(tokens: list[str]) -> str:
    """The piece, with its first and last character escaped where the worker would ignore it."""
    if not names.is_wanted("".join(tokens)):
        ends = {0, len(tokens) - 1}
        tokens = [_whole(one) if at in ends and len(one) == 1 else one for at, one in enumerate(tokens)]
    return "".join(tokens)


def _whole(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in os.fsencode(char))
