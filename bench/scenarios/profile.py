"""Where the time goes: py-spy looks at jollyae 500 times a second while it drains a spool."""

import re
from collections import Counter
from collections.abc import Iterable

from .. import commands, spools
from ..lab import Lab, need, remove
from ..programs import run
from ..sink import Unavailable

SHOWN = 20


def small(lab: Lab) -> None:
    """4 KiB files, http."""
    _profile(lab, "profile-small", lab.count(20_000, 100_000), 4 << 10)


def large(lab: Lab) -> None:
    """Files of 64 MiB, http."""
    _profile(lab, "profile-large", 16, 64 << 20)


def _profile(lab: Lab, scenario: str, count: int, size: int) -> None:
    spy = commands.program("py-spy")
    if spy == ["py-spy"]:
        raise Unavailable("py-spy is not installed")
    spool, out = lab.memory / scenario, lab.memory / f"{scenario}.raw"
    spools.make(spool)
    lab.sink.reset()
    try:
        spools.fill(spool, count, size)
        command = commands.jollyae_once(spool, "s3://b/p", lab.sink.http)
        # nonblocking: py-spy halted many threads for each look, and once waited for ever for one that had ended
        options = ["--nonblocking", "--format", "raw", "--rate", "500", "--output", str(out)]
        watched = [*spy, "record", *options, "--", *command]
        need(run(watched, lab.environment(**commands.ENVIRONMENT), lab.output(scenario), timeout=180), {})
        spools.check(spool, count)
    finally:
        remove(spool)
    lab.profiles[scenario] = shares(out.read_text().splitlines())[:SHOWN]


def shares(lines: Iterable[str]) -> list[tuple[str, float]]:
    """Per cent of the samples by the function at the end of each stack, the most first.

    >>> shares(["main (a.py:1);read (b.py:7) 3", "main (a.py:1);read (b.py:9) 1", "main (a.py:2) 4"])
    [('read (b.py)', 50.0), ('main (a.py)', 50.0)]
    """
    counted: Counter[str] = Counter()
    for line in lines:
        stack, _, number = line.rpartition(" ")
        counted[re.sub(r":\d+\)$", ")", stack.rpartition(";")[2])] += int(number)
    total = sum(counted.values())
    return [(name, 100 * number / total) for name, number in counted.most_common()]
