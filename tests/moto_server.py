"""A moto server of the tests' own, for the protocol of Amazon's queues; never proof about S3."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.real.support import free_port, listens, until


@contextmanager
def serve(log: Path) -> Iterator[str]:
    """Its address, as long as it serves; what it says goes to ``log``."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as server:
        try:
            until(lambda: listens(port), "moto")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
