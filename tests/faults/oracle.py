"""The one judge of all fault suites: what producers were told, what the store took, and what the spool is at rest.

The promises it holds the three against (docs/RELIABILITY.md says them in words):

1. every acknowledged item is in exactly one place, with its bytes (or, ``deleted``, in none, once it is stored);
2. what is finished, or was deleted, is stored with an equal digest;
3. the store took at most one version of each key;
4. nothing is stored, and nothing lies about, that nobody submitted;
5. all receipts of one item have one id, and what is finished has one;
6. at rest nothing of ours is left over: no working directory, no note without its item, no temporary file.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from jollyae.spool import fs, names, notes
from jollyae.spool.owner import items_below
from jollyae.worker import receipts
from tests.faults.history import Item, digest
from tests.faults.store import Accepted

PLACES = ("incoming", "deferred", "finished", "failed", "working")
_SUFFIX = re.compile(r"~\d{8}T\d{6}-[a-z0-9]{3}(?=\.[^/]*$|$)")  # spool/suffix.py: a name that was taken

Lying = dict[tuple[str, str], list[str]]


def judge(
    told: Iterable[Item],
    accepted: Iterable[Accepted],
    spool: Path,
    *,
    key_of: Callable[[str], str] = names.encode,
    deleted: bool = False,
    at_rest: bool = True,
    power_cut: bool = False,
) -> list[str]:
    """What is wrong, in sentences; empty if every promise was kept.

    ``key_of``: an item's key from its name; ``at_rest``: no worker lives, and the last one ended in order;
    ``power_cut``: the last seconds' receipts, which are not fsynced, may be gone with the power."""
    items = list(told)
    taken = list(accepted)
    lying = lying_in(spool, {item.name for item in items})
    wrong = [*_lost_or_doubled(items, taken, lying, key_of, deleted), *_undelivered(items, taken, lying, key_of)]
    wrong += _written_twice(taken)
    wrong += _from_nowhere(items, taken, lying, key_of)
    wrong += _receipts_disagree(spool, {} if power_cut else lying)
    return [*wrong, *(_left_over(spool) if at_rest else [])]


def misdescribed(accepted: Iterable[Accepted], spool: Path) -> list[str]:
    """What was sent with another digest than it has, and what a receipt gives another digest than was ever stored. (A
    store that damages what it is given causes such as well.)"""
    written = list(receipts.read(spool / "receipts"))  # first: what they speak of was accepted before
    taken = list(accepted)
    wrong = [f"sent with a wrong digest: {one.key!r}" for one in taken if one.claimed not in ("", one.sha256)]
    stored = {one.sha256 for one in taken}
    for receipt in written:
        if receipt.get("sha256", "") not in ("", *stored):
            wrong.append(f"a receipt with a digest that was never stored: {receipt['name']!r}")
    return wrong


def lying_in(spool: Path, known: Collection[str] = ()) -> Lying:
    """The places of each file in the spool, by the item's first name and the digest of its bytes. ``known``: names
    that are first names though they look like ours."""
    found: Lying = defaultdict(list)
    for place in PLACES:
        for name in items_below(str(spool / place)):
            first = name.partition("/")[2] if place == "working" else name
            if first not in known:
                first = _first_name(first, known)
            found[first, digest(spool / place / name)].append(place)
    return dict(found)


def _first_name(name: str, known: Collection[str]) -> str:
    """What an item was called before it got a suffix, for which a long name was cut."""
    suffix = _SUFFIX.search(name)
    if suffix is None:
        return name
    stem, extension = name[: suffix.start()], name[suffix.end() :]
    if stem + extension in known:
        return stem + extension
    cut = (one for one in known if one.startswith(stem) and os.path.splitext(one)[1] == extension)
    return next(cut, stem + extension)


def _lost_or_doubled(
    items: list[Item], taken: list[Accepted], lying: Lying, key_of: Callable[[str], str], deleted: bool
) -> Iterable[str]:
    stored = {(one.key, one.sha256) for one in taken}
    for item in items:
        places = lying.get((item.name, item.sha256), [])
        if len(places) > 1:
            yield f"doubled: {item.name!r} is in {places}"
        elif not places and item.told and not (deleted and (key_of(item.name), item.sha256) in stored):
            others = [where for (name, _), where in lying.items() if name == item.name]
            yield (
                f"torn: {item.name!r} is in {others[0]} with other bytes"
                if others
                else f"lost: {item.name!r} is nowhere"
            )


def _undelivered(items: list[Item], taken: list[Accepted], lying: Lying, key_of: Callable[[str], str]) -> Iterable[str]:
    stored = {(one.key, one.sha256) for one in taken}
    for item in items:
        if "finished" in lying.get((item.name, item.sha256), []) and (key_of(item.name), item.sha256) not in stored:
            yield f"finished but not delivered: {item.name!r}"


def _written_twice(taken: list[Accepted]) -> Iterable[str]:
    for key, count in Counter(one.key for one in taken).items():
        if count > 1:
            yield f"written {count} times: {key!r}"


def _from_nowhere(
    items: list[Item], taken: list[Accepted], lying: Lying, key_of: Callable[[str], str]
) -> Iterable[str]:
    submitted = {(item.name, item.sha256) for item in items}
    keys = {(key_of(name), sha256) for name, sha256 in submitted}
    for one in taken:
        if (one.key, one.sha256) not in keys:
            yield f"stored, but nobody submitted that: {one.key!r} ({one.size} bytes)"
    for (name, sha256), places in lying.items():
        if (name, sha256) not in submitted and not any(item.name == name and item.told for item in items):
            yield f"lying about, but nobody submitted that: {name!r} in {places}"


def _receipts_disagree(spool: Path, lying: Lying) -> Iterable[str]:
    ids: dict[tuple[str, int], set[str]] = defaultdict(set)
    for one in receipts.read(spool / "receipts"):
        ids[one["name"], one["size"]].add(one["id"])
    for (name, _), different in ids.items():
        if len(different) > 1:
            yield f"receipts with {len(different)} ids: {name!r}"
    known = {name for name, _ in ids}
    for (name, _), places in lying.items():
        if "finished" in places and names.encode(name) not in known:
            yield f"finished without a receipt: {name!r}"


def _left_over(spool: Path) -> Iterable[str]:
    for directory in (spool / "working").iterdir():
        yield f"left over: {directory.relative_to(spool)}"
    for path in spool.rglob(".*"):
        if path.suffix == ".tmp":
            yield f"left over: {path.relative_to(spool)}"
    for place in PLACES:
        lying = [str(spool / place / name) for name in items_below(str(spool / place))]
        lying += fs.directories_below(str(spool / place))  # that took a file's place when it was claimed
        expected = {notes.path_of(path) for path in lying}
        for note in (spool / place).rglob(".*.note"):
            if str(note) not in expected:
                yield f"a note without an item: {note.relative_to(spool)}"
