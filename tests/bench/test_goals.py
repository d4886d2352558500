"""What becomes of a goal."""

import pytest

from bench.figures import METRICS, Gap, Run
from bench.goals import GOALS, OURS, S5CMD, Goal, judge
from bench.scenarios import SCENARIOS

FASTER = Goal("work", "small", "items_per_s", OURS, "≥", 3, S5CMD, failure=2.5, size=100)


def _runs(ratio: float, size: int = 100, rounds: int = 5) -> list[Run]:
    rates = {OURS: ratio * 1000, S5CMD: 1000.0}
    return [
        Run("small", who, number, size, 0, {"items_per_s": rate * (number + 1)})
        for number in range(rounds)
        for who, rate in rates.items()
    ]


@pytest.mark.parametrize(
    ("runs", "word"),
    [
        (_runs(3), "reached"),
        (_runs(2.9), "missed"),
        (_runs(2.4), "failed: under 2.5"),
        (_runs(4, size=50), "reached (with 50 of 100)"),
        ([run for run in _runs(4) if run.who == OURS], "not measured: no s5cmd here"),
        ([], "not measured: no s5cmd here"),
    ],
)
def test_verdicts(runs: list[Run], word: str) -> None:
    """Reached, missed, failed; with less than the goal's size it says so; without a peer it is not measured."""
    assert judge(FASTER, runs, [Gap("small", S5CMD, "no s5cmd here")]).word == word


def test_a_goal_may_be_an_upper_bound_without_a_peer() -> None:
    """The median over the rounds counts, not the best."""
    goal = Goal("work", "start", "seconds", OURS, "≤", 0.3)
    runs = [Run("start", OURS, number, 1, 0, {"seconds": value}) for number, value in enumerate((0.1, 0.4, 0.35))]
    verdict = judge(goal, runs, [])
    assert (verdict.value, verdict.pairs, verdict.word) == (0.35, 3, "missed")
    assert goal.text == "seconds ≤ 0.3"


def test_goals_speak_of_what_there_is() -> None:
    """Each goal's scenario and metric exist; only the limit and the disk have no goal."""
    usual = {one.name for one in SCENARIOS.values() if one.usual}
    assert {goal.metric for goal in GOALS} <= set(METRICS)
    assert {goal.scenario for goal in GOALS} <= usual
    assert usual - {goal.scenario for goal in GOALS} == {"limit", "small-disk"}
