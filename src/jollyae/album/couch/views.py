"""What CouchDB keeps an index of, in one design document, and the keys to ask it by. Pure.

Two views. Their keys are compared byte by byte (``raw``), so an index sorts as Python does:

- ``photos``: a row ``[audience, order, facet, time]`` for each audience that may see the photo, each order and each of
  its facets: ``''`` (all photos), ``k:KEYWORD``, ``c:CAMERA`` and ``m:MONTH``. A row's value is the photo's card with
  its camera and those keywords that the audience may know: what a page shows, and by what the rest of a query is
  decided, without reading documents. Counted by ``_count``.
- ``documents``: ``['photo', id]``, ``['comment', photo, time]``, ``['user', name]``, and ``['conflict', id]`` for what
  has several leaves.

Times are written so that the latest sorts first (:func:`turn`): one order, newest first and equal times by id, is the
index's own; the opposite is the same read backwards.

The map functions are ECMAScript 5: CouchDB 3 runs them in engines from 2011 to today.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..store import Audience, Card, Order

DESIGN = "jollyae"
"""The design document is ``_design/jollyae``; each database has its own (it is not replicated)."""
PHOTOS, DOCUMENTS = "photos", "documents"
AFTER_ALL = "\x7f"
"""Sorts after every turned time."""

_PHOTOS = """
function (doc) {
  function turn(text) {
    var turned = '';
    for (var i = 0; i < text.length; i++) {
      turned += String.fromCharCode(157 - Math.max(32, Math.min(125, text.charCodeAt(i))));
    }
    return turned + '~';
  }
  function text(value) { return typeof value === 'string' ? value : ''; }
  function number(value) { return typeof value === 'number' ? value : 0; }
  if (doc.type !== 'photo') { return; }
  var given = Array.isArray(doc.keywords) ? doc.keywords : [], all = [], known = [], i;
  for (i = 0; i < given.length; i++) {
    if (typeof given[i] !== 'string' || all.indexOf(given[i]) >= 0) { continue; }
    all.push(given[i]);
    if (given[i] !== 'unprocessed' && given[i].charAt(0) !== '_') { known.push(given[i]); }
  }
  var taken = text(doc.taken), added = text(doc.added), camera = doc.camera ? text(doc.camera.name) : '';
  var month = /^[0-9]{4}-[0-9]{2}/.test(taken) ? taken.substring(0, 7) : '';
  function list(audience, keywords) {
    var card = [text(doc.title), taken, added, text(doc.cat) || 'Private', number(doc.width), number(doc.height),
      number(doc.rotate), text(doc.kind) || 'image', !!doc._attachments, camera, keywords];
    var facets = [''], i;
    for (i = 0; i < keywords.length; i++) { facets.push('k:' + keywords[i]); }
    if (camera) { facets.push('c:' + camera); }
    if (month) { facets.push('m:' + month); }
    for (i = 0; i < facets.length; i++) {
      emit([audience, 'taken', facets[i], turn(taken)], card);
      emit([audience, 'added', facets[i], turn(added)], card);
    }
  }
  list('all', all);
  if (doc.cat === 'Friends/Family' || doc.cat === 'Public') { list('friends', known); }
  if (doc.cat === 'Public') { list('public', known); }
}
"""
_DOCUMENTS = """
function (doc) {
  function text(value) { return typeof value === 'string' ? value : ''; }
  if (doc.type === 'photo') { emit(['photo', doc._id], null); }
  if (doc.type === 'comment') { emit(['comment', text(doc.photo), text(doc.time)], null); }
  if (doc.type === 'user') { emit(['user', text(doc.name)], null); }
  if (doc._conflicts && doc._conflicts.length) { emit(['conflict', doc._id], null); }
}
"""


def make_design() -> dict[str, Any]:
    """The design document. Its ``version`` is that of what is in it: another version, another index."""
    views = {
        PHOTOS: {"map": _PHOTOS.strip(), "reduce": "_count", "options": {"collation": "raw"}},
        DOCUMENTS: {"map": _DOCUMENTS.strip(), "options": {"collation": "raw"}},
    }
    version = hashlib.sha256(json.dumps(views, sort_keys=True).encode()).hexdigest()[:16]
    return {"_id": f"_design/{DESIGN}", "language": "javascript", "version": version, "views": views}


def turn(text: str) -> str:
    """A text that sorts the other way round: of two times the later one first.

    >>> sorted(["2025-12-31", "2026-01-01", "2026-01-01T10"], key=turn)
    ['2026-01-01T10', '2026-01-01', '2025-12-31']
    """
    return "".join(chr(157 - max(32, min(125, ord(char)))) for char in text) + "~"


def list_range(audience: Audience, order: Order, facet: str, period: str = "") -> tuple[list[str], list[str]]:
    """The first and the last key of a list; ``period``: of those whose time begins so."""
    key = [audience.value, order.value, facet]
    if not period:
        return key, [*key, AFTER_ALL]
    beginning = turn(period)[:-1]
    return [*key, beginning], [*key, beginning + AFTER_ALL]


def list_key(audience: Audience, order: Order, facet: str, time: str) -> list[str]:
    """The key of a photo of that time in a list."""
    return [audience.value, order.value, facet, turn(time)]


def name_range(audience: Audience, prefix: str) -> tuple[list[str], list[str]]:
    """The first and the last key of all facets that begin with ``prefix`` ('k:'). Grouped by three levels, a row is a
    facet."""
    above = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    return [audience.value, Order.TAKEN.value, prefix], [audience.value, Order.TAKEN.value, above]


def read_card(id: str, value: Sequence[Any]) -> Card:
    """The card in a row's value."""
    title, taken, added, cat, width, height, rotate, kind, has_renditions = value[:9]
    return Card(id, title, taken, added, cat, width, height, rotate, kind, has_renditions)


def is_wanted(
    value: Sequence[Any], having: Sequence[str], lacking: Sequence[str], camera: str = "", period: str = ""
) -> bool:
    """Whether the photo of a row has all those keywords, none of these, and is of that camera and period."""
    keywords = value[10]
    return (
        all(one in keywords for one in having)
        and not any(one in keywords for one in lacking)
        and camera in ("", value[9])
        and value[1].startswith(period)
    )


def is_same_design(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the stored document is the wanted one, whatever its revision."""
    return {name: value for name, value in stored.items() if name != "_rev"} == dict(wanted)
