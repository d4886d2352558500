"""Hostile items: every name of the corpus, as every kind of file, each ends with a reason and nothing else suffers.

Nothing outside the spool is ever sent, nothing hangs, the worker goes on with the next item.
"""

import hashlib
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from jollyae import Spool
from jollyae.spool.owner import items_below
from tests import corpus
from tests.faults import history, kinds, oracle, planted, tier
from tests.faults.kinds import KINDS, SECRET, Kind, World
from tests.faults.others import run_as
from tests.faults.scene import Scene, scene
from tests.faults.store import Accepted, Request
from tests.helpers import needs_root
from tests.real.support import body_of, until

ORDINARY = [f"zz ordinary {number}" for number in range(5)]


def key_of(name: str) -> str:
    """The key that an item must get, as the corpus has it."""
    first, slash, rest = name.partition("/")
    return corpus.KEYS.get(first, first) + slash + rest


class Hostile(Scene):
    """A scene whose jollyae is started with what a kind needs."""

    kind: Kind
    swap = ""

    def command(self, *options: str) -> list[str]:
        command = super().command(*options)
        if "--exec" in options:
            at = command.index("--to")
            del command[at : at + 2]
        if self.kind.program:
            program = [sys.executable, "-m", self.kind.program, self.bug or "-"]
            command = [*program, *command[command.index("run") :]]
        return command

    def environment(self) -> dict[str, str]:
        return super().environment() | {"SWAP": self.swap, "INCOMING": str(self.spool / "incoming")}


def run(directory: Path, what: str, bug: str = "", *, live: bool = False, transport: str = "auto") -> list[str]:
    """All names as one kind, and ordinary items after them; what is wrong. ``live``: the worker is there before."""
    kind = KINDS[what]
    with scene(directory, bug=bug, make=Hostile) as made:
        assert isinstance(made, Hostile)
        made.kind = kind
        world = World(made)
        made.swap = str(world.swap)
        options = ("-v", "--transport", transport, *kind.options)
        worker = made.start("--settle", "0", *options, before=kind.before) if live else None
        if worker:
            worker.until_says("working on")
        for name in corpus.TEXT.values():
            kind.make(world, name)
        if what == "link inside":
            made.submit("target of the links", b"a target")
        for name in ORDINARY:
            made.submit(name, name.encode())
        if worker:
            _until_over(made, kind)
            done = worker.end()
        else:
            done = made.once(*options, before=kind.before)
        told = done.err
        wrong = _wrong(made, kind, told)
        if world.writers:
            wrong += _finish_writing(made, world)
        return wrong + _not_fired(made, kind, told)


def _until_over(made: Scene, kind: Kind) -> None:
    def over() -> bool:
        left = len([name for name in items_below(str(made.spool / "incoming")) if not name.startswith("zz")])
        ended = sum(len(list(items_below(str(made.spool / place)))) for place in ("finished", "failed"))
        waits = len(corpus.NAMES) if kind.place == "incoming" else 0
        return left == waits and ended >= len(corpus.NAMES) - waits + len(ORDINARY)

    until(over, lambda: f"{kind.place}: {oracle.lying_in(made.spool)}")


def _wrong(made: Scene, kind: Kind, told: str) -> list[str]:
    accepted = made.store.accepted
    if "--exec" in kind.options:  # nothing is stored: what is finished was delivered
        accepted = [Accepted(key_of(item.name), item.sha256, item.size) for item in history.read(made.history.path)]
    wrong = oracle.judge(history.read(made.history.path), accepted, made.spool, key_of=key_of)
    wrong += [f"nothing of this can be read: {line!r}" for line in told.splitlines() if not line.isprintable()]
    if "Traceback" in told or "fault" in told:
        wrong.append(f"a fault is told: {told[-2000:]}")
    if escaped(made):
        wrong.append(f"a secret of outside the spool: {escaped(made)}")
    return wrong + _misplaced(made, kind, told)


def escaped(made: Scene) -> list[str]:
    """Where the secret of outside the spool can be found: keys, and files in the spool."""
    digest = hashlib.sha256(SECRET).hexdigest()
    found = [one.key for one in made.store.accepted if one.sha256 == digest]
    found += [
        f"{path} is gone"
        for path in (made.directory / "outside").iterdir()
        if not (path / "in" if path.is_dir() else path).exists()
    ]
    return found + [name for (name, sha256), _ in oracle.lying_in(made.spool).items() if sha256 == digest]


def _misplaced(made: Scene, kind: Kind, told: str) -> list[str]:
    where: dict[str, list[str]] = {}
    for (name, _), places in oracle.lying_in(made.spool, set(corpus.KEYS)).items():
        where.setdefault(name, []).extend(places)
    wrong = [f"an ordinary item is not finished: {name}" for name in ORDINARY if where.get(name) != ["finished"]]
    reasons = _reasons(made)
    for name in corpus.TEXT.values():
        item = kind.item.format(name) if kind.item != "{}" else name
        places = where.get(item) or where.get(f"{name}/in") or []
        if len(places) != 1 or places[0] not in kind.place:
            wrong.append(f"{item!r} is in {places}, not in {kind.place}")
        elif places == ["failed"] and kind.why not in reasons.get(key_of(name), "") and kind.place == "failed":
            wrong.append(f"{item!r} failed because {reasons.get(key_of(name))!r}, and not {kind.why!r}")
        elif places == ["failed"] and not reasons.get(key_of(name)):
            wrong.append(f"{item!r} failed without a reason")
    if kind.place == "incoming" and kind.why and told.count(kind.why) < len(corpus.NAMES):
        wrong.append(f"not all that stay are told: {told.count(kind.why)} of {len(corpus.NAMES)}")
    return wrong


def _reasons(made: Scene) -> dict[str, str]:
    found = [json.loads(path.read_text()) for path in (made.spool / "failed").rglob(".*.note")]
    return {note["name"]: note["error"] for note in found}


def _not_fired(made: Scene, kind: Kind, told: str) -> list[str]:
    """That the enemy really struck."""
    if kind.program and told.count("swapped: ") != len(corpus.NAMES):
        return [f"only {told.count('swapped: ')} of {len(corpus.NAMES)} were swapped"]
    twice = len(list((made.directory / "swap").glob(".file*")))
    if kind is KINDS["swapped"] and not told.count("swapped again: ") == twice > 9:
        return [f"{told.count('swapped again: ')} of {twice} were swapped twice"]
    return []


def _finish_writing(made: Scene, world: World) -> list[str]:
    """The writers go on, and end; what they wrote is delivered, all of it."""
    for writer in world.writers:
        os.write(writer, b"the rest")
        os.close(writer)
    for name in corpus.TEXT.values():
        if (made.spool / "incoming" / name).exists():
            made.history.tell(name, made.spool / "incoming" / name)
        else:
            made.history.tell(name, made.spool / "finished" / name)
    done = made.once()
    wrong = made.judge(key_of=key_of)
    return [*wrong, *([] if done.code == 0 else [f"it ended with {done.code}: {done.err[-1000:]}"])]


@pytest.mark.parametrize("what", kinds.parameters())
def test_hostile_items(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every name, as each kind: where it must end, for the reason that is told; no escape, no hang, no fault."""
    count = 0
    for live, transport in ((False, "auto"), (False, "boto3"), (True, "auto"))[: tier.scaled(1, 3, 3)]:
        if live and KINDS[what].program:
            continue  # the enemy must know the names before the worker starts
        directory = tmp_path / f"{live}-{transport}"
        directory.mkdir()
        assert run(directory, what, live=live, transport=transport) == []
        count += len(corpus.NAMES)
    with capsys.disabled():
        print(f" hostile: {count} items, {what}: 0 escapes, 0 hangs", end="")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users can pass through, as pytest's own are not."""
    made = Path(tempfile.mkdtemp(prefix="jollyae-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


USERS = (12_345, 12_346, 12_347)

PRODUCER = """
import random
from pathlib import Path
spool, uid = Path({spool!r}), os.getuid()
for number in range({count}):
    path = spool / "tmp" / f"{{uid}}-{{number}}"
    path.write_bytes(b"%d %d" % (uid, number))
    path.chmod(0o644)
    os.rename(path, spool / "incoming" / f"{{uid}} {{number}}")
path = Path({where!r}) / f"of {{uid}}"
path.write_text(f"submitted by {{uid}}")
assert jollyae(["submit", str(spool), str(path)]) == 0
assert jollyae(["submit", str(spool), str(path)]) == 1, "it is there already"
assert jollyae(["pause", str(spool)]) == 1, "nobody but the owner pauses it"
for others in {others!r}:
    for attempt in (lambda: os.unlink(spool / "incoming" / others), lambda: os.listdir(spool / "incoming"),
                    lambda: os.rename(spool / "incoming" / others, spool / "incoming" / "mine now"),
                    lambda: os.link({secret!r}, spool / "incoming" / "linked"),
                    lambda: open(spool / "finished" / others).close()):
        try:
            attempt()
        except PermissionError:
            continue
        raise SystemExit(f"{{uid}} could harm {{others}}")
"""


@needs_root
def test_several_users_and_one_sticky_spool(open_directory: Path) -> None:
    """--mode 1733: producers of three users put files in, by rename and by `submit`, and cannot see, take away or stop
    what is others'; a worker without root's powers delivers all."""
    with scene(open_directory) as made:
        shutil.rmtree(made.spool)
        assert (
            subprocess.run(
                [*planted.command(), "init", str(made.spool), "--mode", "1733"], env=made.environment(), check=False
            ).returncode
            == 0
        )
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (made.spool, *made.spool.iterdir())}
        assert modes.pop("tmp") == modes.pop("incoming") == 0o1733
        assert modes.pop("spool") == 0o711 and set(modes.values()) == {0o700}
        (open_directory / "theirs").mkdir()
        (open_directory / "theirs").chmod(0o777)
        secret = open_directory / "secret"
        secret.write_bytes(SECRET)
        secret.chmod(0o600)
        made.submit("of root", b"root's")
        for uid in USERS:
            told = run_as(
                uid,
                PRODUCER.format(
                    spool=str(made.spool),
                    where=str(open_directory / "theirs"),
                    count=20,
                    others=["of root"],
                    secret=str(secret),
                ),
            )
            assert (told.returncode, told.stderr.count("\n")) == (0, 2), told.stderr
            for number in range(20):
                made.history.tell(f"{uid} {number}", made.spool / "incoming" / f"{uid} {number}")
            made.history.tell(f"of {uid}", made.spool / "incoming" / f"of {uid}")
        done = made.once(before=kinds.NO_POWER)
        assert (done.code, made.judge()) == (0, []), done.err
        assert len(made.store.accepted) == 21 * len(USERS) + 1


def run_ignored(directory: Path, bug: str = "") -> list[str]:
    """Names that are never items, and a link of each to the secret: they stay, and nothing of them is sent."""
    with scene(directory, bug=bug) as made:
        incoming = made.spool / "incoming"
        for name in map(os.fsdecode, corpus.IGNORED.values()):
            (incoming / name).write_bytes(SECRET)
            (incoming / "below").mkdir(exist_ok=True)
            (incoming / "below" / name).symlink_to(incoming / name)
        before = _states(incoming)
        for name in ORDINARY:
            made.submit(name, name.encode())
        done = made.once()
        after = {path: found for path, found in _states(incoming).items() if path in before}
        sent = sorted(one.key for one in made.store.accepted)
        return [
            *([] if after == before else [f"they changed: {before.items() ^ after.items()}"]),
            *([] if sent == ORDINARY else [f"sent: {sent}"]),
            *([] if done.code == 0 else [f"it ended with {done.code}: {done.err}"]),
        ]


def _states(directory: Path) -> dict[str, tuple[int, int]]:
    found = {path: os.lstat(path) for path in directory.rglob("*")}
    return {str(path): (one.st_ino, one.st_mtime_ns) for path, one in found.items() if not stat.S_ISDIR(one.st_mode)}


def test_names_that_are_no_items(tmp_path: Path) -> None:
    """Dotfiles, unfinished files, names of our own notes, locks and temporaries: left alone where they lie."""
    assert run_ignored(tmp_path) == []


GENERATIONS = 3


def run_namesakes(directory: Path, bug: str = "", *, if_exists: str = "refuse") -> list[str]:
    """Each name comes three times with other content: all are kept side by side, in failed/ where the second and third
    are refused by the store, in finished/ where they were to overwrite what is there."""
    refused = if_exists == "refuse"
    with scene(directory, bug=bug) as made:
        for generation in range(GENERATIONS):
            for name in corpus.TEXT.values():
                made.submit(name, os.fsencode(name) + b"." * generation)
            done = made.once("--if-exists", if_exists)
            if done.code != int(refused and generation > 0):
                return [f"it ended with {done.code}: {done.err[-2000:]}"]
        lying = list(items_below(str(made.spool / ("failed" if refused else "finished"))))
        short = (GENERATIONS - refused) * len(corpus.NAMES) - len(lying)
        wrong = [one for one in made.judge(key_of=key_of) if refused or not one.startswith("written ")]
        return [*wrong, *([f"{short} of them are gone"] if short else [])]


@pytest.mark.parametrize("if_exists", ["refuse", "overwrite"])
def test_names_that_come_again(tmp_path: Path, if_exists: str) -> None:
    """Nothing in failed/ or finished/ is overwritten, whatever the name; each keeps its bytes."""
    assert run_namesakes(tmp_path, if_exists=if_exists) == []


class Writer:
    """A plan for the store that does no wrong: while an item is sent, it writes to the file, so many times."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.left: dict[str, int] = {}
        self.count = 0

    def __call__(self, request: Request) -> None:
        if request.method != "PUT" or self.left.get(request.key, 0) <= 0:
            return
        self.left[request.key] -= 1
        self.count += 1
        [path] = self.spool.glob(f"working/*/{request.key}")
        with path.open("r+b") as file:
            if request.key.startswith("longer"):
                file.seek(0, os.SEEK_END)
            elif request.key.startswith("shorter"):
                file.truncate(path.stat().st_size - 1)
            file.write(b"%d" % self.count)


WRITTEN = {f"{how} {times}": times for how in ("longer", "shorter", "other") for times in (1, 2, 3, 7)}
LARGE = 70 << 20


def run_written(directory: Path, bug: str = "") -> list[str]:
    """Files that are written to while they are sent, once to seven times: what is finished is what is stored."""
    writer = Writer(directory / "spool")
    with scene(directory, writer, bug) as made:
        writer.left = dict(WRITTEN) | ({"longer, in parts": 2} if tier.TIER != "sample" else {})
        for name in writer.left:
            (made.spool / "incoming" / name).write_bytes(bytes(LARGE) if "parts" in name else body_of(name, 3000))
        for _ in range(6):
            done = made.once()
            if done.code != 75:
                break
            list(Spool(made.spool, make=False).retry())
        for name in writer.left:
            path = made.spool / "finished" / name
            if path.exists():
                made.history.tell(name, path)
        for one in made.store.accepted:  # what it was on the way is no item of a producer's
            made.history.write({"name": one.key, "sha256": one.sha256, "size": one.size, "told": False})
        wrong = [one for one in made.judge() if not one.startswith("written ")]  # ours is replaced by ours
        wrong += oracle.misdescribed(made.store.accepted, made.spool)
        if any(writer.left.values()) and not wrong:
            wrong = [f"not written so often: {writer.left}"]
        unfinished = [name for name in writer.left if not (made.spool / "finished" / name).exists()]
        for name in writer.left:
            stored = made.store.objects[name].body if name in made.store.objects else b""
            if name not in unfinished and (made.spool / "finished" / name).read_bytes() != stored:
                wrong.append(f"finished with other bytes than are stored: {name!r}")
        return [*wrong, *([f"not finished: {unfinished}: {done.err[-2000:]}"] if unfinished else [])]


def test_a_writer_while_it_is_sent(tmp_path: Path) -> None:
    """It is sent again until it is the same before and after; what is finished is stored with these bytes."""
    assert run_written(tmp_path) == []


class Racer:
    """A plan that does no wrong either: it finds each file that is sent, for somebody who then writes and writes."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        self.wanted: set[str] = set()
        self.found: deque[Path] = deque()
        self.files: deque[IO[bytes]] = deque()
        self.count = 0

    def __call__(self, request: Request) -> None:
        if request.method == "PUT" and request.key in self.wanted:
            self.wanted.discard(request.key)
            self.found.extend(self.spool.glob(f"working/*/{request.key}"))

    def write(self, times: int) -> None:
        """Write 16 bytes somewhere into each of the last four files, so many times."""
        for _ in range(times):
            while self.found:
                with suppress(FileNotFoundError):
                    self.files.append(self.found.popleft().open("r+b", buffering=0))
            while len(self.files) > 4:
                self.files.popleft().close()
            for file in self.files:
                self.count += 1
                os.pwrite(file.fileno(), b"%16d" % self.count, self.count * 64 % RACED)

    def close(self) -> None:
        """Write no more."""
        for file in self.files:
            file.close()


RACED = 200_000


def run_raced(directory: Path, bug: str = "", *, seconds: float = 2.0) -> list[str]:
    """Somebody writes to the files as fast as he can, while they are read, to a store that believes any digest: each
    object that it took has the digest that it was sent with."""
    racer = Racer(directory / "spool")
    with scene(directory, racer, bug, verify=False) as made:
        made.start("--settle", "0", "--if-exists", "overwrite").until_says("working on")
        deadline, wrong = time.monotonic() + seconds, list[str]()
        for number in itertools.count():
            if wrong or time.monotonic() > deadline:
                break
            racer.wanted.add(f"raced {number}")
            made.submit(f"raced {number}", bytes(RACED))
            racer.write(200)
            wrong = oracle.misdescribed(made.store.accepted, made.spool)
        racer.close()
        torn = len({one.sha256 for one in made.store.accepted})
        return [*wrong, *([] if torn > 10 or wrong else [f"only {torn} read while written to"])]


def test_a_writer_while_it_is_read(tmp_path: Path) -> None:
    """Body and digest come from one read, whoever writes to the file in between."""
    assert run_raced(tmp_path) == []


SUITES: dict[str, Callable[[Path, str], list[str]]] = {
    "rename_over_an_existing_name": lambda directory, bug: run_namesakes(directory, bug, if_exists="overwrite"),
    "o_nofollow_dropped": lambda directory, bug: run(directory, "swapped", bug),
    "directories_followed": lambda directory, bug: run(directory, "directory swapped", bug),
    "digest_from_a_second_read": lambda directory, bug: run_raced(directory, bug, seconds=30),
    "lease_not_asked": lambda directory, bug: run(directory, "growing", bug),
    "item_never_changed": run_written,
}


@pytest.mark.parametrize("bug", SUITES)
def test_a_planted_bug_is_caught(tmp_path: Path, bug: str) -> None:
    """A suite that does not see it is broken."""
    wrong = SUITES[bug](tmp_path, bug)
    assert wrong
    print(f"{bug}: {len(wrong)} violations, first {wrong[0][:300]}")
