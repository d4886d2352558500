"""Power loss on ext4, xfs and btrfs. To be called by way of :func:`tests.faults.apart.apart`.

*By log*: a spool's life (producers, workers that are killed, submit, retry) on a file system whose every write is
recorded; then the disks that a power cut could have left at its moments, each with a worker of its own that goes on.

*Live*: the file system is shut down at a random moment under load, mounted again, and gone on with.
"""

import errno
import json
import pickle
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jollyae import Spool
from jollyae.spool.fs import fsync_directory
from jollyae.spool.sweep import sweep
from tests.faults import disks, planted, recording, writelog
from tests.faults.examiner import Found, Order
from tests.faults.scene import Scene
from tests.faults.store import Fault, Object, Request, Store
from tests.faults.tier import scaled
from tests.helpers import mount_namespace
from tests.real.support import body_of, environment

_LANES = {"ext4": 2, "xfs": 2, "btrfs": 1}  # examiners at a time: two images of one btrfs cannot both be mounted
SUBSETS = 3
_PER_LIFE = 150  # images; then another life is recorded
ITEMS = scaled(40, 80, 80)
_SIZES = (0, 1, 700, 5_000, 70_000)


@dataclass
class Verdict:
    """What a suite found. ``busy``: images with something to do for the next worker."""

    images: int = 0
    busy: int = 0
    items: int = 0
    doubled: int = 0
    receipts_lost: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, found: Found) -> None:
        """Count one image in."""
        self.images += 1
        self.busy += not found.resting
        self.items += found.told
        self.doubled += found.doubled
        self.receipts_lost += found.receipts_lost
        self.wrong += [f"at {found.point[0]}+{len(found.point[1])}: {one}" for one in found.wrong]


# --- a life that is recorded


class Life:
    """What happens on the disk while its writes are recorded; from a seed, but for the machine's timing."""

    def __init__(self, scene: Scene, seed: int, *, deleted: bool) -> None:
        self._scene = scene
        self._chance = random.Random(seed)
        self._seed = seed
        self._options = ("--settle", "0", *(("--on-done", "delete") if deleted else ()))
        self._outbox = scene.directory / "outbox"
        self._outbox.mkdir()
        scene.store.plan = self._plan
        self._put_off: Counter[str] = Counter()

    def _plan(self, request: Request) -> Fault | None:
        """What is called later… is put off once: it goes to deferred/."""
        if not request.key.startswith("later") or not request.writes:
            return None
        self._put_off[request.key] += 1
        return Fault.CONFLICT if self._put_off[request.key] == 1 else None

    def live(self) -> None:
        """A hundred items; a worker that is paused while a few come, and twice is killed; submits, retries, syncs."""
        spool = Spool(self._scene.spool, make=False)
        worker = self._scene.start(*self._options)
        for number in range(ITEMS):
            if number % 10 == 0:
                spool.pause()
            self._produce(number)
            if number % 20 == 3:
                self._submit(number)
            if number in (ITEMS // 3, 2 * ITEMS // 3):
                worker.kill()
                worker = self._scene.start(*self._options)
            if number % 10 == 4:  # on btrfs what is moved from now on until the next sync may get two names
                subprocess.run(["sync", "-f", str(self._scene.spool)], check=True)
                spool.resume()
            if number == ITEMS // 2:
                self._retry()
            self._sync_somewhere()
            time.sleep(self._chance.random() * 0.02)
        self._retry()
        self._until_drained()
        worker.kill()

    def _produce(self, number: int) -> None:
        kind = {3: "bad", 5: "later", 8: "dir/plain"}.get(number % 10, "plain")
        name = f"{kind}-{self._seed}-{number}"
        if kind == "bad":
            self._scene.store.objects[name] = foreign()
        self._scene.submit(name, body_of(name, self._chance.choice(_SIZES)))

    def _submit(self, number: int) -> None:
        """By ``jollyae submit``, three at once: told when it has said that it was done."""
        lines = []
        for name in (f"submitted-{self._seed}-{number}-{letter}" for letter in "abc"):
            body = body_of(name, self._chance.choice(_SIZES[2:]))
            (self._outbox / name).write_bytes(body)
            lines.append(self._scene.history.line(name, body))
            self._scene.history.write({**lines[-1], "told": False})
        files = [str(self._outbox / str(line["name"])) for line in lines]
        command = [*planted.command(self._scene.bug), "submit", str(self._scene.spool), *files]
        subprocess.run(command, env=self._scene.environment(), check=True, stdout=subprocess.DEVNULL)
        for line in lines:
            self._scene.history.write({**line, "told": True})

    def _sync_somewhere(self) -> None:
        """Somebody fsyncs a directory of the spool: on btrfs that brings a move's new name to the disk, and leaves the
        old one there."""
        places = [self._scene.spool / place for place in ("incoming", "deferred", "finished", "failed")]
        places += [path for path in (self._scene.spool / "working").iterdir() if path.is_dir()]
        with suppress(FileNotFoundError):  # a worker's, and the next has adopted it
            fsync_directory(str(self._chance.choice(places)))

    def _retry(self) -> None:
        """What others had at those keys is gone: everything may be delivered now."""
        for key in [key for key, there in self._scene.store.objects.items() if there == foreign()]:
            del self._scene.store.objects[key]
        list(Spool(self._scene.spool, make=False).retry())

    def _until_drained(self) -> None:
        """Wait until all is at rest; a worker with a planted bug may never have it so."""
        deadline = time.monotonic() + (1 if self._scene.bug else 20)
        while time.monotonic() < deadline:
            waiting = Spool(self._scene.spool, make=False).places
            if not any(_files(place) for place in (waiting.incoming, waiting.working, waiting.deferred)):
                return
            self._retry()
            time.sleep(0.05)


def foreign() -> Object:
    """What somebody else had put there."""
    return Object(b"somebody else's", "0" * 32, {}, {})


def _files(place: Path) -> bool:
    return any(path.is_file() and not path.name.startswith(".") for path in place.rglob("*"))


@dataclass(frozen=True)
class Tape:
    """A recorded life. ``objects``: see :class:`.examiner.Order`."""

    kind: str
    base: Path
    log: Path
    objects: Path
    entries: list[writelog.Entry]
    deleted: bool


def record(kind: str, directory: Path, seed: int, *, bug: str = "", deleted: bool = False) -> Tape:
    """Live a life on a new file system, and record it."""
    directory.mkdir(parents=True)
    base, at = directory / "base", directory / "at"
    disks.make(kind, base)
    with disks.mounted(base, kind, at):
        Spool(at / "spool")
    with recording.recorded(base, kind, directory, at), Store(record=at / "record") as store:
        scene = Scene(directory, store, bug, disk=at)
        try:
            Life(scene, seed, deleted=deleted).live()
        finally:
            scene.close()
    keys = [f"bad-{seed}-{number}" for number in range(ITEMS)]
    objects = directory / "objects"
    objects.write_bytes(pickle.dumps((store.objects, {key: foreign() for key in keys})))
    return Tape(kind, base, directory / "log", objects, writelog.read(directory / "log"), deleted)


# --- what a power cut could have left of it


def examine(tape: Tape, points: list[writelog.Point], directory: Path, *, bug: str = "") -> Iterator[Found]:
    """Have each point looked at, by several examiners; who stops asking ends them."""
    count = _LANES[tape.kind]
    lanes = [Lane(tape, points[start::count], directory / f"lane{start}", bug) for start in range(count)]
    try:
        for lane in lanes:
            lane.begin()
        while any(not lane.is_over for lane in lanes):
            for lane in lanes:
                if (found := lane.next()) is not None:
                    yield found
    finally:
        for lane in lanes:
            lane.end()


class Lane:
    """One examiner and its points."""

    def __init__(self, tape: Tape, points: list[writelog.Point], directory: Path, bug: str) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._order = Order(
            *(tape.kind, str(tape.base), str(tape.log), str(tape.objects), str(directory)),
            points=[(point.whole, list(point.more)) for point in points],
            bug=bug,
            deleted=tape.deleted,
            only_doubled=bug == "double_name_ignored",
        )
        self._process: subprocess.Popen[str] | None = None
        self._left = len(points)

    @property
    def is_over(self) -> bool:
        """Whether all its points were looked at."""
        return self._left == 0

    def begin(self) -> None:
        """Start it. Its environment has nothing of this machine."""
        home = self._directory / "home"
        home.mkdir()
        with (self._directory / "log").open("w") as log:
            self._process = subprocess.Popen(
                [*mount_namespace(), sys.executable, "-m", "tests.faults.examiner"],
                env=environment(home) | {"PYTHONPATH": planted.path()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(asdict(self._order)) + "\n")
        self._process.stdin.flush()

    def next(self) -> Found | None:
        """The next answer; None at the end."""
        if self.is_over:
            return None
        assert self._process and self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"the examiner died: {(self._directory / 'log').read_text()[-3000:]}"
        self._left -= 1
        return Found(**json.loads(line))

    def end(self) -> None:
        """End it; its mounts go with it."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with suppress(BrokenPipeError):
                stream.close()


def replay(kind: str, directory: Path, count: int, *, bug: str = "", seed: int = 1) -> Verdict:
    """So many images of recorded lives; with a bug, until it is caught."""
    verdict = Verdict()
    while verdict.images < count:
        tape = record(kind, directory / str(seed), seed, bug=bug, deleted=seed % 3 == 2)
        points = writelog.points(tape.entries, min(_PER_LIFE, count - verdict.images), SUBSETS, seed)
        for found in examine(tape, points, directory / f"look{seed}", bug=bug):
            verdict.add(found)
            if bug and verdict.wrong:
                return verdict
        tape.log.unlink()
        seed += 1
    return verdict


# --- the power goes while it works


class Outage:
    """A disk that loses its power again and again, with a spool on it that goes on."""

    def __init__(self, kind: str, directory: Path, seed: int) -> None:
        self._kind = kind
        self._image, self._at = directory / "image", directory / "at"
        self._chance = random.Random(seed)
        self._count = 0
        self.fired = 0
        disks.make(kind, self._image)

    def cut(self, scene: Scene) -> list[str]:
        """One cut under load, and what is wrong when a worker has worked on what was left."""
        with disks.mounted(self._image, self._kind, self._at):
            Spool(scene.spool)
            worker = scene.start("--settle", "0")
            producer = threading.Thread(target=self._produce, args=(scene,))
            producer.start()
            try:
                goal = len(scene.store.accepted) + self._chance.randrange(1, 40)
                deadline = time.monotonic() + 20
                while len(scene.store.accepted) < goal and time.monotonic() < deadline:
                    time.sleep(0.001)
                time.sleep(self._chance.random() * 0.05)  # else it would always be just after one was accepted
            finally:
                disks.cut(self._at, self._kind)
                producer.join()
                worker.kill()
        with disks.mounted(self._image, self._kind, self._at):
            done = scene.once()
            sweep(Spool(scene.spool).places, age=-1)
            return [
                *([] if done.code == 0 else [f"exit code {done.code}: {done.err[-500:]}"]),
                *scene.judge(power_cut=True),
            ]

    def _produce(self, scene: Scene) -> None:
        """Submit until the disk is gone."""
        while True:
            name = f"{('plain', 'dir/plain')[self._count % 5 == 0]}-{self._count}"
            self._count += 1
            try:
                scene.submit(name, body_of(name, self._chance.choice(_SIZES)))
            except OSError as error:
                assert error.errno == errno.EIO
                self.fired += 1
                return


def _slow(request: Request) -> None:
    """A store that takes its time: much is on its way when the power goes."""
    time.sleep(0.01)


def shut_down(kind: str, directory: Path, cuts: int, *, bug: str = "") -> Verdict:
    """So many cuts; with a bug, until it is caught. In the verdict an image is a cut that was felt."""
    outage, verdict = Outage(kind, directory, 1), Verdict()
    with Store(_slow) as store:
        scene = Scene(directory, store, bug, disk=directory / "at")
        try:
            for _ in range(cuts):
                verdict.wrong += outage.cut(scene)
                if verdict.wrong and bug:
                    break
        finally:
            scene.close()
    verdict.images, verdict.items = outage.fired, len(store.accepted)
    return verdict
