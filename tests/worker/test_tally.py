"""What is counted, and that several workers' counts add up."""

import mmap

from jollyae.worker.reasons import REASONS
from jollyae.worker.state import ATTEMPT_BOUNDS, DELIVERY_BOUNDS
from jollyae.worker.tally import SIZE, Tally, total


def test_each_number_has_its_own_place() -> None:
    """By reason, by outcome, and both histograms: nothing is counted into another's place."""
    tally = Tally()
    for reason in REASONS:
        tally.fail(reason, 10)
        tally.defer(reason, 1)
    tally.deliver([3, 4], [0.0005, 1e9], [0.002], 5.0)
    seen = tally.counters()
    assert seen["failed_by"] == dict.fromkeys(REASONS, 1) == seen["deferred_by"]
    assert seen["attempts"] == {"done": 2, "defer": len(REASONS), "fail": len(REASONS), "hold": 0}
    assert (tally.failed_bytes, tally.deferred_bytes) == (10 * len(REASONS), len(REASONS))
    assert seen["delivery"].counts == [1, *[0] * (len(DELIVERY_BOUNDS) - 1), 1]
    assert seen["delivery"].sum == 1e9 + 0.0005
    assert seen["attempt"].counts == [0, 1, *[0] * (len(ATTEMPT_BOUNDS) - 1)]
    assert (tally.delivered, tally.bytes, tally.last_delivery, tally.adopted_bytes) == (2, 7, 5_000_000, 0)


def test_a_bound_belongs_to_its_bucket() -> None:
    """What took exactly as long as the bound is at most so long."""
    tally = Tally()
    tally.deliver([1, 1], [0.001, 86400], [], 0.0)
    assert tally.delivery_counts() == [1, *[0] * (len(DELIVERY_BOUNDS) - 2), 1, 0]


def test_a_clock_that_was_put_back_breaks_nothing() -> None:
    """Durations below nothing count as the shortest, and no sum goes below nothing: the array cannot hold that."""
    tally = Tally(memoryview(mmap.mmap(-1, SIZE * 8)).cast("Q"))
    tally.deliver([1], [-3600.0], [-0.1], 0.0)
    assert tally.counters()["delivery"].counts[0] == 1
    assert tally.counters()["delivery"].sum == 0


def test_several_add_up() -> None:
    """All numbers are added, in shared memory or not; of the last deliveries the latest counts."""
    one, other = Tally(memoryview(mmap.mmap(-1, SIZE * 8)).cast("Q")), Tally([1, 20])
    one.delivered, one.last_delivery, other.last_delivery = 2, 5_000_000, 3_000_000
    one.fail("printer", 7)
    other.fail("clock", 1)
    both = total([one, other]).counters()
    assert (both["delivered"], both["delivered_bytes"], both["failed"], both["last_delivery"]) == (3, 20, 2, 5.0)
    assert both["failed_by"] == {"clock": 1, "other": 1}, "a word that is not of the list counts as 'other'"


def test_sent_is_what_went_over_the_line() -> None:
    """Bytes of attempts that failed count; those of what was there already do not."""
    tally = Tally([2, 100])
    tally.spared_bytes, tally.unused_bytes = 40, 5
    assert tally.counters()["sent_bytes"] == 65
