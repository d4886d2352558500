"""Statistics of paired runs."""

import pytest

from bench.figures import Run, middle, of, order, percentile, ratios


def _runs(who: str, *values: float) -> list[Run]:
    return [Run("small", who, number, 10, 40, {"items_per_s": value}) for number, value in enumerate(values)]


def test_nobody_is_always_first() -> None:
    """A B, B A, A B."""
    assert [order(["A", "B"], number) for number in range(3)] == [["A", "B"], ["B", "A"], ["A", "B"]]


def test_pairs_are_of_one_round() -> None:
    """A round in which only one of them ran gives no ratio; a slow round of both gives the ratio of a fast one."""
    ours = of(_runs("ours", 30, 15, 60), "small", "ours", "items_per_s")
    theirs = of(_runs("theirs", 10, 5), "small", "theirs", "items_per_s")
    assert ratios(ours, theirs) == [3, 3]


def test_nothing_measured_is_nothing() -> None:
    """No number is made of no run, of another program's runs or of another metric."""
    runs = _runs("ours", 1)
    assert middle(of(runs, "small", "theirs", "items_per_s")) is None
    assert middle(of(runs, "large", "ours", "items_per_s")) is None
    assert middle(of(runs, "small", "ours", "gb_per_s")) is None
    assert middle(of(runs, "small", "ours", "items_per_s")) == 1


@pytest.mark.parametrize(
    ("values", "percent", "wanted"), [([7], 99, 7), ([1, 2], 50, 1), (range(200), 99, 197), ([3, 1, 2], 100, 3)]
)
def test_percentiles(values: list[float], percent: float, wanted: float) -> None:
    """Nearest rank: always a value that was measured."""
    assert percentile(values, percent) == wanted
