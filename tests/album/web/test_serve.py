"""The server: it comes up, says where, and ends in order."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys
from jollyae.album.open import open_store
from jollyae.album.web import serve

async def main():
    store = await open_store(sys.argv[1], create=True)
    await serve(store, port=0, ready=lambda url: print(url, flush=True), title="Ann & Ben")
    await store.close()
    print("closed", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """It answers at the address it told; the signal ends it, what comes after it is done, and the exit code is 0."""
    command = [sys.executable, "-c", PROGRAM, f"sqlite:///{tmp_path / 'album.db'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout and server.stderr
        url = server.stdout.readline().strip()
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert "Ann &amp; Ben" in answer.read().decode()
            assert "server" not in answer.headers
        server.send_signal(number)
        assert server.stdout.read() == "closed\n"
        assert server.stderr.read() == ""
    assert server.returncode == 0
