"""How what people and cameras wrote is shown: *plain*, without control characters and without the characters that turn
the direction of writing, which could make one name look like another or run over the words beside it.
"""

import unicodedata

TURNING = dict.fromkeys(map(ord, "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
"""The characters of Unicode that override or isolate the direction of writing (UAX #9), to be removed."""


def plain(text: object, limit: int = 0) -> str:
    """The text on one line without control and turning characters, cut to ``limit`` characters (0: whole).

    >>> plain("a\\u202eb\\x00\\nc"), plain("abcdef", 4)
    ('ab c', 'abc…')
    """
    found = " ".join(str(text).split())
    if not found.isprintable():  # pages have thousands of names, and nearly all are as they should be
        found = found.translate(TURNING)
        found = "".join(letter for letter in found if unicodedata.category(letter) not in ("Cc", "Cs"))
    return f"{found[: limit - 1]}…" if limit and len(found) > limit else found
