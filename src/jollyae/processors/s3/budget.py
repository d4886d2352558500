"""How many bytes of bodies may be in memory at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """Bytes that are lent in the order of asking; who asks for more than there is gets all, alone."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._asking = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Have ``size`` bytes for the length of a block."""
        await self.take(size)
        try:
            yield
        finally:
            self.give(size)

    def take_now(self, size: int) -> bool:
        """Have ``size`` bytes if they are there and nobody waits; whether that is so. They must be given back then."""
        if self._used + size > self._total or self._asking:
            return False
        self._used += size
        return True

    async def take(self, size: int) -> None:
        """Have ``size`` bytes, or wait for them. Each must be given back."""
        size = min(size, self._total)
        self._asking += 1
        try:
            async with self._turn:  # the first in line waits for room, the others behind it: a large one is not starved
                while self._used + size > self._total:
                    self._freed.clear()
                    await self._freed.wait()
                self._used += size
        finally:
            self._asking -= 1

    def give(self, size: int) -> None:
        """Give ``size`` bytes back that were taken."""
        self._used -= size if size < self._total else self._total
        if self._asking:
            self._freed.set()
