"""What docs/SCALE.md shows is what was simulated."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from sim import __main__ as program
from sim import figures, results, tables
from sim.plot import Line, Plot, draw
from sim.scenarios import QUESTIONS

DOCS = Path(__file__).parents[2] / "docs"
NOW, BEFORE = (results.read(program.KEPT / f"{name}.json") for name in ("now", "before"))


def test_the_page_has_the_tables_and_plots_of_what_was_kept() -> None:
    """Nobody has written a number by hand that a run gives, and each plot is shown."""
    page = (DOCS / "SCALE.md").read_text()
    assert tables.markdown(NOW, BEFORE) in page
    drawn = figures.drawn(NOW, BEFORE)
    assert drawn
    for name, text in drawn.items():
        assert (DOCS / "scale" / name).read_text() == text, name
        assert f"(scale/{name})" in page


def test_the_goal_was_reached_in_the_large_run() -> None:
    """10,000 hosts: under 1 % of 503s within five minutes, nobody over twice the median; and it was not so before."""
    run, old = (next(run for run in runs if run.name == "outage") for runs in (NOW, BEFORE))
    median, last = run.figures["median_drain_s"], run.figures["last_drain_s"]
    assert run.scenario["hosts"] == 10_000 and run.scenario["outage"] == 3600
    assert run.figures["calm_s"] is not None and run.figures["calm_s"] <= 300
    assert median and last and last <= 2 * median
    assert old.figures["calm_s"] is None


def test_what_was_kept_can_be_asked_again() -> None:
    """Each run that is kept has its question."""
    assert {run.name for run in (*NOW, *BEFORE)} <= set(QUESTIONS)


def test_plots_are_svg_with_all_that_they_name() -> None:
    """Title, units, both marks and every line's name are in it as text, for a light and a dark screen."""
    lines = [Line("one <host>", [(0, 0), (10, 50)]), Line("all", [(0, 1), (10, 2)])]
    plot = Plot("A title", "what it shows", "minutes", "items & more", lines, level=(60, "full"), instant=(5, "noon"))
    for one in (plot, Plot("Log", "", "minutes", "%", lines, logarithmic=True, least=0.1)):
        text = draw(one)
        root = ET.fromstring(text)
        words = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
        assert {one.title, one.across, one.up, "one <host>", "all"} <= words
        assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 2
        assert "prefers-color-scheme:dark" in text
    assert {"full", "noon"} <= {element.text for element in ET.fromstring(draw(plot)).iter() if element.text}


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It lists its questions, refuses others, and keeps what it ran beside what is there."""
    assert program.main(["--list"]) == 0
    assert capsys.readouterr().out.count("\n") == len(QUESTIONS)
    assert program.main(["weather"]) == 2
    results.write(tmp_path / "kept.json", BEFORE)
    assert results.read(tmp_path / "kept.json") == BEFORE


def test_dollars_are_for_what_is_billed() -> None:
    """A PUT each, and none for refusals and what was never reached."""
    told = BEFORE[0]
    assert told.figures["requests_per_item"] is not None and told.figures["requests_per_item"] > 1.1
    assert tables.dollars(told) == pytest.approx(5.0, abs=0.02)
