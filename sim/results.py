"""Results as JSON: what a plot and a table need, and which code made them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .world import Point, Result, Scenario, share

_COLUMNS = [field.name for field in fields(Point)]


@dataclass(frozen=True, slots=True)
class Told:
    """One run, as it is kept. ``code``: whose code it was. Times: seconds after the outage; None: not reached."""

    name: str
    code: str
    scenario: dict[str, Any]
    columns: dict[str, list[float]]
    figures: dict[str, float | None]
    drained: list[float]
    """When so many hundredths of the hosts were drained, as far as they were."""

    def column(self, name: str) -> list[float]:
        """One series."""
        return self.columns[name]


def tell(name: str, result: Result, code: str) -> Told:
    """What is kept of a run."""
    scenario: Scenario = result.scenario
    columns = {column: [getattr(point, column) for point in result.points] for column in _COLUMNS}
    after = [point for point in result.points if point.at > 0]
    fifth = [point for point in after if 300 < point.at <= 360]
    figures: dict[str, float | None] = {
        "first_s": result.first_after,
        "calm_s": result.calm_after,
        "share_after_5_min": share(fifth),
        "share_after": share(after),
        "median_drain_s": result.median_drain,
        "last_drain_s": result.last_drain,
        "requests_per_item": result.requests_per_item,
        "puts_per_item": result.puts / max(result.delivered, 1),
        "heads_per_item": result.heads / max(result.delivered, 1),
        "refused_per_item": result.refused / max(result.delivered, 1),
        "unreached_per_item": result.unreached / max(result.delivered, 1),
        "delivered": result.delivered,
        "partitions": result.points[-1].partitions,
        "took_s": round(result.took, 1),
    }
    ranks = [min(per * result.hosts // 100, result.hosts - 1) for per in range(101)]
    drained = [round(result.drained[rank], 1) for rank in ranks if rank < len(result.drained)]
    return Told(name, code, asdict(scenario), columns, figures, drained)


def write(path: Path, runs: Sequence[Told]) -> None:
    """Keep them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(run) for run in runs], separators=(",", ":")) + "\n")


def read(path: Path) -> list[Told]:
    """What was kept; nothing where there is no such file."""
    return [Told(**one) for one in json.loads(path.read_text())] if path.exists() else []
