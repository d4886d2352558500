"""Real producers against a running worker: whatever puts the files there, they are whole in the bucket.

``JOLLYAE_PRODUCER_BYTES``: bytes of the 200 files of each producer in all (100 MB; at most 300 MB are meant).
"""

import functools
import getpass
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .support import Process, Scene, body_of, environment, same, sha256, sizes, until

pytestmark = pytest.mark.real

COUNT = 200
LARGEST = 20_000_000
TOTAL = int(os.environ.get("JOLLYAE_PRODUCER_BYTES", 100_000_000))
SETTLE = 1.0
"""Seconds: the worker's own, with the lease test."""


class Source:
    """The 200 files that each producer sends; ``digests`` by name."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.digests: dict[str, str] = {}
        directory.mkdir()
        for number, size in enumerate(sizes(COUNT, LARGEST, TOTAL)):
            name = f"file-{number:03d}.bin"
            body = body_of(name, size)
            (directory / name).write_bytes(body)
            self.digests[name] = sha256(body)

    def copy(self, target: Path) -> Path:
        """A copy, for producers that take the files away."""
        return Path(shutil.copytree(self.directory, target))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """The files, made once."""
    directory = tmp_path_factory.mktemp("source")
    yield Source(directory / "files")
    shutil.rmtree(directory)


def run(*command: str | Path, stdin: bytes = b"") -> None:
    """Run a producer to its end; bounded, in a clean environment."""
    env = environment(Path("/nonexistent"))
    done = subprocess.run(command, env=env, input=stdin, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"


def needs(program: str) -> str:
    """The program's path; the test is skipped, by name, where it is not there."""
    return shutil.which(program) or pytest.skip(f"{program} is not installed")


def deliver(scene: Scene, source: Source, produce: Callable[[], None]) -> None:
    """Run a producer beside a running worker: what it sent is whole in the bucket, and each was delivered once."""
    worker = scene.working()
    produce()
    scene.until_delivered(COUNT, 90)
    done = worker.end()
    same(source.digests, scene.objects(), scene.where)
    assert (done.code, scene.lying("failed"), scene.lying("incoming")) == (0, [], []), scene.where()
    assert len(scene.receipts()) == COUNT, "an item was delivered more than once"


def test_mv(scene: Scene, source: Source) -> None:
    """mv on one file system: renamed in, taken at once."""
    files = source.copy(scene.directory / "stage")
    deliver(scene, source, lambda: run("mv", "-n", "-t", scene.incoming, *sorted(files.iterdir())))


def test_mv_across_file_systems(scene: Scene, source: Source) -> None:
    """mv from another file system is a copy under the final name: it is not taken before it is whole."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == scene.incoming.stat().st_dev:
        pytest.skip("/dev/shm is no file system of its own here")
    if shutil.disk_usage(memory).free < 2 * TOTAL:
        pytest.skip("/dev/shm is too small")
    stage = memory / f"jollyae-test-{os.getpid()}"
    try:
        files = source.copy(stage)
        deliver(scene, source, lambda: run("mv", "-n", "-t", scene.incoming, *sorted(files.iterdir())))
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def test_cp(scene: Scene, source: Source) -> None:
    """cp writes under the final name: nothing is taken before it is whole."""
    deliver(scene, source, lambda: run("cp", "-r", f"{source.directory}/.", scene.incoming))


def test_rsync(scene: Scene, source: Source) -> None:
    """rsync writes .NAME.XXXXXX and renames: its temporary files are never items."""
    rsync = needs("rsync")
    deliver(scene, source, lambda: run(rsync, "-a", f"{source.directory}/", scene.incoming))


def test_tar(scene: Scene, source: Source) -> None:
    """tar -x writes under the final name and sets old modification times: neither hastens anything."""
    archive = scene.directory / "files.tar"
    run("tar", "-C", source.directory, "-cf", archive, ".")
    deliver(scene, source, lambda: run("tar", "-C", scene.incoming, "-xf", archive))
    archive.unlink()


def test_curl(scene: Scene, source: Source) -> None:
    """curl -o from an HTTP server, several at a time."""
    curl = needs("curl")
    config = scene.directory / "curlrc"
    with _http_server(source.directory) as url:
        pairs = [f'url = "{url}/{name}"\noutput = "{scene.incoming}/{name}"\n' for name in source.digests]
        config.write_text("".join(pairs))
        deliver(scene, source, lambda: run(curl, "-sSf", "--parallel", "--parallel-max", "8", "-K", config))


def test_scp(scene: Scene, source: Source) -> None:
    """scp over loopback."""
    scp = needs("scp")
    with _sshd(scene.directory) as (port, options):
        target = f"{getpass.getuser()}@127.0.0.1:{scene.incoming}/"
        files = sorted(source.directory.iterdir())
        deliver(scene, source, lambda: run(scp, "-q", "-P", port, *options, *files, target))


def test_sftp(scene: Scene, source: Source) -> None:
    """sftp put over loopback."""
    sftp = needs("sftp")
    with _sshd(scene.directory) as (port, options):
        commands = "".join(f"put {source.directory}/{name} {scene.incoming}/{name}\n" for name in source.digests)
        target = f"{getpass.getuser()}@127.0.0.1"
        command = (sftp, "-q", "-b", "-", "-P", port, *options, target)
        deliver(scene, source, lambda: run(*command, stdin=commands.encode()))


def test_a_slow_writer(scene: Scene, source: Source) -> None:
    """A program that pauses for longer than the settle time while it holds its files open: taken only when closed."""
    writer = """
import os, sys, time
source, target, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
files = [(open(f"{source}/{name}", "rb").read(), open(f"{target}/{name}", "wb", buffering=0))
         for name in sorted(os.listdir(source))]
for third in range(3):
    for body, file in files:
        step = len(body) // 3 + 1
        file.write(body[third * step : (third + 1) * step])
    time.sleep(pause)
"""
    pause = str(1.6 * SETTLE)
    deliver(scene, source, lambda: run(sys.executable, "-c", writer, source.directory, scene.incoming, pause))


@contextmanager
def _http_server(directory: Path) -> Iterator[str]:
    """A server of these files on loopback; its URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=directory)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@contextmanager
def _sshd(directory: Path) -> Iterator[tuple[str, list[str]]]:
    """An sshd of the test's own on loopback: its port, and what a client needs to trust it and be trusted."""
    sshd, keygen = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin"), needs("ssh-keygen")
    if sshd is None:
        pytest.skip("sshd is not installed")
    keys = directory / "ssh"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        run(keygen, "-q", "-t", "ed25519", "-N", "", "-f", keys / name)
    port = _free_port()
    config = keys / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/user.pub\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where Debian's sshd locks itself up; made by its service
    server = Process([sshd, "-D", "-e", "-f", str(config)], environment(keys), keys / "sshd")
    options = ["-i", f"{keys}/user", "-F", "none", "-o", "StrictHostKeyChecking=no"]
    options += ["-o", f"UserKnownHostsFile={keys}/known", "-o", "BatchMode=yes"]
    try:
        if not _answers(server, port):
            pytest.skip(f"sshd does not run here: {server.tail()}")
        yield str(port), options
    finally:
        server.popen.terminate()
        time.sleep(0.05)
        server.kill()


def _answers(server: Process, port: int) -> bool:
    def ready() -> bool:
        if server.popen.poll() is not None:
            return True
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(ready, "sshd", 10)
    return server.popen.poll() is None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
