"""The plots of docs/SCALE.md, from what was kept."""

from collections.abc import Callable, Sequence

from .plot import Line, Plot, draw
from .results import Told
from .store import PARTITION_RATE
from .world import BIN

Value = Callable[[Told, int], float]
_FIVE = (5.0, "5 minutes")


def drawn(now: Sequence[Told], before: Sequence[Told]) -> dict[str, str]:
    """Each plot for which there are runs, as SVG by its file's name."""
    runs, old = {run.name: run for run in now}, {run.name: run for run in before}
    plots: dict[str, Plot] = {}
    if "outage" in runs and "outage" in old:
        plots |= _of_outage([("before", old["outage"]), ("now", runs["outage"])])
    for name, title, wanted in _COMPARED:
        found = [(shown, runs[key]) for shown, key in wanted.items() if key in runs]
        if len(found) > 1:
            plots[name] = _waiting(title, found)
    return {f"{name}.svg": draw(plot) for name, plot in plots.items()}


_COMPARED = (
    (
        "keys",
        "A new bucket of one partition: what waits, by how the keys begin",
        {"with a hash": "keys-cold", "with the time": "keys-time"},
    ),
    (
        "thinning",
        "After two minutes' outage: all hosts, and some of them with a smaller store",
        {"all 10,000": "thin-1", "one in ten": "thin-10", "one in fifty": "thin-50"},
    ),
)


def _of_outage(both: Sequence[tuple[str, Told]]) -> dict[str, Plot]:
    return {
        "refusals": Plot(
            "503s after the outage, as a share of all requests",
            "The share of 503 answers over the minutes after the outage, before and after the changes.",
            "minutes after the outage",
            "% of the requests of a minute",
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
            [
                line
                for name, run in both
                for line in (
                    Line(f"sent, {name}", _column(run, lambda run, at: run.column("requests")[at] / BIN)),
                    Line(f"the store takes, {name}", _column(run, _capacity)),
                )
            ],
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
        "Items that wait in all spools, over time.",
        "minutes after the outage" if runs[0][1].scenario["outage"] else "minutes",
        "millions of items",
        [Line(name, _column(run, lambda run, at: run.column("waiting")[at] / 1e6)) for name, run in runs],
    )


def _capacity(run: Told, at: int) -> float:
    return run.column("partitions")[at] * PARTITION_RATE


def _share(run: Told, at: int) -> float:
    minute = slice(max(at - 5, 0), at + 1)
    return 100 * sum(run.column("refused")[minute]) / max(sum(run.column("requests")[minute]), 1)


def _column(run: Told, value: Value) -> list[tuple[float, float]]:
    return [(at / 60, value(run, number)) for number, at in enumerate(run.column("at")) if at > 0]
