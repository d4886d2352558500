"""Results as JSON: written after every scenario, read again for tables."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import plot, tables
from .figures import Gap, Run
from .goals import judge_all
from .tables import as_markdown, as_text


@dataclass
class Results:
    """All that one call of the benchmark found. ``scenarios``: those that were run, in order."""

    started: str
    arguments: list[str]
    machine: dict[str, str]
    versions: dict[str, str]
    scenarios: list[str]
    runs: Sequence[Run]
    gaps: Sequence[Gap]

    def write(self, stem: Path) -> None:
        """``STEM.json`` and ``STEM.svg``."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        stem.with_suffix(".json").write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False))
        stem.with_suffix(".svg").write_text(plot.draw(self.runs, f"jollyae and its peers, {self.started}"))

    def text(self) -> str:
        """For the terminal."""
        parts = [f"{name}: {value}" for name, value in {**self.machine, **self.versions}.items()]
        for scenario in self.scenarios:
            parts += ["", f"== {scenario}", as_text(tables.measured(scenario, self.runs, self.gaps))]
        verdicts = judge_all(self.runs, self.gaps, self.scenarios)
        return "\n".join([*parts, "", "== goals (medians over the rounds)", as_text(tables.goals(verdicts))])

    def markdown(self) -> str:
        """For docs/PERFORMANCE.md."""
        verdicts = judge_all(self.runs, self.gaps, self.scenarios)
        parts = [f"Measured {self.started}.", "### Goals", as_markdown(tables.goals(verdicts))]
        parts += ["### Machine and versions", as_markdown(tables.facts({**self.machine, **self.versions}))]
        for scenario in self.scenarios:
            parts += [f"### {scenario}", as_markdown(tables.measured(scenario, self.runs, self.gaps))]
        return "\n\n".join(parts) + "\n"


def read(path: Path) -> Results:
    """A file that :meth:`Results.write` wrote."""
    found = json.loads(path.read_text())
    found["runs"] = [Run(**run) for run in found["runs"]]
    found["gaps"] = [Gap(**gap) for gap in found["gaps"]]
    return Results(**found)


def join(parts: Iterable[Results]) -> Results:
    """Several calls as one: each scenario as the last of them found it; machine and versions are the last's."""
    *before, last = parts
    joined = last
    for older in reversed(before):
        kept = [name for name in older.scenarios if name not in joined.scenarios]
        joined = dataclasses.replace(
            joined,
            started=f"{older.started} to {last.started}" if kept else joined.started,
            scenarios=kept + joined.scenarios,
            runs=[run for run in older.runs if run.scenario in kept] + list(joined.runs),
            gaps=[gap for gap in older.gaps if gap.scenario in kept] + list(joined.gaps),
        )
    return joined
