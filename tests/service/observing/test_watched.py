"""Metrics of what ``.state.json`` shows, with workers that come and go."""

from jollyae import Spool
from jollyae.service.observing.watched import Watched
from jollyae.spool.claims import Claims
from jollyae.spool.readiness import Readiness
from jollyae.worker.state import StateFile
from tests.service.observing.test_metrics import check_with_promtool, parsed
from tests.service.snapshots import NOW, snapshot


def _says(claims: Claims, delivered: int, last_delivery: float = NOW) -> None:
    StateFile(claims.directory).show(snapshot(worker=claims.worker, delivered=delivered, last_delivery=last_delivery))


def _value(watched: Watched, name: str = "delivered_items_total") -> float:
    return parsed(watched.text()).get((f"jollyae_{name}", "queue", "photos"), -1)


def test_workers_that_come_and_go(spool: Spool) -> None:
    """Several are one queue, and when one is gone nothing that it counted is."""
    watched = Watched(lambda: [("photos", spool.places), ("logs", spool.places)])
    assert _value(watched) == -1
    first, second = Claims(spool.places, Readiness(0)), Claims(spool.places, Readiness(0))
    _says(first, 10)
    _says(second, 5, NOW + 7)
    assert _value(watched) == 15 and _value(watched, "last_delivery_timestamp_seconds") == NOW + 7
    first.stop()
    assert _value(watched) == 15
    third = Claims(spool.places, Readiness(0))
    _says(third, 1)
    assert _value(watched) == 16
    second.stop()
    StateFile(third.directory).show(snapshot(worker=third.worker, delivered=1, silent_since=NOW))
    assert _value(watched, "attempt_silent_since_timestamp_seconds") == NOW
    third.stop()
    assert _value(watched, "attempt_silent_since_timestamp_seconds") == -1, "nobody is at work any more"
    assert _value(watched) == 16 and _value(watched, "last_scan_timestamp_seconds") == NOW - 1
    assert _value(watched, "last_delivery_timestamp_seconds") == NOW + 7
    check_with_promtool(watched.text())


def test_open_metrics_too(spool: Spool) -> None:
    """As the companion does it."""
    assert Watched(lambda: [("photos", spool.places)]).text(open_metrics=True).endswith("# EOF\n")
