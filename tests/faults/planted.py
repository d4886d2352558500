"""Bugs planted on purpose: a suite that does not catch them is itself broken.

Each is a function that breaks one thing in the program, in the process that it is called in. As a program
(``python -m tests.faults.planted BUG run SPOOL …``) this module is jollyae with that bug; BUG may be ``-`` for none.
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

BUGS: dict[str, Callable[[], None]] = {}
WORLDS: dict[str, Callable[[], None]] = {}
"""What is no bug, but shows one: they are planted in the same way, before it (``WORLD+BUG``)."""
ROOT = Path(__file__).resolve().parents[2]


def bug(function: Callable[[], None]) -> Callable[[], None]:
    """Register a planted bug under its function's name."""
    BUGS[function.__name__] = function
    return function


def world(function: Callable[[], None]) -> Callable[[], None]:
    """Register a world under its function's name."""
    WORLDS[function.__name__] = function
    return function


def plant(names: str) -> None:
    """Plant these, joined by +; ``-`` is none."""
    for name in names.split("+"):
        if name not in ("", "-"):
            (WORLDS | BUGS)[name]()


def command(planted: str = "") -> list[str]:
    """The command line of jollyae with this bug; needs :func:`path` in PYTHONPATH."""
    return [sys.executable, "-m", *(("tests.faults.planted", planted) if planted else ("jollyae",))]


def path() -> str:
    """What PYTHONPATH must be for :func:`command`."""
    return f"{ROOT / 'src'}:{ROOT}"


@bug
def no_condition_until_proved() -> None:
    """The condition is sent only once the store is known to honour it: a worker's first PUT goes without."""
    from jollyae.processors.s3.single import Single

    request: Any = Single.request

    def unproved(self: Any, key: str, *, if_none_match: bool, if_match: str = "") -> Any:
        return request(self, key, if_none_match=if_none_match and not self.target.is_unproved, if_match=if_match)

    Single.request = unproved  # type: ignore[method-assign]


@bug
def finished_before_upload() -> None:
    """Moved to finished/ as soon as it is open: what is to be sent is in hand, after all."""
    from jollyae.processors.s3.delivery import S3Delivery
    from jollyae.processors.s3.direct import Direct
    from jollyae.spool import fs

    deliver: Any = S3Delivery.__call__
    Direct.begin = lambda self, items, ended: items  # type: ignore[method-assign]

    async def early(self: Any, item: Any) -> Any:
        with suppress(FileNotFoundError):
            fs.move(item.where, f"{Path(item.owner.path).parents[1]}/finished/{item.name}")
        return await deliver(self, item)

    S3Delivery.__call__ = early  # type: ignore[method-assign]


@bug
def sigio_not_ignored() -> None:
    """Leases are used, and the signal that tells of their end keeps its default: death."""
    from jollyae.worker import worker

    def believe() -> bool:
        signal.signal(signal.SIGIO, signal.SIG_DFL)  # who started us may have ignored it, which is inherited
        return True

    worker.ignore_lease_signal = believe  # type: ignore[attr-defined]


@bug
def a_note_believed_that_does_not_fit() -> None:
    """A note is taken for that of the file beside it, whatever its inode, size and time."""
    from jollyae.spool.notes import Note

    Note.fits = lambda self, found: True  # type: ignore[method-assign]


@bug
def unlocked_owner_adopted() -> None:
    """A directory with another's process id in its name is taken for a dead worker's: its lock is not asked for."""
    from jollyae.spool import owner

    def take(path: str) -> owner.Owner | None:
        with suppress(OSError):
            if f"-{os.getpid()}-" not in path and (lock := owner._open_lock(path)) is not None:
                return owner.Owner(path, lock)
        return None

    owner.take = take


def main() -> None:
    """Plant, and be jollyae."""
    from jollyae.cli.main import entry

    plant(sys.argv.pop(1))
    entry()


if __name__ == "__main__":
    from tests.faults import planted as itself  # the registry that the suites see, not this module's second life

    itself.main()


@bug
def retry_without_a_pause() -> None:
    """What failed is tried again at once: the pause before the next probe is forgotten."""
    from jollyae.worker.health import Health

    Health._spread = lambda self, seconds: 0.0  # type: ignore[method-assign]


@bug
def errors_of_the_gate_swallowed() -> None:
    """A rename that failed is taken as done: only the errors that somebody thought of are looked at."""
    from jollyae.spool import fs

    rename = fs.rename

    def careless(source: str, target: str, *, ours: bool = False) -> None:
        try:
            rename(source, target, ours=ours)
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError:
            pass

    fs.rename = careless


@bug
def no_conditional_put() -> None:
    """Whole objects go without If-None-Match: what is repeated is written again, and other content is overwritten."""
    _change_put(if_none_match=False)


def _change_put(**changes: Any) -> None:
    from jollyae.processors.s3 import single
    from jollyae.processors.s3.transport import Put

    exact = Put
    single.Put = lambda **fields: exact(**(fields | changes))  # type: ignore[attr-defined,assignment]


@bug
def a_412_taken_as_success() -> None:
    """ "It is there already, so it is ours": nobody compares."""
    from jollyae.processors.s3 import single
    from jollyae.processors.s3.transport import Stored

    async def existing(self: Any, key: str) -> dict[str, Any]:
        return dict(self._receipt(key, Stored(etag=""), already_there=True))

    single.Single._existing = existing  # type: ignore[method-assign]


@bug
def a_412_taken_as_failure() -> None:
    """ "A conflict is for ever": a lost answer to our own write fails the item."""
    from jollyae.processors.s3 import single

    async def existing(self: Any, key: str) -> dict[str, Any]:
        raise single.Collision

    single.Single._existing = existing  # type: ignore[method-assign]


@bug
def returned_checksum_not_compared() -> None:
    """The store says what it has taken, and nobody listens."""
    from jollyae.processors.s3 import multipart, parts, single

    for module in (single, parts, multipart):
        module.agrees = lambda stored, checksum, where: False  # type: ignore[attr-defined]


@bug
def digest_in_metadata_believed() -> None:
    """After a 412, our digest in the object's metadata passes for its bytes'. (So it was, until this suite.)"""
    from jollyae.processors.s3 import collisions, single, target

    async def holds(self: Any, key: str, found: Any, content: Any, mark: str = "") -> bool:
        return found.size == content.size and collisions.claims(found, content)

    target.Target.holds = holds  # type: ignore[method-assign]
    single.Single._damaged_etag = lambda self, key: ""  # type: ignore[method-assign]


@bug
def retry_at_once() -> None:
    """A back-off of nothing: the store that is unwell is hammered."""
    from jollyae.worker import health, retry

    retry.delay = lambda attempts, chance, first=0.0: 0.0
    health.FIRST_PROBE = health.LAST_PROBE = 0.0


@bug
def submit_without_fsync() -> None:
    """submit leaves it to the kernel when the item is on the disk: a power cut takes what was acknowledged."""
    from jollyae.spool import fs

    fs.fsync = lambda descriptor: None


@bug
def fsync_tried_again() -> None:
    """A failed fsync is tried again, as if it could still succeed: the second says OK, over lost bytes."""
    import os

    from jollyae.spool import fs

    def again(descriptor: int) -> None:
        try:
            os.fsync(descriptor)
        except OSError:
            os.fsync(descriptor)

    fs.fsync = again


@bug
def double_name_ignored() -> None:
    """A move that a power cut left half done is not recognised: the item is taken for another of the same name."""
    from jollyae.spool import fs

    fs.same_file = lambda first, second: False


@bug
def rename_over_an_existing_name() -> None:
    """os.rename where the kernel's rename without replacing was meant: whatever has the name is gone."""
    import os

    from jollyae.spool import fs

    fs.rename = lambda source, target, *, ours=False: os.rename(source, target)


@bug
def o_nofollow_dropped() -> None:
    """An item that became a symbolic link between the look at it and its opening is followed."""
    import os

    from jollyae.spool import item

    item._OPEN &= ~os.O_NOFOLLOW


@bug
def directories_followed() -> None:
    """A producer's directory that became a symbolic link is followed: the path is opened as it is written."""
    from contextlib import nullcontext

    from jollyae.spool import fs

    fs.beneath = lambda root, name, *, make=False: nullcontext(f"{root}/{name}")  # type: ignore[assignment,return-value]


@bug
def digest_from_a_second_read() -> None:
    """The digest is made of the file, and then the body is read from it."""
    from jollyae.processors.s3 import content, single

    def read_now(item: Any, algorithm: str) -> Any:
        _, known, checksum = honest(item, algorithm)
        return content.read(item.fd, 0, item.size), known, checksum

    honest = content.read_now
    content.read_now = single.read_now = read_now  # type: ignore[attr-defined]


@bug
def lease_not_asked() -> None:
    """A file that somebody still writes is taken: only its age counts."""
    from jollyae.spool import readiness

    readiness.take_lease = lambda descriptor: readiness.Lease.UNKNOWN


@bug
def item_never_changed() -> None:
    """Whether the file was written to while it was sent is not looked at."""
    from jollyae.spool.item import Item

    Item.changed = lambda self: False  # type: ignore[method-assign]


@world
def short_leases() -> None:
    """Leases of two seconds, so that a test need not wait for long."""
    from jollyae.spool import leases

    leases.LEASE = 2.0
    leases.MARGIN = 0.5


@world
def links_by_handle() -> None:
    """What a client of NFS does that has not heard of a directory's new name: it links the file that it knows, wherever
    that is by now, to a new name, though its old one is gone."""
    from jollyae.spool import fs

    rename, known = fs.rename, dict[str, int]()

    def by_handle(source: str, target: str, *, ours: bool = False) -> None:
        try:
            if ours:
                rename(source, target, ours=ours)
                known[target] = os.lstat(target).st_ino
                return
            os.link(source, target, follow_symlinks=False)
        except FileNotFoundError:
            spool = Path(source.partition("/working/")[0])
            found = [path for path in spool.rglob("*") if path.lstat().st_ino == known.get(source)]
            if ours or not found:
                raise
            os.link(found[0], target, follow_symlinks=False)
        with suppress(FileNotFoundError):
            os.unlink(source)

    fs.rename = by_handle


@bug
def lease_not_looked_at() -> None:
    """A worker with a lease is taken for dead at the first look."""
    from jollyae.spool.leases import Judge

    Judge.is_dead = lambda self, name, proof, patience: True  # type: ignore[method-assign]


@bug
def retired_without_a_look() -> None:
    """A worker that was frozen for longer than its lease goes on as if it had everything still."""
    from jollyae.spool.leases import Leased

    Leased.is_fresh = lambda self: True  # type: ignore[method-assign]


@world
def scans_hourly() -> None:
    """The scan that is due in any case comes once in an hour: what is found before was found for another reason."""
    from jollyae.spool import watch

    watch.RESCAN = 3600.0


@bug
def no_rescan_after_overflow() -> None:
    """That hints were lost is read and forgotten."""
    from jollyae.spool.arrivals import Arrivals
    from jollyae.spool.watch import Hint, Kind

    take = Arrivals._take

    def deaf(self: Arrivals, hint: Hint) -> None:
        if hint.kind is not Kind.OVERFLOW:
            take(self, hint)

    Arrivals._take = deaf  # type: ignore[method-assign]


@bug
def wall_clock_for_waits() -> None:
    """When to probe a destination again is reckoned by the clock that people set."""
    import time

    from jollyae.worker.health import Health

    defaults: Any = Health.__init__.__kwdefaults__
    defaults["now"] = time.time


@bug
def credentials_in_the_log() -> None:
    """Somebody logs the environment to find a fault, and leaves it in."""
    from jollyae.cli import main

    real = main.main

    def careless(arguments: Any) -> int:
        print(f"debug: {dict(os.environ)}", file=sys.stderr)
        return real(arguments)

    main.main = careless


@bug
def enoent_believed() -> None:
    """A rename that says ENOENT has not happened: another was faster, nobody looks whether it was we (NFS)."""
    import os.path
    from types import SimpleNamespace

    from jollyae.spool import claims, fs

    fs.is_there = lambda path: False
    module: Any = claims
    blind = SimpleNamespace(**vars(os.path) | {"lexists": lambda path: False})
    module.os = SimpleNamespace(**vars(os) | {"path": blind})
