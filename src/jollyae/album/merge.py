"""The merge of a document that was edited on several servers at once. Pure functions of values.

CouchDB replicates leaves and never their common ancestor's content, so each edited field carries its own history:
``stamps[f]`` (time and server of its last edit), ``edited[f]`` (the generation of the revision in which that was) and
``seen[f]`` (the newest edits by other servers that it replaced). For each field and two leaves whose paths part after
generation g:

- ``edited[f] > g`` on one side only: that side changed it, and its value is taken.
- On both: equal values are fine. One history that covers the other knew of it and replaced it: it is taken. So of two
  edits by one server the later is. Otherwise two people wrote different things, and this is a **conflict**.
- On neither: the base's value. It came with the file, and nobody wrote it.

Without a conflict in any field the leaves become one: a revision after the *base*, the others deleted. Base is the
winner, unless only another leaf has renditions. Both are functions of the leaves alone, so servers that merge the same
leaves make the same revisions, and those that saw different ones merge again when they meet. A field that is not the
base's gets the merged revision's generation: to whom holds only the base, it has changed. With a conflict nothing is
done until a person chooses (:func:`resolved`). Of comments and users the one that was changed last is taken.

What is to be done is a list of leaves for :meth:`.store.Store.take`, **in their order**: what is merged comes before
the deletions of what it was merged from, so a crash between them loses nothing and is mended by the next merge.

A deletion meets an edit made elsewhere: the edit wins, as CouchDB has it, and the photo is still there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import times
from .document import (
    EDITABLE,
    InvalidEdit,
    checked,
    history,
    moment_of_edit,
    stamp,
    stamped,
    value_of,
    without_place,
)
from .revisions import content, fork, generation, is_deleted, next_leaf, rank, ranked, tombstone
from .store import Document, Leaf

Merge = tuple[Leaf, list[Leaf]]
"""The leaf that stays, and the tombstones of the others. It may be one of those that were there: then ``take`` changes
nothing."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of the values that a field in conflict has. ``stamp`` is when and on which server it was written, or None."""

    rev: str
    value: Any
    stamp: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in conflict, with its values, the winner's first, each once."""

    field: str
    candidates: tuple[Candidate, ...]


def merged(leaves: Sequence[Leaf]) -> Merge | None:
    """The merge of these leaves of one document; None where a person has to choose, or there are no two to merge."""
    live = _live(leaves)
    if len(live) < 2:
        return None
    if live[0].document.get("type") != "photo":
        return _latest(live)
    base = _base(live)
    fields = [_field(live, base, field) for field in EDITABLE]
    if any(field.is_in_conflict for field in fields):
        return None
    return _made(live, base, _joined(live, base, fields))


def differing(leaves: Sequence[Leaf]) -> list[Difference]:
    """The fields in conflict, in the order of :data:`.document.EDITABLE`."""
    live = _live(leaves)
    if len(live) < 2 or live[0].document.get("type") != "photo":
        return []
    fields = (_field(live, _base(live), field) for field in EDITABLE)
    return [Difference(field.name, field.candidates()) for field in fields if field.is_in_conflict]


def resolved(leaves: Sequence[Leaf], choices: Mapping[str, Any], *, now: str, server: str) -> Merge:
    """The merge with those values for the fields in conflict: a person chose them, on that server, at that moment. What
    is in no conflict is merged by itself. Raises :class:`.document.InvalidEdit` where a field in conflict has no choice
    or one that cannot be."""
    live = _live(leaves)
    if not live:
        raise InvalidEdit("leaves", "This is not there any more.")
    if live[0].document.get("type") != "photo":
        return _latest(live)
    base = _base(live)
    fields = [_field(live, base, name) for name in EDITABLE]
    chosen = {field.name: field.choice(choices) for field in fields if field.needs_choice(choices)}
    joined = _joined(live, base, fields)
    time = max(moment_of_edit(leaf.document, times.moment(now), server) for leaf in live)
    stamps = dict.fromkeys(chosen, (time, server))
    histories = {name: {**_union(live, name), server: time} for name in chosen}
    after = {**joined, **chosen, **stamped(joined, stamps, histories, _next_generation(base))}
    return _made(live, base, without_place(after) if _is_place_removed(after) else after)


def deletions(leaves: Sequence[Leaf]) -> list[Leaf]:
    """The tombstones that delete a document with all its leaves."""
    return [tombstone(leaf) for leaf in _live(leaves)]


# --- one field


@dataclass(frozen=True, slots=True)
class _Field:
    """A field on all leaves: ``tops`` are those whose value no other one replaced, the base first if it is one."""

    name: str
    base: Leaf
    tops: tuple[Leaf, ...]

    @property
    def is_in_conflict(self) -> bool:
        """Whether people wrote different things."""
        first, *others = (value_of(leaf.document, self.name) for leaf in self.tops)
        return any(other != first for other in others)

    @property
    def value(self) -> Any:
        """What it holds, if it is in no conflict; otherwise one of its values."""
        return value_of(self.tops[0].document, self.name)

    def candidates(self) -> tuple[Candidate, ...]:
        """Its values."""
        found: list[Candidate] = []
        for leaf in self.tops:
            value = value_of(leaf.document, self.name)
            if all(value != one.value for one in found):
                found.append(Candidate(leaf.document["_rev"], value, stamp(leaf.document, self.name)))
        return tuple(found)

    def needs_choice(self, choices: Mapping[str, Any]) -> bool:
        """Whether it is for the person to say what it holds, or they say something else than what it would."""
        return self.is_in_conflict or (self.name in choices and choices[self.name] != self.value)

    def choice(self, choices: Mapping[str, Any]) -> Any:
        """What the person chose. What one of the leaves has needs no check: it is there already."""
        if self.name not in choices:
            raise InvalidEdit(self.name, "Choose one of the values, or write another.")
        wanted = choices[self.name]
        return wanted if any(wanted == one.value for one in self.candidates()) else checked(self.name, wanted)


def _field(live: Sequence[Leaf], base: Leaf, name: str) -> _Field:
    edited = [leaf for leaf in live if history(leaf.document, name)]
    if not edited:
        return _Field(name, base, (base,))
    tops = [leaf for leaf in edited if not any(_replaces(other, leaf, name) for other in edited)]
    tops.sort(key=lambda leaf: (leaf is base, rank(leaf)), reverse=True)
    return _Field(name, base, tuple(tops or ranked(edited)))


def _replaces(one: Leaf, other: Leaf, name: str) -> bool:
    """Whether the field's value on ``one`` was written in the place of the other's, or later by the same server."""
    if one is other:
        return False
    mine, others = history(one.document, name), history(other.document, name)
    if mine == others:
        return False
    since = fork(one.revisions, other.revisions)
    changed, other_changed = (_generation_of_edit(leaf, name) > since for leaf in (one, other))
    if changed != other_changed:
        return changed
    return _covers(mine, others)


def _generation_of_edit(leaf: Leaf, name: str) -> int:
    found = leaf.document.get("edited")
    number = found.get(name, 0) if isinstance(found, Mapping) else 0
    return number if isinstance(number, int) else 0


def _covers(mine: Mapping[str, str], others: Mapping[str, str]) -> bool:
    return all(mine.get(server, "") >= time for server, time in others.items())


def _union(live: Sequence[Leaf], name: str) -> dict[str, str]:
    """The newest edits of the field by each server, on any leaf."""
    known: dict[str, str] = {}
    for leaf in live:
        for server, time in history(leaf.document, name).items():
            known[server] = max(time, known.get(server, ""))
    return known


# --- the whole document


def _live(leaves: Sequence[Leaf]) -> list[Leaf]:
    return [leaf for leaf in ranked(leaves) if not is_deleted(leaf)]


def _base(live: Sequence[Leaf]) -> Leaf:
    return max(live, key=lambda leaf: (len(leaf.renditions), rank(leaf)))


def _next_generation(base: Leaf) -> int:
    return generation(base.document["_rev"]) + 1


def _joined(live: Sequence[Leaf], base: Leaf, fields: Sequence[_Field]) -> Document:
    """The base's document with what the others changed, as far as it is in no conflict."""
    found = {**base.document, **_arrival(live, base)}
    before = found
    stamps, histories = {}, {}
    for field in fields:
        if field.is_in_conflict or not (known := _union(live, field.name)):
            continue
        newest = max(stamp(leaf.document, field.name) or ("", "") for leaf in field.tops)
        is_base = field.value == value_of(before, field.name) and newest == stamp(before, field.name)
        if is_base and known == history(before, field.name):
            continue
        found = {**found, field.name: field.value}
        stamps[field.name], histories[field.name] = newest, known
    if stamps:
        found |= stamped(found, stamps, histories, _next_generation(base))
    return without_place(found) if _is_place_removed(found) else found


def _is_place_removed(document: Document) -> bool:
    """Whether the place was removed by an edit: then no leaf's tags may bring it back."""
    return document.get("gps") is None and stamp(document, "gps") is not None


def _arrival(live: Sequence[Leaf], base: Leaf) -> Document:
    """When and by whom the photo came in first."""
    dated = [leaf for leaf in live if leaf.document.get("added")]
    first = min(dated, key=lambda leaf: (str(leaf.document["added"]), leaf is not base, rank(leaf)), default=base)
    return {key: first.document[key] for key in ("added", "addedby") if key in first.document}


def _made(live: Sequence[Leaf], base: Leaf, document: Document) -> Merge:
    """The merged leaf, or the base itself where it holds all there is; and the end of the others."""
    others = [leaf for leaf in live if leaf is not base]
    if content(document) == content(base.document):
        return base, [tombstone(leaf) for leaf in others]
    parents = [leaf.document["_rev"] for leaf in live]
    return next_leaf(base, document, parents=parents), [tombstone(leaf) for leaf in others]


def _latest(live: Sequence[Leaf]) -> Merge:
    """Whole documents: the one that was changed last."""
    last = max(live, key=lambda leaf: (str(leaf.document.get("changed") or ""), rank(leaf)))
    return last, [tombstone(leaf) for leaf in live if leaf is not last]


def leaves_to_take(merge: Merge) -> Iterator[Leaf]:
    """What to hand to the store, in this order."""
    yield merge[0]
    yield from merge[1]
