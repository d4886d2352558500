"""``run -c`` while its configuration changes, and its processes are killed, stopped and told to stop, at random."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from jollyae import Spool
from tests.faults.tier import scaled
from tests.helpers import drop, until, whereabouts

ROOT = Path(__file__).parents[2]
QUEUES = ("a", "b", "c")
SEEDS = range(scaled(1, 4, 40))
STEPS = scaled(60, 250, 500)

needs_proc = pytest.mark.skipif(not Path("/proc/thread-self/children").exists(), reason="no /proc tells the children")


class Chaos:
    """A parent of several queues, what lands in them, and what is done to it."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.file = directory / "jollyae.toml"
        self.log = directory / "log"
        self.spools = {name: Spool(directory / name) for name in QUEUES}
        self.expected: dict[str, dict[str, str]] = {name: {} for name in QUEUES}
        self._random = random.Random(seed)
        self.file.write_text(self.configuration(QUEUES))
        with self.log.open("wb") as log:
            command = [sys.executable, "-W", "error", "-m", "jollyae", "run", "-c", str(self.file)]
            environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
            self.process = subprocess.Popen(command, stderr=log, env=environment)
        until(lambda: self.said().count("working on") >= len(QUEUES), self.said())

    def said(self) -> str:
        """The log."""
        return self.log.read_text()

    def configuration(self, names: tuple[str, ...], *lines: str) -> str:
        """So many of the queues."""
        queue = '[queue.{0}]\nspool = "{0}"\nto = "file://{1}/out/{0}"\nsettle = 0\n{2}\n'
        return "".join(queue.format(name, self.directory, "\n".join(lines)) for name in names)

    def _anyhow(self) -> str:
        chance = self._random
        names = tuple(name for name in QUEUES if name == "a" or chance.random() < 0.8)
        lines = [f"processes = {chance.randint(1, 3)}", f"concurrency = {chance.randint(1, 9)}"]
        lines += [f"grace = {chance.choice([0, 1, 30])}"] + ["bogus = 1"] * (chance.random() < 0.15)
        log = '[log]\nlevel = "info"\n' if chance.random() < 0.1 else ""
        return log + self.configuration(names, *lines)

    def load(self, text: str) -> None:
        """Have it loaded."""
        beside = self.directory / "new"
        beside.write_text(text)
        beside.rename(self.file)
        self.process.send_signal(signal.SIGHUP)

    def step(self) -> None:
        """Some items land, and something is done."""
        chance = self._random
        assert self.process.poll() is None, f"the parent died: {self.said()[-2000:]}"
        for name, spool in self.spools.items():
            for _ in range(chance.randint(0, 6)):
                item = f"item-{len(self.expected[name]):05d}"
                self.expected[name][item] = f"{name} {item}" * chance.randint(0, 9)
                drop(spool, item, self.expected[name][item])
        what = chance.random()
        if what < 0.3:
            self.load(self._anyhow())
        elif what < 0.5:
            number = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSTOP])
            self._send(number)
        time.sleep(chance.random() * 0.15)

    def _send(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        if not children:
            return
        pid = int(self._random.choice(children))
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            if number == signal.SIGSTOP:
                time.sleep(0.2)
                os.kill(pid, signal.SIGCONT)

    def finish(self) -> int:
        """The first configuration again, until all is delivered; the exit code."""
        self.load(self.configuration(QUEUES))
        for name, spool in self.spools.items():
            expected = {item: ["finished"] for item in self.expected[name]}
            until(lambda here=spool, all=expected: whereabouts(here) == all, f"{name}: {self.said()[-2000:]}")  # type: ignore[misc]
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        """End it; its children end by that."""
        self.process.kill()
        self.process.wait()


@needs_proc
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_sent_twice(tmp_path: Path, seed: int) -> None:
    """Whatever happens to the workers and to the configuration, right and wrong, at once: each item is delivered
    to its own queue's destination, whole, with one id; the parent lives, and nothing is left at the end."""
    chaos = Chaos(tmp_path, seed)
    try:
        for _ in range(STEPS):
            chaos.step()
        assert chaos.finish() == 0, chaos.said()[-2000:]
    finally:
        chaos.kill()
    for name, spool in chaos.spools.items():
        out = tmp_path / "out" / name
        assert {path.name: path.read_text() for path in out.iterdir()} == chaos.expected[name]
        receipts = [line for path in spool.places.receipts.glob("*.jsonl") for line in path.read_text().splitlines()]
        ids = {json.loads(line)["name"]: json.loads(line)["id"] for line in receipts}
        assert sorted(ids) == sorted(chaos.expected[name])
        assert {json.loads(line)["id"] for line in receipts} == set(ids.values()), "a repeat has another id"
        assert not list(spool.places.working.iterdir())
    assert "Traceback" not in chaos.said()
    assert "loaded again" in chaos.said()
