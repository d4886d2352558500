"""The last hour and day, from the minutes that workers wrote down, as points and as plots."""

import shutil
import time
import xml.etree.ElementTree as ET
from typing import Any

import msgspec
import pytest

from jollyae import Spool
from jollyae.service.observing import past
from jollyae.spool import owner
from jollyae.web import plots
from jollyae.web.history import DAY, HOUR, history
from jollyae.worker.state import DELIVERY_BOUNDS, Minute, Snapshot, StateFile
from tests.web.spools import queue, snapshot

NOW = 1_700_000_010.0  # half a minute into one
BUCKETS = len(DELIVERY_BOUNDS) + 1


def minute(at: float, delivered: int = 0, bucket: int = 0, **more: Any) -> Minute:
    """A minute in which all took equally long."""
    counts = [0] * BUCKETS
    counts[bucket] = delivered
    return Minute(int(at), delivered, more.pop("bytes", delivered * 10), delivery=counts, **more)


def wrote(spool: Spool, worker: str, *minutes: Minute) -> None:
    """A worker's file of minutes."""
    path = spool.places.receipts / f"{worker}-20270115T000000Z.minutes"
    path.write_bytes(b"".join(b"\n" + msgspec.json.encode(one) for one in minutes) + b"\n{half a li")


def test_several_workers_add_up_minute_by_minute(spool: Spool) -> None:
    """And half a line, left by a full disk, is nothing."""
    wrote(spool, "a", minute(NOW - 90, 5), minute(NOW - 30, 1, failed=2))
    wrote(spool, "b", minute(NOW - 90, 7, deferred=1))
    found = history(queue(spool), HOUR, NOW)
    assert len(found.points) == 60 and found.points[-1].at == NOW - 30
    assert [(one.delivered, one.failed, one.deferred) for one in found.points[-3:]] == [
        (0, 0, 0),
        (12, 0, 1),
        (1, 2, 0),
    ]
    assert found.known == NOW - 90


def test_the_running_minute_counts_once(spool: Spool) -> None:
    """A live worker's snapshot has the minute that runs; when that is over it is in the file, and perhaps still in the
    snapshot."""
    wrote(spool, "a", minute(NOW - 90, 5), minute(NOW - 30, 3))
    both = [snapshot(worker="a", minute=minute(NOW - 30, 3)), snapshot(worker="b", minute=minute(NOW - 30, 4))]
    assert history(queue(spool), HOUR, NOW, both).points[-1].delivered == 7


def test_a_day_is_in_steps_of_ten_minutes(spool: Spool) -> None:
    """And older things are not in it."""
    wrote(spool, "a", minute(NOW - 2 * DAY, 99), *(minute(NOW - 30 - 60 * ago, 1) for ago in range(12, 0, -1)))
    found = history(queue(spool), DAY, NOW)
    assert len(found.points) == 144 and sum(point.delivered for point in found.points) == 12
    assert [point.delivered for point in found.points if point.delivered] == [9, 3]


def test_latency_is_of_what_was_delivered_and_none_where_nothing_was(spool: Spool) -> None:
    """A minute without a delivery has no latency, which is not a latency of zero."""
    counts = [0] * BUCKETS
    counts[3], counts[9] = 90, 10
    wrote(spool, "a", Minute(int(NOW - 30), 100, 1, delivery=counts))
    *_, before, last = history(queue(spool), HOUR, NOW).points
    assert before.p50 is None and before.p95 is None
    assert last.p50 is not None and 0.005 < last.p50 <= 0.01 and last.p95 == pytest.approx(0.75)


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_quantile_lies_in_its_bucket(share: float) -> None:
    """Whatever the distribution, it is between the bounds of the bucket that the rank falls into."""
    for bucket, bound in enumerate(DELIVERY_BOUNDS):
        counts = [0] * BUCKETS
        counts[bucket] = 3
        found = past.quantile(counts, share)
        assert found is not None and (DELIVERY_BOUNDS[bucket - 1] if bucket else 0) < found <= bound
    assert past.quantile([0] * (BUCKETS - 1) + [1], share) == DELIVERY_BOUNDS[-1]
    assert past.quantile([], share) is None


def test_a_quantile_is_no_longer_than_the_slowest(spool: Spool) -> None:
    """The last buckets are wide: of what took just over five minutes at the most none is said to have taken 29."""
    counts = [0] * BUCKETS
    counts[DELIVERY_BOUNDS.index(300) + 1] = 3
    assert (past.quantile(counts, 0.99) or 0) > 1000
    assert past.quantile(counts, 1.0, slowest=301.0) == 301.0
    assert past.quantile([0] * (BUCKETS - 1) + [1], 1.0, slowest=10**6) == 10**6
    wrote(spool, "a", Minute(int(NOW - 30), 3, 3, delivery=counts, slowest=301.0))
    last = history(queue(spool), HOUR, NOW).points[-1]
    assert last.p95 is not None and 300 < last.p95 <= 301


def test_nothing_known_is_not_nothing_delivered(spool: Spool) -> None:
    """A queue that no worker ever touched has no plot; one whose worker idles has one with zeros."""
    never = history(queue(spool), HOUR, NOW)
    assert never.known is None and plots.delivered(never).svg == "" and "no worker" in plots.delivered(never).empty
    idle = history(queue(spool), HOUR, NOW, [snapshot(worker="a", started=NOW - 600)])
    drawn = plots.delivered(idle)
    assert idle.known == NOW - 600 and drawn.svg and drawn.rows == () and "0 items delivered" in drawn.description
    assert "nothing is known of this time" in drawn.svg


def test_what_live_workers_write_is_read_without_being_handed_in(spool: Spool) -> None:
    """The history asks for the snapshots itself."""
    own = owner.publish(str(spool.places.working))
    StateFile(own.path).show(snapshot(worker=own.name, minute=minute(NOW - 30, 4)))
    assert history(queue(spool), HOUR, NOW).points[-1].delivered == 4


@pytest.mark.parametrize("plot", [plots.delivered, plots.latency, plots.volume])
@pytest.mark.parametrize("length", [HOUR, DAY])
def test_a_plot_is_well_formed_named_and_without_style(spool: Spool, plot: Any, length: int) -> None:
    """It is an image with a title and a description, it has the same numbers as a table, and no style attribute nor
    colour, which the page's policy and the dark scheme would not like."""
    wrote(
        spool, "a", *(minute(NOW - 30 - 60 * ago, ago % 7, ago % BUCKETS, failed=ago % 3) for ago in range(50, 0, -1))
    )
    drawn = plot(history(queue(spool), length, NOW))
    root = ET.fromstring(drawn.svg)
    assert root.attrib["role"] == "img" and root[0].text == drawn.title and root[1].text == drawn.description
    shapes = list(root.iter())
    assert not any("style" in one.attrib or one.tag.endswith("style") for one in shapes)
    assert {one.attrib.get("fill", "none") for one in shapes} <= {"none", "currentColor"}
    assert len(drawn.header) == len(drawn.rows[0][1]) + 1 and drawn.rows[0][0] <= drawn.rows[-1][0] < NOW
    for one in shapes:
        x, y = float(one.attrib.get("x", 0)), float(one.attrib.get("y", 0))
        assert 0 <= x <= plots.WIDTH and 0 <= y <= plots.HEIGHT
    assert drawn.svg.__html__() == str(drawn.svg) and drawn.legend


def test_history_of_a_spool_that_is_gone(spool: Spool) -> None:
    """Is unknown, and no error."""
    shutil.rmtree(spool.places.control)
    assert history(queue(spool), HOUR, time.time()).known is None


def test_snapshots_of_the_tests_are_snapshots() -> None:
    """The helper makes what a worker writes."""
    assert msgspec.json.decode(msgspec.json.encode(snapshot()), type=Snapshot) == snapshot()
