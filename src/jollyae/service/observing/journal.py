"""The receipts read backwards, the newest first, over all files of all workers: a merge that opens a file only when its
turn comes and can be left and gone on with at any place, so that nothing is read that is not needed."""

import heapq
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from ...worker import receipts

_BLOCK = 1 << 16
_TICK = 1.0  # seconds: a file's modification time may lag behind what is in it
_FINISHED = b'"finished":"'

moment = receipts.moment


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A receipt's place in the order: by ``finished`` (as the receipt has it), then file and offset."""

    finished: str
    file: str
    offset: int


@dataclass(slots=True)
class Reader:
    """The receipts in ``directory`` before the position ``before`` and finished at ``until`` at the latest (a
    :func:`moment`; '' for no bound), as (position, line), the latest first. Each file's are in the order of their
    lines, which is that of time unless the clock was set. ``needle``: lines without these bytes (in lower case) are
    passed over where that is quick; some are given all the same, to show how far it is. ``read``: bytes so far. Raises
    :class:`OSError` where the directory cannot be read."""

    directory: str
    before: Position | None = None
    until: str = ""
    needle: bytes = b""
    read: int = 0
    _files: list[tuple[str, str, int]] = field(default_factory=list)

    def lines(self) -> Iterator[tuple[Position, bytes]]:
        """Them."""
        found = receipts.files(self.directory)
        self._files = [(moment(mtime_ns / 1e9 + _TICK), name, size) for mtime_ns, name, _, size in found]
        upper = min(filter(None, (self.until, self.before.finished if self.before else "")), default="")
        heads: list[tuple[_Descending, bytes, Iterator[tuple[Position, bytes]]]] = []
        while True:
            while self._files and (not heads or self._files[-1][0] >= heads[0][0].position.finished):
                _, name, size = self._files.pop()
                self._push(heads, self._backwards(name, size, upper))
            if not heads:
                return
            head, line, rest = heapq.heappop(heads)
            yield head.position, line
            self._push(heads, rest)

    def _push(
        self,
        heads: "list[tuple[_Descending, bytes, Iterator[tuple[Position, bytes]]]]",
        rest: Iterator[tuple[Position, bytes]],
    ) -> None:
        for position, line in rest:
            if self._is_wanted(position):
                heapq.heappush(heads, (_Descending(position), line, rest))
                return

    def _is_wanted(self, position: Position) -> bool:
        if self.until and position.finished > self.until:
            return False
        return self.before is None or position < self.before

    def _backwards(self, name: str, size: int, upper: str) -> Iterator[tuple[Position, bytes]]:
        """The lines of a file from the last that may be wanted."""
        with suppress(OSError), open(os.path.join(self.directory, name), "rb", buffering=0) as file:
            descriptor = file.fileno()
            end = self._end(descriptor, size, upper) if upper else size
            tail = b""
            while end > 0:
                start = max(end - _BLOCK, 0)
                block = os.pread(descriptor, end - start, start) + tail
                self.read += end - start
                lines = block.split(b"\n")
                tail = lines[0]  # its begin is in the block before
                offset = start + len(block)
                if self.needle and self.needle not in block.lower():
                    offset = start + len(tail) + 1 + len(lines[1]) if len(lines) > 1 else 0
                    del lines[2:]
                for line in reversed(lines[1:]):
                    offset -= len(line)
                    if line:
                        yield Position(finished(line), name, offset), line
                    offset -= 1
                end = start
                if len(tail) > (1 << 20):
                    return  # no line of ours
            if tail:
                yield Position(finished(tail), name, 0), tail

    def _end(self, descriptor: int, size: int, upper: str) -> int:
        """An offset behind the last line that was finished at ``upper``, found by halving."""
        low, high = 0, size
        while high - low > 2 * _BLOCK:
            middle = (low + high) // 2
            _, _, rest = os.pread(descriptor, _BLOCK, middle).partition(b"\n")
            self.read += _BLOCK
            line, is_whole, _ = rest.partition(b"\n")
            if is_whole and finished(line) > upper:
                high = middle
            elif is_whole:
                low = middle
            else:
                break
        whole = os.pread(descriptor, _BLOCK, high)
        cut = whole.find(b"\n")
        return min(high + cut + 1 if cut >= 0 else high + len(whole), size)


@dataclass(frozen=True, slots=True)
class _Descending:
    position: Position

    def __lt__(self, other: "_Descending") -> bool:
        return other.position < self.position


def finished(line: bytes) -> str:
    """When the receipt of this line was finished, as it is written; '' where it does not say.

    >>> finished(b'{"id":"a","finished":"2026-11-22T10:00:00.000000Z"}')
    '2026-11-22T10:00:00.000000Z'
    """
    at = line.rfind(_FINISHED)
    if at < 0:
        return ""
    begin = at + len(_FINISHED)
    return line[begin : line.find(b'"', begin)].decode("ascii", "replace")
