"""Sizes, durations, rates and timetables."""

import time

import pytest

from jollyae.service import units


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1024), ("1b", 1), ("10k", 10240), ("1.5M", 3 << 19), ("2GiB", 2 << 30), ("1 MB", 1 << 20)]
)
def test_sizes(text: str, size: int) -> None:
    """Sizes are rclone's: a bare number is KiB."""
    assert units.size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1x", "ten"])
def test_what_is_no_size_or_duration(text: str) -> None:
    """What is no size is refused; so is what is no duration."""
    with pytest.raises(ValueError, match="no size"):
        units.size(text)
    with pytest.raises(ValueError, match="no duration"):
        units.duration("soon " + text)


def at(day: int, hour: int, minute: int = 0) -> time.struct_time:
    """A local time: ``day`` 0 is Monday."""
    return time.struct_time((2026, 11, 16 + day, hour, minute, 0, day, 1, 0))


def test_a_timetable_holds_until_its_next_line() -> None:
    """Before the day's first line the last one of the day before holds."""
    table = units.timetable("08:00,512k 12:00,10M 13:00,512k 18:00,30M 23:00,off")
    found = [table.at(at(2, hour)) for hour in (7, 8, 12, 13, 22, 23)]
    assert found == [None, 512 << 10, 10 << 20, 512 << 10, 30 << 20, None]
    assert table.at(at(0, 0)) is None


def test_a_timetable_with_days() -> None:
    """Days may be named; the week goes round."""
    table = units.timetable("Mon-00:00,512 Fri-23:59,10M Sun-20:00,off")
    assert [table.at(at(0, 0)), table.at(at(4, 23, 59)), table.at(at(6, 21))] == [512 << 10, 10 << 20, None]


@pytest.mark.parametrize("text", ["", "08:00,", "25:00,1M", "Fry-08:00,1M", "08:00,fast"])
def test_what_is_no_timetable(text: str) -> None:
    """What is no timetable is refused."""
    with pytest.raises(ValueError):
        units.timetable(text)


def test_only_upload_counts_of_a_pair() -> None:
    """rclone's UP:DOWN is taken; the first is upload."""
    assert units.timetable("10M:1M").at(at(0, 0)) == 10 << 20
