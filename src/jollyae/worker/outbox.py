"""The outbox: a message about each delivered item, put into spools of their own before the item is retired.

Acknowledged → receipt → message → retire. A crash before the last step repeats the message, under the same name (the
delivery id), so at least one is there for each delivered item, and a repeat can be told. Messages are on the disk when
the item goes: a power cut that brought them to nothing could not be told from a delivery nobody asked about.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from ..spool import fs
from ..spool.places import Places
from .retry import describe

FSYNCS = 8
"""Files that are brought to the disk at a time: a journal commits together what waits for it. Of 64 small files on ext4
some 1,600 a second arrived one by one, and 3,500 so."""

Receipt = dict[str, Any]
Ended = Callable[[OSError | None], None]


class Outbox:
    """Puts messages into the ``spools``, as ``DELIVERYID.json``. ``message(receipt)``: the bytes of one. ``within``: a
    directory above the spools that is never made: one that was moved away shall not come to life again."""

    def __init__(self, spools: Sequence[Places], message: Callable[[Receipt], bytes], within: str) -> None:
        self._spools = tuple(spools)
        self._message = message
        self._within = within
        self._thread: ThreadPoolExecutor | None = None
        self._disk: ThreadPoolExecutor | None = None

    def begin(self, receipts: Sequence[Receipt], ended: Ended) -> None:
        """:meth:`write` in a thread, so that the event loop is not held; then ``ended(error or None)`` on the loop."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")

        def over(done: "asyncio.Future[OSError | None]") -> None:
            if not done.cancelled():
                ended(done.result())

        asyncio.get_running_loop().run_in_executor(self._thread, self.attempt, receipts).add_done_callback(over)

    def attempt(self, receipts: Sequence[Receipt]) -> OSError | None:
        """:meth:`write`; the error, where there was one. Whatever goes wrong, no item may be retired unannounced."""
        try:
            self.write(receipts)
        except OSError as error:
            return error
        except Exception as error:
            return OSError(errno.EIO, f"a message cannot be made: {describe(error)}")
        return None

    def write(self, receipts: Sequence[Receipt]) -> None:
        """One message for each receipt into each spool, whole and on the disk on return: one fsync for each file, and
        one for each directory. One that is still queued under its name is left as it is. Raises :class:`OSError`; all
        may be written again then."""
        messages = {f"{receipt['id']}.json": self._message(receipt) for receipt in receipts}
        for places in self._spools:
            _put(places, messages, self._within, self._fsync)

    def _fsync(self, descriptors: list[int]) -> None:
        if len(descriptors) < 2:
            for descriptor in descriptors:
                fs.fsync(descriptor)
            return
        if self._disk is None:
            self._disk = ThreadPoolExecutor(FSYNCS, thread_name_prefix="fsync")
        waiting = [self._disk.submit(fs.fsync, one) for one in descriptors]
        wait(waiting)  # for all: their descriptors are closed after this
        for one in waiting:
            one.result()

    def close(self) -> None:
        """No more messages; one that is being written is not waited for."""
        for threads in (self._thread, self._disk):
            if threads is not None:
                threads.shutdown(wait=False, cancel_futures=True)


Fsync = Callable[[list[int]], None]


def _put(places: Places, messages: dict[str, bytes], within: str, fsync: Fsync) -> None:
    incoming = str(places.incoming)
    missing = {name: data for name, data in messages.items() if not os.path.lexists(f"{incoming}/{name}")}
    drafts: dict[str, str] = {}
    try:
        _draft(places, missing, drafts, within, fsync)
        for name, path in drafts.items():
            with suppress(FileExistsError):  # another worker's message about the same delivery
                fs.move(path, f"{incoming}/{name}", within=within)
    finally:
        for path in drafts.values():
            if os.path.lexists(path):  # it was not moved
                with suppress(OSError):
                    fs.discard(path)
    fs.fsync_directory(incoming)


def _draft(places: Places, messages: dict[str, bytes], drafts: dict[str, str], within: str, fsync: Fsync) -> None:
    """Write the messages to files in ``tmp/``, on the disk on return; ``drafts`` gets their paths. All are written
    before the first is waited for: the disk can take them together then."""
    descriptors = []
    try:
        for name, data in messages.items():
            path = fs.temporary_name(str(places.tmp))
            descriptors.append(_create(path, within))
            drafts[name] = path
            fs.write_all(descriptors[-1], data)
        fsync(descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)  # who has it open for writing would keep it from being taken


def _create(path: str, within: str) -> int:
    try:
        return fs.create(path)
    except FileNotFoundError:  # somebody removed all of a target, to be rid of its backlog
        fs.make_parent(path, within)
        return fs.create(path)
