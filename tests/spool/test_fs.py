"""The gate: nothing is overwritten, half-done moves are healed, a failed fsync is final."""

import errno
import fcntl
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jollyae import Spool
from jollyae.spool import fs
from tests.helpers import mount_namespace, needs_root

OTHER_FILESYSTEM = Path("/dev/shm")


@pytest.fixture(params=["native", "link"])
def each_rename(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with the kernel's own rename without replacing, once with what stands in for it."""
    if request.param == "link":
        monkeypatch.setattr(fs, "_rename", None)
    else:
        assert fs._rename is not None


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the observer is told."""
    seen: list[tuple[str, str]] = []
    monkeypatch.setattr(fs, "observer", lambda operation, path: seen.append((operation, os.path.basename(path))))
    return seen


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than tmp_path."""
    if not OTHER_FILESYSTEM.is_dir() or OTHER_FILESYSTEM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at hand")
    path = OTHER_FILESYSTEM / f"jollyae-test-{os.getpid()}"
    path.mkdir()
    yield path
    subprocess.run(["rm", "-rf", path], check=True)


@pytest.mark.usefixtures("each_rename")
@pytest.mark.parametrize("ours", [False, True])
def test_rename_never_overwrites(tmp_path: Path, ours: bool) -> None:
    """A taken name is refused, and both files stay as they are."""
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    with pytest.raises(FileExistsError):
        fs.rename(str(tmp_path / "a"), str(tmp_path / "b"), ours=ours)
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("new", "old")
    fs.rename(str(tmp_path / "a"), str(tmp_path / "c"), ours=ours)
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]


@pytest.mark.usefixtures("each_rename")
def test_rename_moves_the_link_itself(tmp_path: Path) -> None:
    """A symbolic link is moved, not what it points to."""
    (tmp_path / "link").symlink_to("nowhere")
    fs.rename(str(tmp_path / "link"), str(tmp_path / "moved"))
    assert os.readlink(tmp_path / "moved") == "nowhere"


@pytest.mark.usefixtures("each_rename")
def test_of_two_who_claim_one_wins(tmp_path: Path) -> None:
    """Of many processes that rename one source to names of their own, exactly one has it, with either rename."""
    program = (
        "import os, sys\nfrom jollyae.spool import fs\n"
        "if sys.argv[2] == 'link': fs._rename = None\n"
        "print('ready', flush=True)\nsys.stdin.read()\n"
        "for n in range(2000):\n"
        "    try: fs.rename(f'{sys.argv[1]}/{n}', f'{sys.argv[1]}/{n}-{os.getpid()}', ours=True); print(n)\n"
        "    except FileNotFoundError: pass\n"
    )
    for number in range(2000):
        (tmp_path / str(number)).touch()
    command = [sys.executable, "-c", program, str(tmp_path), "native" if fs._rename else "link"]
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(fs.__file__)))}
    racers = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for racer in racers:
        assert racer.stdout and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.close()
    won: list[str] = []
    for racer in racers:
        assert racer.stdout
        won += racer.stdout.read().split()
        racer.stdout.close()
        assert racer.wait() == 0
    assert sorted(map(int, won)) == list(range(2000))
    assert len(os.listdir(tmp_path)) == 2000


@pytest.mark.usefixtures("each_rename")
def test_move_heals_a_half_done_move(tmp_path: Path) -> None:
    """Both names, one inode: the source is removed, and the file is whole at the target."""
    (tmp_path / "a").write_text("x")
    os.link(tmp_path / "a", tmp_path / "b")
    fs.move(str(tmp_path / "a"), str(tmp_path / "b"))
    assert os.listdir(tmp_path) == ["b"]
    assert (tmp_path / "b").read_text() == "x"


@pytest.mark.usefixtures("each_rename")
def test_a_half_done_move_never_says_that_the_name_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By links, a source that cannot be removed is no reason to try another name: the item would be in both."""

    def refuse(operation: str, path: str) -> None:
        if operation == "unlink":
            raise FileExistsError(errno.EEXIST, "File exists", path)

    source, target = tmp_path / "source", tmp_path / "target"
    source.touch()
    monkeypatch.setattr(fs, "_rename", None)
    monkeypatch.setattr(fs, "observer", refuse)
    for _ in range(2):
        with pytest.raises(OSError, match="cannot be removed") as caught:
            fs.move(str(source), str(target))
        assert caught.value.errno == errno.EIO
    monkeypatch.setattr(fs, "observer", None)
    fs.move(str(source), str(target))
    assert not source.exists() and target.exists()


def test_move_makes_parents(tmp_path: Path) -> None:
    """Missing directories are made, even more levels than Python's stack has frames; a lost race is ENOENT."""
    (tmp_path / "a").write_text("x")
    deep = str(tmp_path) + "/d" * 1300
    fs.move(str(tmp_path / "a"), deep + "/a")
    assert os.path.isfile(deep + "/a")
    assert len(fs.directories_below(str(tmp_path))) == 1300
    with pytest.raises(FileNotFoundError):
        fs.move(str(tmp_path / "gone"), str(tmp_path / "b"))
    for directory in fs.directories_below(str(tmp_path)):
        if directory == deep:
            os.unlink(directory + "/a")
        assert fs.remove_directory(directory)


def test_a_file_in_the_way_of_a_directory(tmp_path: Path) -> None:
    """Where a component is a file the error says so."""
    (tmp_path / "a").touch()
    (tmp_path / "x").touch()
    for target in ("a/b", "a/b/c"):
        with pytest.raises(NotADirectoryError):
            fs.move(str(tmp_path / "x"), str(tmp_path / target))


def test_write_beside_is_whole_and_durable_in_order(tmp_path: Path, observed: list[tuple[str, str]]) -> None:
    """The bytes are on the disk before the name is, and the name before the return; no temporary name stays."""
    fs.write_beside(str(tmp_path / "note"), b"1", durable=True, mtime=12.5)
    assert [operation for operation, _ in observed] == ["create", "write", "fsync", "replace", "fsync"]
    fs.write_beside(str(tmp_path / "note"), b"22")
    assert os.listdir(tmp_path) == ["note"]
    assert (tmp_path / "note").read_bytes() == b"22"


def test_write_beside_keeps_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error on the way leaves the old content and no litter."""
    fs.write_beside(str(tmp_path / "note"), b"old")

    def fail(operation: str, path: str) -> None:
        if operation == "replace":
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(fs, "observer", fail)
    with pytest.raises(OSError, match="full"):
        fs.write_beside(str(tmp_path / "note"), b"new")
    monkeypatch.setattr(fs, "observer", None)
    assert os.listdir(tmp_path) == ["note"]
    assert (tmp_path / "note").read_bytes() == b"old"


def test_copy_move(tmp_path: Path, elsewhere: Path, observed: list[tuple[str, str]]) -> None:
    """Between file systems: copied, on the disk, published without overwriting, and only then the source removed."""
    source, target = tmp_path / "a", elsewhere / "sub" / "a"
    source.write_bytes(b"x" * 3_000_000)
    os.utime(source, ns=(1, 1_234_567_890_123_456_789))
    source.chmod(0o640)
    with pytest.raises(OSError) as error:
        fs.move(str(source), str(target))
    assert error.value.errno == errno.EXDEV
    observed.clear()
    fs.copy_move(str(source), str(target))
    operations = [operation for operation, _ in observed if operation != "write"]
    assert operations == ["mkdir", "create", "fsync", "rename", "fsync", "unlink"]
    assert target.read_bytes() == b"x" * 3_000_000
    assert target.stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert target.stat().st_mode & 0o777 == 0o640 & ~_umask()
    source.write_bytes(b"other")
    with pytest.raises(FileExistsError):
        fs.copy_move(str(source), str(target))
    assert source.exists() and os.listdir(target.parent) == ["a"]


def test_a_lock_where_it_needs_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS refuses an exclusive lock on a descriptor that cannot write (EBADF): copying from there takes another one,
    and gives it back."""
    flock = fcntl.flock

    def strict(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", strict)
    path = tmp_path / "a"
    path.touch()
    with path.open() as one, path.open() as two:
        for _ in range(2):
            with fs.locked(one.fileno(), str(path)) as mine, fs.locked(two.fileno(), str(path)) as other:
                assert mine and not other


@pytest.mark.parametrize("lost", ["link", "unlink"])
def test_a_move_whose_answer_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """On NFS what was done is asked for again when its answer was lost, and is an error then: the move has happened."""
    spool = Spool(tmp_path / "spool")
    done: Any = getattr(os, lost)
    code = {"link": errno.EEXIST, "unlink": errno.ENOENT}[lost]

    def do_it_and_lie(*arguments: Any, **named: Any) -> None:
        done(*arguments, **named)
        raise OSError(code, os.strerror(code), arguments[0])

    monkeypatch.setattr(fs, "_rename", None)
    monkeypatch.setattr(os, lost, do_it_and_lie)
    assert spool.submit(io.BytesIO(b"x"), "f") == "f"
    assert os.listdir(spool.places.incoming) == ["f"] and os.listdir(spool.places.tmp) == []
    fs.move(str(spool.places.incoming / "f"), str(tmp_path / "g"))
    assert os.listdir(spool.places.incoming) == [] and (tmp_path / "g").read_bytes() == b"x"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """The lock of a killed process is free, that of a live one is not."""
    program = (
        "import sys\nfrom jollyae.spool import fs\nlock = fs.create(sys.argv[1])\n"
        "assert fs.try_lock(lock)\nprint('locked', flush=True)\nsys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(fs.__file__)))}
    command = [sys.executable, "-c", program, str(tmp_path / "lock")]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"locked\n"
        lock = os.open(tmp_path / "lock", os.O_RDWR)
        assert not fs.try_lock(lock)
        child.kill()
        child.wait()
        assert fs.try_lock(lock)
    assert fs.is_at(lock, str(tmp_path / "lock"))
    os.rename(tmp_path / "lock", tmp_path / "elsewhere")
    assert not fs.is_at(lock, str(tmp_path / "lock"))
    os.unlink(tmp_path / "elsewhere")
    assert not fs.is_at(lock, str(tmp_path / "elsewhere"))
    os.close(lock)


def test_remove_directory(tmp_path: Path) -> None:
    """Only an empty directory is removed; one that is gone already is gone."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "file").touch()
    assert not fs.remove_directory(str(tmp_path / "a"))
    assert fs.remove_directory(str(tmp_path / "a" / "b"))
    assert fs.remove_directory(str(tmp_path / "a" / "b"))
    assert not fs.remove_directory(str(tmp_path / "file"))


@needs_root
def test_a_full_disk_is_an_error_and_no_half_file(tmp_path: Path) -> None:
    """On a full file system writing beside fails, and the file of before is untouched."""
    program = (
        "import os, sys\nfrom jollyae.spool import fs\nos.chdir(sys.argv[1])\n"
        "fs.write_beside('./note', b'old')\n"
        "try: fs.write_beside('./note', bytes(2000000))\n"
        "except OSError as error: assert error.errno == 28\n"
        "else: raise SystemExit('it fitted')\n"
        "assert os.listdir('.') == ['note'] and open('note').read() == 'old'"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(os.path.dirname(fs.__file__)))}
    shell = f"mount -t tmpfs -o size=1m none '{tmp_path}' && exec '{sys.executable}' -c \"$0\" '{tmp_path}'"
    command = [*mount_namespace(), "sh", "-c", shell, program]
    subprocess.run(command, env=environment, check=True)


def test_beneath_makes_what_is_missing(tmp_path: Path, observed: list[tuple[str, str]]) -> None:
    """The directories of a path are made where they are asked for; errors tell the path as it was given."""
    root = str(tmp_path)
    with pytest.raises(FileNotFoundError), fs.beneath(root, "a/b/f"):
        pytest.fail("not reached")
    (tmp_path / "f").write_text("x")
    with fs.beneath(root, "a/b/f", make=True) as path:
        fs.rename(str(tmp_path / "f"), path)
    assert (tmp_path / "a/b/f").read_text() == "x"
    assert [operation for operation, _ in observed] == ["mkdir", "mkdir", "rename"]
    with pytest.raises(FileNotFoundError) as caught, fs.beneath(root, "a/b/gone") as path:
        os.lstat(path)
    assert caught.value.filename == f"{root}/a/b/gone"
    with fs.beneath(root, "f") as path:
        assert path == f"{root}/f"
