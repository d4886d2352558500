"""Bugs planted on purpose: a suite that does not catch them is itself broken.

Each is a function that breaks one thing in the program, in the process that it is called in. As a program
(``python -m tests.faults.planted BUG run SPOOL …``) this module is jollyae with that bug; BUG may be ``-`` for none.
"""

import sys
from collections.abc import Callable
from pathlib import Path

BUGS: dict[str, Callable[[], None]] = {}
ROOT = Path(__file__).resolve().parents[2]


def bug(function: Callable[[], None]) -> Callable[[], None]:
    """Register a planted bug under its function's name."""
    BUGS[function.__name__] = function
    return function


def command(planted: str = "") -> list[str]:
    """The command line of jollyae with this bug; needs :func:`path` in PYTHONPATH."""
    return [sys.executable, "-m", *(("tests.faults.planted", planted) if planted else ("jollyae",))]


def path() -> str:
    """What PYTHONPATH must be for :func:`command`."""
    return f"{ROOT / 'src'}:{ROOT}"


def main() -> None:
    """Plant, and be jollyae."""
    from jollyae.cli.main import entry

    planted = sys.argv.pop(1)
    if planted != "-":
        BUGS[planted]()
    entry()


if __name__ == "__main__":
    from tests.faults import planted as itself  # the registry that the suites see, not this module's second life

    itself.main()


@bug
def retry_without_a_pause() -> None:
    """What failed is tried again at once: the pause before the next probe is forgotten."""
    from jollyae.worker.health import Health

    Health._spread = lambda self, seconds: 0.0  # type: ignore[method-assign]


@bug
def errors_of_the_gate_swallowed() -> None:
    """A rename that failed is taken as done: only the errors that somebody thought of are looked at."""
    from jollyae.spool import fs

    rename = fs.rename

    def careless(source: str, target: str, *, ours: bool = False) -> None:
        try:
            rename(source, target, ours=ours)
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError:
            pass

    fs.rename = careless
