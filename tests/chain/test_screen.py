"""What the demo of the chain shows fits the terminal, and says what is wrong."""

import pytest

from tests.chain.screen import EVENTS, Line, View, brief, screen

PRODUCERS = [Line("north", 12, 1_214), Line("east", 41_000, 190, "CUT OFF"), Line("south", 0, 216)]
WORKERS = [Line("left-1", 4, 160), Line("left-2", 0, 158, "KILLED"), Line("right-1", 2, 1), Line("right-2", 0, 0)]
VIEW = View(71.2, 20_000, 19_620, 19_000, 5_380, True, PRODUCERS, WORKERS, [f"0:0{n}  kill -9 of a" for n in range(9)])


@pytest.mark.parametrize("width", [79, 109, 200])
def test_it_fits(width: int) -> None:
    """No line is wider than the terminal, and there are always as many, so that one is drawn over the other."""
    lines = screen(VIEW, width)
    assert max(map(len, lines)) <= width
    assert len(lines) == len(screen(View(0, 0, 0, 0, 0, True, PRODUCERS, WORKERS), width))


@pytest.mark.parametrize("width", [79, 109])
def test_it_shows_each_number_and_each_trouble(width: int) -> None:
    """All that is counted is there at the smallest width too; of what happened the last lines."""
    text = "\n".join(screen(VIEW, width))
    for part in ("1:11", "20,000", "19,620", "19,000", "5,380", "1,214", "41,000", "CUT OFF", "KILLED", "right-2"):
        assert part in text
    assert text.count("kill -9") == EVENTS and "0:08" in text and "0:01" not in text


def test_who_is_away_is_told() -> None:
    """A broker or a gateway that does not answer is said so, in the line without a terminal too."""
    told = brief(View(1.0, 5, 4, 3, -1, False))
    assert "RabbitMQ is away" in told and "gateway is away" in told
