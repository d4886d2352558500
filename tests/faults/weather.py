"""Bad weather at the store: a fault for a share of the requests, for a while; and the verdict when it is over.

A case is one spool with its store: some items are let through, then the fault begins, then it ends, and a worker in a
hurry (:mod:`tests.faults.hurry`) must have finished everything.
"""

import hashlib
import math
import random
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from jollyae.spool import notes
from jollyae.spool.owner import items_below
from tests.faults import history, hurry
from tests.faults.cable import Cable
from tests.faults.scene import Scene
from tests.faults.store import Fault, Request, Store, befalls
from tests.faults.tier import scaled
from tests.helpers import private_mounts
from tests.real.support import Process, sizes


class Line(StrEnum):
    """What goes wrong between us and the store."""

    CUT = "connections are cut in the middle"
    CUT_TLS = "connections under TLS are cut in the middle, of the handshake too"
    GONE = "nobody listens any more, for a while"
    NO_NAME = "the endpoint's name is not found, for a while"


TRANSPORTS = ("auto", "boto3")
CONCURRENCY = 16
PATIENCE = 90.0
"""Seconds that a case may take until everything is finished."""
LONGEST = {Fault.HANG_BEFORE, Fault.HANG_AFTER, Fault.DRIP_FOR_EVER}
COMPANION: dict[Fault | None, Fault] = {
    Fault.STALE_HEAD: Fault.RESET_AFTER,  # HEAD is asked when a write was refused because of itself
    Fault.LYING_HEAD: Fault.RESET_AFTER,
    Fault.LOST_PART: Fault.RESET_BEFORE,  # ListParts is asked when an upload goes on
    Fault.NO_UPLOAD: Fault.RESET_BEFORE,
}
"""Faults that are only met where another one was met before."""
PERMANENT: dict[Fault | Line, str] = {Fault.TOO_LARGE: "Split the file"}
"""What a store says that is final for the item, with what the operator is told to do."""
KILLED = {
    *(Fault.INTERNAL, Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.ERROR_AFTER, Fault.HANG_AFTER, Fault.TRUNCATED),
    *(Fault.CORRUPTED, Fault.LOST_PART, Fault.STALE_HEAD, Fault.CONFLICT),
}
"""Those in which workers are killed besides."""
ITS_OWN = {
    *(Fault.BAD_DIGEST, Fault.CONFLICT, Fault.LYING_412, Fault.NO_UPLOAD, Fault.TOO_LARGE, Fault.ERROR_IN_200),
    *(
        Fault.TRUNCATED,
        Fault.CORRUPTED,
        Fault.TRUNCATED_MUTE,
        Fault.CORRUPTED_MUTE,
        Fault.TRUNCATED_PART,
        Fault.WRONG_ETAG,
        Fault.DRIP,
    ),
    *(Fault.STALE_HEAD, Fault.LYING_HEAD, Fault.LOST_PART),
}
"""Those that are the item's, which is deferred, or no fault that is seen: the others pause the destination."""
MOST_IN_PAUSE = 8 * CONCURRENCY
"""Requests to a store that is down at the most: what was in flight, each once more on a new connection where a kept one
was closed, some that are made for one attempt (a large file's), and the probes."""
TAKEN = {Fault.NO_ETAG}
"""The store has it, so the next try is answered 412 and is done: the pause ends, and as many more are sent, for as long
as the fault lasts. So many requests are no hammering; more than two for an item would be."""
DELETED = {Fault.TRUNCATED_MUTE, Fault.CORRUPTED_MUTE}
"""Those that only ``--on-done delete`` asks about."""
SAYS: dict[Fault | Line, str] = {
    Fault.SKEWED: "s behind the store's",
    Fault.EXPIRED: "the credentials have expired",
    Fault.REDIRECT: "The bucket's region is eu-west-9",
    Fault.REDIRECT_FOR_NOW: "The bucket's region is eu-west-9",
    Fault.OTHER_REGION: "The bucket's region is eu-west-9",
    Fault.NO_BUCKET: "there is no such bucket",
    Fault.DENIED: "access denied",
    Fault.SLOW_DOWN: "the store asks for fewer requests",
    Fault.HANG_BEFORE: "no answer in time",
    Fault.RESET_BEFORE: "the connection was closed",
    Line.GONE: "resumed",
    Line.NO_NAME: "the endpoint's name cannot be found",
}
"""What the log must say of the fault while it lasts (when it befalls all requests)."""


@dataclass(frozen=True)
class Case:
    """``share``: of the requests that the fault can befall; ``kills``: how many workers are killed meanwhile."""

    fault: Fault | Line
    share: float
    transport: str
    items: int
    kills: int = 0
    bug: str = ""

    def __str__(self) -> str:
        killed = f", {self.kills} kills" if self.kills else ""
        return f"{self.fault.name} {self.share:.0%} {self.transport}{killed}"


@dataclass
class Verdict:
    """What was wrong, in sentences, and what was counted."""

    case: Case
    wrong: list[str] = field(default_factory=list)
    items: int = 0
    met: int = 0
    requests: int = 0
    most: int = 0
    killed: int = 0
    failed: int = 0
    seconds: float = 0.0


class Spell:
    """A plan: after some requests the fault befalls a share of them, until it is over."""

    def __init__(self, fault: Fault | None, share: float, after: int, seconds: float) -> None:
        self._fault, self._share, self._after, self._seconds = fault, share, after, seconds
        self._chance = random.Random(f"{fault}{share}")
        self._until = 0.0
        self.met = 0

    @property
    def is_over(self) -> bool:
        """Whether it began and ended; it does not before it was met."""
        return self.met > 0 and time.monotonic() > self._until

    def __call__(self, request: Request) -> Fault | None:
        if request.number <= self._after or self._fault is None:
            return None
        self._until = self._until or time.monotonic() + self._seconds
        if self.is_over:
            return None
        if befalls(self._fault, request):
            if self._chance.random() < self._share or not self.met:
                self.met += 1
                return self._fault
            return None
        companion = COMPANION.get(self._fault)
        if companion and (request.writes or "partNumber" in request.query) and self._chance.random() < 0.3:
            return companion
        return None


@lru_cache(maxsize=4)
def bodies(count: int) -> dict[str, bytes]:
    """Items of mixed sizes: most small, an empty one, two that go in one piece but not from the event loop, and two in
    parts of 5 MiB."""
    chance = random.Random(count)
    lengths = [*sizes(count - 4, 60_000, 3_000_000), (1 << 20) + 7, 1_300_000, (5 << 20) + 70_001, (6 << 20) + 1]
    chance.shuffle(lengths)
    return {f"{number % 5}/item-{number:03}.bin": chance.randbytes(size) for number, size in enumerate(lengths)}


class Storm:
    """One case on its way."""

    def __init__(self, case: Case, directory: Path) -> None:
        self.case = case
        seconds = 4.0 if case.share < 1 else 3.0 if case.fault in LONGEST else 1.5
        self.spell = Spell(
            case.fault if isinstance(case.fault, Fault) else None, case.share, max(case.items // 5, 3), seconds
        )
        self.verdict = Verdict(case, items=case.items)
        self._directory = directory
        self._chance = random.Random(str(case))

    def run(self) -> Verdict:
        """From the first item to the verdict."""
        began = time.monotonic()
        with ExitStack() as stack:
            scene = self._open(stack)
            stack.callback(scene.close)
            for name, body in bodies(self.case.items).items():
                scene.submit(name, body)
            self._work(scene)
            self._count(scene)
        self.verdict.seconds = time.monotonic() - began
        return self.verdict

    def _open(self, stack: ExitStack) -> "Hurried":
        return Hurried(self._directory, stack.enter_context(Store(self.spell)), self.case.bug)

    def _work(self, scene: "Hurried") -> None:
        worker = self._kill_some(scene)
        if not self._until_finished(scene, worker):
            self._wrong([f"not finished in {PATIENCE:.0f} s: {scene.counts()}; {worker.tail()}"])
            return
        if scene.lying("failed"):
            self._wrong(self._failures(scene))
            if self.case.bug and self.verdict.wrong:
                return  # the first is enough
            scene.retry()
            if not self._until_finished(scene, worker):
                self._wrong([f"not finished after a retry: {scene.counts()}; {worker.tail()}"])
                return
        done = worker.end()
        if done.code != 0:
            self._wrong([f"the worker ended with {done.code}: {done.err[-500:]}"])
        if self.case.share == 1 and SAYS.get(self.case.fault, "") not in done.err:
            self._wrong([f"the log does not say {SAYS[self.case.fault]!r}: {done.err[-1500:]}"])
        if "Traceback" in done.err:
            self._wrong([f"a traceback: {done.err[-1500:]}"])
        self._wrong(scene.judge(deleted=scene.deletes))
        self._wrong(scene.not_there())

    def _start(self, scene: "Hurried") -> Process:
        more = ["--on-done", "delete"] if scene.deletes else []
        options = ("--settle", "0", "--transport", self.case.transport, "--concurrency", str(CONCURRENCY), *more)
        return scene.start(*options, before=scene.before)

    def _kill_some(self, scene: "Hurried") -> Process:
        """Workers that die at a random moment of theirs; the one that is left."""
        scene.deletes = self.case.fault in DELETED
        worker = self._start(scene)
        for _ in range(self.case.kills):
            goal = len(scene.store.seen) + self._chance.randrange(1, self.case.items // 4)
            self._until(lambda goal=goal: len(scene.store.seen) >= goal, 5.0)  # type: ignore[misc]
            self.verdict.killed += worker.popen.poll() is None
            worker.kill()
            worker = self._start(scene)
        return worker

    def _until_finished(self, scene: "Hurried", worker: Process) -> bool:
        """Whether all items came to an end (or it is known already that something is wrong and nobody wants more)."""

        def over() -> bool:
            is_done = not scene.waiting() and (self.spell.is_over or self.case.share < 1)
            return is_done or worker.popen.poll() is not None

        self._until(over, PATIENCE)
        return not scene.waiting()

    @staticmethod
    def _until(condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _failures(self, scene: "Hurried") -> Iterable[str]:
        """What should not have failed, or has not said what to do."""
        told = PERMANENT.get(self.case.fault)
        for name, (error, hint) in scene.reasons().items():
            self.verdict.failed += 1
            if self.case.kills and "died three times" in error:
                continue
            if self.case.kills and "but other bytes" in error and "remove it" in hint and scene.is_spoiled(name):
                del scene.store.objects[name]  # the worker was killed before it heard of it: the operator looks
                continue
            if told is None:
                yield f"failed, though it is the store's fault: {name!r}: {error}"
            elif told not in hint:
                yield f"failed without a word of what to do: {name!r}: {error} ({hint})"

    def _count(self, scene: "Hurried") -> None:
        """How often was asked; and whether that was hammering."""
        verdict, case = self.verdict, self.case
        faulty = [request for request, fault in scene.store.seen if fault is case.fault]
        verdict.met, verdict.requests = len(faulty), len(scene.store.seen)
        if not verdict.met:
            self._wrong([f"the fault was never met in {verdict.requests} requests"])
        small = {name for name, body in bodies(case.items).items() if len(body) < 5 << 20}
        tries: dict[str, list[float]] = defaultdict(list)
        for request in faulty:
            if request.key in small and request.writes:
                tries[request.key].append(request.at)
        verdict.most = max(map(len, tries.values()), default=0)
        if case.fault in ITS_OWN | TAKEN and not case.kills:
            hasty = {key: len(at) for key, at in tries.items() if len(at) > _bound(at[-1] - at[0])}
            self._wrong(f"hammering: {count} writes of {key!r}" for key, count in hasty.items())
        if case.share == 1 and case.fault not in ITS_OWN | TAKEN and verdict.met > MOST_IN_PAUSE:
            self._wrong([f"hammering: {verdict.met} requests to a store that was down"])

    def _wrong(self, sentences: Iterable[str]) -> None:
        self.verdict.wrong += [f"{self.case}: {one}" for one in sentences]


def _bound(seconds: float) -> int:
    """How many tries of one item there may be in so many seconds: the shortest first wait is 0.2 s (409), less a fifth,
    and waits double."""
    return 2 + int(math.log2(seconds * hurry.SPEED / 0.16 + 1))


def told(verdicts: list[Verdict]) -> str:
    """The figures in one line."""
    wrong = [sentence for verdict in verdicts for sentence in verdict.wrong]
    lost = sum("lost:" in one or "torn:" in one for one in wrong)
    doubled = sum("written " in one or "doubled:" in one for one in wrong)
    undelivered = sum("not delivered" in one for one in wrong)
    items, requests, met, killed = (
        sum(getattr(verdict, name) for verdict in verdicts) for name in ("items", "requests", "met", "killed")
    )
    faults, most = len({one.case.fault for one in verdicts}), max(one.most for one in verdicts)
    return (
        f"store: {faults} faults in {len(verdicts)} cases, {items} items, {met} faulty answers, "
        f"{killed} workers killed: {lost} lost, {doubled} doubled, {undelivered} finished but undelivered; "
        f"{requests / max(items, 1):.1f} requests per item, at most {most} faulty writes of one"
    )


class LineStorm(Storm):
    """A case in which the line to the store fails. ``certificate``: for the cases under TLS."""

    def __init__(self, case: Case, directory: Path, certificate: Path) -> None:
        super().__init__(case, directory)
        self._certificate = certificate
        self._began = 0.0
        self._seconds = 4.0 if case.share < 1 else scaled(1, 2, 2)

    def _open(self, stack: ExitStack) -> "Hurried":
        tls = None
        if self.case.fault is Line.CUT_TLS:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self._certificate)
        store = stack.enter_context(Store(tls=tls))
        self._cable = stack.enter_context(Cable(store.port, self._cut))
        scene = Hurried(self._directory, store, self.case.bug)
        host = {Line.CUT_TLS: "https://localhost", Line.NO_NAME: f"http://{NAME}"}.get(Line(self.case.fault))
        scene.more = {"AWS_ENDPOINT_URL_S3": f"{host or 'http://127.0.0.1'}:{self._cable.port}"}
        scene.more |= {"AWS_CA_BUNDLE": str(self._certificate)} if tls else {}
        return scene

    def _cut(self, number: int) -> int | None:
        """Anywhere: most handshakes have some 3 kB, most requests 500 bytes and their item."""
        self._began = self._began or time.monotonic()
        is_over = self._cable.cuts > 0 and time.monotonic() - self._began > self._seconds
        if (
            self.case.fault not in (Line.CUT, Line.CUT_TLS)
            or is_over
            or (self._chance.random() > self.case.share and number > 1)
        ):
            return None
        return int(10 ** self._chance.uniform(1.5, 5.5))

    def _start(self, scene: "Hurried") -> Process:
        if self.case.fault is Line.NO_NAME:
            self._names = Names(scene.directory)
            scene.before = self._names.command()
        return super()._start(scene)

    def _kill_some(self, scene: "Hurried") -> Process:
        worker = self._start(scene)
        if self.case.fault is Line.GONE:
            self._until(lambda: len(scene.store.seen) > self.case.items // 5, 20.0)
            self._cable.pull()
            worker.until_says("paused")  # for a reset, mostly; that it is refused after it is no news
            time.sleep(self._seconds)
            self._cable.plug()
        if self.case.fault is Line.NO_NAME:
            worker.until_says("name cannot be found")
            time.sleep(self._seconds)
            self._names.add()
        self.spell.met = 1
        return worker

    def _count(self, scene: "Hurried") -> None:
        self.verdict.requests = len(scene.store.seen)
        self.verdict.met = self._cable.cuts or int(self.case.fault in SAYS)
        if not self.verdict.met:
            self._wrong([f"no connection of {self._cable.number} was cut"])


NAME = "store.test"


class Names:
    """A table of names of our own (``/etc/hosts``, and no name server), in a mount namespace: for root only."""

    def __init__(self, directory: Path) -> None:
        self._hosts, self._servers = directory / "hosts", directory / "resolv.conf"
        self._hosts.write_text("127.0.0.1 localhost\n")
        self._servers.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")

    def command(self) -> tuple[str, ...]:
        """The command that starts a program which has these names."""
        script = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
        return (*private_mounts(), "sh", "-c", script, str(self._hosts), str(self._servers))

    def add(self) -> None:
        """From now on the store's name is found."""
        with self._hosts.open("a") as file:
            file.write(f"127.0.0.1 {NAME}\n")


class Hurried(Scene):
    """A scene whose workers are in a hurry. ``more``: of the environment; ``before``: a command that starts them."""

    deletes = False
    before: tuple[str, ...] = ()

    def __init__(self, directory: Path, store: Store, bug: str = "") -> None:
        super().__init__(directory, store, bug)
        self.more: dict[str, str] = {}

    def environment(self) -> dict[str, str]:
        """What :class:`Scene` gives, and more."""
        return super().environment() | self.more

    def command(self, *options: str) -> list[str]:
        """The command line of ``jollyae run`` in a hurry."""
        ours = super().command(*options)
        return [*hurry.command(self.bug), *ours[ours.index("run") :]]

    def retry(self) -> None:
        """What an operator does when the store is well again."""
        stem = self.directory / "output" / "retry"
        done = Process([*hurry.command(), "retry", str(self.spool), "--all"], self.environment(), stem).wait()
        assert done.code == 0, done.err

    def lying(self, place: str) -> list[str]:
        """The names of the items in a place."""
        return list(items_below(str(self.spool / place)))

    def waiting(self) -> bool:
        """Whether an item is still to be worked on. Two looks at each place: one that went from deferred/ to working/
        between the first two was in neither (seen)."""
        return any(self.lying(place) for _ in range(2) for place in ("incoming", "working", "deferred"))

    def counts(self) -> dict[str, int]:
        """How many items are where."""
        return {place: len(self.lying(place)) for place in ("incoming", "working", "deferred", "failed", "finished")}

    def reasons(self) -> dict[str, tuple[str, str]]:
        """Error and hint of what failed."""
        found = {name: notes.read(str(self.spool / "failed" / name)) for name in self.lying("failed")}
        return {name: (note.error, note.hint) if note else ("", "") for name, note in found.items()}

    def is_spoiled(self, key: str) -> bool:
        """Whether the store damaged what it has there."""
        there = self.store.objects[key]
        return (key, hashlib.sha256(there.body).hexdigest()) in {(one.key, one.sha256) for one in self.store.spoiled}

    def not_there(self) -> Iterable[str]:
        """What was told to be stored and is not what the store has now."""
        waiting = set(self.lying("failed"))
        for item in history.read(self.history.path):
            there = self.store.objects.get(item.name)
            if item.name not in waiting and (there is None or hashlib.sha256(there.body).hexdigest() != item.sha256):
                yield f"the store has now something else: {item.name!r}"
