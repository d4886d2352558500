"""How much of the fault suites is run: $FAULTS is ``sample`` (with all other tests), ``commit`` (``make faults``, about
a quarter of an hour) or ``long`` (``make faults-long``, hours)."""

import os

TIERS = ("sample", "commit", "long")
TIER = os.environ.get("FAULTS", "sample")
assert TIER in TIERS, f"FAULTS is {TIER}: it must be one of {TIERS}"


def scaled(sample: int, commit: int, long: int) -> int:
    """How many, in this tier."""
    return (sample, commit, long)[TIERS.index(TIER)]
