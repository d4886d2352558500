"""Conflicts: what several servers made of one photo, side by side, to be picked from or merged by a person.
:mod:`..merge` says what is in conflict and what a decision makes of it; here it is shown and asked.
"""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...http.texts import plain
from .. import merge, times
from ..document import InvalidEdit
from ..store import Leaf, Stale
from .browse import card_of
from .photos import PHOTO_ID
from .texts import written_date, written_time
from .visits import Visit

LABELS = {
    "title": "Title",
    "descr": "Description",
    "keywords": "Tags",
    "cat": "Who may see it",
    "taken": "Date taken",
    "rotate": "Turn",
    "gps": "Place",
}
WRITABLE = ("title", "descr", "keywords")
"""Fields for which a third value can be written in the place of both."""
MOST = 500
"""Conflicts on the page of all."""
CHANGED = "It has changed since the page was made: look again."


async def conflicts(visit: Visit) -> Response:
    """All documents with more than one leaf."""
    visit.site.forget_conflicts()
    ids = sorted(await visit.site.conflicts())
    documents = [found for id in ids[:MOST] if (found := await visit.site.store.get(id))]
    photos = [card_of(found) for found in documents if found.get("type") == "photo"]
    others = [str(found["_id"]) for found in documents if found.get("type") != "photo"]
    return await visit.page("conflicts.html", cards=photos, others=others, number=len(ids))


async def conflict(visit: Visit, *, message: str = "", status: int = 200) -> Response:
    """One of them: the values of each field that is in conflict, side by side."""
    leaves = await _leaves(visit)
    document = leaves[0].document
    return await visit.page(
        "conflict.html",
        status=status,
        message=message,
        id=document["_id"],
        card=card_of(document) if document.get("type") == "photo" else None,
        fields=[shown(difference) for difference in merge.differing(leaves)],
        revs=[leaf.document["_rev"] for leaf in leaves],
        leaves=len(leaves),
    )


async def _leaves(visit: Visit) -> list[Leaf]:
    id = visit.part("id")
    if not (PHOTO_ID.fullmatch(id) or id.startswith(("user:", "comment:"))):  # a store has documents of its own, too
        raise HTTPException(404)
    leaves = [leaf for leaf in await visit.site.store.leaves(id) if not leaf.document.get("_deleted")]
    if not leaves:
        raise HTTPException(404)
    return leaves


def shown(difference: merge.Difference) -> dict[str, Any]:
    """A field in conflict as the page shows it."""
    name = difference.field
    values = [candidate.value for candidate in difference.candidates]
    return {
        "name": name,
        "label": LABELS.get(name, name),
        "values": [
            {"text": written(name, candidate.value), "by": origin(candidate.stamp)}
            for candidate in difference.candidates
        ],
        "merged": together(name, values) if name in WRITABLE else None,
    }


def origin(stamp: tuple[str, str] | None) -> str:
    """Where and when a value was written.

    >>> origin(("2026-11-22T14:05:00.000000Z", "attic"))
    'on attic, 22 November 2026, 14:05 UTC'
    """
    if stamp is None:
        return "as it came in"
    time, server = stamp
    return f"on {plain(server, 60)}, {written_date(time)}, {written_time(time)} UTC"


def written(name: str, value: Any) -> str:
    """A field's value as text."""
    if name == "keywords":
        return ", ".join(value or ())
    if name == "gps":
        return f"{value.get('latitude')}, {value.get('longitude')}" if isinstance(value, dict) else ""
    if name == "rotate":
        return f"{value or 0}°"
    return str(value or "")


def together(name: str, values: list[Any]) -> str:
    """All values in one, to begin with: all keywords; the texts one after the other.

    >>> together("keywords", [["a", "b"], ["b", "c"]]), together("title", ["Pier", "The pier"])
    ('a, b, c', 'Pier / The pier')
    """
    if name == "keywords":
        return ", ".join(sorted({word for value in values for word in value or ()}))
    texts = list(dict.fromkeys(str(value) for value in values if value))
    return ("\n\n" if name == "descr" else " / ").join(texts)


async def decide(visit: Visit) -> Response:
    """Write what was decided."""
    leaves = await _leaves(visit)
    store, form = visit.site.store, visit.form
    if sorted(form.texts("rev")) != sorted(leaf.document["_rev"] for leaf in leaves):
        return await conflict(visit, message=CHANGED, status=409)
    choices = {
        difference.field: choice
        for difference in merge.differing(leaves)
        if (choice := chosen(difference, form.text(difference.field), form.text(f"own_{difference.field}")))
        is not UNCHOSEN
    }
    try:
        made = merge.resolved(leaves, choices, now=times.now(), server=store.server)
        for leaf in merge.leaves_to_take(made):
            await store.take(leaf)
    except InvalidEdit as error:
        return await conflict(visit, message=f"{LABELS.get(error.field, error.field)}: {error.sentence}", status=400)
    except Stale:
        return await conflict(visit, message=CHANGED, status=409)
    visit.site.forget_conflicts()
    visit.site.forget_users()
    is_photo = leaves[0].document.get("type") == "photo"
    return visit.go(f"/photo/{visit.part('id')}" if is_photo else "/conflicts")


UNCHOSEN = object()


def chosen(difference: merge.Difference, pick: str, own: str) -> Any:
    """The value that was picked: by its number, or ``own`` and a text; :data:`UNCHOSEN` where none was."""
    if pick == "own" and difference.field in WRITABLE:
        return [word.strip() for word in own.split(",")] if difference.field == "keywords" else own
    number = int(pick) if pick.isdecimal() and len(pick) < 4 else len(difference.candidates)
    return difference.candidates[number].value if number < len(difference.candidates) else UNCHOSEN
