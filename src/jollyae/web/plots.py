"""Plots as inline SVG, made here: no library, no script, readable by a screen reader, and beside each the same numbers
as a table.

Colours, fonts and strokes are the style sheet's, by these classes: ``plot`` (the svg), ``plot-grid``, ``plot-label``,
``plot-time`` (a text with the attribute ``data-at``, seconds since 1970, and the time in UTC as its content: the
script writes the local time there), ``plot-bar``, ``plot-line`` and ``plot-dot`` with ``plot-a`` or ``plot-b``
(the series), ``plot-unknown`` (before anything was known). There is no style attribute, which the page's
policy would refuse; every shape has ``fill``/``stroke`` ``currentColor`` or ``none``, so it can be seen without a style
sheet.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from ..service.units import ago, counted, human
from . import axis
from .history import History, Point

WIDTH, HEIGHT = 480, 170
"""Of the drawing, in its own units: the style sheet scales it, from 300 pixels on a telephone to some 600."""
LEFT, RIGHT, TOP, BOTTOM = 78, 6, 10, 26
"""Room for the labels as they are on a telephone, half as large again."""
MOST_TIMES = 5
FONT = 13


class Svg(str):
    """Markup that is safe to put into a page as it is: templates do not escape it."""

    def __html__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Plot:
    """``svg`` is '' where there is nothing to plot yet: show ``empty``. ``description``: one sentence, the plot's text
    alternative. ``legend``: (class, text) for each series. ``header`` and ``rows``: the table; the first cell of a row
    is the time, seconds since 1970, and rows in which nothing happened are left out."""

    title: str
    svg: Svg
    description: str
    header: tuple[str, ...]
    rows: tuple[tuple[float, tuple[str, ...]], ...]
    legend: tuple[tuple[str, str], ...] = ()
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """What is told of each point; None: nothing is known there. ``text``: as it is written in the table; ``drawn``: in
    the plot too."""

    name: str
    value: Callable[[Point], float | None]
    text: Callable[[float], str]
    drawn: bool = True


def delivered(past: History) -> Plot:
    """Items delivered in each minute, with those that failed; in the table those that were deferred too."""
    series = (
        Series("delivered", lambda point: point.delivered, axis.number),
        Series("failed", lambda point: point.failed, axis.number),
        Series("deferred", lambda point: point.deferred, axis.number, drawn=False),
    )
    items, wrong = sum(point.delivered for point in past.points), sum(point.failed for point in past.points)
    said = f"{counted(items, 'item')} delivered, {wrong:,} failed in the last {_length(past)}"
    return _plot(f"Items {_per(past)}", past, series, said, lambda most: axis.ticks(most, whole=True), axis.number)


def latency(past: History) -> Plot:
    """From arrival to delivery: the median and the 95th percentile."""
    series = (
        Series("median", lambda point: point.p50, axis.seconds),
        Series("95th percentile", lambda point: point.p95, axis.seconds),
    )
    worst = max((point.p95 for point in past.points if point.p95 is not None), default=None)
    said = f"from arrival to delivery, in the last {_length(past)}" + (
        f"; 95 of 100 took {axis.seconds(worst)} at the most in the worst {_step(past)}" if worst is not None else ""
    )
    return _plot("Latency", past, series, said, _durations, axis.seconds, lines=True)


def volume(past: History) -> Plot:
    """Bytes a second."""
    series = (Series("bytes a second", lambda point: point.bytes / past.step, lambda value: f"{human(value)}/s"),)
    said = f"{human(sum(point.bytes for point in past.points))} in the last {_length(past)}"
    return _plot("Bytes a second", past, series, said, axis.sizes, human)


def _durations(highest: float) -> tuple[float, ...]:
    """Marks of a duration, round in its own unit."""
    unit = next((size for limit, size in ((1, 0.001), (60, 1), (3600, 60), (86400, 3600)) if highest < limit), 86400)
    return tuple(round(mark * unit, 9) for mark in axis.ticks(highest / unit))


def _length(past: History) -> str:
    return "hour" if past.length <= 3600 else "24 hours"


def _step(past: History) -> str:
    return "minute" if past.step == 60 else ago(past.step)


def _per(past: History) -> str:
    return "a minute" if past.step == 60 else f"in {ago(past.step)}"


def _plot(
    title: str,
    past: History,
    series: Sequence[Series],
    said: str,
    marks: Callable[[float], tuple[float, ...]],
    label: Callable[[float], str],
    *,
    lines: bool = False,
) -> Plot:
    """A plot of the series with its table."""
    header = ("time", *(one.name for one in series))
    if past.known is None:
        empty = "Nothing is known yet: no worker has run in this time." if past.points else "It cannot be read."
        return Plot(title, Svg(""), "", header, (), empty=empty)
    rows = tuple((point.at, _cells(point, series)) for point in past.points if _happened(point))
    drawn = [one for one in series if one.drawn]
    values = [value for one in drawn for point in past.points if (value := one.value(point)) is not None]
    drawing = _Drawing(past, marks(max(values, default=0.0)))
    parts = [_head(title, said), drawing.grid(label), drawing.unknown()]
    for name, one in zip("ab", drawn, strict=False):
        parts.append(drawing.line(one, name) if lines or name != "a" else drawing.bars(one, name))
    legend = tuple((f"plot-{name}", one.name) for name, one in zip("ab", drawn, strict=False))
    return Plot(title, Svg("".join(parts) + "</svg>"), said, header, rows, legend)


def _happened(point: Point) -> bool:
    return bool(point.delivered or point.failed or point.deferred)


def _cells(point: Point, series: Sequence[Series]) -> tuple[str, ...]:
    return tuple("–" if (value := one.value(point)) is None else one.text(value) for one in series)


def _head(title: str, said: str) -> str:
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(said)}</desc>"
    )


@dataclass(frozen=True, slots=True)
class _Drawing:
    """Coordinates. ``marks``: of the upright axis, from 0."""

    past: History
    marks: tuple[float, ...]

    def x(self, at: float) -> float:
        """Of a time; the last point ends at the right."""
        first = self.past.points[0].at
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - first) / self.past.length

    def y(self, value: float) -> float:
        """Of a value."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(value / self.marks[-1], 1.0)

    def grid(self, label: Callable[[float], str]) -> str:
        """The lines across with their numbers, and the times below."""
        parts = []
        for mark in self.marks:
            y = self.y(mark)
            parts.append(
                f'<path class="plot-grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" fill="none" stroke="currentColor" '
                f'stroke-opacity="0.2"/><text class="plot-label" x="{LEFT - 6}" y="{y + 4:.1f}" '
                f'text-anchor="end" font-size="{FONT}" fill="currentColor">{escape(label(mark))}</text>'
            )
        first = self.past.points[0].at
        for at in axis.moments(first, first + self.past.length, MOST_TIMES):
            x = self.x(at)
            anchor = "start" if x < LEFT + 25 else "end" if x > WIDTH - RIGHT - 25 else "middle"
            written = time.strftime("%H:%M", time.gmtime(at))
            parts.append(
                f'<text class="plot-label plot-time" data-at="{at}" x="{x:.1f}" y="{HEIGHT - 6}" '
                f'text-anchor="{anchor}" font-size="{FONT}" fill="currentColor">{written}</text>'
            )
        return "".join(parts)

    def unknown(self) -> str:
        """What lies before anything is known: that is not zero."""
        known, first = self.past.known, self.past.points[0].at
        if known is None or known // self.past.step * self.past.step <= first:
            return ""
        width = self.x(known // self.past.step * self.past.step) - LEFT
        return (
            f'<rect class="plot-unknown" x="{LEFT}" y="{TOP}" width="{width:.1f}" height="{HEIGHT - TOP - BOTTOM}" '
            'fill="currentColor" fill-opacity="0.06"><title>nothing is known of this time</title></rect>'
        )

    def bars(self, series: Series, name: str) -> str:
        """A bar for each point that is not 0; all in one path."""
        width = max((WIDTH - LEFT - RIGHT) * self.past.step / self.past.length - 1, 1)
        bottom, shapes = self.y(0), []
        for point in self.past.points:
            value = series.value(point)
            if value:
                height = max(bottom - self.y(value), 1.5)  # what is not nothing can be seen
                x = self.x(point.at) + 0.5
                shapes.append(f"M{x:.1f} {bottom:.1f}v-{height:.1f}h{width:.1f}v{height:.1f}z")
        return f'<path class="plot-bar plot-{name}" d="{"".join(shapes)}" fill="currentColor"/>' if shapes else ""

    def line(self, series: Series, name: str) -> str:
        """A line through the points that follow one another, and a dot where one stands alone; zeros at the bottom are
        left out where the series never rises."""
        values = [(point.at, series.value(point)) for point in self.past.points if point.at >= self._known()]
        if not any(value for _, value in values):
            return ""
        runs: list[list[tuple[float, float]]] = [[]]
        for at, value in values:
            if value is None:
                runs.append([])
            else:
                runs[-1].append((self.x(at + self.past.step / 2), self.y(value)))
        path = "".join("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in run) for run in runs if len(run) > 1)
        dots = "".join(
            f'<circle class="plot-dot plot-{name}" cx="{run[0][0]:.1f}" cy="{run[0][1]:.1f}" r="2.5" '
            'fill="currentColor"/>'
            for run in runs
            if len(run) == 1
        )
        drawn = f'<path class="plot-line plot-{name}" d="{path}" fill="none" stroke="currentColor"/>' if path else ""
        return drawn + dots

    def _known(self) -> float:
        return (self.past.known or 0) // self.past.step * self.past.step
