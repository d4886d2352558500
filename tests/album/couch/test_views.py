"""The index: its map functions in a JavaScript engine do what the fake's do, and its keys sort as lists are read."""

import json
import subprocess
from pathlib import Path
from typing import Any

import playwright
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.album.couch import views
from jollyae.album.store import Audience, Order
from tests.album.fakecouch import VIEWS

from .support import photo

RUN = """
const [maps, docs] = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const found = {};
for (const name of Object.keys(maps)) {
  found[name] = docs.map((doc) => {
    const rows = [];
    new Function('emit', 'doc', 'return (' + maps[name] + ')(doc)')((key, value) => rows.push([key, value]), doc);
    return rows;
  });
}
process.stdout.write(JSON.stringify(found));
"""
DOCS: list[dict[str, Any]] = [
    photo(1),
    photo(2, cat="Public", keywords=["Grüße", "a:b", "_secret", "unprocessed", "a:b"], title="\U0001f600"),
    photo(3, cat="Friends/Family", keywords=["k", 7, None], _attachments={"thumb": {"stub": True}}),
    photo(4, taken="", camera={}, keywords=None),
    photo(5, taken="2026-11-22T15:04:05+01:00", camera=None, kind=None, cat=None, width="wide", rotate=90),
    photo(6, taken="yesterday~\x7f\x01", _conflicts=["2-a"]),
    {"_id": "p", "type": "photo"},
    {"_id": "comment:p:1", "type": "comment", "photo": "p", "time": "2026", "_conflicts": ["1-b"]},
    {"_id": "comment:p:2", "type": "comment"},
    {"_id": "user:anna", "type": "user", "name": "anna", "_conflicts": []},
    {"_id": "x"},
]


def runs(program: Path) -> bool:
    """Whether the program can be started."""
    return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0


NODE = Path(playwright.__file__).parent / "driver" / "node"
"""Playwright brings one of its own."""


@pytest.mark.skipif(not runs(NODE), reason="Playwright's node does not run here (Debian: libatomic1)")
def test_the_map_functions_do_what_the_fake_does() -> None:
    """So tests on the fake say something of CouchDB."""
    design = views.make_design()
    maps = {name: view["map"] for name, view in design["views"].items()}
    ran = subprocess.run(
        [NODE, "-e", RUN], input=json.dumps([maps, DOCS]), capture_output=True, text=True, check=True, timeout=60
    )
    found = json.loads(ran.stdout)
    assert set(found) == set(VIEWS)
    for name, function in VIEWS.items():
        for doc, rows in zip(DOCS, found[name], strict=True):
            assert sorted(rows, key=str) == sorted(([key, value] for key, value in function(doc)), key=str), doc["_id"]


def test_the_map_functions_are_old_enough() -> None:
    """CouchDB 3 can run them in an engine that knows ECMAScript 5 and no more."""
    for view in views.make_design()["views"].values():
        assert view["map"].startswith("function (doc) {")
        for new in ("=>", "let ", "const ", "`", ".includes(", ".startsWith(", "...", "for (var of"):
            assert new not in view["map"]


TIMES = st.text(st.characters(min_codepoint=32, max_codepoint=125), max_size=25)


@given(TIMES, TIMES)
def test_turned_times_sort_the_other_way_round(one: str, other: str) -> None:
    """Also where one begins with the other."""
    assert (one < other) == (views.turn(one) > views.turn(other))


@given(TIMES, st.text(st.characters(min_codepoint=32, max_codepoint=125), min_size=1, max_size=10))
def test_a_period_is_a_range_of_the_index(time: str, period: str) -> None:
    """Of exactly those times that begin so."""
    first, last = views.list_range(Audience.ALL, Order.TAKEN, "", period)
    assert (first <= views.list_key(Audience.ALL, Order.TAKEN, "", time) <= last) == time.startswith(period)


def test_the_version_is_that_of_the_content() -> None:
    """The same content is the same design document, whatever revision it has."""
    design = views.make_design()
    assert design == views.make_design()
    assert views.is_same_design(design | {"_rev": "1-a"}, design)
    assert not views.is_same_design(design | {"version": "other"}, design)
