"""The language of searches: ``beach+anna-night`` is all photos with the keywords beach and anna and without night.

``+`` or a blank before a keyword wants it, ``-`` refuses it. A keyword with a blank, ``+``, ``-`` or ``"`` in it stands
in double quotes, a quote inside them is written twice: ``"new york"-"t-shirt"``. Every list of keywords can be written
(:func:`write`) and read back. A text that cannot be read finds nothing, and says why. Pure functions of values.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .store import Audience, Query
from .texts import InvalidText, keyword

LONGEST = 2000
"""Characters of a search."""
MOST = 20
"""Keywords in one search."""

NOTHING = ","
"""What no keyword can be: no keyword has a comma."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a text asks for. ``problem`` is a sentence for the visitor where it cannot be read; ``query`` then finds
    nothing."""

    query: Query
    problem: str = ""


def parse(text: str, audience: Audience = Audience.ALL) -> Search:
    """The search that the text describes, for that audience. An empty text is all photos.

    >>> parse("beach+anna-night").query
    Query(audience=<Audience.ALL: 'all'>, having=('beach', 'anna'), lacking=('night',), camera='', period='', \
order=<Order.TAKEN: 'taken'>)
    >>> parse('"new york').problem
    'A quote (") is not closed.'
    """
    query = Query(audience)
    try:
        having, lacking = _lists(text)
    except InvalidText as error:
        return Search(replace(query, having=(NOTHING,)), error.sentence)
    return Search(replace(query, having=having, lacking=lacking))


def write(having: Iterable[str], lacking: Iterable[str] = ()) -> str:
    """The text that finds photos with all of the first and none of the second keywords.

    >>> write(["beach", "new york"], ["t-shirt"])
    'beach+"new york"-"t-shirt"'
    """
    wanted = "+".join(map(_quoted, having))
    return wanted + "".join(f"-{_quoted(word)}" for word in lacking)


def _quoted(word: str) -> str:
    needs = any(letter in '+-"' or letter.isspace() for letter in word)
    return '"' + word.replace('"', '""') + '"' if needs else word


def _lists(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if len(text) > LONGEST:
        raise InvalidText(f"A search has at most {LONGEST:,} characters.")
    having: dict[str, None] = {}
    lacking: dict[str, None] = {}
    place = 0
    while (term := _next(text, place)) is not None:
        sign, word, place = term
        (lacking if sign == "-" else having)[keyword(word)] = None
    if both := next((word for word in having if word in lacking), None):
        raise InvalidText(f"“{both}” is wanted and unwanted at once.")
    if len(having) + len(lacking) > MOST:
        raise InvalidText(f"A search has at most {MOST} keywords.")
    return tuple(having), tuple(lacking)


def _next(text: str, place: int) -> tuple[str, str, int] | None:
    """The term that begins there, as sign, keyword and the place behind it; None where there are no more."""
    sign = ""
    while place < len(text) and (text[place].isspace() or text[place] in "+-"):
        if not text[place].isspace():
            if sign:
                raise InvalidText(f"There is no keyword between “{sign}” and “{text[place]}”.")
            sign = text[place]
        place += 1
    if place == len(text):
        if sign == "-":
            raise InvalidText("There is no keyword after “-”.")
        return None
    if text[place] == '"':
        return sign, *_in_quotes(text, place + 1)
    end = place
    while end < len(text) and not text[end].isspace() and text[end] not in '+-"':
        end += 1
    return sign, text[place:end], end


def _in_quotes(text: str, place: int) -> tuple[str, int]:
    """What stands in the quotes that opened before this place, and the place behind them."""
    word = ""
    while True:
        end = text.find('"', place)
        if end < 0:
            raise InvalidText('A quote (") is not closed.')
        word += text[place:end]
        if text[end + 1 : end + 2] != '"':
            return word, end + 1
        word += '"'
        place = end + 2
