"""Calls a function in a process of its own, in a mount namespace of its own.

What it mounts nobody else sees, and it goes with the process. Otherwise a test beside this one that makes a namespace
takes copies of our mounts with it: a file system that we have unmounted lives on there, and mounting its image again
gives the old one (seen: one that was shut down still was).
"""

import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from tests.faults import planted
from tests.helpers import mount_namespace

P = ParamSpec("P")
T = TypeVar("T")


def apart(directory: Path, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What ``function`` returns there; all must be fit for pickle. Its output is in ``directory/apart.log``. Raises
    :class:`AssertionError` with its traceback where it raised. Skips the test where there are no namespaces."""
    answer, log = directory / "answer", directory / "apart.log"
    command = [*mount_namespace(), sys.executable, "-m", "tests.faults.apart", str(answer)]
    environment = os.environ | {"PYTHONPATH": planted.path()}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment, cwd=planted.ROOT
        )
        try:
            process.communicate(pickle.dumps((function, arguments, named)))
        finally:
            process.terminate()  # nothing, if it has ended; else it tidies up
            process.wait()
    assert answer.exists(), f"it ended with {process.returncode}:\n{log.read_text()[-5000:]}"
    result, error = pickle.loads(answer.read_bytes())
    assert not error, error
    return result  # type: ignore[no-any-return]


def main() -> None:
    """Read the call, and answer."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    function, arguments, named = pickle.load(sys.stdin.buffer)
    result, error = None, ""
    try:
        result = function(*arguments, **named)
    except BaseException:
        error = traceback.format_exc()
    Path(sys.argv[1]).write_bytes(pickle.dumps((result, error)))


if __name__ == "__main__":
    main()
