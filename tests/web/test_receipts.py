"""Search among receipts: newest first over many files, in bounded steps, by name, key, id and time."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from jollyae.spool import names
from jollyae.web import receipts
from jollyae.web.receipts import Found, Query, search
from jollyae.worker.receipts import moment
from tests.web.spools import queue

NOW = 1_700_000_000.0


def receipt(number: float, name: str = "", **more: Any) -> dict[str, Any]:
    """One that was finished ``number`` seconds after NOW."""
    name = name or f"m{number}.jpg"
    usual = {"id": f"{int(number * 10):020x}", "name": names.encode(name), "size": 7, "url": f"s3://b/in/{name}"}
    times = {"arrived": moment(NOW + number - 2.5), "finished": moment(NOW + number)}
    return usual | times | {"attempts": 1, "worker": "w"} | more


def wrote(spool: Spool, file: str, *found: dict[str, Any] | bytes) -> Path:
    """A worker's file of receipts, last written when its last receipt was."""
    path = spool.places.receipts / f"{file}.jsonl"
    lines = [one if isinstance(one, bytes) else json.dumps(one, separators=(",", ":")).encode() for one in found]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    ends = [one["finished"] for one in found if isinstance(one, dict)]
    when = receipts._seconds(max(ends)) if ends else NOW
    os.utime(path, (when or 0, when or 0))
    return path


def pages(spool: Spool, query: Query, size: int = 50) -> list[Found]:
    """All pages."""
    found = [search(queue(spool), query, size=size)]
    while found[-1].next:
        found.append(search(queue(spool), query, found[-1].next, size))
        assert len(found) < 10_000
    return found


@pytest.mark.parametrize("block", [64, 1000, 1 << 16])
def test_the_newest_come_first_each_once_over_all_files(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """Four workers at the same time, files one after the other, several in one instant, pages of any size."""
    monkeypatch.setattr("jollyae.service.observing.journal._BLOCK", block)
    for worker in range(4):
        wrote(spool, f"w{worker}-a", *(receipt(n // 2 * 2, f"{worker}-{n}") for n in range(worker, 120, 4)))
        wrote(spool, f"w{worker}-b", *(receipt(200 + n, f"{worker}-{n + 200}") for n in range(30)))
    found = [one for page in pages(spool, Query(), 7) for one in page.deliveries]
    assert len(found) == len({one.name for one in found}) == 240
    assert [one.finished for one in found] == sorted((one.finished for one in found), reverse=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SUMMER", ["summer.jpg"]),
        ("in/x", ["x.txt"]),
        ("0000014", ["x.txt"]),
        ("caf\u00e9", ["caf\u00e9 1"]),
        ("nope", []),
        ('w"', []),
    ],
)
def test_found_by_name_key_and_id(spool: Spool, text: str, said: list[str]) -> None:
    """Whatever the case; what is in other fields of the receipt does not count."""
    wrote(spool, "w", receipt(1, "summer.jpg"), receipt(2, "x.txt"), receipt(3, "caf\u00e9 1"), b"{half", b"[]", b"")
    assert [one.name for one in search(queue(spool), Query(text)).deliveries] == said


def test_the_time_it_was_finished_bounds_the_search(spool: Spool) -> None:
    """From and until, both included."""
    wrote(spool, "a", *(receipt(n) for n in range(100)))
    wrote(spool, "b", *(receipt(n) for n in range(100, 200)))
    found = [one.finished - NOW for page in pages(spool, Query("", NOW + 90, NOW + 110), 6) for one in page.deliveries]
    assert found == list(range(110, 89, -1))


def test_what_the_fields_of_a_form_mean() -> None:
    """Durations count back from now; a date is that of UTC; a day as the end is the whole day."""
    query = Query.of({"text": " a ", "since": "2h", "until": "2023-11-14"}, NOW)
    assert (query.text, query.since, query.until) == ("a", NOW - 7200, 1_700_006_400.0)
    assert Query.of({"since": "2023-11-14T22:13:20"}, 0).since == NOW
    assert Query.of({"since": "2023-11-14T23:13:20+01:00"}, 0).since == NOW
    assert Query.of({}) == Query()
    for wrong in ("yesterday", "2023-13-01", "\0", "9999-12-31T23:59:59+00:01x"):
        with pytest.raises(ValueError, match="no duration"):
            Query.of({"since": wrong}, NOW)


def test_a_search_that_takes_long_stops_and_can_be_gone_on_with(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says back to when it looked; going on finds what is there, once."""
    monkeypatch.setattr(receipts, "MOST_BYTES", 20_000)
    monkeypatch.setattr("jollyae.service.observing.journal._BLOCK", 4096)
    wrote(spool, "w", *(receipt(n, "needle" if n % 400 == 5 else "") for n in range(1200)))
    found = pages(spool, Query("needle"))
    assert [one.finished - NOW for page in found for one in page.deliveries] == [805, 405, 5]
    assert len(found) > 5 and NOW < found[0].searched_to < NOW + 1200 and found[-1].searched_to == 0


def test_receipts_written_while_somebody_pages_shift_nothing(spool: Spool) -> None:
    """The next page goes on where the last one ended."""
    wrote(spool, "w", *(receipt(n) for n in range(10)))
    first = search(queue(spool), Query(), size=5)
    wrote(spool, "v", *(receipt(n) for n in range(20, 30)))
    second = search(queue(spool), Query(), first.next, size=5)
    assert [one.finished - NOW for one in (*first.deliveries, *second.deliveries)] == list(range(9, -1, -1))


def test_what_is_shown_is_safe(spool: Spool) -> None:
    """Names of any bytes, and whatever a processor put into a receipt."""
    evil = receipt(1, "a\nb\udce9 \u202e<b>") | {"note": "\x1b[2J", "more": {"x": [1, None]}, "size": "7"}
    evil["url"] = "s3://b/\u202e"
    wrote(spool, "w", evil, b'{"finished":3}', b'{"id":5}')
    one = next(one for one in search(queue(spool), Query()).deliveries if one.name)
    assert (
        one.name == "a%0Ab%E9 %E2%80%AE<b>" and one.url == "s3://b/%E2%80%AE" and one.seconds == 2.5 and one.size == 0
    )
    assert all(value.isprintable() for value in one.fields.values()) and one.fields["more"] == '{"x":[1,null]}'


@pytest.mark.parametrize("cursor", ["x", "%%", "YQ", "YQph", "9" * 50])
def test_what_is_no_cursor_is_refused(spool: Spool, cursor: str) -> None:
    """It comes back from a browser."""
    with pytest.raises(ValueError, match="no page of receipts"):
        search(queue(spool), Query(), cursor)


def test_without_receipts_there_are_none(spool: Spool) -> None:
    """An empty directory, one that is gone, one that is a file."""
    assert search(queue(spool), Query()) == Found((), "", 0.0)
    spool.places.receipts.rmdir()
    assert search(queue(spool), Query()).deliveries == ()
    spool.places.receipts.write_text("")
    assert "cannot be read" in search(queue(spool), Query()).error
