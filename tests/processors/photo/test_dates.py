"""When a picture was taken."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.processors.photo.dates import file_time, parse, taken
from jollyae.processors.photo.tags import Tags

ORIGINAL, DIGITIZED, CHANGED = 36867, 36868, 306
OFFSET_ORIGINAL, OFFSET_DIGITIZED, OFFSET = 36881, 36882, 36880
MAY, JUNE, JULY = "2026:05:01 10:00:00", "2026:06:01 10:00:00", "2026:07:01 10:00:00"
FILE = file_time(1_700_000_000.0)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({ORIGINAL: MAY, DIGITIZED: JUNE, CHANGED: JULY}, "2026-05-01T10:00:00"),
        ({DIGITIZED: JUNE, CHANGED: JULY}, "2026-06-01T10:00:00"),
        ({CHANGED: JULY}, "2026-07-01T10:00:00"),
        ({}, FILE),
        # each time has an offset of its own, and no other's counts
        ({ORIGINAL: MAY, OFFSET_ORIGINAL: "+02:00"}, "2026-05-01T10:00:00+02:00"),
        ({ORIGINAL: MAY, OFFSET: "+02:00"}, "2026-05-01T10:00:00"),
        ({ORIGINAL: MAY, OFFSET_DIGITIZED: "+02:00", OFFSET: "+03:00"}, "2026-05-01T10:00:00"),
        ({DIGITIZED: JUNE, OFFSET_ORIGINAL: "+01:00", OFFSET_DIGITIZED: "-05:30"}, "2026-06-01T10:00:00-05:30"),
        ({CHANGED: JULY, OFFSET: "+09:00"}, "2026-07-01T10:00:00+09:00"),
        ({ORIGINAL: MAY, OFFSET_ORIGINAL: "Z"}, "2026-05-01T10:00:00+00:00"),
        ({ORIGINAL: MAY, OFFSET_ORIGINAL: "   :  "}, "2026-05-01T10:00:00"),
        ({ORIGINAL: MAY, OFFSET_ORIGINAL: "+99:00"}, "2026-05-01T10:00:00"),
        # nonsense is passed over
        ({ORIGINAL: "0000:00:00 00:00:00", DIGITIZED: JUNE}, "2026-06-01T10:00:00"),
        ({ORIGINAL: "    :  :     :  :  ", CHANGED: JULY}, "2026-07-01T10:00:00"),
        ({ORIGINAL: "2026:13:01 10:00:00"}, FILE),
        ({ORIGINAL: "2026:02:30 10:00:00"}, FILE),
        ({ORIGINAL: "2026:05:01 25:00:00"}, FILE),
        ({ORIGINAL: "0001:01:01 00:00:00"}, FILE),
        ({ORIGINAL: "yesterday"}, FILE),
        ({ORIGINAL: 20260501}, FILE),
        ({ORIGINAL: ("2026:05:01", "10:00:00")}, FILE),
        # what cameras and programs write beside the standard
        ({ORIGINAL: "2026:05:01 10:00:60"}, "2026-05-01T10:00:59"),
        ({ORIGINAL: "2026:05:01 10:00:00\0"}, "2026-05-01T10:00:00"),
        ({ORIGINAL: b"2026:05:01 10:00:00"}, "2026-05-01T10:00:00"),
        ({ORIGINAL: "2026-05-01T10:00:00.123+02:00"}, "2026-05-01T10:00:00+02:00"),
        ({ORIGINAL: "2026/05/01 10:00"}, "2026-05-01T10:00:00"),
        ({ORIGINAL: "2026:5:1"}, "2026-05-01T00:00:00"),
    ],
)
def test_dates(tags: dict[int, object], expected: str) -> None:
    """The first of the three that is a date, with its own offset, without any shift; else the file's time."""
    assert taken(Tags({}, tags), 1_700_000_000.0) == expected
    assert taken(Tags(tags, {}), 1_700_000_000.0) == expected


@given(st.text(max_size=40), st.text(max_size=10))
def test_a_date_is_a_date(text: str, offset: str) -> None:
    """Whatever is written there, what comes out is nothing or a date."""
    found = parse(text, offset)
    assert not found or datetime.fromisoformat(found)


@pytest.mark.parametrize("mtime", [-1e30, 1e30, float("nan"), float("inf")])
def test_impossible_file_times(mtime: float) -> None:
    """Even then there is a date."""
    assert file_time(mtime) == "1970-01-01T00:00:00"
