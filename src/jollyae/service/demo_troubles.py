"""Queues in trouble, for the demo's dashboard: a server that is stopped, one that refuses, a poisoned item, and a full
disk, each with a worker and a few items of its own, so that one sees how each is told and what to do about it.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..spool.spool import Spool
from . import children

_ALONE = ("unshare", "--user", "--map-root-user", "--mount")
"""What makes a disk of our own possible without being root, where the kernel allows it."""
_SMALL = "64k"
_ITEMS = 3
_SIZE = 50_000


@dataclass(frozen=True, slots=True)
class Trouble:
    """One queue: its spool, what its worker is given, what comes before the worker's command, and other variables."""

    spool: Spool
    options: tuple[str, ...]
    before: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    def start(self, env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Put some items in, and start the worker."""
        places = self.spool.places
        for number in range(1, _ITEMS + 1):
            (places.tmp / "new").write_bytes(os.urandom(_SIZE))
            (places.tmp / "new").rename(places.incoming / f"item-{number}.bin")
        command = [*self.before, sys.executable, "-m", "jollyae", "run", str(places.control), *self.options]
        log = places.control.with_suffix(".log")
        return children.start(
            [*command, "--no-progress", "--grace", "1"], log=log, env={**env, **dict(self.environment)}
        )


def troubles(directory: Path, to: str, endpoint: str, stopped: str) -> Iterator[Trouble]:
    """Those that can be had on this machine. ``to``: the bucket's URL; ``stopped``: an endpoint where nothing
    answers."""
    yield Trouble(Spool(directory / "stopped-server"), ("--to", to, "--endpoint-url", stopped))
    wrong = (("AWS_ACCESS_KEY_ID", "somebody"), ("AWS_SECRET_ACCESS_KEY", "else"))
    yield Trouble(Spool(directory / "forbidden"), ("--to", to, "--endpoint-url", endpoint), environment=wrong)
    refuse = "echo 'this is not an invoice' >&2; exit 1"
    yield Trouble(Spool(directory / "poisoned"), ("--exec", f"sh -c {shlex.quote(refuse)}"))
    if _may_mount():
        disk = directory / "small-disk"
        disk.mkdir()
        mount = f'mount -t tmpfs -o size={_SMALL} none {shlex.quote(str(disk))} && exec "$@"'
        yield Trouble(Spool(directory / "full-disk"), ("--to", disk.as_uri()), (*_ALONE, "sh", "-c", mount, "sh"))


def _may_mount() -> bool:
    if shutil.which(_ALONE[0]) is None:
        return False
    tried = subprocess.run([*_ALONE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0
