"""A worker on a full tmpfs; the program of test_a_full_disk. Prints what became of the items."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from jollyae import Item, Rules, Spool, Worker
from jollyae.worker import receipts


async def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


async def _life(root: Path) -> None:
    spool = Spool(root / "spool")
    worker = Worker(spool, _deliver, Rules(settle=0))
    task = asyncio.ensure_future(worker.serve())
    await asyncio.sleep(0.3)
    for number in range(20):
        (spool.places.incoming / str(number)).touch()
    os.truncate(spool.places.incoming / "0", 0)
    await _fill(root / "filler")
    await asyncio.sleep(2.5)
    assert not os.listdir(spool.places.failed) and len(os.listdir(spool.places.finished)) < 20
    os.unlink(root / "filler")
    while len(os.listdir(spool.places.finished)) < 20:
        await asyncio.sleep(0.05)
    worker.stop()
    await task
    told = {one["name"] for one in receipts.read(spool.places.receipts)}
    print(json.dumps({"finished": len(os.listdir(spool.places.finished)), "receipts": len(told)}))


async def _deliver(item: Item) -> dict[str, Any]:
    await asyncio.sleep(0.5)  # until the disk is full
    return {"text": "x" * 5000}


if __name__ == "__main__":
    asyncio.run(_life(Path(sys.argv[1])))
