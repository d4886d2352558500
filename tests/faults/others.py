"""Another user: as a program (``python -m tests.faults.others UID``) it gives up root for good, and then runs what it
reads from stdin, in Python. Modules are imported before, since the interpreter may lie where only root can read."""

import os
import subprocess
import sys

from tests.faults import planted


def run_as(uid: int, program: str) -> subprocess.CompletedProcess[str]:
    """Run ``program`` as this user, to its end."""
    command = [sys.executable, "-m", "tests.faults.others", str(uid)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": planted.path(), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, input=program, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def main() -> None:
    """Be that user."""
    import hashlib  # noqa: F401

    from jollyae.cli import main as cli  # all that `submit` and `pause` load when they are asked
    from jollyae.cli import pause, submit, where  # noqa: F401
    from jollyae.service import compose  # noqa: F401

    uid = int(sys.argv[1])
    program = sys.stdin.read()
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    exec(program, {"os": os, "jollyae": cli.run})


if __name__ == "__main__":
    main()
