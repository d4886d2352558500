"""The plots of docs/SCALE.md, from what was kept."""

from collections.abc import Callable, Sequence
from pathlib import Path

from .plot import Line, Plot, draw
from .results import Told
from .world import BIN

Value = Callable[[Told, int], float]
_FIVE = (5.0, "5 minutes")


def draw_all(now: Sequence[Told], before: Sequence[Told], directory: Path) -> None:
    """Write each plot for which there are runs."""
    directory.mkdir(parents=True, exist_ok=True)
    runs, old = {run.name: run for run in now}, {run.name: run for run in before}
    both = [(name, found) for name, found in (("before", old.get("outage")), ("now", runs.get("outage"))) if found]
    if both:
        for name, plot in _of_outage(both).items():
            (directory / f"{name}.svg").write_text(draw(plot))
    keys = [(name, runs[key]) for name, key in _KEYS.items() if key in runs]
    if len(keys) > 1:
        (directory / "keys.svg").write_text(
            draw(_waiting("A new bucket: 10,000 hosts begin with keys that start with", keys))
        )
    whole = [(name, runs[key]) for name, key in _THIN.items() if key in runs]
    if len(whole) > 1:
        (directory / "thinning.svg").write_text(draw(_waiting("All hosts, and some of them in a smaller store", whole)))


_KEYS = {"a hash first": "keys-cold", "the time first": "keys-time"}
_THIN = {"all 10,000 hosts": "thin-1", "one in ten": "thin-10", "one in fifty": "thin-50"}


def _of_outage(both: Sequence[tuple[str, Told]]) -> dict[str, Plot]:
    return {
        "refusals": Plot(
            "503s after the outage, as a share of all requests",
            "The share of 503 answers over the minutes after the outage, before and after the changes.",
            "minutes after the outage",
            "% (of ten seconds each)",
            [Line(name, _column(run, _share)) for name, run in both],
            level=(1.0, "the goal: 1 %"),
            instant=_FIVE,
            logarithmic=True,
            least=0.1,
        ),
        "waiting": _waiting("Items that wait", both),
        "requests": Plot(
            "Requests, and what the store can take",
            "Requests a second over the minutes after the outage.",
            "minutes after the outage",
            "requests/s",
            [Line(name, _column(run, lambda run, at: run.column("requests")[at] / BIN)) for name, run in both],
        ),
        "drained": Plot(
            "Hosts that are drained",
            "The share of hosts whose backlog is gone over the minutes after the outage.",
            "minutes after the outage",
            "% of hosts",
            [Line(name, [(at / 60, per) for per, at in enumerate(run.drained)]) for name, run in both],
        ),
    }


def _waiting(title: str, runs: Sequence[tuple[str, Told]]) -> Plot:
    return Plot(
        title,
        "Items that wait in all spools over the minutes after the outage.",
        "minutes after the outage",
        "millions of items",
        [Line(name, _column(run, lambda run, at: run.column("waiting")[at] / 1e6)) for name, run in runs],
    )


def _share(run: Told, at: int) -> float:
    return 100 * run.column("refused")[at] / max(run.column("requests")[at], 1)


def _column(run: Told, value: Value) -> list[tuple[float, float]]:
    return [(at / 60, value(run, number)) for number, at in enumerate(run.column("at")) if at >= 0]
