"""What the demo of the chain shows: a few lines made of a view of it. Pure."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """One producing host or one worker. ``waiting``: items that lie there; ``done``: those that it has done."""

    name: str
    waiting: int
    done: int
    trouble: str = ""


@dataclass(frozen=True)
class View:
    """One look. ``queue``: messages that are ready; -1: the broker is away. ``store``: whether the gateway answers."""

    seconds: float
    submitted: int
    delivered: int
    processed: int
    queue: int
    store: bool = True
    producers: list[Line] = field(default_factory=list)
    workers: list[Line] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


EVENTS = 7
"""Lines for what happened last."""
_NARROW = 100  # columns below which there is no room for bars


def screen(view: View, width: int) -> list[str]:
    """The lines, none wider than ``width``."""
    queue = "RabbitMQ is away" if view.queue < 0 else f"{view.queue:,} in the queue"
    store = "" if view.store else " · the gateway is away"
    head = f"{clock(view.seconds)}  {view.submitted:,} submitted → {view.delivered:,} delivered → {queue} → "
    lines = [f"{head}{view.processed:,} processed{store}", ""]
    bar = (width - 78) // 2 if width >= _NARROW else 0
    titles = _cell(Line("on the host", 0, 0), bar, ("waiting", "delivered"))
    lines.append(titles + "   " + _cell(Line("worker", 0, 0), bar, ("in hand", "worked on")))
    for number in range(max(len(view.producers), len(view.workers))):
        left = _cell(view.producers[number], bar) if number < len(view.producers) else " " * len(titles)
        right = _cell(view.workers[number], bar) if number < len(view.workers) else ""
        lines.append(f"{left}   {right}")
    lines += ["", *view.events[-EVENTS:]]
    lines += [""] * (EVENTS - len(view.events[-EVENTS:]))
    return [line.rstrip()[:width] for line in lines]


def brief(view: View) -> str:
    """The look in one line, where there is no terminal."""
    return screen(view, 200)[0]


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(65.4)
    '1:05'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _cell(line: Line, bar: int, titles: tuple[str, str] | None = None) -> str:
    """Always of the same width: a name, what is wrong, two numbers."""
    waiting, done = titles or (f"{line.waiting:,}", f"{line.done:,}")
    drawn = ("▇" * min(line.waiting, bar) if titles is None else "").ljust(bar)
    return f"{line.name:<11} {line.trouble:<7} {waiting:>7} {drawn}{done:>9}"
