"""The one gate to the file system: every rename, link, unlink, lock and fsync of an item passes here.

Promises: no function overwrites a file that it did not itself write (:func:`rename` refuses, :func:`replace` and
:func:`write_beside` are for our own files only); a failed fsync is raised and never tried again, because the kernel
forgets the error with the first report and the second says OK over lost bytes (seen on ext4 and xfs).

``observer`` is for tests: it is called with the operation's name and path before each change of state, so a test can
stop the program at the n-th, or make it fail.
"""

import ctypes
import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

observer: Callable[[str, str], None] | None = None

_AT_FDCWD = -100  # Linux, fcntl.h
_RENAME_NOREPLACE = 1  # Linux, linux/fs.h
_RENAME_EXCL = 4  # macOS, stdio.h
_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_COPY_CHUNK = 1 << 20
_DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)  # O_PATH: without the right to read it
_DESCRIPTORS = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else ""
_ENCODING, _ERRORS = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()  # what os.fsencode uses


def _about_to(operation: str, path: str) -> None:
    if observer is not None:
        observer(operation, path)


def _native_rename() -> Callable[[bytes, bytes], int] | None:
    """The kernel's rename that refuses to replace, as a function that returns 0 or -1, or None where there is none."""
    library = ctypes.CDLL(None, use_errno=True)
    # No argtypes: what ctypes takes bytes and int for is right, and to convert them by types takes longer.
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        renamex = library.renamex_np
        return lambda source, target: renamex(source, target, _RENAME_EXCL)  # type: ignore[no-any-return]
    if hasattr(library, "renameat2"):
        renameat2 = library.renameat2
        return lambda source, target: renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE)
    return None


_rename = _native_rename()


def rename(source: str, target: str, *, ours: bool = False) -> None:
    """Rename, atomically and never over an existing name. ``ours``: nobody else makes names in the target's directory.

    Raises :class:`FileExistsError` (the target is taken), :class:`FileNotFoundError` (the source is gone or the
    target's parent is not there), and any other :class:`OSError` of rename(2).
    """
    if observer is not None:
        observer("rename", source)
    if _rename is not None:
        if _rename(source.encode(_ENCODING, _ERRORS), target.encode(_ENCODING, _ERRORS)) == 0:
            return
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code), source, None, target)
    # The file system does not know the flag (NFS, old kernels).
    if ours:
        # Of two workers that link one source to two names both would have it; of two that rename it, one.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
        os.rename(source, target)
        return
    # link(2) refuses a taken name as well; a crash between the two leaves one file under two names, which move()
    # recognises by its inode and heals.
    os.link(source, target, follow_symlinks=False)
    _unlink_source(source)


def move(source: str, target: str, *, ours: bool = False, within: str = "") -> None:
    """:func:`rename`, and what a spool needs besides: the target's parents are made when they are missing
    (:func:`make_parent`, for ``within`` too), and a move that a power cut left half done (both names, one inode: seen
    on btrfs) is finished by removing the source.

    Raises :class:`FileNotFoundError` when the source is gone (the race is lost), :class:`FileExistsError` when another
    file has the target name, :class:`NotADirectoryError` when a file stands where a directory must be.
    """
    try:
        rename(source, target, ours=ours)
    except FileNotFoundError:
        make_parent(target, within)
        rename(source, target, ours=ours)
    except FileExistsError:
        if not same_file(source, target):
            raise
        _unlink_source(source)


def _unlink_source(source: str) -> None:
    """The second half of a move. Whatever goes wrong with it, it is not that the target's name is taken: whoever heard
    that would move the item to yet another name, and it would be in both. Nor is it that the source was not there: on
    NFS that is said where the first answer was lost, and the target is ours already."""
    try:
        _about_to("unlink", source)
        os.unlink(source)
    except FileNotFoundError:
        if is_there(source):
            raise
    except FileExistsError as error:
        raise OSError(errno.EIO, "cannot be removed: " + os.strerror(errno.EEXIST), source) from error


def look(path: str) -> os.stat_result | None:
    """What has this name, as the server has it, None where nothing has: opening its directory makes a client of NFS
    ask; by itself it goes on for a while to see what it has just been told is not there (seen). Raises
    :class:`OSError` where that cannot be told."""
    with suppress(OSError):
        os.close(os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ESTALE:  # its directory is gone
            return None
        raise


def is_there(path: str) -> bool:
    """Whether the name is there, as the server has it."""
    return look(path) is not None


@contextmanager
def beneath(root: str, name: str, *, make: bool = False) -> Iterator[str]:
    """A path to the file ``name`` below ``root``, for the length of the block, that never leaves ``root``: the
    directories in ``name`` belong to others, who could put a symbolic link into the place of one at any instant, and
    have us read or move what is theirs elsewhere. They are opened one by one and no link is followed; what is renamed
    to or from this path is in those very directories. ``make``: make those that are missing.

    Raises :class:`FileNotFoundError` for a directory that is missing, :class:`NotADirectoryError` for what is none
    (a symbolic link). Errors of the block name the file as the spool does. Where there is no /proc (macOS), links are
    looked for and not locked out.
    """
    path = f"{root}/{name}"
    parent, _, last = name.rpartition("/")
    if not parent:
        yield path
        return
    descriptor = _open_beneath(root, parent.split("/"), make=make)
    try:
        yield f"{_DESCRIPTORS}/{descriptor}/{last}" if _DESCRIPTORS else path
    except OSError as error:
        if str(error.filename).startswith(f"{_DESCRIPTORS}/"):
            error.filename = path
        raise
    finally:
        os.close(descriptor)


def _open_beneath(root: str, parts: list[str], *, make: bool) -> int:
    descriptor = os.open(root, _DIRECTORY)
    for part in parts:
        try:
            inner = _open_inner(descriptor, part, make=make)
        finally:
            os.close(descriptor)
        descriptor = inner
    return descriptor


def _open_inner(directory: int, name: str, *, make: bool) -> int:
    try:
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except FileNotFoundError:
        if not make:
            raise
    _about_to("mkdir", name)
    with suppress(FileExistsError):  # made by somebody else this instant
        os.mkdir(name, dir_fd=directory)
    return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)


def make_parent(path: str, within: str = "") -> None:
    """Make the directory that ``path`` needs, with its parents. ``within``: the directory above that must be there; it
    is not made: a spool that was moved away must not come to life again, empty, at its old place. Raises
    :class:`FileNotFoundError` where it is missing, and :class:`NotADirectoryError` where a file is in the way."""
    parent = os.path.dirname(path)
    _about_to("mkdir", parent)
    if within and not os.path.isdir(within):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), within)
    missing = []  # not by recursion: a path may have more components than Python's stack has room
    while not os.path.isdir(parent):
        missing.append(parent)
        parent = os.path.dirname(parent)
    for directory in reversed(missing):
        try:
            os.mkdir(directory)
        except FileExistsError as error:  # perhaps made by somebody else this instant
            if not os.path.isdir(directory):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), directory) from error


def same_file(first: str, second: str) -> bool:
    """Whether both names are one file (device and inode); False when either is missing."""
    try:
        one, two = os.lstat(first), os.lstat(second)
    except FileNotFoundError:
        return False
    return (one.st_dev, one.st_ino) == (two.st_dev, two.st_ino)


def unlink(path: str) -> None:
    """Remove a name that must be there."""
    _about_to("unlink", path)
    os.unlink(path)


def discard(path: str) -> None:
    """Remove a name of our own if it is there."""
    with suppress(FileNotFoundError):
        unlink(path)


def replace(source: str, target: str) -> None:
    """Put our own ``source`` in the place of ``target``, whatever is there: for notes, states, and where the user
    asked for overwriting."""
    _about_to("replace", target)
    os.replace(source, target)


def fsync(descriptor: int) -> None:
    """Return when the file's bytes are on the disk (on macOS past the drive's cache too). Errors are final: the caller
    must not believe a second call."""
    _about_to("fsync", str(descriptor))
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    os.fsync(descriptor)


def fsync_directory(path: str) -> None:
    """Return when the names in the directory ``path`` are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_name(directory: str) -> str:
    """A new name in ``directory`` that is never an item (a dotfile)."""
    return f"{directory}/.jollyae-{os.urandom(8).hex()}.tmp"


def create(path: str, mode: int = 0o666) -> int:
    """Make a new file and return its descriptor, open for reading and writing. A taken name is an error."""
    _about_to("create", path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of ``data``; a short write goes on, an error is raised."""
    view = memoryview(data)
    while view:
        _about_to("write", str(descriptor))
        view = view[os.write(descriptor, view) :]


def append(path: str, data: bytes) -> None:
    """Add ``data`` at the end of our own small file that nobody depends on; it is made where it is missing."""
    _about_to("create", path)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o666)
    try:
        write_all(descriptor, data)
    finally:
        os.close(descriptor)


def rewrite(descriptor: int, data: bytes) -> None:
    """Make ``data`` the whole content of our own small file that nobody depends on; a reader may see half of it."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    write_all(descriptor, data)


def overwrite(path: str, data: bytes) -> None:
    """Write ``data`` over the beginning of our own small file, and spaces over the rest: what a full disk still lets. A
    reader may see half of it. Raises :class:`OSError`, also where the file has less room than that."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if len(data) > max(found.st_size, found.st_blocks * 512):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        write_all(descriptor, data.ljust(found.st_size))
    finally:
        os.close(descriptor)


def rewrite_in_place(path: str, data: bytes) -> None:
    """Write ``data`` over the beginning of our own small file, made where it is missing, and have it on the disk, or at
    the server, on return. What is written over needs no room; a reader may see half of it. Raises :class:`OSError`."""
    _about_to("write", path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, data, 0)
        fsync(descriptor)
    finally:
        os.close(descriptor)


def write_beside(path: str, data: bytes, *, mtime: float | None = None, durable: bool = False) -> None:
    """Write ``data`` to ``path`` by way of a temporary name in the same directory: a reader sees the old or the new
    content and never half of it. ``mtime``: seconds since 1970 the file shall bear. ``durable``: on the disk on return.
    For our own files: an existing one is replaced."""
    directory = os.path.dirname(path)
    temporary = temporary_name(directory)
    descriptor = create(temporary)
    try:
        try:
            write_all(descriptor, data)
            if mtime is not None:
                os.utime(descriptor, (mtime, mtime))
            if durable:
                fsync(descriptor)
        finally:
            os.close(descriptor)
        replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            discard(temporary)
        raise
    if durable:
        fsync_directory(directory)


def copy(source: int, target: int) -> int:
    """Copy everything from descriptor ``source`` (from its beginning, its offset unmoved) to ``target``; the bytes
    copied. A file that grows meanwhile is followed to its end."""
    offset = 0
    while data := os.pread(source, _COPY_CHUNK, offset):
        write_all(target, data)
        offset += len(data)
    return offset


def copy_move(source: str, target: str, *, within: str = "") -> None:
    """:func:`move` between file systems: copy, fsync, compare, publish, fsync, unlink. The explicit copy mode.

    A crash before the last step leaves the item in both places; it is then delivered twice, the second time to the
    same object. Modification time and mode are kept. Raises as :func:`move`, and :class:`OSError` when the copy
    differs.
    """
    origin = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    temporary = ""
    try:
        before = os.fstat(origin)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "only regular files can be copied between file systems", source)
        make_parent(target, within)
        temporary = temporary_name(os.path.dirname(target))
        descriptor = create(temporary, stat.S_IMODE(before.st_mode))
        try:
            copied = copy(origin, descriptor)
            os.utime(descriptor, ns=(before.st_mtime_ns, before.st_mtime_ns))
            fsync(descriptor)
            after = os.fstat(origin)
            if copied != before.st_size or not unchanged(before, after) or not _equal(origin, descriptor):
                raise OSError(errno.EIO, "the copy differs from the file", source)
        finally:
            os.close(descriptor)
        rename(temporary, target)
        fsync_directory(os.path.dirname(target))
        unlink(source)
    except BaseException:
        if temporary:
            with suppress(OSError):
                discard(temporary)
        raise
    finally:
        os.close(origin)


def _equal(first: int, second: int) -> bool:
    offset = 0
    while True:
        one = os.pread(first, _COPY_CHUNK, offset)
        if one != os.pread(second, _COPY_CHUNK, offset):
            return False
        if not one:
            return True
        offset += len(one)


def unchanged(before: os.stat_result, after: os.stat_result) -> bool:
    """Whether two stats of one file say that nobody wrote to it in between."""
    return (before.st_ino, before.st_size, before.st_mtime_ns) == (after.st_ino, after.st_size, after.st_mtime_ns)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the kernel's lock on an open file, without waiting; False: somebody else has it. It ends with the last copy
    of the descriptor, so with the process, whatever kills it. ``shared``: to see whether somebody has it; NFS refuses
    another lock on what is not open for writing. Raises :class:`OSError` on file systems without locks."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(descriptor: int, path: str) -> Iterator[bool]:
    """Hold the kernel's lock on the file ``path``, open at ``descriptor``, for the length of the block; whether it
    could be had at once. Where a lock needs the right to write (NFS), ``path`` is opened for that. Raises
    :class:`OSError`."""
    with ExitStack() as stack:
        try:
            mine = try_lock(descriptor)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            writable = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            stack.callback(os.close, writable)
            mine = try_lock(writable)
        yield mine


def is_at(descriptor: int, path: str) -> bool:
    """Whether the file open at ``descriptor`` still is the one at ``path``: after waiting for a lock, or getting it at
    once, somebody else may have renamed or removed what was opened."""
    mine = os.fstat(descriptor)
    if mine.st_nlink == 0:
        return False
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def directories_below(directory: str) -> list[str]:
    """All directories below ``directory``, each before the one it lies in."""
    found = [directory]
    for path in found:  # grows as it is walked
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
            found.extend(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    return found[:0:-1]


def remove_directory(path: str) -> bool:
    """Remove the directory if it is empty; whether it is gone."""
    _about_to("rmdir", path)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return False
        raise
    return True
