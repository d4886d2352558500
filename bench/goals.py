"""The goals as data, and whether the runs reach them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from .figures import METRICS, Gap, Run, of, ratios

OURS, TWO = "jollyae", "jollyae --processes 2"
S5CMD, AWS = "s5cmd", "aws s3 cp"
NAIVE, VIPS = "Pillow, naive", "pyvips"
MANY, FEW = "many waiting", "10,000 waiting"
FIRST_PAGE, MIDDLE, SEARCH = "first page", "page in the middle", "search of three keywords, counted"
COUNTS, THUMBS = "keywords, months and cameras", "a photo and its thumbnail"
ONE_CORE, THREE_THOUSAND, TEN_THOUSAND = "jollyae, one core", "3,000 photos", "10,000 photos"
CALL, EXEC = "jollyae --from, --call", "jollyae --from, --exec true"
CALL_TWO, EXEC_TWO = f"{CALL}, --processes 2", f"{EXEC}, --processes 2"
"""Celery's default is a process for each core; a bare consumer is one."""
BARE = "aio-pika, bare, GET"
CELERY, CELERY_COMMAND = "Celery, GET", "Celery, GET and true"
MILLION = 1_000_000


@dataclass(frozen=True)
class Goal:
    """``who``'s metric, divided by ``versus``'s if one is named, is at least or at most ``bound``.

    ``failure``: worse than this is not merely missed. ``size``: the number of items (idle: seconds) that the goal
    speaks of; a smaller run shows a direction and no more.
    """

    work: str
    scenario: str
    metric: str
    who: str
    sign: str
    bound: float
    versus: str = ""
    failure: float | None = None
    size: int = 0

    @property
    def text(self) -> str:
        """What is asked for, in words."""
        by = f" × {self.versus}" if self.versus else ""
        return f"{METRICS[self.metric].title} {self.sign} {self.bound:.3g}{by}"


def _batch(scenario: str, work: str, items: int, two: bool = True) -> list[Goal]:
    goals = [
        Goal(work, scenario, "items_per_s", OURS, "≥", 3, S5CMD, failure=2.5, size=items),
        Goal(work, scenario, "cpu_us_per_item", OURS, "≤", 0.25, S5CMD, size=items),
        Goal(work, scenario, "items_per_s", TWO, "≥", 3.5, S5CMD, size=items),
    ]
    return goals if two else goals[:2]


def _large(scenario: str, work: str) -> list[Goal]:
    return [
        Goal(work, scenario, "gb_per_s", OURS, "≥", 1.3, S5CMD),
        Goal(work, scenario, "gb_per_s", OURS, "≥", 1, AWS),
        Goal(work, scenario, "cpu_s_per_gb", OURS, "≤", 1, S5CMD),
        Goal(work, scenario, "cpu_s_per_gb", OURS, "≤", 1, AWS),
    ]


GOALS: tuple[Goal, ...] = (
    *_batch("small-http", "4 KiB, http, tmpfs", 100_000),
    *_batch("small-https", "4 KiB, https, tmpfs", 100_000, two=False),
    Goal("10 KiB on RGW", "small-rgw", "items_per_s", OURS, "≥", 0.95, S5CMD),
    Goal("10 KiB on RGW", "small-rgw", "cpu_us_per_item", OURS, "≤", 1 / 3, S5CMD),
    *_large("one-http", "1 GiB, http"),
    *_large("one-https", "1 GiB, https"),
    *_large("sixteen-http", "16 × 64 MiB, http"),
    *_large("sixteen-https", "16 × 64 MiB, https"),
    Goal("rename → first byte", "latency", "median_ms", OURS, "≤", 1),
    Goal("rename → first byte", "latency", "p99_ms", OURS, "≤", 5),
    Goal("backlog of 1,000,000", "backlog", "items_per_s", MANY, "≥", 0.9, FEW, size=MILLION),
    Goal("backlog of 1,000,000", "backlog", "peak_mb", MANY, "≤", 150, size=MILLION),
    Goal("backlog of 1,000,000", "backlog", "first_s", MANY, "≤", 1, size=MILLION),
    Goal("2,000 files/s renamed in", "arrival", "p99_ms", OURS, "≤", 100),
    Goal("2,000 files/s renamed in", "arrival", "growth", OURS, "≤", 20),
    Goal("idle", "idle", "requests", OURS, "≤", 0, size=600),
    Goal("idle", "idle", "cpu_percent", OURS, "≤", 0.1, size=600),
    Goal("submit, durable", "submit", "items_per_s", "8 producers", "≥", 3, "1 producer"),
    Goal("start", "start", "seconds", "jollyae --help", "≤", 0.1),
    Goal("start", "start", "seconds", "jollyae run --once, nothing there", "≤", 0.3),
    Goal("photos of 12 megapixels, one core", "pictures", "photos_per_s", OURS, "≥", 9),
    Goal("photos of 12 megapixels, one core", "pictures", "core_mb", OURS, "≤", 60),
    Goal("photos of 12 megapixels into an album, one core", "ingest", "photos_per_s", ONE_CORE, "≥", 7),
    Goal("10,000 photos into an album", "ingest-many", "peak_mb", TEN_THOUSAND, "≤", 1.1, THREE_THOUSAND, size=10_000),
    Goal("messages about objects of 4 KiB", "brokers", "items_per_s", CALL_TWO, "≥", 3, CELERY),
    Goal("messages about objects of 4 KiB", "brokers", "items_per_s", CALL, "≥", 1 / 1.5, BARE),
    Goal("messages, each with a command", "brokers", "items_per_s", EXEC_TWO, "≥", 3, CELERY_COMMAND),
    Goal("store of 50,000 photos", "lists", "p99_ms", FIRST_PAGE, "≤", 20, size=50_000),
    Goal("store of 50,000 photos", "lists", "median_ms", SEARCH, "≤", 20, size=50_000),
)


@dataclass(frozen=True)
class Verdict:
    """What became of a goal. ``value`` is the median over ``pairs`` rounds; None: not measured, ``why`` says so."""

    goal: Goal
    value: float | None
    pairs: int = 0
    size: int = 0
    why: str = ""

    @property
    def word(self) -> str:
        """reached, missed, failed or not measured; with the size, where it is not the goal's."""
        if self.value is None:
            return f"not measured: {self.why}"
        word = "reached" if _holds(self.goal.sign, self.value, self.goal.bound) else "missed"
        if word == "missed" and self.goal.failure is not None:
            word = word if _holds(self.goal.sign, self.value, self.goal.failure) else self._failed
        smaller = self.size < self.goal.size
        return f"{word} (with {self.size:,} of {self.goal.size:,})" if smaller else word

    @property
    def _failed(self) -> str:
        """Worse than the bound under which a goal counts as failed and not only as missed."""
        than = "under" if self.goal.sign == "≥" else "over"
        return f"failed: {than} {self.goal.failure:g}"


def _holds(sign: str, value: float, bound: float) -> bool:
    return value >= bound if sign == "≥" else value <= bound


def judge(goal: Goal, runs: Iterable[Run], gaps: Iterable[Gap]) -> Verdict:
    """One goal against what was measured."""
    chosen = [run for run in runs if run.scenario == goal.scenario]
    ours = of(chosen, goal.scenario, goal.who, goal.metric)
    if goal.versus:
        values = ratios(ours, of(chosen, goal.scenario, goal.versus, goal.metric))
    else:
        values = list(ours.values())
    if not values:
        return Verdict(goal, None, why=_why(goal, gaps))
    size = max(run.size for run in chosen if run.who == goal.who)
    return Verdict(goal, median(values), len(values), size)


def _why(goal: Goal, gaps: Iterable[Gap]) -> str:
    reasons = [gap.why for gap in gaps if gap.scenario == goal.scenario and gap.who in ("", goal.who, goal.versus)]
    return reasons[0] if reasons else "not run"


def judge_all(runs: Sequence[Run], gaps: Sequence[Gap], scenarios: Iterable[str]) -> list[Verdict]:
    """The goals of these scenarios, in the order of the list."""
    wanted = set(scenarios)
    return [judge(goal, runs, gaps) for goal in GOALS if goal.scenario in wanted]
