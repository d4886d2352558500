"""Buffers for the parts of large files, used again: memory that is new must be cleared by the kernel first."""


class Buffers:
    """Keeps a few buffers of one size while somebody works with them. For the event loop's thread only.

    >>> buffers = Buffers(2)
    >>> with buffers:
    ...     first = buffers.take(8)
    ...     buffers.give(first)
    ...     buffers.take(8) is first
    True
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._free: list[bytearray] = []
        self._users = 0

    def __enter__(self) -> "Buffers":
        self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        if self._users == 0:
            self._free.clear()

    def take(self, size: int) -> bytearray:
        """A buffer of ``size`` bytes, whatever is in it."""
        for index, buffer in enumerate(self._free):
            if len(buffer) == size:
                return self._free.pop(index)
        return bytearray(size)

    def give(self, buffer: bytearray) -> None:
        """Give one back that nobody uses any more, no thread either."""
        if self._users and len(self._free) < self._most:
            self._free.append(buffer)
