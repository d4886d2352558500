"""Line plots as SVG, written by hand as the bars of the benchmarks are: nothing has to be installed for it.

Colours come from a style sheet inside, which goes by whether the reader's screen is light or dark; each line has its
name in a legend and its own dashes, so that nobody needs to tell colours apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 20, 78, 52
_DASHES = ("", "7 4", "2 3", "10 3 2 3")
_STYLE = """
.paper{fill:#fff}.text{fill:#1f2937}.soft{fill:#4b5563}.grid{stroke:#e5e7eb}.axis{stroke:#6b7280}.rule{stroke:#6b7280}
.line0{stroke:#c2410c}.line1{stroke:#2563eb}.line2{stroke:#15803d}.line3{stroke:#7e22ce}
@media (prefers-color-scheme:dark){.paper{fill:#0d1117}.text{fill:#e5e7eb}.soft{fill:#9ca3af}.grid{stroke:#2b313b}
.axis{stroke:#9ca3af}.rule{stroke:#9ca3af}.line0{stroke:#fb923c}.line1{stroke:#60a5fa}.line2{stroke:#4ade80}
.line3{stroke:#c084fc}}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its name, and its points from left to right."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot. ``across``, ``up``: what the axes are, with units; ``level``: a height that is marked, with its name."""

    title: str
    about: str
    across: str
    up: str
    lines: Sequence[Line]
    level: tuple[float, str] | None = None
    instant: tuple[float, str] | None = None
    logarithmic: bool = False
    least: float = 0.0
    notes: Sequence[str] = field(default_factory=tuple)


def ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers from ``low`` to ``high``, and no more than ``most``.

    >>> ticks(0, 23)
    [0.0, 5.0, 10.0, 15.0, 20.0]
    """
    rough = (high - low) / most or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def draw(plot: Plot) -> str:
    """The plot as SVG."""
    frame = _Frame(plot)
    parts = [frame.grid(), frame.marks(), *map(frame.line, range(len(plot.lines))), frame.words()]
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    style = 'font-family="system-ui,sans-serif" font-size="12"'
    head = f"<title>{escape(plot.title)}</title><desc>{escape(plot.about)}</desc><style>{_STYLE}</style>"
    paper = '<rect class="paper" width="100%" height="100%"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style} role="img">{head}{paper}{"".join(parts)}</svg>\n'


class _Frame:
    def __init__(self, plot: Plot) -> None:
        self._plot = plot
        every = [point for line in plot.lines for point in line.points]
        self._low_x, self._high_x = 0.0, max(x for x, _ in every)
        top = max(y for _, y in every)
        top = max(top, plot.level[0]) if plot.level else top
        if plot.logarithmic:
            self._low, self._high = math.log10(plot.least), math.log10(top) + 0.05
        else:
            self._low, self._high = 0.0, top * 1.05 or 1.0

    def _x(self, value: float) -> float:
        return _LEFT + (value - self._low_x) / (self._high_x - self._low_x) * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, value: float) -> float:
        if self._plot.logarithmic:
            value = math.log10(max(value, self._plot.least))
        return _HEIGHT - _BOTTOM - (value - self._low) / (self._high - self._low) * (_HEIGHT - _TOP - _BOTTOM)

    def _heights(self) -> list[float]:
        if not self._plot.logarithmic:
            return ticks(0.0, self._high, 6)
        return [10.0**power for power in range(math.ceil(self._low - 1e-9), math.floor(self._high) + 1)]

    def grid(self) -> str:
        parts = []
        for value in self._heights():
            y = self._y(value)
            parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
            parts.append(
                f'<text class="soft" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
            )
        for value in ticks(self._low_x, self._high_x, 10):
            x = self._x(value)
            parts.append(f'<path class="axis" d="M{x:.1f} {_HEIGHT - _BOTTOM}v5"/>')
            place = f'x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle"'
            parts.append(f'<text class="soft" {place}>{_number(value)}</text>')
        parts.append(f'<path class="axis" d="M{_LEFT} {_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"/>')
        return "".join(parts)

    def marks(self) -> str:
        plot, parts = self._plot, []
        rule = 'class="rule" stroke-dasharray="3 4" fill="none"'
        if plot.level is not None:
            y = self._y(plot.level[0])
            parts.append(f'<path {rule} d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
            place = f'x="{_WIDTH - _RIGHT}" y="{y - 5:.1f}" text-anchor="end"'
            parts.append(f'<text class="soft" {place}>{escape(plot.level[1])}</text>')
        if plot.instant is not None:
            x = self._x(plot.instant[0])
            parts.append(f'<path {rule} d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"/>')
            parts.append(
                f'<text class="soft" x="{x + 5:.1f}" y="{_HEIGHT - _BOTTOM - 8}">{escape(plot.instant[1])}</text>'
            )
        return "".join(parts)

    def line(self, number: int) -> str:
        points = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in self._plot.lines[number].points)
        return f'<polyline {_stroke(number)} points="{points}"/>'

    def words(self) -> str:
        plot = self._plot
        parts = [f'<text class="text" x="12" y="24" font-size="15" font-weight="600">{escape(plot.title)}</text>']
        left = _LEFT
        for number, line in enumerate(plot.lines):
            parts.append(f'<path {_stroke(number)} d="M{left} 46h26"/>')
            parts.append(f'<text class="text" x="{left + 32}" y="50">{escape(line.name)}</text>')
            left += 58 + round(6.6 * len(line.name))
        parts.append(f'<text class="soft" x="{_LEFT - 62}" y="{_TOP - 8}">{escape(plot.up)}</text>')
        place = f'x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 12}" text-anchor="end"'
        parts.append(f'<text class="soft" {place}>{escape(plot.across)}</text>')
        return "".join(parts)


def _stroke(number: int) -> str:
    dashes = f' stroke-dasharray="{_DASHES[number % len(_DASHES)]}"' if number % len(_DASHES) else ""
    return f'class="line{number % 4}" fill="none" stroke-width="2" stroke-linejoin="round"{dashes}'


def _number(value: float) -> str:
    """A number as an axis has it.

    >>> [_number(value) for value in (0, 0.01, 2.5, 1000, 250000)]
    ['0', '0.01', '2.5', '1,000', '250,000']
    """
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:g}"
