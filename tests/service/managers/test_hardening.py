"""Does jollyae live in what its unit leaves it? Where no systemd runs, its limits are put on by hand: the system calls
that a real delivery makes are compared with those that the unit allows, and writable memory is never executable."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from jollyae import Spool
from jollyae.service.managers import systemd
from tests.helpers import drop
from tests.service.managers.test_systemd import JOB, JOBS

ROOT = Path(__file__).parents[3]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("JOLLYAE_", "AWS_"))}
ENVIRONMENT = CLEAN | {"PYTHONPATH": str(ROOT / "src")}
REFUSED_AND_NO_HARM = {
    "prlimit64": "no core file is written anyway: LimitCORE=0",
    "sched_setaffinity": "of the interpreter's own start",
}
"""What is asked for, refused with EPERM, and does no harm."""
_NO_WRITABLE_CODE = """
import ctypes, os, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(99)
os.execv(sys.argv[1], sys.argv[1:])
"""


@cache
def _set(name: str) -> frozenset[str]:
    """The system calls of one of systemd's sets, with those of the sets in it."""
    done = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", name], capture_output=True, text=True, check=True
    )
    words = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ")]
    plain = frozenset(word for word in words if word[:1].isalpha() or word[:1] == "_")
    return plain.union(*(_set(word) for word in words if word.startswith("@")))


def _allowed(unit: str) -> frozenset[str]:
    """What SystemCallFilter= leaves."""
    allowed: frozenset[str] = frozenset()
    for value in re.findall("^SystemCallFilter=(.*)$", unit, re.M):
        sets = frozenset().union(*(_set(word.lstrip("~")) for word in value.split()))
        allowed = allowed - sets if value.startswith("~") else allowed | sets
    return allowed


def _used(trace: Path) -> set[str]:
    """The system calls in strace's output."""
    return set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", trace.read_text(errors="replace"), re.M))


def _run(
    spool: Spool, *words: str, before: tuple[str, ...] = (), more: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    root = str(spool.places.control)
    command = [*before, sys.executable, "-m", "jollyae", "run", root, "--once", "--settle", "0", *words]
    return subprocess.run(
        command, env=ENVIRONMENT | dict(more or {}), capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
@pytest.mark.parametrize(
    ("kind", "words"),
    [("plain", ("--processes", "2")), ("commands", ("--exec", "cp {} /dev/null"))],
)
def test_the_system_calls_of_a_delivery_are_allowed(
    spool: Spool, to: Path, tmp_path: Path, kind: str, words: tuple[str, ...]
) -> None:
    """From the start to the end, with a parent and its workers, and with a command: none is refused that matters."""
    for number in range(20):
        drop(spool, f"sub/item-{number}", "x")
    if "--exec" not in words:
        words = (*words, "--to", f"file://{to}")
    trace = tmp_path / "trace"
    done = _run(spool, *words, before=("strace", "-f", "-qq", "-e", "signal=none", "-o", str(trace)))
    if "PTRACE" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert {"openat", "renameat2"} <= _used(trace)
    refused = _used(trace) - _allowed(systemd.units(JOBS[kind])["jollyae.service"])
    assert refused <= REFUSED_AND_NO_HARM.keys(), refused


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_the_system_calls_of_the_dashboard_are_allowed(spool: Spool, tmp_path: Path) -> None:
    """A page is asked for, and it is ended in order."""
    drop(spool, "item", "x")
    trace = tmp_path / "trace"
    tracer = ("strace", "-f", "-qq", "-e", "signal=none", "-o", str(trace))
    command = [*tracer, sys.executable, "-m", "jollyae", "web", str(spool.places.control), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.search(r"http://[\d.:]+/", line)
        assert found is not None, f"it did not begin: {line}"
        with urllib.request.urlopen(found.group(), timeout=60) as page:
            assert page.status == 200
        [child] = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        assert server.wait(60) == 0
    refused = _used(trace) - _allowed(systemd.units(replace(JOB, web=("web",)), web=True)["jollyae-web.service"])
    assert refused <= REFUSED_AND_NO_HARM.keys(), refused


class _Store(BaseHTTPRequestHandler):
    """Takes every PUT, as a store would."""

    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[bytes]] = []

    def do_PUT(self) -> None:
        """200 with an ETag."""
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def store() -> Iterator[str]:
    """The URL of one that runs."""
    _Store.bodies.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Store) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _is_refused() -> bool:
    """Whether this kernel refuses writable code to who asked for that."""
    command = [sys.executable, "-c", _NO_WRITABLE_CODE, "/bin/true"]
    return subprocess.run(command, check=False).returncode != 99


@pytest.mark.parametrize("transport", ["auto", "boto3"])
def test_it_delivers_without_writable_code(spool: Spool, store: str, transport: str) -> None:
    """MemoryDenyWriteExecute=yes, by the kernel's own switch of that meaning: uvloop, httptools, msgspec, ctypes and
    boto3 get on with it."""
    assert "\nMemoryDenyWriteExecute=yes\n" in systemd.units(JOB)["jollyae.service"]
    if not _is_refused():
        pytest.skip("this kernel has no PR_SET_MDWE (before 6.3)")
    drop(spool, "item", "some bytes")
    words = ("--to", "s3://bucket", "--endpoint-url", store, "--region", "us-east-1", "--transport", transport)
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    done = _run(spool, *words, before=(sys.executable, "-c", _NO_WRITABLE_CODE), more=keys)
    assert done.returncode == 0, done.stderr
    assert set(_Store.bodies) == {b"some bytes"}, "the second tries whether the store honours the condition"
