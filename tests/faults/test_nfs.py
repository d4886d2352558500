"""A spool on NFS, worked on by guests: each with its own kernel, its own clock and its own idea of what is there.

Each trial is a function of a scene; it says what is wrong, in sentences. Then the one judge sees what is left.
"""

import itertools
import json
import shlex
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from jollyae.spool import leases
from jollyae.spool.owner import items_below
from jollyae.worker import receipts
from tests.faults import guests, history, nfs, planted
from tests.faults.guests import HOST, OUT, Guest
from tests.faults.producer import produce
from tests.faults.scene import Scene
from tests.faults.store import Fault, Request, Store
from tests.faults.tier import TIER, scaled
from tests.real.support import until

SAY = Callable[[str], object]
SPOOL = "/mnt/spool"
"""Where guests have the spool."""
LIVING = "2 workers running, nothing waits"
FORGOTTEN_FOR = 50.0
"""Seconds that go by after a server forgot everything: more than a lease."""
BESIDE_FOR = 100.0
"""Seconds for which two workers of different kinds look at each other."""
STALLED = 240.0
"""Seconds without another finished item after which nothing more is waited for: several leases, on a busy machine."""


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
        producer = shlex.join([planted.command()[0], "-m", "tests.faults.producer", *words]) + " &"
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

    def held_by(self, host: str) -> int:
        """How many items lie in the directory of this host's worker."""
        return sum(1 for path in self.spool.glob(f"working/{host}-*") for _ in items_below(str(path)))

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
    guest.until_says("working on", "polling: nfs4", f"shared, lease {leases.LEASE:g} s")


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


LOST: dict[str, tuple[int, str, Callable[[Path, str], bool]]] = {
    "claim": (nfs.RENAME, "", lambda spool, name: any(spool.glob(f"working/*/{name}"))),
    "retire, the new name": (nfs.LINK, "", lambda spool, name: (spool / "finished" / name).exists()),
    "retire, the old name": (nfs.RENAME, nfs.SILLY, lambda spool, name: not any(spool.glob(f"working/*/{name}"))),
}
"""Requests of an item's life whose answers are lost: what to look for, and how to see that it was done."""


def lost_answers(made: Share, say: SAY) -> list[str]:
    """The server does what it was asked, nobody hears of it, and it is killed: what was done is asked for again, and
    is an error then. The item is found all the same, and not only by the look for what was left."""
    times: dict[str, list[float]] = {what: [] for what in LOST}
    with nfs.Line(made.server.port) as line:
        guest = made.boot("alpha", port=line.port)
        working(guest)
        for number in range(scaled(1, 1, 7)):
            for what, (operation, to, is_done) in LOST.items():
                name = f"lost-{number}-{operation}{to}"
                line.lose(nfs.call(operation, name, to))
                made.submit(name, name.encode())
                until(lambda: line.met, lambda: f"{what} of {name}: {guest.tail()}")  # noqa: B023 - it is over then
                until(lambda: is_done(made.spool, name), lambda: f"{what} of {name} on the server")  # noqa: B023
                made.server.kill()
                line.heal()
                began = time.monotonic()
                made.server.start()
                if wrong := made.until_finished(sum(map(len, times.values())) + 1):
                    return wrong
                times[what].append(time.monotonic() - began)
        wrong = _lost_to_submit(made, line, guest) + made.ended()
    for what, seconds in times.items():
        say(f"{len(seconds)} answers lost, {what}: finished {max(seconds):.0f} s after the restart at most")
    by_chance = guest.lines("lies beside") + guest.lines("took over") + guest.lines("paused: the spool")
    return wrong + [f"found by chance: {line}" for line in by_chance]


def _lost_to_submit(made: Share, line: nfs.Line, guest: Guest) -> list[str]:
    """The same for ``jollyae submit``: what was queued is not told to be in the way of itself."""
    before, body = made.finished(), "submitted\n"
    line.lose(nfs.call(nfs.LINK, "submitted"))
    command = shlex.join([*planted.command(made.bug), "submit", SPOOL, "-", "--name", "submitted"])
    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(guest.ask, "sh", "-c", f"printf {shlex.quote(body)} | {command}")
        until(lambda: line.met, lambda: f"the link of submit: {guest.tail()}")
        made.server.kill()
        line.heal()
        made.server.start()
        told = said.result()
    made.history.write(made.history.line("submitted", body.encode()) | {"told": True})
    return [*([] if told.endswith("\n0\n") else [f"submit said: {told}"]), *made.until_finished(before + 1)]


def server_killed(made: Share, say: SAY) -> list[str]:
    """The server is killed under load and started again, many times."""
    kills, own, theirs = scaled(1, 3, 10), scaled(20, 150, 1000), scaled(10, 75, 500)
    total = own + 2 * theirs
    made.pair(produce=theirs)
    made.go()

    def meanwhile(finished: int) -> None:
        if made.server.starts <= kills and finished >= made.server.starts * total // (kills + 1):
            made.server.kill()
            time.sleep(0.5)
            made.server.start()

    began = time.monotonic()
    produce(made.spool, made.history, "host", own)
    wrong = made.until_finished(total, meanwhile)
    say(f"server killed {made.server.starts - 1} times: {total} items in {time.monotonic() - began:.0f} s")
    wrong += [] if made.server.starts == kills + 1 else ["it was not killed as often as it should"]
    return wrong + made.ended()


def down_for(name: str) -> Callable[[Request], Fault | None]:
    """A store that is down for the worker in this guest."""
    return lambda request: Fault.INTERNAL if f"AKIA{name}/" in request.headers.get("authorization", "") else None


def _holding(made: Share) -> tuple[Guest, Guest]:
    """A pair at work, of which the first holds items that it cannot deliver."""
    made.store.plan = down_for("alpha")
    first, second = made.pair()
    batches = itertools.count()

    def held() -> bool:
        produce(made.spool, made.history, f"host{next(batches)}", 50)
        time.sleep(1)
        return made.held_by("alpha") > 0

    until(held, "items in the first one's hands")
    first.until_says("paused")
    return first, second


def guest_killed(made: Share, say: SAY) -> list[str]:
    """A guest's power is cut while it has items in work: the other takes them over when its lease is over, and finishes
    them."""
    first, second = _holding(made)
    held = made.held_by("alpha")
    first.kill()
    began = time.monotonic()
    wrong = made.until_finished(len(history.read(made.history.path)))
    seconds = time.monotonic() - began
    say(f"guest killed with {held} items in work: finished after {seconds:.0f} s, lease {leases.LEASE:g} s")
    wrong += [] if second.lines("took over") else [f"nothing was taken over: {second.tail()}"]
    return wrong + made.ended()


def guest_frozen(made: Share, say: SAY) -> list[str]:
    """A guest stands still for longer than its lease: the other takes over what it had, and finishes it. It wakes,
    moves nothing of it, and works on."""
    first, second = _holding(made)
    held = made.held_by("alpha")
    first.popen.send_signal(signal.SIGSTOP)
    try:
        wrong = made.until_finished(len(history.read(made.history.path)))
        wrong += [] if second.lines("took over") else [f"nothing was taken over: {second.tail()}"]
    finally:
        first.popen.send_signal(signal.SIGCONT)
    made.store.plan = lambda request: None
    second.stop()  # from now on the first is alone
    wrong += [] if second.wait() == 0 else [f"the second ended badly: {second.tail()}"]
    began = time.monotonic()
    produce(made.spool, made.history, "later", 20)
    wrong = wrong or made.until_finished(len(history.read(made.history.path)))
    say(
        f"guest frozen with {held} items in work: taken over; awake, it delivers after {time.monotonic() - began:.0f} s"
    )
    return wrong + made.ended()


def locks_lost(made: Share, say: SAY) -> list[str]:
    """The server forgets in a restart all that it knew of its clients: nobody is taken for dead for it."""
    first, second = _holding(made)
    made.server.kill()
    made.server.forget()
    began = time.monotonic()
    made.server.start()
    until(lambda: time.monotonic() - began > FORGOTTEN_FOR, "several looks", 2 * FORGOTTEN_FOR)
    wrong = [f"{guest.name} said: {line}" for guest in (first, second) for line in guest.lines("took over")]
    made.store.plan = lambda request: None
    wrong = wrong or made.until_finished(len(history.read(made.history.path)))
    say(f"the server forgot its clients: nothing taken over in {FORGOTTEN_FOR:g} s, and all delivered")
    return wrong + made.ended()


def same_hostname(made: Share, say: SAY) -> list[str]:
    """A second host of the same name is refused, since the server takes both for one; the first goes on."""
    working(made.boot("alpha"))
    twin = made.boot("alpha", directory="twin")
    code = twin.wait()
    told = twin.lines("another host named alpha")
    wrong = [] if code and told else [f"the second of one name was not refused, but ended with {code}: {twin.tail()}"]
    produce(made.spool, made.history, "host", 50)
    began = time.monotonic()
    wrong += made.until_finished(50)
    say(f"one hostname: the second is refused; the first delivers 50 items in {time.monotonic() - began:.0f} s after")
    return wrong + made.ended()


def servers_own(made: Share, say: SAY) -> list[str]:
    """A worker on the server's own disk, with a lock that no client sees, beside one that comes by NFS: each lives, and
    neither takes what the other has."""
    made.store.plan = lambda request: Fault.INTERNAL if request.writes else None
    own = made.start("--settle", "0")
    until(lambda: "working on" in own.err(), "the server's own worker")
    produce(made.spool, made.history, "own", 50)
    until(
        lambda: any(True for path in made.spool.glob("working/*") for _ in items_below(str(path))), "items in its hands"
    )
    guest = made.boot("alpha")
    working(guest)
    began = time.monotonic()
    until(lambda: time.monotonic() - began > BESIDE_FOR, "several leases", 2 * BESIDE_FOR)
    wrong = [
        f"taken over: {line}" for line in [*guest.lines("took over"), *own.err().splitlines()] if "took over" in line
    ]
    made.store.plan = lambda request: None
    wrong = wrong or made.until_finished(50)
    say(f"a worker on the server's own disk beside a guest: nothing taken over in {BESIDE_FOR:g} s")
    own.end()
    return wrong + made.ended()


TRIALS: dict[str, Callable[[Share, SAY], list[str]]] = {
    trial.__name__: trial for trial in (race, lost_answers, server_killed, guest_killed, guest_frozen, same_hostname)
}
if TIER == "long":
    TRIALS |= {"locks_lost": locks_lost, "servers_own": servers_own}
PLANTED = {"enoent_believed": "lost_answers"}


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


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str) -> None:
    """A suite that does not see it is itself broken."""
    if TIER == "sample":
        pytest.skip("NFS in guests: a minute each: in the commit tier")
    assert run(tmp_path, PLANTED[bug], str, bug) != []
