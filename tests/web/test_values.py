"""The pure parts, whatever they are given: identifiers, what troubles have in common, the marks of an axis."""

import os
import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.service.observing.alike import kind_of, title
from jollyae.service.observing.past import quantile
from jollyae.spool import names
from jollyae.web import axis
from jollyae.web.queue import identify, named, placed
from jollyae.worker.state import DELIVERY_BOUNDS

item_names = st.binary(min_size=1, max_size=60).map(os.fsdecode).filter(lambda name: not names.why_impossible(name))


@given(item_names, st.sampled_from(["incoming", "failed", "deferred"]))
def test_every_name_has_an_identifier_that_a_url_can_hold(name: str, place: str) -> None:
    """And no two names have the same."""
    assert named(identify(name)) == name and placed(identify(name, place)) == (place, name)
    assert set(identify(name, place)) <= set(string.ascii_letters + string.digits + "-_.")


@given(st.text(max_size=80))
def test_any_other_text_is_refused_or_a_possible_name(text: str) -> None:
    """Nothing that comes from a browser leads out of the spool."""
    try:
        name = named(text)
    except ValueError:
        return
    assert not names.why_impossible(name) and ".." not in name.split("/")


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "a/../../b", "a//b", "", ".", "a\0b"])
def test_an_identifier_of_what_is_no_name_is_refused(path: str) -> None:
    """Whoever made it."""
    with pytest.raises(ValueError, match="no item's identifier"):
        named(identify(path))


@given(st.text(max_size=400), item_names)
def test_what_troubles_have_in_common_is_short_and_safe(error: str, name: str) -> None:
    """Whatever a command said."""
    found = kind_of("failed", None).title, title(error, name)
    assert all(len(one) <= 240 and "\n" not in one for one in found)


@given(st.text("ABC019 _-%\u00e9\n", min_size=3, max_size=40), st.integers(0, 10**12))
def test_items_and_numbers_do_not_make_two_troubles_of_one(name: str, number: int) -> None:
    """The same thing said of two items is one group."""
    assert title(f"byte {number} of <{names.encode(name)}> is bad", name) == "byte … of <…> is bad"


@given(st.floats(1e-9, 1e15), st.booleans())
def test_marks_reach_from_zero_to_the_highest(highest: float, whole: bool) -> None:
    """They are few, evenly spaced, and their texts differ."""
    marks = axis.ticks(highest, whole=whole)
    assert marks[0] == 0 and marks[-1] >= highest * 0.999999 and 2 <= len(marks) <= 5
    steps = [b - a for a, b in pairwise(marks)]
    assert max(steps) == pytest.approx(min(steps))
    if whole:
        assert all(mark == int(mark) for mark in marks)


@given(st.integers(0, 2**33), st.integers(60, 86400))
def test_times_of_an_axis_are_round_and_within_it(first: int, length: int) -> None:
    """At most seven."""
    found = axis.moments(first, first + length)
    assert len(found) <= 7 and all(first <= at <= first + length for at in found)


@given(st.lists(st.integers(0, 1000), min_size=len(DELIVERY_BOUNDS) + 1, max_size=len(DELIVERY_BOUNDS) + 1))
def test_quantiles_do_not_fall(counts: list[int]) -> None:
    """The more of them, the longer it took; none where there are none."""
    found = [quantile(counts, share) for share in (0.01, 0.5, 0.95, 0.99, 1.0)]
    if not any(counts):
        assert found == [None] * 5
    else:
        known = [one for one in found if one is not None]
        assert len(known) == 5 and known == sorted(known) and 0 < known[-1] <= DELIVERY_BOUNDS[-1]
