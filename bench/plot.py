"""The plot: bars as SVG, written by hand, so that nothing has to be installed for it."""

from collections.abc import Sequence
from html import escape

from .figures import METRICS, Run, middle, of

SHOWN = ("items_per_s", "cpu_us_per_item", "gb_per_s", "cpu_s_per_gb", "median_ms")
_WIDTH, _LEFT, _ROW, _GAP = 760, 230, 18, 34
_OURS, _THEIRS = "#c2410c", "#64748b"


def draw(runs: Sequence[Run], title: str) -> str:
    """One panel for each scenario and metric with at least two programs; the length of a bar is its value."""
    parts, top = [], 40
    for scenario in dict.fromkeys(run.scenario for run in runs):
        for metric in SHOWN:
            bars = _bars(runs, scenario, metric)
            if len(bars) > 1:
                parts.append(_panel(f"{scenario}: {METRICS[metric].title}", bars, METRICS[metric].digits, top))
                top += _ROW * len(bars) + _GAP
    head = f'<text x="12" y="22" font-size="15">{escape(title)}</text>'
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    style = 'font-family="sans-serif" font-size="12"'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{paper}{head}{"".join(parts)}</svg>\n'


def _bars(runs: Sequence[Run], scenario: str, metric: str) -> list[tuple[str, float]]:
    names = dict.fromkeys(run.who for run in runs if run.scenario == scenario)
    found = ((who, middle(of(runs, scenario, who, metric))) for who in names)
    return [(who, value) for who, value in found if value is not None]


def _panel(title: str, bars: Sequence[tuple[str, float]], digits: int, top: int) -> str:
    longest = max(value for _, value in bars) or 1.0
    parts = [f'<text x="12" y="{top + 12}" font-weight="bold">{escape(title)}</text>']
    for number, (who, value) in enumerate(bars):
        y = top + 18 + number * _ROW
        length = value / longest * (_WIDTH - _LEFT - 90)
        colour = _OURS if who.startswith("jollyae") else _THEIRS
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 12}" text-anchor="end">{escape(who)}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 5}" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + length + 5:.1f}" y="{y + 12}">{value:z,.{digits}f}</text>')
    return "".join(parts)
