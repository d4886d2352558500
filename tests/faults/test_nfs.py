"""A spool on NFS, worked on by guests: each with its own kernel, its own clock and its own idea of what is there.

Each trial is a function of a scene; it says what is wrong, in sentences. Then the one judge sees what is left.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from jollyae.spool.owner import items_below
from jollyae.worker import receipts
from tests.faults import guests, history, nfs, planted
from tests.faults.guests import HOST, OUT, Guest
from tests.faults.producer import produce
from tests.faults.scene import Scene
from tests.faults.store import Store
from tests.faults.tier import TIER, scaled

SAY = Callable[[str], None]
SPOOL = "/mnt/spool"
"""Where guests have the spool."""
LIVING = "2 workers running, nothing waits"
STALLED = 90.0
"""Seconds without another finished item after which nothing more is waited for: several leases."""


class Share(Scene):
    """A scene whose spool is shared by NFS, and whose workers are in guests."""

    def __init__(self, directory: Path, store: Store, bug: str = "") -> None:
        super().__init__(directory, store, bug)
        self.guests: list[Guest] = []
        self.stack = ExitStack()
        self.server = self.stack.enter_context(nfs.Server(directory / "server", self.spool))
        self._initramfs = directory / "initramfs"
        guests.make_initramfs(self._initramfs)

    def boot(self, name: str, *, port: int = 0, produce: int = 0, directory: str = "") -> Guest:
        """Start a guest of this hostname with a worker. ``port``: where the server is, if not at its own port;
        ``produce``: so many items are put in by a producer beside it, when it is told to (:meth:`go`)."""
        directory = directory or name
        identity = {"AWS_ENDPOINT_URL_S3": f"http://{HOST}:{self.store.port}", "AWS_ACCESS_KEY_ID": f"AKIA{directory}"}
        words = [SPOOL, f"{OUT}/history.jsonl", f"{OUT}/go", directory, str(produce)]
        producer = f"{planted.command()[0]} -m tests.faults.producer {' '.join(words)} &"
        script = guests.script(
            [nfs.mounting(port or self.server.port, at=SPOOL)],
            self.environment() | identity,
            [*planted.command(self.bug), "run", SPOOL, *self.words("--settle", "0")[2:]],
            beside=[producer] if produce else [],
        )
        self.guests.append(Guest(name, self.directory / directory, self._initramfs, script))
        return self.guests[-1]

    def pair(self, *, produce: int = 0) -> tuple[Guest, Guest]:
        """Two guests, both at work."""
        first, second = self.boot("alpha", produce=produce), self.boot("beta", produce=produce)
        for guest in (first, second):
            working(guest)
        return first, second

    def go(self) -> None:
        """Let the producers in the guests begin."""
        for guest in self.guests:
            (guest.directory / "go").touch()

    def finished(self) -> int:
        """How many items are in finished/."""
        return sum(1 for _ in items_below(str(self.spool / "finished")))

    def until_finished(self, count: int, meanwhile: Callable[[int], None] = lambda finished: None) -> list[str]:
        """Wait for so many finished items, for as long as there are always more of them; what is wrong if not."""
        last, since = -1, time.monotonic()
        while (found := self.finished()) < count:
            meanwhile(found)
            if found != last:
                last, since = found, time.monotonic()
            if time.monotonic() - since > STALLED:
                tails = "\n".join(guest.tail() for guest in self.guests)
                return [f"stuck: {found} of {count} finished after {STALLED:g} s without another:\n{tails}"]
            time.sleep(0.1)
        return []

    def ended(self) -> list[str]:
        """End the guests that live, in order; what is wrong with their ends, or with what they said."""
        living = [guest for guest in self.guests if guest.popen.poll() is None]
        for guest in living:
            guest.stop()
        wrong = [f"ended with {code}: {guest.tail()}" for guest in living if (code := guest.wait()) != 0]
        for guest in self.guests:
            told = guest.lines("Traceback") + guest.lines("fault of jollyae")
            wrong += [f"{guest.name} said: {line}" for line in told]
        return wrong

    def tell_all(self) -> None:
        """Write what the producers in the guests were told into the one history."""
        for guest in self.guests:
            for line in history.lines(guest.directory / "history.jsonl"):
                self.history.write(line)

    def delivered_by(self) -> Counter[str]:
        """How many items each host delivered, by the names of its receipts."""
        return Counter(one["worker"].split("-")[0] for one in receipts.read(self.spool / "receipts"))

    def close(self) -> None:
        for guest in self.guests:
            guest.kill()
        self.stack.close()
        super().close()


def working(guest: Guest) -> None:
    """Wait until it works, and see that it knows what it works on: NFS tells nothing of what other hosts do."""
    guest.until_says("working on", "polling: nfs4")


def looks(guest: Guest) -> str:
    """What ``jollyae status`` says there, in one sentence."""
    *said, code = guest.ask(*planted.command(), "status", SPOOL, "--json").splitlines()
    return str(json.loads("".join(said))["why"]) if code == "0" else str(said)


def race(made: Share, say: SAY) -> list[str]:
    """Two workers race for the items of three producers: one on the server's own disk, one in each guest."""
    own, theirs = scaled(20, 200, 4000), scaled(10, 100, 3000)
    _, second = made.pair(produce=theirs)
    wrong = [] if (said := looks(second)) == LIVING else [f"status, asked in a guest, said: {said}"]
    made.go()
    began = time.monotonic()
    produce(made.spool, made.history, "host", own)
    wrong += made.until_finished(own + 2 * theirs)
    seconds = time.monotonic() - began
    wrong += made.ended()
    by = made.delivered_by()
    writes = sum(request.writes for request, _ in made.store.seen)
    say(
        f"race: {own + 2 * theirs} items in {seconds:.0f} s, {by['alpha']} by one and {by['beta']} by the other, "
        f"{writes} writes"
    )
    return wrong + [f"no race: {name} delivered nothing" for name in ("alpha", "beta") if not by[name]]


TRIALS: dict[str, Callable[[Share, SAY], list[str]]] = {trial.__name__: trial for trial in (race,)}


@contextmanager
def share(directory: Path, bug: str) -> Iterator[Share]:
    """A scene for the length of a block."""
    with Store() as store:
        made = Share(directory, store, bug)
        try:
            yield made
        finally:
            made.close()


def run(directory: Path, trial: str, say: SAY, bug: str = "") -> list[str]:
    """One trial with its judgement: what is wrong."""
    with share(directory, bug) as made:
        try:
            wrong = TRIALS[trial](made, say)
        except pytest.fail.Exception as failure:  # something was waited for in vain
            return [str(failure)]
        made.tell_all()
        return wrong or made.judge()


@pytest.fixture(autouse=True)
def _needs() -> None:
    """Skip where there can be no guests, by name."""
    if why := nfs.why_not() or guests.why_not():
        pytest.skip(f"NFS in guests: {why}")


@pytest.mark.parametrize("trial", TRIALS)
def test_nfs_in_guests(tmp_path: Path, trial: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever happens: nothing is lost, doubled or stuck, and nothing is left over."""
    if TIER == "sample":
        pytest.skip("NFS in guests: a minute each: in the commit tier")
    said: list[str] = []
    wrong = run(tmp_path, trial, said.append)
    with capsys.disabled():
        for one in said:
            print(f"\nNFS: {one}", end="")
    assert not wrong, "\n".join(wrong)
