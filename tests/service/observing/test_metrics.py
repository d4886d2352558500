"""The page for Prometheus: read back by a small parser of our own, and by promtool where there is one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae import __version__
from jollyae.service.observing import metrics
from jollyae.service.observing.metrics import (
    FAMILIES,
    OUTCOMES,
    PLACES,
    Reload,
    Replication,
    Seen,
    text,
    without_secrets,
)
from jollyae.service.observing.totals import Totals
from jollyae.worker.reasons import REASONS
from jollyae.worker.state import ATTEMPT_BOUNDS, DELIVERY_BOUNDS, Counted, Flight, Histogram, Paused
from tests.service.snapshots import NOW, snapshot

DOCS = Path(__file__).parents[3] / "docs"
_SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (-?[0-9.e+-]+)\Z')
_LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')

Samples = dict[tuple[str, ...], float]


def parsed(page: str) -> Samples:
    """Each sample by its name, labels and their values, as the format has it; nothing else may be there."""
    found: Samples = {}
    assert page.endswith("\n")
    for line in page.removesuffix("\n").split("\n"):
        if line.startswith("#"):
            assert re.match(r"# (HELP|TYPE) jollyae_\w+ .+", line), line
            continue
        match = _SAMPLE.match(line)
        assert match, line
        pairs = [(label, re.sub(r"\\(.)", _unescaped, value)) for label, value in _LABEL.findall(match[2] or "")]
        key = (match[1], *(word for pair in pairs for word in pair))
        assert key not in found, f"twice: {line}"
        found[key] = float(match[3])
    return found


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def check_with_promtool(page: str) -> None:
    """Have promtool read it; without one the test is skipped."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool (Debian's package prometheus)")
    told = subprocess.run([promtool, "check", "metrics"], input=page.encode(), capture_output=True, timeout=60)
    assert told.returncode == 0 and not told.stderr, told.stderr.decode()


def _whole() -> list[Seen]:
    """Several queues, with all that there is to tell."""
    flying = [Flight("a.jpg", 1000, 10, NOW, 1), Flight("b.jpg", 500, 0, NOW, 2)]
    refused = Paused("destination", "403", "Allow it.", NOW - 60, "denied")
    more = {"next_attempt": NOW + 5, "credentials_expiry": NOW + 900}
    return [
        Seen("photos", snapshot(in_flight=flying, silent_since=NOW - 7, **more)),
        Seen("logs", snapshot(paused=refused, credentials_expiry=NOW + 300)),
        Seen("other", snapshot(destination='exec "odd\\name"\n', paused=Paused("hand", "lunch"), free_bytes=-1)),
        Seen("photos/hook", snapshot(destination="https://hooks.example/x"), target="hook"),
        Seen("logs/hook", snapshot(destination="https://hooks.example/x"), target="hook"),
    ]


LINKS = (
    Replication("https://a.example/album", "https://b.example/album", True, 12, NOW - 30.5),
    Replication("https://b.example/album", "https://a.example/album", False, None, None),
)


def test_promtool_finds_nothing_wrong() -> None:
    """Names, types, help texts and units are as Prometheus wants them."""
    check_with_promtool(text(_whole(), Reload(True, NOW), replications=LINKS))
    check_with_promtool(text((), replications=LINKS))


def test_how_the_servers_of_an_album_replicate() -> None:
    """For each source and target, once, the worse of two that do the same; what is not known is absent; no user."""
    more = Replication("https://anna:secret@a.example/album", "https://b.example/album", False, 3, None)
    found = parsed(text((), replications=LINKS))
    ends = ("source", "https://a.example/album", "target", "https://b.example/album")
    back = (*ends[:1], ends[3], ends[2], ends[1])
    assert found[("jollyae_album_replication_up", *ends)] == 1
    assert found[("jollyae_album_replication_pending_changes", *ends)] == 12
    assert found[("jollyae_album_replication_last_success_timestamp_seconds", *ends)] == NOW - 30.5
    assert found[("jollyae_album_replication_up", *back)] == 0
    assert len([key for key in found if key[0].startswith("jollyae_album")]) == 4
    page = text((), replications=(*LINKS, more))
    assert "secret" not in page and parsed(page)[("jollyae_album_replication_up", *ends)] == 0


def test_all_families_are_told_and_documented() -> None:
    """Each has its HELP and its TYPE, once, and a row in METRICS.md; there is no other."""
    page = text(_whole(), Reload(False, NOW), replications=LINKS)
    assert re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE) == [(one.name, one.type) for one in FAMILIES]
    assert re.findall(r"^# HELP (\w+) (.+)$", page, re.MULTILINE) == [(one.name, one.help) for one in FAMILIES]
    rows = [line for line in (DOCS / "METRICS.md").read_text().splitlines() if line.startswith("| `jollyae_")]
    documented = {name for row in rows for name in re.findall(r"`(jollyae_\w+)", row.split("|")[1])}
    assert documented == {one.name for one in FAMILIES}
    for one in FAMILIES:
        (row,) = (row for row in rows if f"`{one.name}" in row.split("|")[1])
        assert one.type in row.split("|")[2], row


def test_the_closed_lists_are_documented() -> None:
    """METRICS.md has each place, outcome and reason, and no other reason."""
    page = (DOCS / "METRICS.md").read_text()
    found = re.search(r"^Reasons: (.*?)\n\n", page, re.MULTILINE | re.DOTALL)
    assert found
    assert set(re.findall(r"`(\w+)`", found[1])) == set(REASONS)
    for word in (*PLACES, *OUTCOMES):
        assert f"`{word}`" in page


def test_the_values() -> None:
    """What a snapshot has is what is told, under the labels of its queue or its destination."""
    found = parsed(text([Seen("photos", snapshot())]))
    queue, to = ("queue", "photos"), ("destination", "s3://bucket/prefix")
    assert found[("jollyae_items", *queue, "place", "incoming")] == 7
    assert found[("jollyae_size_bytes", *queue, "place", "failed")] == 20
    assert found[("jollyae_oldest_arrival_timestamp_seconds", *queue, "place", "incoming")] == NOW - 30
    assert found[("jollyae_delivered_items_total", *queue)] == 12
    assert found[("jollyae_delivered_bytes_total", *queue)] == 3400
    assert found[("jollyae_failed_items_total", *queue, "reason", "collision")] == 2
    assert found[("jollyae_failed_items_total", *queue, "reason", "network")] == 0
    assert found[("jollyae_deferred_items_total", *queue, "reason", "timeout")] == 2
    assert found[("jollyae_attempts_total", *queue, "outcome", "hold")] == 4
    assert found[("jollyae_sent_bytes_total", *to)] == 4000
    assert found[("jollyae_last_scan_timestamp_seconds", *queue)] == NOW - 1
    assert found[("jollyae_concurrency_limit", *to)] == 16
    assert found[("jollyae_queue_paused", *queue)] == 0
    assert found[("jollyae_build_info", "version", __version__)] == 1
    assert not [key for key in found if key[0] == "jollyae_config_last_reload_successful"]


def test_what_is_not_known_is_absent() -> None:
    """No oldest item, no credentials that expire, nothing deferred, room unknown: no sample, rather than a zero."""
    found = parsed(text([Seen("photos", snapshot(free_bytes=-1, free_inodes=-1, last_delivery=0.0))]))
    names = {key[0].removeprefix("jollyae_") for key in found}
    absent = {"next_attempt_timestamp_seconds", "credentials_expiry_timestamp_seconds", "spool_free_bytes"}
    assert not names & {*absent, "last_delivery_timestamp_seconds", "spool_free_inodes", "notifications_total"}
    oldest = {key[4] for key in found if key[0] == "jollyae_oldest_arrival_timestamp_seconds"}
    assert oldest == {"incoming", "failed"}


def test_since_when_what_is_undelivered_waits() -> None:
    """Of each queue that has some, one time; of one whose attempts are all over there is no silent one."""
    found = parsed(text([*_whole(), Seen("empty", snapshot(oldest_waiting=0.0))]))
    assert found[("jollyae_oldest_waiting_timestamp_seconds", "queue", "logs")] == NOW - 30
    assert ("jollyae_oldest_waiting_timestamp_seconds", "queue", "empty") not in found
    silent = {key: value for key, value in found.items() if key[0] == "jollyae_attempt_silent_since_timestamp_seconds"}
    assert silent == {("jollyae_attempt_silent_since_timestamp_seconds", "queue", "photos"): NOW - 7}


def test_histograms_are_cumulative_and_end_with_all() -> None:
    """Each bucket has those before it too, and +Inf is the count."""
    page = text([Seen("photos", snapshot(delivery=Histogram([1] * 20, 9.5)))])
    buckets = re.findall(r'^jollyae_delivery_duration_seconds_bucket\{.*le="(.+)"\} (\d+)$', page, re.MULTILINE)
    assert [float(end) for end, _ in buckets] == [*map(float, DELIVERY_BOUNDS), float("inf")]
    assert [int(count) for _, count in buckets] == list(range(1, 21))
    assert 'jollyae_delivery_duration_seconds_count{queue="photos"} 20\n' in page
    assert 'jollyae_delivery_duration_seconds_sum{queue="photos"} 9.5\n' in page
    assert page.count("jollyae_attempt_duration_seconds_bucket{") == len(ATTEMPT_BOUNDS) + 1


def test_queues_with_one_destination_are_one_there() -> None:
    """What is told of a destination is the sum of its queues; the credentials that expire first count."""
    found = parsed(text(_whole()))
    to = ("destination", "s3://bucket/prefix")
    assert found[("jollyae_sent_bytes_total", *to)] == 8000
    assert found[("jollyae_in_flight_items", *to)] == 2
    assert found[("jollyae_in_flight_bytes", *to)] == 1500
    assert found[("jollyae_credentials_expiry_timestamp_seconds", *to)] == NOW + 300
    assert found[("jollyae_destination_paused", *to, "reason", "denied")] == 1
    assert found[("jollyae_destination_paused", *to, "reason", "network")] == 0
    assert found[("jollyae_attempt_duration_seconds_count", *to)] == 24


def test_a_pause_by_hand_is_the_queues() -> None:
    """It is no trouble of the destination."""
    found = parsed(text(_whole()))
    assert found[("jollyae_queue_paused", "queue", "other")] == 1
    odd = [value for key, value in found.items() if key[:3:2] == ("jollyae_destination_paused", 'exec "odd\\name"\n')]
    assert len(odd) == len(REASONS) and not any(odd)


def test_notifications_are_told_by_target() -> None:
    """The queues of notifications are told by whose they are and whom they are for, and are not among the queues."""
    found = parsed(text(_whole()))
    for queue in ("photos", "logs"):
        of = ("queue", queue, "target", "hook")
        assert found[("jollyae_notifications_total", *of, "outcome", "done")] == 12
        assert found[("jollyae_notifications_pending", *of)] == 7
        assert found[("jollyae_notifications_oldest_timestamp_seconds", *of)] == NOW - 30
    assert not [key for key in found if "photos/hook" in key or "https://hooks.example/x" in key]


def test_labels_have_only_known_values() -> None:
    """A reason, an outcome or a place that nobody foresaw is counted with the others, and makes no new series."""
    odd = snapshot(
        failed_by={"printer": 3, "size": 1, "other": 2},
        attempts={"done": 1, "exploded": 5},
        places={"attic": Counted(9, 9)},
        paused=Paused("destination", "no paper", reason="printer"),
    )
    found = parsed(text([Seen("photos", odd)]))
    values = {value for key in found for label, value in zip(key[1::2], key[2::2], strict=True) if label == "reason"}
    assert values == set(REASONS)
    assert found[("jollyae_failed_items_total", "queue", "photos", "reason", "other")] == 5
    assert found[("jollyae_attempts_total", "queue", "photos", "outcome", "hold")] == 5
    assert found[("jollyae_destination_paused", "destination", "s3://bucket/prefix", "reason", "other")] == 1
    assert not [key for key in found if "attic" in key]
    assert set(OUTCOMES) == {"done", "defer", "fail", "hold"} and "unready" in PLACES


@given(st.text(st.characters(codec=None), min_size=1))
def test_any_name_is_escaped(name: str) -> None:
    """Whatever a queue is called, the page can be read, and says it."""
    found = parsed(text([Seen(name, snapshot())]))
    assert ("jollyae_delivered_items_total", "queue", name.encode("utf-8", "replace").decode()) in found


@pytest.mark.parametrize(
    ("destination", "shown"),
    [
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("https://me:secret@couch.example:5984/album?token=1", "https://couch.example:5984/album"),
        ("exec lp", "exec lp"),
        ("file:///srv/a@b", "file:///srv/a@b"),
    ],
)
def test_no_secret_is_in_a_label(destination: str, shown: str) -> None:
    """A destination's URL is told without user, password and query."""
    assert without_secrets(destination) == shown


def test_no_item_is_named() -> None:
    """Names of items are nowhere on the page."""
    assert ".jpg" not in text(_whole())


@pytest.mark.parametrize("items", [0, 1_000_000_000])
def test_the_page_does_not_grow_with_the_backlog(items: int) -> None:
    """A full spool costs as many lines as an empty one."""
    places = {place: Counted(items, items, NOW, NOW) for place in PLACES}
    page = text([Seen(f"queue{number}", snapshot(places=places, delivered=items)) for number in range(5)])
    assert len(page.splitlines()) == 2 * page.count("# TYPE") + len(parsed(page))
    assert len(parsed(page)) == 489


def test_open_metrics() -> None:
    """Asked for OpenMetrics, a counter's family has no _total and the page ends with # EOF."""
    page = text(_whole(), Reload(True, NOW), open_metrics=True)
    assert page.endswith("\n# EOF\n")
    assert "# TYPE jollyae_delivered_items counter\n" in page
    assert 'jollyae_delivered_items_total{queue="photos"} 12\n' in page
    assert page.count("\n# TYPE") == text(_whole(), Reload(True, NOW)).count("\n# TYPE")


# --- totals


def test_counters_go_on_when_a_worker_is_replaced() -> None:
    """What the one counted that is gone is added to what the next counts, as often as that happens."""
    totals = Totals()
    totals.add("photos", snapshot())
    totals.add("photos", snapshot(pid=2, delivered=1))
    third = totals.add("photos", snapshot(pid=3, delivered=5))
    assert third.delivered == 12 + 1 + 5
    assert third.failed_by == {"collision": 6} and third.attempts["hold"] == 12
    assert third.delivery.counts == [3, 6, 9, 18] and third.delivery.sum == pytest.approx(0.15)
    assert third.places == snapshot().places  # no counter: as it is now


def test_counters_that_begin_again_are_seen() -> None:
    """The same parent with less than before has new workers."""
    totals = Totals()
    totals.add("photos", snapshot(delivered=100))
    assert totals.add("photos", snapshot(delivered=3)).delivered == 103
    assert totals.add("photos", snapshot(delivered=4)).delivered == 104
    totals.forget("photos")
    assert totals.add("photos", snapshot(delivered=1)).delivered == 1


def test_metrics_knows_all_places() -> None:
    """The places of a spool are the places of the metrics."""
    from jollyae.spool.places import Place

    assert tuple(Place) == metrics.PLACES[:-1]
