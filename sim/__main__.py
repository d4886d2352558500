"""The command line of the simulation.

python -m sim [QUESTION…] [--seed N] [--into FILE.json]
python -m sim --list
python -m sim --plot DIRECTORY [--from FILE.json] [--before FILE.json]
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import results, tables
from .scenarios import QUESTIONS
from .world import run

HERE = Path(__file__).parent
KEPT = HERE / "kept"
"""Where the runs are that docs/SCALE.md tells of."""


def main(words: Sequence[str]) -> int:
    """Run what was asked for. 0: it ran (goals missed or not); 2: usage."""
    options = _parser().parse_args(words)
    if options.list:
        print("\n".join(f"{one.name:16}{one.about}" for one in QUESTIONS.values()))
        return 0
    if options.plot is not None:
        from . import figures

        figures.draw_all(results.read(options.runs), results.read(options.before), options.plot)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sim", description="many hosts and one store, simulated; see docs/SCALE.md")
    parser.add_argument("what", nargs="*", metavar="QUESTION", help="which (all but outage-whole)")
    parser.add_argument("--list", action="store_true", help="name the questions")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another run [1]")
    parser.add_argument("--into", type=Path, help="keep the results there too, beside those of other questions")
    parser.add_argument("--plot", type=Path, metavar="DIRECTORY", help="draw what was kept")
    parser.add_argument(
        "--from", dest="runs", type=Path, default=KEPT / "now.json", help="with --plot [sim/kept/now.json]"
    )
    parser.add_argument("--before", type=Path, default=KEPT / "before.json", help="with --plot [sim/kept/before.json]")
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
