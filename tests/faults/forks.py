"""The command line as forks of one process, so that hundreds can be started in seconds, with a fault at the n-th call
of the gate to the file system.

As a program this file is a small fork server: it imports jollyae once, plants the bugs that it is told, reads one order
a line, in JSON, and answers with one line.
"""

import errno
import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from tests.faults import planted

ONCE, OPERATION, ALL = "once", "operation", "all"
"""How often: the n-th call; from it on all calls of its operation; from it on all calls. The latter two until
:attr:`Fault.seconds` are over."""
LOST = "answer lost"
"""The n-th rename happens, and then says the error: as on NFS where the server was restarted before it answered."""

ONE_TRY = 0.02
"""Seconds."""
_MiB = 1 << 20
_TOKEN = re.compile(r"[0-9a-f]{8,}")


@dataclass(frozen=True)
class Fault:
    """What goes wrong at which call of the gate. ``at`` counts from 1; 0: nothing does. ``links``: the file system
    knows no rename that refuses to replace."""

    at: int = 0
    code: int = 0
    mode: str = ONCE
    seconds: float = 0.0
    links: bool = False

    def __str__(self) -> str:
        how = f"{self.mode} for {self.seconds:g} s" if self.seconds else self.mode
        return f"{errno.errorcode.get(self.code, '')} at call {self.at}, {how}{', by links' if self.links else ''}"


@dataclass(frozen=True)
class Call:
    """One call of the gate: when (monotonic), what, to what; ``hit``: it met the fault."""

    when: float
    operation: str
    path: str
    hit: bool

    @property
    def what(self) -> tuple[str, str]:
        """The operation and its object, whatever chance has put into the name."""
        return self.operation, _TOKEN.sub("…", self.path)


def calls(log: Path) -> list[Call]:
    """What a fork wrote down of its calls."""
    return [Call(**json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def busiest(made: list[Call]) -> tuple[int, tuple[str, str]]:
    """The most tries that met the fault within one second for one operation and object, and which these were. What
    comes within :data:`ONE_TRY` is one try: a name that is taken, and then others beside it."""
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for call in made:
        if call.hit and (not times[call.what] or call.when - times[call.what][-1] > ONE_TRY):
            times[call.what].append(call.when)
    found = (0, ("", ""))
    for what, when in times.items():
        first = 0
        for last, now in enumerate(when):
            while when[first] <= now - 1.0:
                first += 1
            found = max(found, (last - first + 1, what))
    return found


class Fork:
    """One process. ``stem``: of the files with what it wrote (``.out``, ``.err``) and called (``.calls``)."""

    def __init__(self, server: "Forks", pid: int, stem: Path) -> None:
        self._server = server
        self.pid = pid
        self.stem = stem
        self.code: int | None = None
        self.cpu = 0.0
        """Seconds of CPU that it used, when it has ended."""

    def ended(self) -> bool:
        """Whether it has; then :attr:`code` is its exit code, or minus the signal that ended it."""
        if self.code is None:
            found = self._server.ask(do="poll", pid=self.pid)
            if found is not None:
                self.code, self.cpu = found
        return self.code is not None

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        deadline = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def send(self, number: int) -> None:
        """Send it a signal."""
        if not self.ended():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and wait for its end."""
        self.send(signal.SIGKILL)
        self.wait(10)

    def said(self) -> str:
        """What it wrote to stderr."""
        return self.stem.with_suffix(".err").read_text(errors="replace")

    def calls(self) -> list[Call]:
        """The calls of the gate that it made."""
        return calls(self.stem.with_suffix(".calls"))


class Forks:
    """The fork server; at the end of the context, all that still live are killed. ``bug``: what is planted."""

    def __init__(self, directory: Path, bug: str = "") -> None:
        self._directory = directory
        self._bug = bug
        self._lock = threading.Lock()
        self._living: list[Fork] = []

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": planted.path()}
        command = [sys.executable, "-m", "tests.faults.forks", self._bug or "-"]
        self._server = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin and self._server.stdout
        with suppress(BrokenPipeError):
            for fork in self._living:
                fork.kill()
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def ask(self, **order: Any) -> Any:
        """Give the server an order; its answer. May be called by any thread."""
        with self._lock:
            assert self._server.stdin and self._server.stdout
            self._server.stdin.write(json.dumps(order) + "\n")
            return json.loads(self._server.stdout.readline())

    def start(self, name: str, *words: str, env: dict[str, str], fault: Fault | None = None) -> Fork:
        """Start ``jollyae WORDS`` with nothing but ``env`` in its environment, and this fault."""
        stem = self._directory / name
        pid = self.ask(do="start", words=words, env=env, stem=str(stem), fault=asdict(fault or Fault()))
        fork = Fork(self, pid, stem)
        self._living = [one for one in self._living if one.code is None] + [fork]
        return fork


# --- the other side


def serve(bug: str) -> None:
    """Be the fork server."""
    _load()
    planted.plant(bug)
    for line in sys.stdin:
        print(json.dumps(_obey(json.loads(line))), flush=True)


def _obey(order: dict[str, Any]) -> Any:
    if order.pop("do") == "poll":
        pid, status, used = os.wait4(order["pid"], os.WNOHANG)
        return (os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime) if pid else None
    pid = os.fork()
    if pid == 0:
        _become(**order)
    return pid


def _load() -> None:
    """Import what a worker needs, and make the world's clocks shorter: a rescan, a look for dead workers and one for
    what is stuck come after some seconds. What is waited for after an error stays as it is."""
    import jollyae.cli.run
    import jollyae.cli.submit
    import jollyae.processors.s3.fast
    import jollyae.service.processes.queue  # noqa: F401
    from jollyae.service import deliveries
    from jollyae.service.settings import Settings
    from jollyae.spool import watch
    from jollyae.worker import line, worker

    watch.RESCAN = 4.0
    worker.ADOPT_EVERY = 2.0
    line._STUCK_AGAIN = 3.0
    whole = deliveries.s3_options

    def in_small_parts(settings: Settings) -> Any:
        from dataclasses import replace

        return replace(whole(settings), part_size=5 * _MiB, multipart_threshold=5 * _MiB)

    deliveries.s3_options = in_small_parts


def _become(words: list[str], env: dict[str, str], stem: str, fault: dict[str, Any]) -> NoReturn:
    import traceback

    for number, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(stem + suffix, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 99
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ.clear()
        os.environ.update(env)
        _install(Fault(**fault), stem + ".calls")
        sys.argv = ["jollyae", *words]
        from jollyae.cli.main import entry

        entry()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _install(fault: Fault, log: str) -> None:
    from jollyae.spool import fs

    if fault.links:
        fs._rename = None
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(operation: str, path: str, hit: bool) -> None:
        line = {"when": time.monotonic(), "operation": operation, "path": path, "hit": hit}
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        if hit:
            raise OSError(fault.code, os.strerror(fault.code), path)

    lock = threading.Lock()
    plan = _plan(fault)
    next(plan)

    def observer(operation: str, path: str) -> None:
        with lock:
            tell(operation, path, fault.mode != LOST and plan.send((time.monotonic(), operation)))

    fs.observer = observer
    if fault.mode == LOST:
        _lose_answer(fault, tell)


def _lose_answer(fault: Fault, tell: Callable[[str, str, bool], None]) -> None:
    from jollyae.spool import fs

    rename, numbers = fs.rename, itertools.count(1)

    def lost(source: str, target: str, *, ours: bool = False) -> None:
        rename(source, target, ours=ours)
        if next(numbers) == fault.at:
            tell("answer", source, True)

    fs.rename = lost


def _plan(fault: Fault) -> Generator[bool, tuple[float, str], None]:
    """Given when and what, says whether that call meets the fault."""
    number, until, operation = 0, 0.0, ""
    hit = False
    while True:
        now, what = yield hit
        number += 1
        if number == fault.at:
            until, operation = now + fault.seconds, what
        hit = number == fault.at or (now < until and (fault.mode == ALL or what == operation))


if __name__ == "__main__":
    serve(sys.argv[1])
