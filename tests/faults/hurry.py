"""jollyae whose patience is short: waits pass twenty times as fast, deadlines are seconds, parts begin at 5 MiB.

``python -m tests.faults.hurry BUG run SPOOL …`` is :mod:`tests.faults.planted` in a hurry. Nobody needs these numbers
as options, so there are none; an hour of waiting is shown in :mod:`tests.faults.test_store` by a clock that is moved.
"""

import sys
from typing import Any

from tests.faults import planted

SPEED = 20.0
"""How many times as fast waits pass."""
DEADLINE = 1.5
"""Seconds for an answer; so many more for each second that boto3 needs to make its client."""


def hurry() -> None:
    """Shorten the waits and deadlines of this process."""
    _shorten_waits()
    _shorten_deadlines()
    _divide_early()


def _shorten_waits() -> None:
    from jollyae.worker import health, retry, worker

    slow, failed = retry.delay, health.Health.failed

    def delay(attempts: int, chance: float, first: float = retry.FIRST_DELAY) -> float:
        return slow(attempts, chance, first) / SPEED

    def sooner(self: health.Health, error: str, hint: str, *, after: float | None = None, **more: Any) -> bool:
        return failed(self, error, hint, after=after / SPEED if after else None, **more)

    retry.delay = delay
    health.Health.failed = sooner  # type: ignore[method-assign]
    health.FIRST_PROBE /= SPEED
    health.LAST_PROBE /= SPEED
    worker.ADOPT_EVERY /= SPEED


def _shorten_deadlines() -> None:
    from jollyae.processors.s3 import blocking, boto, lanes, session, uploads, wire

    wire.SWEEP /= SPEED
    names = {"CONNECT", "ANSWER", "STALL", "CONNECT_TIMEOUT", "READ_TIMEOUT", "DEADLINE", "COMPLETING"}
    for module in (wire, blocking, lanes, session, boto, uploads):
        for name in names & vars(module).keys():
            setattr(module, name, 2 * DEADLINE if module is boto or name == "COMPLETING" else DEADLINE)
    for function in (blocking.Connection.exchange, lanes.Request.__init__, uploads.Uploads._ask):
        defaults = function.__kwdefaults__
        assert defaults and defaults["patience"] == 60.0, function
        defaults["patience"] = DEADLINE


def _divide_early() -> None:
    from jollyae.processors.s3.options import MIN_PART, S3Options

    defaults = S3Options.__init__.__kwdefaults__
    assert defaults and {"part_size", "multipart_threshold"} <= defaults.keys()
    defaults |= {"part_size": MIN_PART, "multipart_threshold": MIN_PART}


def command(bug: str = "") -> list[str]:
    """The command line of jollyae in a hurry, with this bug; needs :func:`tests.faults.planted.path`."""
    return [sys.executable, "-m", "tests.faults.hurry", bug or "-"]


if __name__ == "__main__":
    hurry()
    planted.main()
