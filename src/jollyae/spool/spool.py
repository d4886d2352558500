"""A spool as producers and operators use it: make it, submit to it, pause it, retry what failed."""

import errno
import itertools
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from . import ahead, floor, fs, names, notes, owner, users
from .item import close_file
from .places import Place, Places

PAUSE_FILE = ".paused"
UNREADABLE = "a message of a broker that nobody could read, and no item: look at it, and remove it"
"""What :meth:`Spool.retry` says of one."""


class SpoolError(Exception):
    """The spool cannot be used as it is. ``hint`` says what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Spool:
    """A queue directory.

    ``Spool(path)`` uses the usual places below ``path`` and makes those that are missing (mode 0700); ``places`` gives
    each by itself instead. ``copy`` allows places on several file systems, at the price of copying. Raises
    :class:`SpoolError` when a place cannot be made.

    >>> import tempfile, pathlib
    >>> root = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (root / "report.csv").write_text("a,b")
    >>> spool = Spool(root / "spool")
    >>> spool.submit(root / "report.csv")
    'report.csv'
    >>> (spool.places.incoming / "report.csv").read_text()
    'a,b'
    """

    def __init__(
        self, path: str | Path | None = None, *, places: Places | None = None, make: bool = True, copy: bool = False
    ) -> None:
        if (path is None) == (places is None):
            raise TypeError("give either a path or places")
        self.places = places if places is not None else Places.under(str(path))
        self.copy = copy
        self.made: tuple[Path, ...] = ()
        """The directories that were missing, and were made."""
        if make:
            self.make()

    def __repr__(self) -> str:
        return f"<Spool {self.places.control}>"

    def make(self, mode: int = 0o700) -> None:
        """Make the places that are missing. ``mode`` is for ``tmp`` and ``incoming``, where other users' producers may
        have to write; the spool's own directory gets it without their right to write there (a pause is a file in it);
        the other places are 0700."""
        control = self.places.control
        modes = {control: 0o700 | mode & 0o055, self.places.tmp: mode, self.places.incoming: mode}
        for directory in dict.fromkeys((control, *self.places.all())):
            try:
                directory.mkdir(parents=True)
            except FileExistsError:
                if not directory.is_dir():
                    raise SpoolError(f"{directory} is in the way: it is not a directory") from None
            except OSError as error:
                raise SpoolError(f"cannot make {directory}: {error.strerror}") from error
            else:
                directory.chmod(modes.get(directory, 0o700))
                self.made = (*self.made, directory)

    def missing(self) -> list[Path]:
        """The places that are not there."""
        return [directory for directory in self.places.all() if not directory.is_dir()]

    def prove(self) -> None:
        """Make sure, by doing it, that a file can be renamed through all places, and raise :class:`SpoolError` where
        it cannot. Device numbers prove nothing: bind mounts and subvolumes have one and refuse the rename."""
        self._prove(list(self.places.for_items()))

    def foresee(self) -> None:
        """Refuse what :meth:`make` and :meth:`prove` would, as far as it can be seen before: of a place that is
        missing, whether it can be made, and on which file system. Nothing is made. Raises :class:`SpoolError`."""
        for directory in dict.fromkeys((self.places.control, *self.places.all())):
            if not (there := ahead.deepest(directory)).is_dir():
                raise SpoolError(f"{there} is in the way: it is not a directory")
            try:
                ahead.look(directory)
            except OSError as error:
                raise SpoolError(f"cannot make {directory}: {error.strerror}", hint=users.right_to(there)) from error
        places = list(self.places.for_items())
        self._prove([place for place in places if place.is_dir()])
        for here, there in itertools.pairwise(places):
            is_seen = here.is_dir() and there.is_dir()
            if not is_seen and not self.copy and ahead.device(here) != ahead.device(there):
                raise self._apart(here, there)

    def _prove(self, places: list[Path]) -> None:
        """Move a file through these."""
        if not places:
            return
        name = f".jollyae-{secrets.token_hex(8)}.tmp"
        here = places[0]
        try:
            os.close(fs.create(str(here / name)))
        except OSError as error:
            raise SpoolError(_refused(here, error), hint=_rights_hint(here)) from error
        try:
            for place in places[1:]:
                if place != here:
                    self._prove_move(here, place, name)
                    here = place
        finally:
            with suppress(OSError):
                fs.discard(str(here / name))

    def _prove_move(self, here: Path, there: Path, name: str) -> None:
        try:
            fs.rename(str(here / name), str(there / name))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise SpoolError(_refused(there, error), hint=_rights_hint(there)) from error
            if not self.copy:
                raise self._apart(here, there) from error
            fs.copy_move(str(here / name), str(there / name))

    def _apart(self, here: Path, there: Path) -> SpoolError:
        return SpoolError(
            f"{here} and {there} are on different file systems: items cannot be renamed between them",
            hint=f"Put all places on one file system, e.g. {self._option(here, there)}, "
            "or allow copying with --copy (slower; see docs/verbs/run.md).",
        )

    def _option(self, here: Path, there: Path) -> str:
        """What to give on the command line, for the one of two places that can be given there."""
        given = {str(self.places.of(place)): place.value for place in Place}
        beside, name = (here, given[str(there)]) if str(there) in given else (there, given[str(here)])
        return f"--{name} DIR beside {beside}"

    # --- producers

    def submit(self, file: str | Path | BinaryIO, name: str | None = None) -> str:
        """Copy ``file`` (a path, or something open for reading bytes) into the spool as item ``name`` (default: the
        file's own name); the name. When this returns the item is queued and on the disk; modification time and mode
        are kept. Subdirectories in ``name`` are made.

        Raises :class:`FileExistsError` when ``incoming/`` has that name already, :class:`ValueError` for a name that
        cannot be an item's or would be ignored, :class:`.floor.NoRoom` where the spool's disk is below its floor (or
        would be), :class:`OSError` when the file cannot be read or written whole.
        """
        if name is None:
            if not isinstance(file, str | os.PathLike):
                raise ValueError("what has no name of its own needs one: give name=")
            name = os.path.basename(os.fspath(file))
        check_submittable(name)
        if isinstance(file, str | os.PathLike):
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hold us
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                os.close(descriptor)
                raise OSError(errno.EINVAL, "not a regular file", os.fspath(file))
            with os.fdopen(descriptor, "rb", buffering=0) as source:
                return self._submit(source, name, found)
        return self._submit(file, name, None)

    def _submit(self, source: BinaryIO | object, name: str, found: os.stat_result | None) -> str:
        target = str(self.places.incoming / name)
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "incoming/ has an item of this name", name)
        floor.check(self.places, found.st_size if found is not None else 0)
        temporary = fs.temporary_name(str(self.places.tmp))
        descriptor, reader = fs.create(temporary), -1
        try:
            try:
                reader = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                with suppress(OSError):
                    fs.try_lock(descriptor)  # tells the sweeper that this one is alive
                self._fill(descriptor, source, found)
                fs.fsync(descriptor)
            finally:
                os.close(descriptor)  # who has it open for writing would keep it from being taken
            self._publish(temporary, name, target, reader)
        except BaseException:
            with suppress(OSError):
                fs.discard(temporary)
            raise
        finally:
            close_file(reader)
        return name

    def _publish(self, temporary: str, name: str, target: str, reader: int) -> None:
        try:
            touched = self._touched(target)
            self._queue(temporary, name)
        except FileNotFoundError:  # an empty directory was pruned under our feet
            touched = self._touched(target)
            self._queue(temporary, name)
        try:
            for directory in touched:
                fs.fsync_directory(directory)
        except PermissionError:
            # In a directory of mode 1733 others may make names and not read it, so not open it either. An fsync of the
            # renamed file brings its name to the disk as well (seen on ext4, xfs and btrfs).
            fs.fsync(reader)

    def _fill(self, descriptor: int, source: object, found: os.stat_result | None) -> None:
        while data := source.read(1 << 20):  # type: ignore[attr-defined]
            fs.write_all(descriptor, data)
        if found is None:
            return
        if not fs.unchanged(found, os.fstat(source.fileno())):  # type: ignore[attr-defined]
            raise OSError(errno.EBUSY, "it changed while it was copied")
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
        os.utime(descriptor, ns=(found.st_mtime_ns, found.st_mtime_ns))

    def _touched(self, target: str) -> list[str]:
        """The directories above ``target`` whose names must be brought to the disk, the deepest first: its own, those
        that are missing, and where the first of these will be."""
        parent, root = os.path.dirname(target), str(self.places.incoming)
        touched = [parent]
        while parent != root and not os.path.isdir(parent):
            parent = os.path.dirname(parent)
            touched.append(parent)
        return touched

    def _queue(self, temporary: str, name: str) -> None:
        with fs.beneath(str(self.places.incoming), name, make=True) as target:
            try:
                fs.move(temporary, target)  # not only rename: on NFS a name of our own file may be told to be taken
            except OSError as error:
                if error.errno != errno.EXDEV or not self.copy:
                    raise
                fs.copy_move(temporary, target)

    # --- operators

    def pause(self, reason: str = "") -> None:
        """Stop all workers of this spool from taking items, until :meth:`resume` or until the file is removed. What is
        being sent is finished. Where there is a pause and no reason is given, the first one's is kept."""
        if not reason and self.paused() is not None:
            return
        text = (reason or "no reason given").strip() + "\n"
        path = str(self.places.control / PAUSE_FILE)
        try:
            fs.write_beside(path, text.encode(errors="surrogateescape"))
        except OSError as error:
            if error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, path) from error  # a full disk names no file

    def resume(self) -> bool:
        """End a pause; whether there was one."""
        was = self.paused() is not None
        fs.discard(str(self.places.control / PAUSE_FILE))
        return was

    def paused(self) -> str | None:
        """The reason of the pause by hand; None if there is none."""
        try:
            return (self.places.control / PAUSE_FILE).read_text(errors="replace").strip() or "no reason given"
        except FileNotFoundError:
            return None
        except OSError as error:  # there is one, whatever it holds
            return f"its file cannot be read: {error.strerror}"

    def retry(self, wanted: Iterable[str] | None = None, place: Place | None = None) -> Iterator[tuple[str, str]]:
        """Put failed items back into ``incoming/`` under their first names, and make deferred ones due now: the named
        ones, or all (None). ``place``: only those in failed/, or only those in deferred/. Yields each name and what
        became of it: 'retried', or why not (:data:`UNREADABLE`: it is no item)."""
        for name in self._retriable() if wanted is None else wanted:
            yield name, self._retry(name, place)
        self.wake()

    def wake(self) -> None:
        """Make the workers look at the spool again."""
        with suppress(OSError):
            os.utime(self.places.control)

    def _retriable(self) -> list[str]:
        found = (owner.items_below(str(place)) for place in (self.places.failed, self.places.deferred))
        return sorted(dict.fromkeys(name for one in found for name in one))

    def _retry(self, name: str, place: Place | None) -> str:
        if names.why_impossible(name):
            return f"not a name: {names.why_impossible(name)}"
        if place is not Place.FAILED and os.path.lexists(deferred := str(self.places.deferred / name)):
            try:
                notes.make_due(deferred)
            except OSError as error:
                return f"it stays in deferred/: {error.strerror}"
            return "retried"
        where = "failed/ or deferred/" if place is None else f"{place}/"
        if place is Place.DEFERRED:
            return f"no such item in {where}"
        failed = str(self.places.failed / name)
        try:
            found = os.lstat(failed)
        except (FileNotFoundError, NotADirectoryError):
            return f"no such item in {where}"
        except OSError as error:
            return f"it stays in failed/: {error.strerror}"
        note = notes.read(failed, found)
        if note is not None and note.is_message:
            return UNREADABLE
        first = names.decode(note.name) if note else name
        if names.why_impossible(first):
            first = name  # not a note of ours
        try:
            with fs.beneath(str(self.places.of(Place.INCOMING)), first, make=True) as target:
                if note is not None and note.source:
                    _bring_source(note, first, found, target)
                self._move_back(failed, target)
        except FileExistsError:
            return f"incoming/ has an item named {names.show(first)} now: it stays in failed/"
        except OSError as error:
            if not os.path.lexists(failed):
                return f"no such item in {where}"  # somebody else retried it at this moment
            return f"it stays in failed/: {error.strerror}"
        with suppress(OSError):  # it is back; the note is litter now
            notes.forget(failed)
        return "retried"

    def _move_back(self, failed: str, target: str) -> None:
        try:
            fs.move(failed, target)
        except OSError as error:
            if error.errno != errno.EXDEV or not self.copy:
                raise
            fs.copy_move(failed, target)


def _bring_source(failed: notes.Note, name: str, found: os.stat_result, target: str) -> None:
    """What a broker told of it goes with it; all else begins anew. Raises :class:`FileExistsError` where the name is
    taken: the note that is there may be another item's."""
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)
    note = notes.about(name, found)
    note.source, note.started = failed.source, True
    notes.write(target, note)


def check_submittable(name: str) -> None:
    """Raise :class:`ValueError` for a name that cannot be an item's, or that every worker would ignore."""
    if reason := names.why_impossible(name):
        raise ValueError(f"{names.show(name)!r} cannot be an item's name: {reason}")
    if names.is_ignored(name):
        raise ValueError(
            f"{names.show(name)!r} would be ignored: dotfiles and unfinished files (.part, .tmp, …) are no items"
        )


def _refused(place: Path, error: OSError) -> str:
    return f"cannot move files into {place}: {error.strerror}"


def _rights_hint(place: Path) -> str:
    try:
        place.stat()
    except FileNotFoundError:
        return f"Make it: mkdir -p {place}"
    except OSError:
        return ""
    return users.whose(place)
