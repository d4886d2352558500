"""What was measured, as tables: for the terminal and in Markdown."""

from collections.abc import Iterable, Mapping, Sequence

from .figures import METRICS, Gap, Run, middle, of, share
from .goals import OURS, Verdict

Table = list[list[str]]


def goals(verdicts: Iterable[Verdict]) -> Table:
    """One row for each goal."""
    rows = [["work", "goal", "measured", "rounds", "verdict"]]
    for one in verdicts:
        goal = one.goal
        digits = 2 if goal.versus else METRICS[goal.metric].digits
        measured = "–" if one.value is None else f"{one.value:z,.{digits}f}" + (" ×" if goal.versus else "")
        asked = goal.text if goal.who == OURS else f"{goal.who}: {goal.text}"
        rows.append([goal.work, asked, measured, str(one.pairs), one.word])
    return rows


def measured(scenario: str, runs: Sequence[Run], gaps: Iterable[Gap]) -> Table:
    """One row for each program in a scenario, with the medians of its rounds; what is missing has a row as well."""
    chosen = [run for run in runs if run.scenario == scenario]
    names = list(dict.fromkeys(run.who for run in chosen))
    metrics = [name for name in METRICS if any(name in run.values for run in chosen)]
    rows = [["program", "size", "rounds", *(METRICS[name].title for name in metrics)]]
    for who in names:
        own = [run for run in chosen if run.who == who]
        cells = [_cell(name, middle(of(own, scenario, who, name))) for name in metrics]
        rows.append([who, f"{own[0].size:,}", str(len(own)), *cells])
    for gap in gaps:
        if gap.scenario == scenario:
            rows.append([gap.who or "all", "–", "0", f"not measured: {gap.why}", *[""] * (len(metrics) - 1)])
    return rows


def _cell(metric: str, value: float | None) -> str:
    return "–" if value is None else f"{value:z,.{METRICS[metric].digits}f}"


def limits(runs: Sequence[Run]) -> Table:
    """How much of what the null sink takes from wrk each program gets through it; no row for what was not measured."""
    rows = [["program", "of wrk's PUT/s, http", "https"]]
    names = dict.fromkeys(run.who for run in runs if run.scenario in ("small-http", "small-https"))
    for who in names:
        found = [
            share(runs, (f"small-{scheme}", who, "items_per_s"), ("limit", f"wrk, {scheme}", "items_per_s"))
            for scheme in ("http", "https")
        ]
        if any(found):
            rows.append([who, *("–" if one is None else f"{one:.1%}" for one in found)])
    return rows


def profile(shares: Iterable[tuple[str, float]]) -> Table:
    """Functions with their share of the samples."""
    return [["function", "of the samples"], *([f"`{name}`", f"{percent:.1f} %"] for name, percent in shares)]


def facts(found: Mapping[str, str]) -> Table:
    """Two columns: what, and what it is."""
    return [["", ""], *([name, value] for name, value in found.items())]


def as_text(table: Table) -> str:
    """Columns as wide as their widest cell; a last column may be of any width."""
    width = max(len(row) for row in table)
    full = [[*row, *[""] * (width - len(row))] for row in table]
    widths = [max(len(row[column]) for row in full if _counts(row, column)) for column in range(width)]
    lines = ["  ".join(cell.ljust(room) for cell, room in zip(row, widths, strict=True)).rstrip() for row in full]
    return "\n".join(lines)


def _counts(row: Sequence[str], column: int) -> bool:
    """A sentence that runs over empty cells to its right does not widen its column."""
    return not row[column].startswith("not measured") or column == len(row) - 1


def as_markdown(table: Table) -> str:
    """A table in Markdown."""
    head, *rows = ([cell.replace("|", "\\|") for cell in row] for row in table)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
