"""The last hour of a queue in one small line, as inline SVG: what was delivered, and where something failed."""

from .history import History
from .plots import Svg

WIDTH, HEIGHT = 120, 30
"""Of the drawing's own units; the style sheet stretches it."""


def spark(past: History) -> Svg:
    """The line, with what it shows in words."""
    points = [one for one in past.points if past.known is not None and one.at + past.step > past.known]
    delivered, failed = sum(one.delivered for one in points), sum(one.failed for one in points)
    said = f"In the last hour: {delivered:,} delivered" + (f", {failed:,} failed" if failed else "")
    if past.known is None:
        said = "Nothing is known of the last hour yet"
    inside = f'<path class="spark-base" d="M0 {HEIGHT}H{WIDTH}"/>'
    if delivered:
        most = max(one.delivered for one in points)
        line = " ".join(f"{_x(past, one.at)} {HEIGHT - one.delivered / most * (HEIGHT - 2):.1f}" for one in points)
        first, last = _x(past, points[0].at), _x(past, points[-1].at)
        inside += f'<path class="spark-area" d="M{first} {HEIGHT}L{line} {last} {HEIGHT}z"/>'
        inside += f'<path class="spark-line" d="M{line}"/>'
    for one in points:
        if one.failed:
            inside += f'<path class="spark-failed" d="M{_x(past, one.at)} {HEIGHT - 6}l2.5 6h-5z"/>'
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none"'
    return Svg(f'<svg class="spark-plot" role="img" aria-label="{said}" {size}><title>{said}</title>{inside}</svg>')


def _x(past: History, at: int) -> str:
    begin, end = past.points[0].at, past.points[-1].at
    return f"{(at - begin) / max(end - begin, 1) * WIDTH:.1f}"
