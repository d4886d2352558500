"""Disks that are full, and disks on which fsync fails once and says OK after that. To be called by way of
:func:`tests.faults.apart.apart`.

*Full*: the disk is filled at the n-th call of a worker's gate, and emptied again when the worker has met that.

*Thin*: the disk believes that it has room, and what lies below it has none. So a write succeeds, and fsync fails: xfs
says OK to the second, and the file is empty after the next mount; ext4 and btrfs admit nothing any more.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from jollyae import Spool
from jollyae.spool.sweep import sweep
from tests.faults import disks, history, oracle, planted
from tests.faults.filling import fill
from tests.faults.scene import Scene
from tests.faults.store import Accepted, Store
from tests.real.support import Process, body_of, sha256

_LARGE = 65 << 20  # goes in parts


@dataclass
class Verdict:
    """What a suite found. ``points``: at how many the fault was to be met; ``fired``: at how many it was
    felt."""

    points: int = 0
    fired: int = 0
    wrong: list[str] = field(default_factory=list)


# --- full


def full(kind: str, directory: Path, step: int, *, bug: str = "") -> Verdict:
    """One worker after the other on one disk, which is full from the first call of its gate on until it has met that,
    or from a call ``step`` later than for the one before it, until one has lived without so many calls."""
    verdict = Verdict()
    image, at = directory / "image", directory / "at"
    disks.make(kind, image)
    with disks.mounted(image, kind, at), Store() as store:
        scene = Scene(directory, store, bug)
        scene.spool = at / "spool"
        Spool(scene.spool)
        try:
            while _fill_at(scene, 1 + verdict.points * step, at / "ballast", verdict):
                verdict.points += 1
                if bug and verdict.wrong:
                    break
        finally:
            scene.close()
    return verdict


def _fill_at(scene: Scene, call: int, ballast: Path, verdict: Verdict) -> bool:
    """One worker's life; whether the disk was full in it."""
    wrong = verdict.wrong
    mark = scene.directory / f"mark-{call}"
    for number, size in enumerate((0, 100, 9_000, 200_000)):
        name = f"{('plain', 'dir/plain')[number % 2]}-{call}-{number}"
        scene.submit(name, body_of(name, size))
    command = [*planted.command(), "run"]
    command[2:3] = ["tests.faults.filling", str(call), str(ballast), str(mark), *filter(None, [scene.bug]), "--"]
    options = ["--to", "s3://bucket", "--once", "--settle", "0", "--no-progress"]
    stem = scene.directory / "output" / f"full-{call}"
    worker = Process([*command, str(scene.spool), *options], scene.environment(), stem)
    scene.processes.append(worker)
    _until(lambda: mark.exists() or worker.popen.poll() is not None)
    fired = mark.exists()
    if fired:
        wrong += _submitted_to_a_full_disk(scene, call)
        _until(lambda: "paused" in worker.err() or worker.popen.poll() is not None, 0.5)
        ballast.unlink()
    done = worker.wait()
    verdict.fired += "No space left" in done.err
    where = f"full from call {call} on ({mark.read_text() if fired else 'never'}): "
    if done.code not in (0, 1, 78):  # 1, 78: a start or an end that could not be; it says why
        wrong.append(f"{where}exit code {done.code}: {done.err[-500:]}")
    if done.code and not done.err.strip():
        wrong.append(f"{where}exit code {done.code}, and it does not say why")
    again = scene.once()
    sweep(Spool(scene.spool).places, age=-1)
    if again.code:
        wrong.append(f"{where}the next worker ended with {again.code}: {again.err[-500:]}")
    wrong += [where + one for one in scene.judge()]
    if waiting := _waiting(scene.spool):
        wrong.append(f"{where}not gone on with: {waiting}")
    return fired


def brim(kind: str, directory: Path, items: int, *, bug: str = "") -> Verdict:
    """A worker finds its disk full to the brim: no receipt can be written, and xfs refuses renames. What waits for room
    is ``fired``; when there is some, the worker goes on by itself."""
    verdict = Verdict(items)
    image, at = directory / "image", directory / "at"
    disks.make(kind, image)
    with disks.mounted(image, kind, at), Store() as store:
        scene = Scene(directory, store, bug)
        scene.spool = at / "spool"
        Spool(scene.spool)
        try:
            for number in range(items):
                scene.submit(f"item-{number:0200}", body_of(str(number), 500))  # long names: directories must grow
            spool = Spool(scene.spool, make=False)
            spool.pause()
            worker = _start(scene, "--to", "s3://bucket")
            fill(at / "ballast")
            spool.resume()
            _until(lambda: "paused: the spool" in worker.err() or not _waiting(scene.spool), 10)
            verdict.fired = items - len(_files(scene.spool / "finished"))
            verdict.wrong += scene.judge(at_rest=False)
            if not worker.lines("paused: the spool: No space left"):
                verdict.wrong.append(f"it does not say why it rests: {worker.tail()}")
            (at / "ballast").unlink()
            if not _until(lambda: not _waiting(scene.spool), 30):
                verdict.wrong.append(f"not gone on with: {_waiting(scene.spool)[:5]}; {worker.tail()}")
            worker.end()
            verdict.wrong += scene.judge()
        finally:
            scene.close()
    return verdict


def _waiting(spool: Path) -> list[str]:
    return [one for place in ("incoming", "working", "deferred") for one in _files(spool / place)]


def _submitted_to_a_full_disk(scene: Scene, call: int) -> list[str]:
    """``jollyae submit`` says what it did: what it acknowledges must be there, whole."""
    file = scene.directory / f"late-{call}"
    body = body_of(file.name, 300_000)
    file.write_bytes(body)
    code, said = _submit(scene, file, body)
    return [] if code == 0 or "No space left" in said else [f"submit ended with {code} and says {said!r}"]


def _submit(scene: Scene, file: Path, body: bytes) -> tuple[int, str]:
    """Submit a file by jollyae, and remember what we were told; its exit code and what it said."""
    line = scene.history.line(file.name, body)
    scene.history.write({**line, "told": False})
    command = [*planted.command(scene.bug), "submit", str(scene.spool), str(file)]
    done = subprocess.run(command, env=scene.environment(), check=False, capture_output=True, text=True)
    if done.returncode == 0:
        scene.history.write({**line, "told": True})
    return done.returncode, done.stderr


def _files(place: Path) -> list[str]:
    return [str(path) for path in place.rglob("*") if path.is_file() and not path.name.startswith(".")]


def _until(condition: Callable[[], object], seconds: float = 30) -> bool:
    """Wait for it; whether it came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# --- thin


class Thin:
    """A disk at ``at`` whose image is a file with holes, in a small file system that can be filled."""

    def __init__(self, kind: str, directory: Path) -> None:
        self._kind = kind
        self._below = directory / "below"
        self._image = self._below / "image"
        self._ballast = self._below / "ballast"
        self.at = directory / "at"
        self.at.mkdir()
        self._below.mkdir()
        size = disks.SIZES[kind] + (8 << 20)
        disks.run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(self._below))
        disks.make(kind, self._image, whole=True)
        self.mount()
        disks.run("fstrim", str(self.at))  # what is not in use is a hole from now on

    def mount(self) -> None:
        """Mount it."""
        disks.run("mount", "-t", self._kind, "-o", "loop", str(self._image), str(self.at))

    def remount(self) -> None:
        """What was only in memory is gone."""
        disks.unmount(self.at)
        self.mount()

    def exhaust(self) -> None:
        """From now on it has no room for anything new, and does not know."""
        os.sync()
        disks.run("fstrim", str(self.at))
        fill(self._ballast)
        there = os.statvfs(self.at)
        assert there.f_bavail * there.f_frsize > 8 << 20, "it knows that it has no room"

    def relieve(self) -> None:
        """Give the room back."""
        self._ballast.unlink()


@contextmanager
def _thin_scene(kind: str, directory: Path, bug: str) -> Iterator[tuple[Thin, Scene]]:
    directory.mkdir()
    thin = Thin(kind, directory)
    with Store() as store:
        scene = Scene(directory, store, bug)
        try:
            yield thin, scene
        finally:
            scene.close()
            disks.unmount(thin.at)


def submit(kind: str, directory: Path, *, bug: str = "") -> Verdict:
    """``jollyae submit`` says no, and the item is whole or not there."""
    verdict = Verdict(1)
    with _thin_scene(kind, directory, bug) as (thin, scene):
        scene.spool = thin.at / "spool"
        Spool(scene.spool)
        file, body = directory / "item", body_of("item", 300_000)
        file.write_bytes(body)
        thin.exhaust()
        code, said = _submit(scene, file, body)
        verdict.fired = code != 0 and said != ""
        thin.relieve()
        thin.remount()
        return _over(verdict, scene, "submit")


def deliver(kind: str, directory: Path, *, bug: str = "") -> Verdict:
    """``--to file://``: nothing is finished before its copy is on the disk."""
    verdict = Verdict(1)
    with _thin_scene(kind, directory, bug) as (thin, scene):
        to = thin.at / "to"
        to.mkdir()
        worker = _start(scene, "--to", f"file://{to}")
        thin.exhaust()
        for number in range(3):
            scene.submit(f"item-{number}", body_of(f"item-{number}", 300_000))
        verdict.fired = _until(lambda: worker.lines("paused:", "cannot write"), 5)
        if found := _files(scene.spool / "finished"):
            verdict.wrong.append(f"deliver: finished while it could not be: {found}")
        thin.relieve()
        worker.kill()
        thin.remount()
        _start(scene, "--to", f"file://{to}", "--once").wait()
        sweep(Spool(scene.spool).places, age=-1)
        there = [path for path in to.rglob("*") if path.is_file()]
        taken = [Accepted(path.name, sha256(body := path.read_bytes()), len(body)) for path in there]
        verdict.wrong += oracle.judge(history.read(scene.history.path), taken, scene.spool)
        return verdict


def copy(kind: str, directory: Path, *, bug: str = "") -> Verdict:
    """``--copy``: nothing leaves its disk before it is on the other."""
    verdict = Verdict(1)
    with _thin_scene(kind, directory, bug) as (thin, scene):
        elsewhere = scene.spool  # producers are on another disk
        Spool(elsewhere)
        scene.spool = thin.at / "spool"
        scene.spool.mkdir()
        (scene.spool / "incoming").symlink_to(elsewhere / "incoming")
        worker = _start(scene, "--to", "s3://bucket", "--copy")
        thin.exhaust()
        for number in range(3):
            scene.history.submit(elsewhere, f"item-{number}", body_of(f"item-{number}", 300_000))
        verdict.fired = _until(lambda: worker.lines("paused: the spool"), 5)
        thin.relieve()
        worker.kill()
        thin.remount()
        return _over(verdict, scene, "copy", "--copy")


def note(kind: str, directory: Path, *, bug: str = "") -> Verdict:
    """A large file: no part goes out before the upload's id is on the disk."""
    verdict = Verdict(1)
    with _thin_scene(kind, directory, bug) as (thin, scene):
        scene.spool = thin.at / "spool"
        places = Spool(scene.spool).places
        line = scene.history.line("large", bytes(_LARGE))
        scene.history.write({**line, "told": False})
        with (places.tmp / "large").open("wb") as file:
            file.truncate(_LARGE)  # sparse: there is room for it
        worker = _start(scene, "--to", "s3://bucket")
        thin.exhaust()
        (places.tmp / "large").rename(places.incoming / "large")
        verdict.fired = _until(lambda: worker.lines("paused"), 5)
        if sent := [one for one, _ in scene.store.seen if one.method == "PUT"]:
            verdict.wrong.append(f"note: {len(sent)} parts were sent without a note")
        thin.relieve()
        worker.kill()
        thin.remount()
        return _over(verdict, scene, "note")


def _start(scene: Scene, *options: str) -> Process:
    """Start a worker with a destination of its own, and wait until it works."""
    stem = scene.directory / "output" / f"worker-{len(scene.processes)}"
    command = [*planted.command(scene.bug), "run", str(scene.spool), "--settle", "0", "--no-progress", *options]
    worker = Process(command, scene.environment(), stem)
    scene.processes.append(worker)
    worker.until_says("working on")
    return worker


def _over(verdict: Verdict, scene: Scene, what: str, *options: str) -> Verdict:
    """The disk is well again: the next worker delivers what is there."""
    done = scene.once(*options)
    if done.code:
        verdict.wrong.append(f"{what}: the next worker ended with {done.code}: {done.err[-500:]}")
    with suppress(OSError):
        sweep(Spool(scene.spool).places, age=-1)
    verdict.wrong += [f"{what}: {one}" for one in scene.judge(power_cut=True)]
    return verdict


FAILED_FSYNCS = {"submit": submit, "deliver": deliver, "copy": copy, "note": note}


def failed_fsyncs(kind: str, directory: Path, whats: list[str], *, bug: str = "") -> Verdict:
    """Each of these cases on a disk of its own."""
    verdict = Verdict()
    for number, what in enumerate(whats):
        found = FAILED_FSYNCS[what](kind, directory / f"{what}-{number}", bug=bug)
        verdict.points += 1
        verdict.fired += bool(found.fired)
        verdict.wrong += found.wrong
    return verdict
