"""The power goes while deliveries are announced: every object whose item is gone has its message. To be called by way
of :func:`tests.faults.apart.apart`."""

import io
import json
import os
import random
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from jollyae import Spool
from jollyae.spool import survey
from jollyae.spool.owner import items_below
from tests.faults import disks, planted
from tests.helpers import until
from tests.real.support import environment


@dataclass
class Verdict:
    """What was found. ``cuts``: those that were felt; ``objects``: delivered in all; ``announced``: messages."""

    cuts: int = 0
    objects: int = 0
    announced: int = 0
    wrong: list[str] = field(default_factory=list)


class Life:
    """A spool on a disk that loses its power again and again; what is delivered goes to another disk."""

    def __init__(self, kind: str, directory: Path, bug: str) -> None:
        self._kind, self._directory, self._bug = kind, directory, bug
        self._image, self._at, self._to = directory / "image", directory / "at", directory / "to"
        self._to.mkdir()
        self._chance = random.Random(1)
        self._count = 0
        self._acknowledged: set[str] = set()
        self.verdict = Verdict()
        disks.make(kind, self._image)

    def cut(self) -> None:
        """One cut under load, and a look at what is left."""
        with ExitStack() as stack:
            stack.enter_context(suppress(OSError))  # it is unmounted below, when nobody has it open any more
            stack.enter_context(disks.mounted(self._image, self._kind, self._at))
            Spool(self._at / "spool")
            producer = threading.Thread(target=self._produce)
            worker = self._start()
            producer.start()
            try:
                goal = len(os.listdir(self._to)) + self._chance.randrange(1, 60)
                deadline = time.monotonic() + 30
                while len(os.listdir(self._to)) < goal and time.monotonic() < deadline:
                    time.sleep(0.001)
                time.sleep(self._chance.random() * 0.05)
            finally:
                disks.cut(self._at, self._kind)
                producer.join()
                with suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()
                until(self._unmount, "the end of all who have the disk open")  # else the old one would be looked at
        with disks.mounted(self._image, self._kind, self._at):
            self._judge()

    def _unmount(self) -> bool:
        return subprocess.run(["umount", self._at], check=False, capture_output=True).returncode == 0

    def _start(self) -> "subprocess.Popen[bytes]":
        words = ["run", str(self._at / "spool"), "--to", f"file://{self._to}", "--on-done", "delete", "--settle", "0"]
        words += ["--if-exists", "overwrite", "--notify", "http://127.0.0.1:9/"]  # not allowed: the messages stay
        made = environment(self._directory, PYTHONPATH=planted.path())
        with (self._directory / "jollyae.log").open("ab") as log:
            command = [*planted.command(self._bug), *words]
            return subprocess.Popen(command, env=made, stdout=log, stderr=log, start_new_session=True)

    def _produce(self) -> None:
        """Submit, durably, until the disk is gone."""
        spool = Spool(self._at / "spool", make=False)
        while True:
            self._count += 1  # one that failed may be there all the same
            try:
                spool.submit(io.BytesIO(b"x" * self._chance.choice((0, 700, 5000))), f"item-{self._count}")
            except OSError:
                self.verdict.cuts += 1
                return
            self._acknowledged.add(f"item-{self._count}")

    def _judge(self) -> None:
        spool = Spool(self._at / "spool")
        there = {name for _, name, _ in survey.lying(spool.places)} | set(items_below(str(spool.places.failed)))
        told = set()
        for path in (self._at / "spool" / "notify").rglob("*.json"):
            if path.name.startswith(".") or path.parent.name in ("tmp", "receipts"):
                continue
            try:
                told.add(json.loads(path.read_bytes())["jollyae"]["name"])
            except (ValueError, KeyError):
                self.verdict.wrong.append(f"a message is not whole: {path.name}, {path.stat().st_size} bytes")
        objects = {name for name in os.listdir(self._to) if not name.startswith(".")}
        # One whose producer was told nothing may be delivered, and be gone with the power as if it had never been.
        lost = (objects & self._acknowledged) - there - told
        self.verdict.wrong += [f"delivered, gone, and no message: {name}" for name in sorted(lost)]
        self.verdict.objects, self.verdict.announced = len(objects), len(told)


def shut_down(kind: str, directory: Path, cuts: int, *, bug: str = "") -> Verdict:
    """So many cuts; with a bug, until it is caught."""
    life = Life(kind, directory, bug)
    for _ in range(cuts):
        life.cut()
        if life.verdict.wrong:
            break
    return life.verdict
