"""Workers in processes of their own, for tests that kill them.

As a program this file is a small fork server: Python and jollyae are imported once, and each worker is a fork of it, so
that hundreds can be started in seconds. It reads one order a line, in JSON, and answers with one line.

What such a worker does with an item is in its name: `later…` is deferred at the first attempt, `bad…` fails, `deadly…`
kills the worker, `slow…` waits to be killed; everything else is delivered.

:meth:`Forks.jollyae` starts the real program instead: the command line, in a process that has it loaded already.
"""

import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOADED = ("boto3", "uvloop", "tests.faults.planted")


class Forks:
    """The fork server and its workers; at the end of the context all that still live are killed."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._living: set[int] = set()

    def __enter__(self) -> "Forks":
        command = [sys.executable, "-W", "error", __file__, str(self.log)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
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
        the worker, ``kill_at`` is the file system operation before which it dies, ``delay`` are seconds per item, with
        ``notify`` messages go to the
        spool notify/hook ('late': a planted bug, after the item was retired)."""
        pid = self._ask(do="start", spool=str(spool), to=str(to), **order)
        self._living.add(pid)
        return pid

    def jollyae(
        self,
        words: Iterable[str],
        env: dict[str, str],
        stem: Path,
        *,
        bug: str = "",
        part_size: int = 0,
        held: bool = False,
    ) -> int:
        """Start ``jollyae WORDS`` in this environment, its output in ``stem``.out and .err; its process id. ``bug``:
        one of :mod:`tests.faults.planted`. ``part_size``: bytes from which, and in parts of which, large files are
        sent. ``held``: for a tracer that shall be attached and count calls, it waits at its very beginning until
        :meth:`release`, and sends one part at a time."""
        more = {"bug": bug, "part_size": part_size, "held": held}
        pid = self._ask(do="jollyae", words=list(words), env=env, stem=str(stem), **more)
        self._living.add(pid)
        return pid

    def release(self, pid: int) -> None:
        """Let one go on that was started ``held``."""
        self._ask(do="release", pid=pid)

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
    import jollyae.processors.notify.message
    import jollyae.worker.worker  # noqa: F401

    gates: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        match order.pop("do"):
            case "wait":
                answer = os.waitstatus_to_exitcode(os.waitpid(order["pid"], 0)[1])
            case "release":
                answer = os.write(gates[order["pid"]], b".")
                os.close(gates.pop(order["pid"]))
            case "jollyae":
                answer = _start_jollyae(gates, **order)
            case _:
                answer = os.fork()
                if answer == 0:
                    _become_worker(log, **order)
        print(answer, flush=True)


def _start_jollyae(gates: dict[int, int], *, held: bool, **order: Any) -> int:
    """Fork the program; its process id, when it stands at its gate."""
    _load()
    gate, opener = os.pipe()
    ready, at_gate = os.pipe()
    if (pid := os.fork()) == 0:
        for other in (opener, ready, *gates.values()):
            os.close(other)
        if held:
            _send_by_one_lane()
            waiting = select.poll()  # not read(2): what a tracer shall count comes after it
            waiting.register(gate, select.POLLIN)
            os.write(at_gate, b".")
            waiting.poll()
        _become_jollyae(**order)
    os.close(gate)
    os.close(at_gate)
    if held:
        os.read(ready, 1)
        gates[pid] = opener
    else:
        os.close(opener)
    os.close(ready)
    return pid


@cache
def _load() -> None:
    """What the program would load when it needs it: what it opens then, and how often, depends on what is compiled."""
    for module in LOADED:
        importlib.import_module(module)
    jollyae = importlib.import_module("jollyae")
    for found in pkgutil.walk_packages(jollyae.__path__, "jollyae."):
        with suppress(ImportError):  # an extra that is not there
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    importlib.import_module("inotify_simple").INotify().close()  # the first one runs a program to find libc


def _become_jollyae(words: list[str], env: dict[str, str], stem: str, bug: str, part_size: int) -> None:
    import traceback

    from jollyae.cli import main
    from tests.faults import planted

    for number, end in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{stem}.{end}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(env)
    code = 99
    try:
        if part_size:
            _send_in_parts_of(part_size)
        planted.plant(bug)
        code = main.run(words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _send_by_one_lane() -> None:
    """The only thread that sends is the one whose calls are counted."""
    for module in ("lanes", "target", "fast"):
        vars(importlib.import_module(f"jollyae.processors.s3.{module}"))["LANES"] = 1


def _send_in_parts_of(size: int) -> None:
    """There are no options for this: tests of other programs' and of real sizes are in tests/processors and real."""
    import functools

    from jollyae.processors.s3 import options

    init: Any = options.S3Options.__init__
    options.S3Options.__init__ = functools.partialmethod(  # type: ignore[method-assign, assignment]
        init, part_size=size, multipart_threshold=size
    )


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
    notify: str = "",
) -> int:
    from jollyae import Item, Permanent, Rules, Spool, Temporary, Worker
    from jollyae.processors.files import FileDelivery
    from jollyae.processors.keys import KeyTemplate
    from jollyae.processors.notify.message import message
    from jollyae.spool import fs
    from jollyae.spool.keeping import Limit
    from jollyae.spool.places import Places
    from jollyae.worker.outbox import Outbox

    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    if no_renameat2:
        fs._rename = None
    if "keep_finished" in rules:
        rules = rules | {"keep_finished": Limit(bytes=rules["keep_finished"])}
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
    outbox = Outbox([Places.under(f"{root}/notify/hook")], message, root) if notify else None
    if outbox is not None and notify == "late":
        vars(outbox)["begin"] = lambda told, ended: (ended(None), outbox.attempt(told))
    return Worker(spool, process, Rules(**rules), outbox=outbox).run().exit_code


if __name__ == "__main__":
    _serve(sys.argv[1])
