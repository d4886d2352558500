"""Results as JSON: written after every scenario, read again for tables."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
    profiles: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)

    def write(self, stem: Path) -> None:
        """``STEM.json`` and ``STEM.svg``."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        stem.with_suffix(".json").write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False))
        stem.with_suffix(".svg").write_text(plot.draw(self._ordered(), f"jollyae and its peers, {self.started}"))

    def _ordered(self) -> list[Run]:
        return sorted(self.runs, key=lambda run: self.scenarios.index(run.scenario))

    def text(self) -> str:
        """For the terminal."""
        parts = [f"{name}: {value}" for name, value in {**self.machine, **self.versions}.items()]
        for title, table in self._tables():
            parts += ["", f"== {title}", as_text(table)]
        return "\n".join(parts)

    def markdown(self) -> str:
        """For docs/PERFORMANCE.md."""
        *others, goals = self._tables()
        facts = ("machine and versions", tables.facts({**self.machine, **self.versions}))
        parts = [f"Measured {self.started}."]
        for title, table in (goals, facts, *others):
            parts += [f"### {title[0].upper()}{title[1:]}", as_markdown(table)]
        return "\n\n".join(parts) + "\n"

    def _tables(self) -> list[tuple[str, tables.Table]]:
        """With their titles; the goals at the end, where a terminal shows them."""
        found = [
            (name, tables.measured(name, self.runs, self.gaps)) for name in self.scenarios if name not in self.profiles
        ]
        found += [(name, tables.profile(shares)) for name, shares in self.profiles.items()]
        if len(limits := tables.limits(self.runs)) > 1:
            found.append(("how near to the limit", limits))
        verdicts = judge_all(self.runs, self.gaps, self.scenarios)
        return [*found, ("goals (medians over the rounds)", tables.goals(verdicts))]


def read(path: Path) -> Results:
    """A file that :meth:`Results.write` wrote."""
    found = json.loads(path.read_text())
    profiles = found.get("profiles", {})
    found["profiles"] = {name: [(who, share) for who, share in shares] for name, shares in profiles.items()}
    found["runs"] = [Run(**run) for run in found["runs"]]
    found["gaps"] = [Gap(**gap) for gap in found["gaps"]]
    return Results(**found)


def join(parts: Iterable[Results], order: Sequence[str]) -> Results:
    """Several calls as one: each scenario as the last of them found it; machine and versions are the last's.

    ``order``: that of the scenarios."""
    *before, last = parts
    joined = last
    for older in reversed(before):
        kept = [name for name in older.scenarios if name not in joined.scenarios]
        joined = dataclasses.replace(
            joined,
            started=f"{older.started} to {last.started}" if kept else joined.started,
            scenarios=sorted(kept + joined.scenarios, key=order.index),
            runs=[run for run in older.runs if run.scenario in kept] + list(joined.runs),
            gaps=[gap for gap in older.gaps if gap.scenario in kept] + list(joined.gaps),
            profiles={**{name: older.profiles[name] for name in kept if name in older.profiles}, **joined.profiles},
        )
    return joined
