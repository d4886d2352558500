"""What may lie under a name in incoming/: files and what is none, and files that become something else meanwhile.

As a program (``python -m tests.faults.kinds BUG run SPOOL …``) this module is jollyae (with that planted bug; ``-`` for
none) in which each item of the directory in $SWAP is put into the place of the file that jollyae has looked at, at the
worst instant.
"""

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scene import Scene
from tests.helpers import needs_root

SECRET = b"a secret of somebody else's, outside the spool\n" * 50
FOREIGN = 12_345
"""A user who is not us."""
TEBIBYTE = 1 << 40


class World:
    """A scene, a directory outside its spool with a secret in it, and what is put into incoming/."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.incoming = scene.spool / "incoming"
        self.outside = scene.directory / "outside"
        self.swap = scene.directory / "swap"
        self.outside.mkdir()
        self.swap.mkdir()
        self.secret = self.outside / "secret"
        self.secret.write_bytes(SECRET)
        self.writers: list[int] = []
        self._count = 0

    def staged(self) -> Path:
        """A new path in tmp/ to make something at."""
        self._count += 1
        return self.scene.spool / "tmp" / f"staged-{self._count}"

    def drop(self, path: Path, name: str, *, told: bool = True) -> None:
        """Write down what is at ``path``, and rename it into incoming/. (A worker may have it in the next instant.)"""
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            self.scene.history.tell(name, path, told=told)
        os.rename(path, self.incoming / name)

    def file(self, body: bytes) -> Path:
        """A file in tmp/."""
        path = self.staged()
        path.write_bytes(body)
        return path


Make = Callable[[World, str], None]


@dataclass(frozen=True)
class Kind:
    """``make`` puts an item of this kind there; ``item`` is what its name becomes; it ends in ``place`` because of
    ``why`` (a part of the reason)."""

    make: Make
    place: str = "finished"
    why: str = ""
    item: str = "{}"
    options: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    program: str = ""


def body(name: str) -> bytes:
    """The bytes of the item with this name."""
    return repr(name).encode() * 20


def _file(world: World, name: str) -> None:
    world.drop(world.file(body(name)), name)


def _empty(world: World, name: str) -> None:
    world.drop(world.file(b""), name)


def _directory(world: World, name: str, *, told: bool = True, uid: int = -1) -> None:
    path = world.staged()
    path.mkdir()
    (path / "in").write_bytes(body(name))
    os.chown(path, uid, uid)
    world.scene.history.tell(f"{name}/in", path / "in", told=told)
    world.drop(path, name)


def _link_to(find: Callable[[World, str], Path | str]) -> Make:
    def make(world: World, name: str) -> None:
        path = world.staged()
        path.symlink_to(find(world, name))
        world.drop(path, name)

    return make


def _inside(world: World, name: str) -> Path:
    return world.incoming / "target of the links"


def _hard_link(world: World, name: str) -> None:
    other = world.outside / f"linked-{world._count}"
    other.write_bytes(body(name))
    path = world.staged()
    os.link(other, path)
    world.drop(path, name)


def _special(mode: int, device: int = 0) -> Make:
    def make(world: World, name: str) -> None:
        path = world.staged()
        try:
            os.mknod(path, mode | 0o600, device)
        except PermissionError:
            pytest.skip("making a device needs root")
        world.drop(path, name)

    return make


def _sparse(size: int) -> Make:
    def make(world: World, name: str) -> None:
        path = world.file(b"")
        try:
            os.truncate(path, size)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            pytest.skip(f"this file system has no files of {size >> 40} TiB")
        world.drop(path, name)

    return make


def _growing(world: World, name: str) -> None:
    path = world.file(body(name))
    world.writers.append(os.open(path, os.O_WRONLY | os.O_APPEND))
    world.drop(path, name, told=False)


def _foreign(mode: int) -> Make:
    def make(world: World, name: str) -> None:
        path = world.file(body(name))
        path.chmod(mode)
        os.chown(path, FOREIGN, FOREIGN)
        world.drop(path, name)

    return make


def _foreign_directory(world: World, name: str) -> None:
    _directory(world, name, uid=FOREIGN)


SWAPS = ("link", "file", "fifo", "directory", "link before the open", "file, then link")
"""What an item becomes while jollyae looks at it."""


def _swapped(world: World, name: str) -> None:
    """A file, and what an enemy puts into its place."""
    world.drop(world.file(body(name)), name, told=False)
    how = SWAPS[sum(not name.startswith(".") for name in os.listdir(world.swap)) % len(SWAPS)]
    other = world.swap / name
    if "file" in how:
        other.write_bytes(body(name) + b"other")
    elif how == "fifo":
        os.mkfifo(other)
    elif how == "directory":
        other.mkdir()
        (other / "in").write_bytes(b"in it")
    else:
        other.symlink_to(world.secret)
    if how == "directory":
        world.scene.history.tell(f"{name}/in", other / "in", told=False)
    else:
        world.scene.history.tell(name, other, told=False)
    if how == "file, then link":
        link = world.staged()
        link.symlink_to(world.secret)
        world.scene.history.tell(name, link, told=False)
        link.unlink()
    if how in ("link before the open", "file, then link"):
        (world.swap / f".{how[:4]}-{world._count}").write_bytes(os.fsencode(name))


def _parent_swapped(world: World, name: str) -> None:
    """A file in a directory, and a link to another directory, outside, that has a file of that name too."""
    _directory(world, name, told=False)
    elsewhere = world.outside / name
    elsewhere.mkdir()
    (elsewhere / "in").write_bytes(SECRET)
    (world.swap / name).symlink_to(elsewhere)
    world.scene.history.tell(name, world.swap / name, told=False)


NO_POWER = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Before a command: root without root's capabilities, so that the rights of files count."""

KINDS: dict[str, Kind] = {
    "file": Kind(_file),
    "directory": Kind(_directory, item="{}/in"),
    "link inside": Kind(_link_to(_inside), "failed", "a symbolic link"),
    "link outside": Kind(_link_to(lambda world, _: world.secret), "failed", "a symbolic link"),
    "link to a directory": Kind(_link_to(lambda world, _: world.outside), "failed", "a symbolic link"),
    "link to itself": Kind(_link_to(lambda _, name: os.path.basename(name)), "failed", "a symbolic link"),
    "dangling link": Kind(_link_to(lambda *_: "/nowhere/at/all"), "failed", "a symbolic link"),
    "hard link": Kind(_hard_link),
    "fifo": Kind(_special(stat.S_IFIFO), "failed", "a named pipe"),
    "socket": Kind(_special(stat.S_IFSOCK), "failed", "a socket"),
    "device": Kind(_special(stat.S_IFCHR, os.makedev(1, 5)), "failed", "a device"),
    "sparse, 1 TiB": Kind(_sparse(TEBIBYTE), options=("--exec", "true {}")),
    "growing": Kind(_growing, "incoming"),
    "empty": Kind(_empty),
    "not readable": Kind(_foreign(0o600), "failed", "it cannot be read: it belongs to user", before=NO_POWER),
    "of another user": Kind(_foreign(0o644), before=NO_POWER),
    "directory of another user": Kind(_foreign_directory, "incoming", "cannot be taken", item="{}/in", before=NO_POWER),
    "directory swapped": Kind(_parent_swapped, "incoming or failed", "a symbolic link", program="tests.faults.kinds"),
    "swapped": Kind(_swapped, "finished or failed", program="tests.faults.kinds"),
}

ROOT = {"device", "not readable", "of another user", "directory of another user"}
"""Kinds that only root can make."""


def parameters() -> list[Any]:
    """The kinds, for pytest."""
    return [pytest.param(kind, marks=needs_root if kind in ROOT else ()) for kind in KINDS]


# --- the enemy


_RENAME_EXCHANGE = 2  # linux/fs.h


def _exchange(first: str, second: str) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.renameat2(-100, os.fsencode(first), -100, os.fsencode(second), _RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2", first)


def be_swapped(directory: str) -> None:
    """From now on, what lies in ``directory`` is put into the place of the item of its name in incoming/: when that is
    about to be renamed, or (``.link…`` names it) opened; or (``.file…``) at the rename, and then by a link to the
    secret when it is opened again; a directory, when an item in it is about to be looked at. Each is told on stderr."""
    from jollyae.spool import fs
    from jollyae.spool.claims import Claims

    at_open: set[str] = set()
    twice: set[str] = set()
    for mark in Path(directory).glob(".*-*"):
        (at_open if mark.name.startswith(".link") else twice).add(os.fsdecode(mark.read_bytes()))
    swaps = {name for name in os.listdir(directory) if not name.startswith(".")}
    secret = str(Path(directory).parent / "outside" / "secret")
    real_open = os.open

    def swap(path: str, place: str) -> None:
        name = os.path.basename(path)
        if f"/{place}/" in path and name in swaps:
            swaps.discard(name)
            _exchange(path, os.path.join(directory, name))
            print(f"swapped: {name!r}", file=sys.stderr)

    def observer(operation: str, path: str) -> None:
        if operation == "rename" and os.path.basename(path) not in at_open:
            swap(path, "incoming")

    def open_(path: Any, *arguments: Any, **more: Any) -> int:
        if isinstance(path, str):
            name = os.path.basename(path)
            if name in at_open:
                swap(path, "incoming")
            elif name in twice and "/working/" in path:
                twice.discard(name)
                os.unlink(path)
                os.symlink(secret, path)
                print(f"swapped again: {name!r}", file=sys.stderr)
        return real_open(path, *arguments, **more)

    def take(self: Claims, name: str, **more: Any) -> Any:
        parent, _, last = name.rpartition("/")
        if last:
            swap(f"{os.environ['INCOMING']}/{parent}", "incoming")
        return real_take(self, name, **more)

    real_take = Claims.take
    Claims.take = take  # type: ignore[method-assign]
    fs.observer = observer
    os.open = open_


if __name__ == "__main__":
    from tests.faults import planted

    be_swapped(os.environ["SWAP"])
    planted.main()
