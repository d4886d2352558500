"""Changing photos: one by its form, many at once from the inbox, turning, comments, deleting.

A form carries what its fields were when the page was made. Only what the person changed is written, on top of whatever
the photo is by then, so two people who edit two fields at the same time lose nothing; where both edited the same field
the second sees both values and decides.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.responses import Response

from ...http.forms import Form, Told, local
from .. import merge, times
from ..document import UNPROCESSED, InvalidEdit, edited, new_comment
from ..store import Document, Missing, Stale, Store
from .browse import PAGE, cards_of, heading, keywords_of
from .listings import Listing, listing_of, read, written
from .photos import PHOTO_ID, SUGGESTED, fields, found, photo_page
from .texts import counted
from .visits import Visit

TRIES = 5
"""Times that an edit is made again because somebody else's came between reading and writing."""
MOST = 5000
"""Photos in one bulk edit."""
AT_ONCE = 4
"""Photos of a bulk edit that are written at the same time."""

Changes = dict[str, Any]


async def change(store: Store, id: str, changes: Callable[[Document], Changes]) -> Document | None:
    """Change a photo; ``changes`` says how, from what it is. The photo as it is then, or None where nothing was to be
    changed. Raises :class:`Missing`, :class:`Stale`, :class:`InvalidEdit`, and whatever ``changes`` raises."""
    for _ in range(TRIES):
        document = await store.get(id)
        if document is None or document.get("type") != "photo":
            raise Missing(f"there is no photo {id}")
        after = edited(document, changes(document), now=times.now(), server=store.server)
        if after is document:
            return None
        try:
            await store.put(after)
        except Stale:
            continue
        return after
    raise Stale("the photo is being changed by others all the time")


# --- one photo


class Clash(Exception):
    """Somebody else changed the same fields: ``theirs`` has them as they are now, as the form shows them."""

    def __init__(self, document: Document, theirs: dict[str, str]) -> None:
        super().__init__("changed meanwhile")
        self.document = document
        self.theirs = theirs


def typed(form: Form) -> tuple[dict[str, str], dict[str, str]]:
    """The form's fields as they were, and as they are to be."""
    names = ("title", "descr", "keywords", "cat", "taken")
    was = {name: form.text(f"was_{name}") for name in names}
    to_be = {name: form.text(name) if name in form else was[name] for name in names}
    was["gps"], to_be["gps"] = form.text("was_gps"), "" if form.text("gps") == "remove" else form.text("was_gps")
    return was, to_be


def changes_of(document: Document, was: dict[str, str], to_be: dict[str, str]) -> Changes:
    """What is to be changed in the photo as it is now. Raises :class:`Clash`."""
    current = fields(document)
    wanted = {name: value for name, value in to_be.items() if not _same(name, value, was[name])}
    theirs = {
        name: current[name]
        for name, value in wanted.items()
        if not _same(name, current[name], was[name]) and not _same(name, current[name], value)
    }
    if theirs:
        raise Clash(document, theirs)
    return {name: _value(document, name, value) for name, value in wanted.items()}


def filed(document: Document, changes: Changes, is_filed: bool) -> Changes:
    """The changes, and the photo out of the inbox if it ``is_filed``, else in it as it was.

    >>> filed({"keywords": ["a", "unprocessed"]}, {"keywords": ["b"]}, False)
    {'keywords': ['b', 'unprocessed']}
    """
    before = set(document.get("keywords") or ())
    words = set(changes.get("keywords", before)) | (before & {UNPROCESSED})
    words -= {UNPROCESSED} if is_filed else set()
    return {**changes, "keywords": sorted(words)} if words != before else changes


def _same(name: str, one: str, other: str) -> bool:
    if name == "keywords":
        return sorted(_words(one)) == sorted(_words(other))
    if name == "taken":  # a browser leaves out seconds that are nought
        return _seconds(one) == _seconds(other)
    return one.strip() == other.strip()


def _words(text: str) -> list[str]:
    return [word for part in text.replace("\n", ",").split(",") if (word := " ".join(part.split()))]


def _seconds(text: str) -> str:
    return f"{text}:00" if len(text) == 16 else text


def _value(document: Document, name: str, text: str) -> Any:
    if name == "keywords":
        return sorted(set(_words(text)))
    if name == "gps":
        return None
    if name == "taken":  # the offset, where the file said one, stays
        return _seconds(text) + str(document.get("taken", ""))[19:]
    return text


async def edit(visit: Visit) -> Response:
    """The edit form of a photo."""
    document = await found(visit)
    was, to_be = typed(visit.form)
    is_filed = bool(visit.form.text("processed"))
    id = document["_id"]
    try:
        await change(visit.site.store, id, lambda current: filed(current, changes_of(current, was, to_be), is_filed))
    except Clash as clash:
        message = "Somebody else changed the same just now. Both are shown: decide, and save again."
        theirs = {name: value or "(nothing)" for name, value in clash.theirs.items()}
        return await photo_page(visit, clash.document, status=409, message=message, now=to_be, clashes=theirs)
    except InvalidEdit as error:
        return await photo_page(visit, document, status=400, message=error.sentence, now=to_be, was=was)
    return visit.go(listing_of(visit.parameters).photo(id) + ("#edit" if "stay" in visit.form else ""))


async def turn(visit: Visit) -> Response:
    """Turn a photo by a quarter; its original stays as it is."""
    document = await found(visit)
    by = 270 if visit.form.text("turn") == "left" else 90
    await change(visit.site.store, document["_id"], lambda current: turned(current, by))
    return visit.go(listing_of(visit.parameters).photo(document["_id"]))


def turned(document: Document, by: int) -> Changes:
    """The change that turns a photo clockwise by that many degrees.

    >>> turned({"rotate": 270}, 90)
    {'rotate': 0}
    """
    return {"rotate": (int(document.get("rotate") or 0) + by) % 360}


async def delete(visit: Visit) -> Response:
    """Delete a photo from the album, with all its leaves and comments. Its original stays in the object store."""
    document = await found(visit)
    if not visit.form.text("sure"):
        return await photo_page(visit, document, status=400, message="Tick “I am sure” to delete the photo.")
    store, id = visit.site.store, document["_id"]
    for comment in await store.comments(id):
        await store.remove(comment["_id"], comment["_rev"])
    for tombstone in merge.deletions(await store.leaves(id)):
        await store.take(tombstone)
    visit.site.forget_conflicts()
    return visit.go(listing_of(visit.parameters).path)


# --- comments


async def comment(visit: Visit) -> Response:
    """Write a comment."""
    document = await found(visit)
    text = visit.form.text("text")
    back = listing_of(visit.parameters).photo(document["_id"])
    if not text.strip():
        return visit.go(f"{back}#comments")
    try:
        made = new_comment(document["_id"], visit.visitor.name, text, now=times.now())
    except InvalidEdit as error:
        return await photo_page(visit, document, status=400, message=error.sentence, comment_text=text)
    await visit.site.store.put(made)
    return visit.go(f"{back}#comments")


async def uncomment(visit: Visit) -> Response:
    """Delete a comment: one's own, or any for an editor."""
    document = await found(visit)
    wanted = visit.form.text("comment")
    for one in await visit.site.store.comments(document["_id"]):
        if one["_id"] == wanted and (visit.visitor.is_editor or one.get("author") == visit.visitor.name):
            await visit.site.store.remove(one["_id"], one["_rev"])
            return visit.go(f"{listing_of(visit.parameters).photo(document['_id'])}#comments")
    raise Told(403, "That comment is not there any more, or it is somebody else's.")


# --- many


async def inbox(visit: Visit) -> Response:
    """The photos that nobody has looked at, newest first, to be edited together."""
    return await _picks(visit, Listing("inbox"), "/inbox")


async def select(visit: Visit) -> Response:
    """The photos of any other list, to be edited together."""
    listing = listing_of(visit.parameters)
    return await _picks(visit, listing, listing.within("/select"))


async def _picks(visit: Visit, listing: Listing, path: str) -> Response:
    query = listing.query(visit.visitor.audience)
    after = read(visit.parameters.get("after", ""))
    cards, number, suggested = await asyncio.gather(
        cards_of(visit, query, after=after, limit=PAGE + 1), visit.site.store.count(query), keywords_of(visit)
    )
    older = {"after": written(cards[PAGE - 1].cursor(query.order))} if len(cards) > PAGE else {}
    return await visit.page(
        "inbox.html",
        cards=cards[:PAGE],
        photos=number,
        listing=listing,
        heading=heading(listing),
        back=path,
        older=_with(path, older) if older else "",
        is_start=after is None,
        suggested=[count.name for count in suggested[:SUGGESTED]],
        message=told(visit.parameters),
    )


def _with(address: str, parameters: dict[str, str]) -> str:
    """The address with these parameters and without those of an earlier edit.

    >>> _with("/select?in=added&done=3", {"done": "1"})
    '/select?in=added&done=1'
    """
    path, _, query = address.partition("?")
    kept = [(name, value) for name, value in parse_qsl(query) if name in ("in", "of")]
    return f"{path}?{urlencode([*kept, *parameters.items()])}"


@dataclass(frozen=True, slots=True)
class Bulk:
    """What a bulk edit is to do with each photo."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    cat: str = ""
    turn: int = 0

    def changes(self, document: Document) -> Changes:
        """What it changes in that photo.

        >>> Bulk(add=("b",), remove=("unprocessed",)).changes({"keywords": ["a", "unprocessed"]})
        {'keywords': ['a', 'b']}
        """
        kept = set(document.get("keywords") or ())
        wanted: Changes = {}
        if self.add or self.remove:
            wanted["keywords"] = sorted((kept - set(self.remove)) | set(self.add))
        if self.cat:
            wanted["cat"] = self.cat
        return wanted | (turned(document, self.turn) if self.turn else {})


def bulk_of(form: Form) -> Bulk:
    """What the form asks for."""
    remove = _words(form.text("remove"))
    turns = {"left": 270, "right": 90}
    if (way := form.text("turn")) in turns:  # its own button: nothing else is meant
        return Bulk(turn=turns[way])
    if form.text("processed"):
        remove.append(UNPROCESSED)
    return Bulk(tuple(_words(form.text("add"))), tuple(remove), form.text("cat"))


async def bulk(visit: Visit) -> Response:
    """Edit all selected photos alike."""
    ids = list(dict.fromkeys(id for id in visit.form.texts("photo") if PHOTO_ID.fullmatch(id)))
    wanted = bulk_of(visit.form)
    back = local(visit.form.text("back"))
    if not ids or len(ids) > MOST:
        return visit.go(_with(back, {"none": "1"}))
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(id: str) -> str:
        async with gate:
            try:
                return "same" if await change(visit.site.store, id, wanted.changes) is None else "done"
            except (Missing, Stale):
                return "skipped"

    try:
        results = await asyncio.gather(*map(one, ids))
    except InvalidEdit as error:
        raise Told(400, error.sentence) from None
    return visit.go(_with(back, {word: str(results.count(word)) for word in ("done", "same", "skipped")}))


def told(parameters: Any) -> str:
    """What became of a bulk edit, in a sentence.

    >>> told({"done": "3", "same": "0", "skipped": "1"})
    '3 photos changed, 1 skipped: gone, or changed by somebody else.'
    """
    number = {
        word: int(text)
        for word in ("done", "same", "skipped")
        if (text := parameters.get(word, "")).isdecimal() and len(text) < 6
    }
    if parameters.get("none"):
        return "No photo was selected."
    if not number:
        return ""
    parts = [f"{counted(number.get('done', 0), 'photo')} changed"]
    if number.get("same"):
        parts.append(f"{number['same']} needed no change")
    if number.get("skipped"):
        parts.append(f"{number['skipped']} skipped: gone, or changed by somebody else")
    return ", ".join(parts) + "."
