"""Several workers seen as one: what is told of all, of the latest, and of the first to be."""

from typing import Any

from jollyae.service.processes.together import together
from jollyae.worker.state import Counted, Minute, Snapshot
from jollyae.worker.tally import Tally


def _snapshot(**fields: Any) -> Snapshot:
    given: dict[str, Any] = {
        "worker": "w",
        "pid": 1,
        "started": 5.0,
        "destination": "s3://b",
        "watch": "inotify",
        "delivered": 1,
        "delivered_bytes": 10,
        "failed": 0,
        "deferred": 0,
        "unready": 0,
        "limit": 4,
        "in_flight": [],
        "held": 0,
        "paused": None,
    }
    return Snapshot(**(given | fields))


def test_of_the_places_the_latest_count_is_told() -> None:
    """Only the first of siblings counts; one that was started again has not counted yet."""
    counted = {"incoming": Counted(5, 50, 1.0, 100.0)}
    older = {"incoming": Counted(7, 70, 1.0, 90.0)}
    seen = together([_snapshot(), _snapshot(places=older), _snapshot(places=counted)], Tally())
    assert seen.places == counted


def test_what_is_in_places_of_their_own_is_added_up() -> None:
    """Where all have counted it by now."""
    one = {"incoming": Counted(5, 50, 9.0, 100.0, 1), "failed": Counted(1, 10, None, 90.0)}
    other = {"incoming": Counted(7, 70, 8.0, 90.0, 2), "failed": Counted(2, 20, 7.0, 80.0), "finished": Counted(1)}
    seen = together([_snapshot(places=one, unready=1), _snapshot(places=other, unready=2)], Tally(), apart=True)
    assert seen.places == {"incoming": Counted(12, 120, 8.0, 90.0, 3), "failed": Counted(3, 30, 7.0, 80.0)}
    assert seen.unready == 3
    assert together([_snapshot(places=one), _snapshot()], Tally(), apart=True).places == {}


def test_of_the_running_minute_all_is_added_up() -> None:
    """A worker that is still in the minute before does not count."""
    minutes = [Minute(60, 1, 10, 1, 0, [1, 0]), Minute(60, 2, 20, 0, 1, [0, 2]), Minute(0, 9, 9, 9, 9, [9, 9]), None]
    seen = together([_snapshot(minute=minute) for minute in minutes], Tally())
    assert seen.minute == Minute(60, 3, 30, 1, 1, [1, 2])
    assert together([_snapshot()], Tally()).minute is None


def test_times_of_several() -> None:
    """The next attempt and the credentials' end are the first of any, 0 being none; all must be idle, since the last
    was; a look of any is a look."""
    some = [_snapshot(next_attempt=at, credentials_expiry=at, last_scan=at, idle_since=at) for at in (0.0, 30.0, 20.0)]
    seen = together(some, Tally())
    assert (seen.next_attempt, seen.credentials_expiry, seen.last_scan, seen.idle_since) == (20.0, 20.0, 30.0, 0.0)
    assert together(some[1:], Tally()).idle_since == 30.0


def test_what_waits_for_longest_in_any() -> None:
    """Of what one has in hand another knows nothing; 0 is none."""
    names = ("oldest_in_hand", "oldest_waiting", "silent_since")
    seen = together([_snapshot(**dict.fromkeys(names, at)) for at in (0.0, 30.0, 20.0)], Tally())
    assert [getattr(seen, name) for name in names] == [20.0] * 3
    assert together([_snapshot()], Tally()).oldest_waiting == 0.0


def test_what_was_done_is_the_tallys() -> None:
    """With what those did that are gone."""
    tally = Tally()
    tally.deliver([5, 5], [0.1, 0.1], [0.1, 0.1], 7.0)
    tally.fail("clock", 1)
    seen = together([_snapshot()], tally)
    assert (seen.delivered, seen.delivered_bytes, seen.failed_by, seen.last_delivery) == (2, 10, {"clock": 1}, 7.0)
    assert sum(seen.delivery.counts) == 2
