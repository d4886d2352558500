"""Killed while it compresses: nothing is left of it, and the next worker delivers the file, once."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from jollyae import Spool
from jollyae.processors.packing import Unpacker
from tests.helpers import drop, until, whereabouts

SIZE = 24 << 20
KILLS = 6


def test_killed_while_it_compresses(tmp_path: Path) -> None:
    """What was packed had no name, so a kill leaves nothing in the temporary directory; the object unpacks to the
    file, and the packed bytes do not depend on how often it was begun."""
    spool, to, temporary = Spool(tmp_path / "spool"), tmp_path / "to", tmp_path / "temporary"
    to.mkdir()
    temporary.mkdir()
    body = (b"%d\n" * 4096 % tuple(range(4096)) + random.Random(1).randbytes(20_000)) * (SIZE // 40_000)
    drop(spool, "large.csv", body)
    program = [
        sys.executable,
        "-m",
        "jollyae",
        "run",
        str(spool.places.control),
        "--to",
        f"file://{to}",
        "--settle",
        "0",
    ]
    program += ["--compress", "gzip", "--compress-as", "suffix"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)}
    for life in range(KILLS):
        before = {path.name for path in spool.places.working.iterdir()}
        with subprocess.Popen(program, env=environment, stderr=subprocess.DEVNULL) as worker:
            try:
                until(lambda: whereabouts(spool).get("large.csv") != ["incoming"], "the claim")
                until(lambda: {path.name for path in spool.places.working.iterdir()} - before, "a worker")  # noqa: B023
                time.sleep(0.05 * life)  # each time another moment
            finally:
                worker.kill()
        assert not list(temporary.iterdir())
        if whereabouts(spool) == {"large.csv": ["finished"]}:
            break
        _forget_deaths(spool)
    subprocess.run([*program, "--once"], env=environment, check=True, stderr=subprocess.DEVNULL, timeout=120)
    assert whereabouts(spool) == {"large.csv": ["finished"]}
    unpacker = Unpacker("gzip")
    assert b"".join(unpacker.pieces((to / "large.csv.gz").read_bytes())) == body
    unpacker.end()
    assert [path.name for path in to.iterdir()] == ["large.csv.gz"] and not list(temporary.iterdir())


def _forget_deaths(spool: Spool) -> None:
    """After three deaths the item would be taken for a deadly one."""
    for note in spool.places.working.glob("*/.*.note"):
        note.unlink()
