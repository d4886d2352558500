"""What people may write into a document: normalised (Unicode NFC, blanks), bounded, and free of what cannot be shown.
Pure functions of values.
"""

import unicodedata
from collections.abc import Iterable

TITLE, DESCRIPTION, KEYWORD, COMMENT, NAME = 500, 20_000, 100, 10_000, 100
"""The most characters of each."""
KEYWORDS = 200
"""The most keywords of one photo."""

_UNSEEN = frozenset(("Cc", "Cs"))
"""Control characters, and halves of surrogate pairs. Not what this Python does not know yet: new emoji are such."""
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the direction of what stands after them, in other people's texts too."""


class InvalidText(ValueError):
    """``sentence`` says what is wrong, for the person who wrote it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


def line(value: object, longest: int) -> str:
    """One line of text: blanks at its ends are cut, those inside are one each. Raises :class:`InvalidText`.

    >>> line("  a\\tb ", 10)
    'a b'
    """
    return _bounded(" ".join(_normal(value).split()), longest)


def paragraphs(value: object, longest: int) -> str:
    """Several lines of text. Raises :class:`InvalidText`."""
    lines = _normal(value).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return _bounded("\n".join(line.rstrip() for line in lines).strip("\n"), longest)


def keyword(value: object) -> str:
    """One keyword, as it is kept: letters stay as they are written. Raises :class:`InvalidText`."""
    word = line(value, KEYWORD)
    if "," in word:
        raise InvalidText("A keyword has no comma.")
    if not word:
        raise InvalidText("A keyword has at least one character.")
    return word


def keywords(values: object) -> list[str]:
    """Keywords, sorted, each once; empty ones are left out. Raises :class:`InvalidText`."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidText("Keywords are a list of texts.")
    found = sorted({keyword(value) for value in values if not (isinstance(value, str) and not value.strip())})
    if len(found) > KEYWORDS:
        raise InvalidText(f"A photo has at most {KEYWORDS} keywords.")
    return found


def cleaned(value: object, longest: int, *, several: bool = False) -> str:
    """What can be kept of a text that no person is there to correct (a file's own title)."""
    text = value if isinstance(value, str) else ""
    kept = "".join(letter for letter in text if letter in "\t\n\r" or not _is_bad(letter))
    kept = unicodedata.normalize("NFC", kept)
    return (paragraphs(kept, len(kept)) if several else line(kept, len(kept)))[:longest].strip()


def cleaned_keywords(values: object) -> list[str]:
    """What can be kept of a file's own keywords: a comma parts them."""
    if not isinstance(values, list | tuple):
        return []
    words = (word for value in values if isinstance(value, str) for word in value.split(","))
    return sorted({kept for word in words if (kept := cleaned(word, KEYWORD))})[:KEYWORDS]


def _normal(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidText("This must be a text.")
    bad = next((letter for letter in value if letter not in "\t\n\r" and _is_bad(letter)), None)
    if bad is not None:
        raise InvalidText(f"The character U+{ord(bad):04X} cannot be used.")
    return unicodedata.normalize("NFC", value)


def _is_bad(letter: str) -> bool:
    return letter in _TURNING or (unicodedata.category(letter) in _UNSEEN)


def _bounded(text: str, longest: int) -> str:
    if len(text) > longest:
        raise InvalidText(f"This has {len(text):,} characters; at most {longest:,} are possible.")
    return text
