"""The command line of the simulation.

python -m sim [QUESTION…] [--seed N] [--into FILE.json]
python -m sim --list
python -m sim --publish
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import figures, results, tables
from .scenarios import QUESTIONS
from .world import run

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
BEGIN, END = "<!-- simulated: begin -->", "<!-- simulated: end -->"
KEPT = HERE / "kept"
"""Where the runs are that docs/SCALE.md tells of."""


def main(words: Sequence[str]) -> int:
    """Run what was asked for. 0: it ran (goals missed or not); 2: usage."""
    options = _parser().parse_args(words)
    if options.list:
        print("\n".join(f"{one.name:16}{one.about}" for one in QUESTIONS.values()))
        return 0
    if options.publish:
        publish(DOCS)
        return 0
    if unknown := [name for name in options.what if name not in QUESTIONS]:
        print(f"sim: no question {', '.join(unknown)}; --list names them", file=sys.stderr)
        return 2
    told = _run(options.what or [one.name for one in QUESTIONS.values() if one.usual], options.seed)
    print(tables.text(told))
    if options.into is not None:
        kept = {one.name: one for one in results.read(options.into)}
        results.write(options.into, list((kept | {one.name: one for one in told}).values()))
    return 0


def publish(docs: Path) -> None:
    """Draw the plots of what was kept, and write its tables into docs/SCALE.md."""
    now, before = results.read(KEPT / "now.json"), results.read(KEPT / "before.json")
    for name, text in figures.drawn(now, before).items():
        (docs / "scale").mkdir(exist_ok=True)
        (docs / "scale" / name).write_text(text)
    page = docs / "SCALE.md"
    head, begin, rest = page.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    page.write_text(f"{head}{begin}\n{tables.markdown(now, before)}{end}{tail}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sim", description="many hosts and one store, simulated; see docs/SCALE.md")
    parser.add_argument("what", nargs="*", metavar="QUESTION", help="which (all but whole)")
    parser.add_argument("--list", action="store_true", help="name the questions")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another run [1]")
    parser.add_argument("--into", type=Path, help="keep the results there too, beside those of other questions")
    parser.add_argument("--publish", action="store_true", help="draw what is in sim/kept, and write docs/SCALE.md")
    return parser


def _run(names: Sequence[str], seed: int) -> list[results.Told]:
    told, code = [], _code()
    for name in names:
        question = QUESTIONS[name]
        print(f"{name}: {question.about}", file=sys.stderr, flush=True)
        result = run(replace(question.scenario, seed=seed))
        print(f"  ({result.took:.0f} s)", file=sys.stderr, flush=True)
        told.append(results.tell(name, result, code))
    return told


def _code() -> str:
    """The commit that is checked out, with a + where it was changed; '' where that is not known."""
    git = ["git", "-C", str(HERE), "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
