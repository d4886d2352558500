"""What the scenario tests share: a spool, a bucket, the command line as processes of its own, and what lies where.

All processes get an environment without this machine's settings, write into files below the test's directory, are
waited for with a bound and are ended by their own id. At the end no file there may hold the secret key.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

    from .conftest import Rgw

SOURCE = Path(__file__).resolve().parents[2] / "src"
PREFIX = "p"
PATIENCE = 60.0
"""Seconds that anything here may take if nothing else is said."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment with nothing of this machine in it but the way to its programs."""
    found = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    clean = {"HOME": str(home), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(SOURCE), "AWS_EC2_METADATA_DISABLED": "true"}
    return found | clean | more


def until(condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = PATIENCE) -> Any:
    """Wait for the condition; what it returned. Fails the test after so many seconds, with ``what`` was missing."""
    deadline = time.monotonic() + seconds
    pause = 0.005
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not in {seconds:.0f} s: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    return found


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str


def free_port() -> int:
    """A port of the loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody answers there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A command that runs, its output in files."""

    def __init__(self, command: list[str], env: dict[str, str], stem: Path, stdin: Any = subprocess.DEVNULL) -> None:
        self._out, self._err = stem.with_suffix(".out"), stem.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.popen = subprocess.Popen(command, env=env, stdin=stdin, stdout=out, stderr=err)

    def out(self) -> str:
        """What it wrote to stdout so far."""
        return self._out.read_text(errors="replace")

    def err(self) -> str:
        """What it wrote to stderr so far."""
        return self._err.read_text(errors="replace")

    def tail(self) -> str:
        """The end of stderr, for messages."""
        return "\n".join(self.err().splitlines()[-15:])

    def lines(self, *words: str) -> list[str]:
        """The lines of the log that hold all these words."""
        return [line for line in self.err().splitlines() if all(word in line for word in words)]

    def until_says(self, *words: str, seconds: float = PATIENCE) -> None:
        """Wait for a line of the log with all these words."""
        until(lambda: self.lines(*words), lambda: f"{words} in the log; it ends with\n{self.tail()}", seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it."""
        self.popen.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> Done:
        """Wait for its end; fails the test if that takes longer."""
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end in {seconds:.0f} s; its log ends with\n{self.tail()}")
        return Done(code, self.out(), self.err())

    def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = PATIENCE) -> Done:
        """Tell it to stop and wait for that."""
        self.send(number)
        return self.wait(seconds)

    def kill(self) -> None:
        """kill -9, if it still runs."""
        with suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait()


class Scene:
    """One spool, one bucket, and the commands that are run on them."""

    def __init__(self, rgw: "Rgw", directory: Path) -> None:
        self.rgw = rgw
        self.directory = directory
        self.spool = directory / "spool"
        self.bucket = rgw.bucket()
        self.client: S3Client = rgw.client()
        self.processes: list[Process] = []
        self._home = directory / "home"
        self._home.mkdir()
        (directory / "output").mkdir()
        self.jollyae("init", str(self.spool))

    # --- processes

    @property
    def url(self) -> str:
        """The destination."""
        return f"s3://{self.bucket}/{PREFIX}"

    def environment(self, **more: str) -> dict[str, str]:
        """A clean environment with the store's keys."""
        return environment(self._home, **self.rgw.environment) | more

    def start(self, *words: str, env: dict[str, str] | None = None, stdin: Any = subprocess.DEVNULL) -> Process:
        """Start ``jollyae WORDS``."""
        stem = self.directory / "output" / str(len(self.processes))
        command = [sys.executable, "-m", "jollyae", *words]
        self.processes.append(Process(command, self.environment() if env is None else env, stem, stdin))
        return self.processes[-1]

    def jollyae(self, *words: str, env: dict[str, str] | None = None, seconds: float = PATIENCE) -> Done:
        """Run ``jollyae WORDS`` to its end."""
        return self.start(*words, env=env).wait(seconds)

    def worker(self, *options: str, endpoint: str = "", env: dict[str, str] | None = None) -> Process:
        """Start ``jollyae run`` on the spool; ``endpoint``: a URL, if not the store's own."""
        return self.start(
            *("run", str(self.spool), "--to", self.url, "--endpoint-url", endpoint or self.rgw.endpoint, *options),
            env=env,
        )

    def working(self, *options: str, endpoint: str = "") -> Process:
        """:meth:`worker`, and wait until it works."""
        worker = self.worker(*options, endpoint=endpoint)
        worker.until_says("working on")
        return worker

    def once(self, *options: str, endpoint: str = "", seconds: float = PATIENCE) -> Done:
        """Run ``jollyae run --once`` on the spool to its end."""
        return self.worker("--once", *options, endpoint=endpoint).wait(seconds)

    def close(self) -> None:
        """End what still runs, see that no secret was told, and give the disk back what was delivered."""
        for process in self.processes:
            process.kill()
        told = self.secrets_told()
        shutil.rmtree(self.spool / "finished", ignore_errors=True)
        self.empty()
        assert not told, f"the secret key is in {told}"

    def secrets_told(self) -> list[str]:
        """Files below the test's directory (outputs, receipts, notes, states) in which the secret key can be read."""
        secret = self.rgw.secret_key.encode()
        watched = [self.directory / "output", self.spool / "receipts", *self.spool.rglob(".*")]
        files = {path for top in watched for path in ([top] if top.is_file() else top.rglob("*")) if path.is_file()}
        return sorted(str(path) for path in files if secret in path.read_bytes())

    # --- the spool

    @property
    def incoming(self) -> Path:
        """The place where producers put items."""
        return self.spool / "incoming"

    def drop(self, name: str, body: bytes) -> None:
        """Put an item into the spool as a producer should: written elsewhere, then renamed in."""
        temporary = self.directory / f"drop-{time.monotonic_ns()}"
        temporary.write_bytes(body)
        if "/" in name:
            (self.incoming / name).parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(self.incoming / name)

    def lying(self, place: str) -> list[str]:
        """The names of the items in a place (in ``working/`` with the worker's directory)."""
        return sorted(_files(os.fsencode(self.spool / place)))

    def note(self, place: str, name: str) -> dict[str, Any]:
        """The note beside an item with a name that is neither long nor strange."""
        found: dict[str, Any] = json.loads((self.spool / place / f".{name}.note").read_text())
        return found

    def reasons(self) -> dict[str, str]:
        """Why each item in ``failed/`` failed, by its first name."""
        notes = [json.loads(path.read_text()) for path in (self.spool / "failed").rglob(".*.note")]
        return {note["name"]: note["error"] for note in notes}

    def receipts(self) -> list[dict[str, Any]]:
        """All receipts; half a line at the end of a file (somebody was killed, or is writing) is left out."""
        lines = [line for path in (self.spool / "receipts").glob("*.jsonl") for line in path.read_text().split("\n")]
        found = []
        for line in lines:
            with suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found

    def until_delivered(self, count: int, seconds: float = PATIENCE) -> None:
        """Wait until so many items are in ``finished/``; fails the test at once if nobody works on it any more."""

        def delivered() -> bool:
            alive = any(process.popen.poll() is None for process in self.processes)
            enough = len(self.lying("finished")) >= count
            return enough or (pytest.fail(f"the worker ended: {self.where()}") if not alive else False)

        until(delivered, lambda: f"{count} delivered: {self.where()}", seconds)

    def where(self) -> str:
        """How many items lie where, some of their names, and the end of the last log: for messages."""
        lines = []
        for place in ("incoming", "working", "deferred", "failed", "finished"):
            names = self.lying(place)
            lines.append(f"{place}: {len(names)}" + (f" {names[:8]}" if names and place != "finished" else ""))
        lines += [f"failed because: {list(self.reasons().items())[:3]}"] if self.lying("failed") else []
        return "\n".join([*lines, self.processes[-1].tail()])

    # --- the bucket

    def keys(self) -> list[str]:
        """The keys in the bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def objects(self) -> dict[str, str]:
        """The SHA-256 of each object in the bucket, by its key without the prefix."""
        keys = self.keys()
        with ThreadPoolExecutor(8) as pool:
            return {key.removeprefix(f"{PREFIX}/"): digest for key, digest in zip(keys, pool.map(self._digest, keys))}  # noqa: B905 - as many

    def _digest(self, key: str) -> str:
        digest = hashlib.sha256()
        for block in self.client.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(1 << 20):
            digest.update(block)
        return digest.hexdigest()

    def body(self, key: str) -> bytes:
        """An object's bytes."""
        return self.client.get_object(Bucket=self.bucket, Key=f"{PREFIX}/{key}")["Body"].read()

    def empty(self) -> None:
        """Remove every object and version."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket)
        for page in pages:
            found: list[Any] = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            gone = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
            if any("\ufffe" in one["Key"] or "\uffff" in one["Key"] for one in gone):  # XML cannot hold them
                for one in gone:
                    self.client.delete_object(Bucket=self.bucket, **one)
            elif gone:
                self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": gone, "Quiet": True})  # type: ignore[typeddict-item]

    def versions(self) -> Counter[str]:
        """How many versions each key has, without the prefix."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket)
        return Counter(one["Key"].removeprefix(f"{PREFIX}/") for page in pages for one in page.get("Versions", []))


@pytest.fixture
def scene(rgw: "Rgw", tmp_path: Path) -> Iterator[Scene]:
    """A spool, a bucket and the command line."""
    made = Scene(rgw, tmp_path)
    try:
        yield made
    finally:
        made.close()


def _files(directory: bytes, prefix: str = "") -> Iterator[str]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for entry in os.scandir(directory):
            name = prefix + os.fsdecode(entry.name)
            if entry.name.startswith(b"."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, name + "/")
            else:
                yield name


# --- what is sent, and whether it came


def body_of(name: str, size: int) -> bytes:
    """The bytes of an item: a function of its name and size."""
    return random.Random(name).randbytes(size)


def sha256(body: bytes) -> str:
    """The digest of bytes."""
    return hashlib.sha256(body).hexdigest()


def sizes(count: int, largest: int, total: int, seed: int = 1) -> list[int]:
    """So many sizes in bytes, log-uniform from 0 to ``largest`` (both occur) and ``total`` in all at most."""
    chance = random.Random(seed)
    found = [0, largest]
    while len(found) < count:
        size = int((largest + 1) ** chance.random()) - 1
        if sum(found) + size <= total:
            found.append(size)
    chance.shuffle(found)
    return found


def same(expected: Mapping[str, str], found: Mapping[str, str], told: Callable[[], str] = str) -> None:
    """Fail with a list of what is missing, different or too much. ``told``: what else to say."""
    missing = [name for name in expected if name not in found]
    wrong = [name for name in expected if name in found and found[name] != expected[name]]
    more = [name for name in found if name not in expected]
    problems = [
        f"{len(names)} of {len(expected)} {what}: {_some(names)}"
        for what, names in (("missing", missing), ("with other bytes", wrong), ("that nobody sent", more))
        if names
    ]
    assert not problems, "\n".join([*problems, told()])


def repeated(names: Iterable[str]) -> dict[str, int]:
    """The names that occur more than once, and how often."""
    return {name: count for name, count in Counter(names).items() if count > 1}


def _some(names: list[str], most: int = 10) -> str:
    return ", ".join(repr(name) for name in sorted(names)[:most]) + (" …" if len(names) > most else "")
