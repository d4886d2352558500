"""Tables, plots and files of results."""

import dataclasses
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import arrivals, results, tables
from bench.figures import Gap, Run
from bench.goals import OURS, S5CMD
from bench.results import Results

RUNS = [
    Run("small-http", OURS, 0, 1000, 4096, {"items_per_s": 15000.4, "cpu_us_per_item": 61.0}),
    Run("small-http", S5CMD, 0, 1000, 4096, {"items_per_s": 5000.0, "cpu_us_per_item": 280.0}),
]
GAPS = [Gap("small-http", "rclone", "rclone is not installed")]
SHARES = {"profile-small": [("read (b.py)", 12.5)]}
FOUND = Results(
    "today", ["small-http"], {"cores": "2"}, {"s5cmd": "2.3"}, ["small-http", "profile-small"], RUNS, GAPS, SHARES
)


def test_a_table_has_every_program_and_every_gap() -> None:
    """Medians by program; who was not measured has a row with the reason."""
    head, *rows = tables.measured("small-http", RUNS, GAPS)
    assert head == ["program", "size", "rounds", "items/s", "CPU µs/item"]
    assert rows == [
        ["jollyae", "1,000", "1", "15,000", "61"],
        ["s5cmd", "1,000", "1", "5,000", "280"],
        ["rclone", "–", "0", "not measured: rclone is not installed", ""],
    ]


def test_markdown_and_text_hold_the_same() -> None:
    """The ratio, the verdict and the gap are in both."""
    for text in (FOUND.text(), FOUND.markdown()):
        for words in ("3.00 ×", "reached (with 1,000 of 100,000)", "rclone is not installed", "2.3", "12.5 %"):
            assert words in text
    assert tables.as_markdown([["a", "b"], ["1|2", "3"]]) == "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |"


def test_the_limit_is_shown_where_it_was_measured() -> None:
    """As a share of what wrk got through the same sink; nothing where wrk did not run."""
    wrk = Run("limit", "wrk, http", 0, 1, 0, {"items_per_s": 100_000})
    assert tables.limits([*RUNS, wrk])[1:] == [["jollyae", "15.0%", "–"], ["s5cmd", "5.0%", "–"]]
    assert tables.limits(RUNS)[1:] == []


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """JSON there and back; the plot is well-formed XML with a bar for each value."""
    FOUND.write(tmp_path / "sub" / "one")
    assert results.read(tmp_path / "sub" / "one.json") == FOUND
    drawn = ElementTree.parse(tmp_path / "sub" / "one.svg").getroot()
    bars = [one for one in drawn.iter("{http://www.w3.org/2000/svg}rect") if one.get("fill") != "white"]
    assert len(bars) == 4


def test_the_later_of_two_results_counts() -> None:
    """Each scenario once, as the last call found it; what only the first one ran is kept."""
    older = dataclasses.replace(
        FOUND, started="yesterday", scenarios=["small-http", "idle"], gaps=[*GAPS, Gap("idle", "", "x")]
    )
    joined = results.join([older, dataclasses.replace(FOUND, runs=RUNS[:1])], ["small-http", "profile-small", "idle"])
    assert joined.started == "yesterday to today"
    assert joined.scenarios == ["small-http", "profile-small", "idle"]
    assert (joined.runs, joined.gaps) == (RUNS[:1], [Gap("idle", "", "x"), *GAPS])


def test_the_tables_go_between_the_marks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands around them stays; a page without marks is left alone."""
    FOUND.write(tmp_path / "one")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{command.BEGIN}\nold\n{command.END}\nafter\n")
    words = ["--markdown", str(tmp_path / "one.json"), "--into", str(page)]
    assert command.main(words) == 0
    assert page.read_text().startswith("before\n") and page.read_text().endswith("\nafter\n")
    assert "reached" in page.read_text() and "old" not in page.read_text()
    page.write_text("no marks")
    assert command.main(words) == 1
    assert page.read_text() == "no marks"
    assert command.BEGIN in capsys.readouterr().err


def test_an_unknown_scenario_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is started."""
    assert command.main(["small-http", "tall"]) == 2
    assert "tall" in capsys.readouterr().err


@pytest.mark.parametrize(("takes", "wanted"), [(lambda number: 10, 0), (lambda number: number, 25)])
def test_growth_of_a_backlog(takes: Callable[[int], int], wanted: float) -> None:
    """A file every ms: if each takes 10 ms, ten wait at any time; if the n-th takes n ms, half of all so far wait."""
    renamed = {str(number): number for number in range(100)}
    seen = {name: (0, at + takes(at)) for name, at in renamed.items()}
    assert arrivals.growth(renamed, seen) == pytest.approx(wanted, abs=1)
