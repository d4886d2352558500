"""Tables: of what was found, and of what it costs."""

from collections.abc import Sequence

from .results import Told
from .world import DAY

PUT_PRICE = 0.005 / 1000
"""Dollars for a PUT into S3 Standard, us-east-1, list price of 2025."""
HEAD_PRICE = 0.0004 / 1000
"""Dollars for a HEAD, the same."""


def dollars(run: Told) -> float:
    """What the requests for a million items cost. Those that S3 answered with 503, and those that never came to it,
    are not billed."""
    figures = run.figures
    billed = (figures["puts_per_item"] or 0) - (figures["refused_per_item"] or 0) - (figures["unreached_per_item"] or 0)
    return 1e6 * (billed * PUT_PRICE + (figures["heads_per_item"] or 0) * HEAD_PRICE)


def text(runs: Sequence[Told]) -> str:
    """One line for each run."""
    head = ("", "503s", "calm", "first", "median", "last", "last/median", "requests", "$ per", "parti-", "took")
    units = ("", "6th min", "after", "item", "drained", "drained", "", "per item", "million", "tions", "s")
    rows = [head, units, *(_row(run) for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


SIZES = ("hosts-1", "hosts-10", "hosts-100", "hosts-1000", "whole")
"""The runs of the sizing table."""


def markdown(now: Sequence[Told], before: Sequence[Told]) -> str:
    """What was found, run by run, and the sizing table; for docs/SCALE.md."""
    head = ("run", "503s in the 6th minute", "under 1 % from … on", "half drained", "all drained", "requests per item")
    named = [(f"`{run.name}`, before", run) for run in before] + [(f"`{run.name}`", run) for run in now]
    found = [head, *((name, *_found(run)) for name, run in sorted(named, key=lambda one: one[1].name))]
    sizes: list[tuple[str, ...]] = [
        ("hosts", "items a day", "items/s", "partitions", "after an hour's outage", "requests per item", "$ a million")
    ]
    sizes += [_size(run) for name in SIZES for run in now if run.name == name]
    return f"{_table(found)}\n\n{_table(sizes)}\n"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _found(run: Told) -> tuple[str, ...]:
    figures = run.figures
    return (
        f"{100 * (figures['share_after_5_min'] or 0):.2f} %",
        _seconds(figures["calm_s"]),
        _drained(figures["median_drain_s"], run),
        _drained(figures["last_drain_s"], run),
        f"{figures['requests_per_item']:.3f}",
    )


def _drained(value: float | None, run: Told) -> str:
    return _seconds(value) if run.scenario["outage"] else "–"


def _size(run: Told) -> tuple[str, ...]:
    scenario, figures = run.scenario, run.figures
    last = figures["last_drain_s"]
    return (
        f"{scenario['hosts']:,}",
        f"{scenario['items_per_day']:,.0f}",
        f"{scenario['items_per_day'] / DAY:,.0f}",
        f"{scenario['model']['partitions']}",
        f"drained in {last / 60:.0f} min, {figures['partitions']:.0f} partitions"
        if last
        else "not drained in two hours",
        f"{figures['requests_per_item']:.3f}",
        f"{dollars(run):.2f}",
    )


def _row(run: Told) -> tuple[str, ...]:
    figures = run.figures
    median, last = figures["median_drain_s"], figures["last_drain_s"]
    return (
        run.name,
        f"{100 * (figures['share_after_5_min'] or 0):.2f} %",
        _seconds(figures["calm_s"]),
        _seconds(figures["first_s"], 1),
        _seconds(median),
        _seconds(last),
        f"{last / median:.2f}" if last and median else "–",
        f"{figures['requests_per_item']:.3f}",
        f"{dollars(run):.2f}",
        f"{figures['partitions']:.0f}",
        f"{figures['took_s']:.0f}",
    )


def _seconds(value: float | None, digits: int = 0) -> str:
    return "never" if value is None else f"{value:,.{digits}f} s"
