"""What an error means, as a table."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae import Permanent, Scope, Temporary
from jollyae.spool.outcomes import Defer, Fail, Hold, Outcome
from jollyae.worker.retry import decide, delay


@pytest.mark.parametrize(
    ("error", "epidemic", "kind"),
    [
        (Permanent("no"), False, Fail),
        (Permanent("no"), True, Fail),
        (Temporary("busy"), False, Defer),
        (Temporary("busy"), True, Defer),
        (Temporary("403", scope=Scope.UNSURE), False, Defer),
        (Temporary("403", scope=Scope.UNSURE), True, Hold),
        (Temporary("down", scope=Scope.DESTINATION), False, Hold),
        (OSError(errno.ENOSPC, "full"), False, Hold),
        (OSError(errno.EMFILE, "files"), False, Hold),
        (OSError(errno.EIO, "disk"), False, Hold),
        (MemoryError(), False, Hold),
        (OSError(errno.ENOENT, "gone"), False, Defer),
        (ValueError("bug"), False, Defer),
        (KeyError("bug"), True, Hold),
    ],
)
def test_decide(error: Exception, epidemic: bool, kind: type[Outcome]) -> None:
    """Only Permanent fails; the machine's and the destination's faults hold; the rest waits."""
    assert isinstance(decide(error, 1, epidemic=epidemic, chance=0.5), kind)


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True), st.floats(0.001, 2880))
def test_who_asked_for_time_gets_it(attempts: int, chance: float, after: float) -> None:
    """Retry-After: never sooner, whatever the jitter; and not all at that very moment."""
    outcome = decide(Temporary("busy", after=after, scope=Scope.ITEM), attempts, epidemic=False, chance=chance)
    assert isinstance(outcome, Defer) and after * 0.999999 <= outcome.delay <= 1.2 * 3600


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.floats(0.001, 100))
def test_delay(attempts: int, chance: float, first: float) -> None:
    """It doubles from the first to an hour, with jitter, and never overflows."""
    assert 0.8 * min(first, 3600) <= delay(attempts, chance, first) <= 1.2 * 3600
    assert delay(attempts + 1, chance, first) >= delay(attempts, chance, first)
