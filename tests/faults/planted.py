"""Bugs planted on purpose: a suite that does not catch them is itself broken.

Each is a function that breaks one thing in the program, in the process that it is called in. As a program
(``python -m tests.faults.planted BUG run SPOOL …``) this module is jollyae with that bug; BUG may be ``-`` for none.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@bug
def no_conditional_put() -> None:
    """Whole objects go without If-None-Match: what is repeated is written again, and other content is overwritten."""
    _change_put(if_none_match=False)


def _change_put(**changes: Any) -> None:
    from jollyae.processors.s3 import single
    from jollyae.processors.s3.transport import Put

    exact = Put
    single.Put = lambda **fields: exact(**(fields | changes))  # type: ignore[attr-defined,assignment]


@bug
def a_412_taken_as_success() -> None:
    """ "It is there already, so it is ours": nobody compares."""
    from jollyae.processors.s3 import single
    from jollyae.processors.s3.transport import Stored

    async def existing(self: Any, key: str) -> dict[str, Any]:
        return dict(self._receipt(key, Stored(etag=""), already_there=True))

    single._Single._existing = existing  # type: ignore[method-assign]


@bug
def a_412_taken_as_failure() -> None:
    """ "A conflict is for ever": a lost answer to our own write fails the item."""
    from jollyae.processors.s3 import single

    async def existing(self: Any, key: str) -> dict[str, Any]:
        raise single.Collision

    single._Single._existing = existing  # type: ignore[method-assign]


@bug
def returned_checksum_not_compared() -> None:
    """The store says what it has taken, and nobody listens."""
    from jollyae.processors.s3 import multipart, parts, single

    for module in (single, parts, multipart):
        module.agrees = lambda stored, checksum, where: False  # type: ignore[attr-defined]


@bug
def digest_in_metadata_believed() -> None:
    """After a 412, our digest in the object's metadata passes for its bytes'. (So it was, until this suite.)"""
    from jollyae.processors.s3 import collisions, single, target

    async def holds(self: Any, key: str, found: Any, content: Any, mark: str = "") -> bool:
        return found.size == content.size and collisions.claims(found, content)

    target.Target.holds = holds  # type: ignore[method-assign]
    single._Single._damaged_etag = lambda self, key: ""  # type: ignore[method-assign]


@bug
def retry_at_once() -> None:
    """A back-off of nothing: the store that is unwell is hammered."""
    from jollyae.worker import health, retry

    retry.delay = lambda attempts, chance, first=0.0: 0.0
    health.FIRST_PROBE = health.LAST_PROBE = 0.0
