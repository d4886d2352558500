"""Workers in processes of their own, for tests that kill them.

As a program this file is a small fork server: Python and jollyae are imported once, and each worker is a fork of it, so
that hundreds can be started in seconds. It reads one order a line, in JSON, and answers with one line.

What a worker does with an item is in its name: `later…` is deferred at the first attempt, `bad…` fails, `deadly…` kills
the worker, `slow…` waits to be killed; everything else is delivered.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[1] / "src"


class Forks:
    """The fork server and its workers; at the end of the context all that still live are killed."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._living: set[int] = set()

    def __enter__(self) -> "Forks":
        command = [sys.executable, "-W", "error", __file__, str(self.log)]
        environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
        self._server = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(self, *_: object) -> None:
        for pid in list(self._living):
            os.kill(pid, signal.SIGKILL)
            self.wait(pid)
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def _ask(self, **order: Any) -> int:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(order) + "\n")
        return int(self._server.stdout.readline())

    def start(self, spool: Path, to: Path, **order: Any) -> int:
        """Start a worker on ``spool`` that delivers into ``to``; its process id. Of ``order``, ``rules`` are those of
        the worker, ``kill_at`` is the file system operation before which it dies, ``delay`` are seconds per item."""
        pid = self._ask(do="start", spool=str(spool), to=str(to), **order)
        self._living.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        """Wait for its end; the exit code, or minus the signal that killed it."""
        self._living.discard(pid)
        return self._ask(do="wait", pid=pid)

    def run(self, spool: Path, to: Path, **order: Any) -> int:
        """:meth:`start` and :meth:`wait`."""
        return self.wait(self.start(spool, to, **order))

    def kill(self, pid: int, number: int = signal.SIGKILL) -> int:
        """Send the signal and :meth:`wait`."""
        os.kill(pid, number)
        return self.wait(pid)


def _serve(log: str) -> None:
    import jollyae.processors.files
    import jollyae.worker.worker  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        if order.pop("do") == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(order["pid"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                _become_worker(log, **order)
        print(answer, flush=True)


def _become_worker(
    log: str, spool: str, to: str, *, rules: dict[str, Any] | None = None, kill_at: int = 0, **more: Any
) -> None:
    import logging
    import traceback

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    logging.basicConfig(level=logging.INFO, format=f"{os.getpid()} %(levelname)s %(message)s %(hint)s", force=True)
    logging.getLogger().handlers[0].addFilter(_with_hint)
    code = 99
    try:
        if kill_at:
            _die_at(kill_at)
        code = _work(spool, to, rules or {}, **more)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _with_hint(record: Any) -> bool:
    record.hint = f"{getattr(record, 'item', '')} {getattr(record, 'hint', '')}"
    return True


def _die_at(number: int) -> None:
    from jollyae.spool import fs

    lock, seen = threading.Lock(), 0

    def observer(operation: str, path: str) -> None:
        nonlocal seen
        with lock:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(60)

    fs.observer = observer


def _work(
    root: str,
    to: str,
    rules: dict[str, Any],
    *,
    places: dict[str, str] | None = None,
    copy: bool = False,
    uid: int = 0,
    delay: float = 0.0,
    no_renameat2: bool = False,
) -> int:
    from jollyae import Item, Permanent, Rules, Spool, Temporary, Worker
    from jollyae.processors.files import FileDelivery
    from jollyae.processors.keys import KeyTemplate
    from jollyae.spool import fs
    from jollyae.spool.places import Places

    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    if no_renameat2:
        fs._rename = None
    deliver = FileDelivery(to, KeyTemplate())

    def process(item: Item) -> dict[str, Any]:
        last = item.name.rpartition("/")[2]
        with open(f"{to}/.begun", "a") as log:
            log.write(f"{item.name}\n")
        if last.startswith("later") and item.attempt == 1:
            raise Temporary("not now", after=0.01)
        if last.startswith("bad"):
            raise Permanent("it is bad")
        if last.startswith("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(3600 if last.startswith("slow") else delay)
        return deliver(item)

    spool = Spool(places=Places.under(root, **(places or {})), copy=copy)
    return Worker(spool, process, Rules(**rules)).run().exit_code


if __name__ == "__main__":
    _serve(sys.argv[1])
