"""A worker on a full tmpfs, as the dashboard sees it; the program of test_a_full_disk_is_told. Prints what it said."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from jollyae import Item, Rules, Spool, Worker
from jollyae.service.observing.status import look
from jollyae.web.model import Dashboard, QueueView
from jollyae.web.queue import Queue


async def _life(root: Path) -> None:
    spool = Spool(root / "spool")
    dashboard = Dashboard([Queue("q", spool)])
    worker = Worker(spool, _deliver, Rules(settle=0))
    task = asyncio.ensure_future(worker.serve())
    said = [await _until(dashboard, lambda seen: seen.workers and seen.workers[0].seen and seen.level == "ok")]
    with (root / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    for number in range(20):
        os.link(root / "filler", spool.places.incoming / f"{number}")  # takes an inode's name and no room
    said.append(await _until(dashboard, lambda seen: seen.reason == "full" and bool(seen.pauses)))
    text = look(spool)["why"]
    os.truncate(root / "filler", 0)
    said.append(await _until(dashboard, lambda seen: seen.level == "ok" and seen.place("finished").items == 20))
    worker.stop()
    await task
    dashboard.close()
    print(json.dumps({"levels": [one.level for one in said], "sentence": said[1].sentence, "status": text}))


async def _until(dashboard: Dashboard, is_so: Any) -> QueueView:
    for _ in range(300):
        seen = await asyncio.to_thread(dashboard.look, "q")
        if is_so(seen):
            return seen
        await asyncio.sleep(0.1)
    raise AssertionError(seen)


async def _deliver(item: Item) -> dict[str, Any]:
    return {"url": f"x://{item.name}"}


if __name__ == "__main__":
    asyncio.run(_life(Path(sys.argv[1])))
