"""What tests of the spool and the worker share: waiting for conditions, and saying where every item is."""

import asyncio
import base64
import contextlib
import hashlib
import os
import subprocess
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from jollyae import Rules, Spool, Summary, Worker
from jollyae.spool.item import Item
from jollyae.spool.owner import items_below

PATIENCE = 30.0
"""Seconds that a test waits for what must happen."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait until the condition is true; what it returned."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what or condition}"
        time.sleep(0.01)
    return found


async def eventually(condition: Callable[[], Any], what: str = "") -> Any:
    """:func:`until`, on the event loop."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what or condition}"
        await asyncio.sleep(0.01)
    return found


def whereabouts(spool: Spool) -> dict[str, list[str]]:
    """Every item's name, and the places where it is; in working without the worker's directory."""
    found = defaultdict(list)
    for place in ("incoming", "deferred", "finished", "failed"):
        for name in items_below(str(getattr(spool.places, place))):
            found[name].append(place)
    for name in items_below(str(spool.places.working)):
        found[name.partition("/")[2]].append("working")
    return dict(found)


def drop(spool: Spool, name: str, content: bytes | str = b"") -> Path:
    """Put an item into incoming/ as a producer does: by rename; its path."""
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    temporary = spool.places.tmp / f"drop-{os.getpid()}"
    temporary.write_bytes(data)
    target = spool.places.incoming / name
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(temporary, target)
    return target


def once(spool: Spool, process: Callable[[Item], Any], **rules: Any) -> Summary:
    """Run a worker until the spool is drained."""
    return Worker(spool, process, Rules(once=True, **{"settle": 0, **rules})).run()


@contextlib.asynccontextmanager
async def working(spool: Spool, process: Callable[[Item], Any], **rules: Any) -> AsyncIterator[Worker]:
    """A worker that serves during the context and is stopped at its end."""
    worker = Worker(spool, process, Rules(**rules))
    task = asyncio.ensure_future(worker.serve())
    try:
        await eventually(lambda: task.done() or list(spool.places.working.glob("*/.state.json")), "the worker's start")
        yield worker
    finally:
        worker.stop()
        await task


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything, where we have it."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setgroups(groups)


@cache
def private_mounts() -> tuple[str, ...]:
    """The command before one that shall mount something nobody else sees; () where that cannot be had."""
    private = ("unshare", "--mount")
    # In a chroot the first form fails: its root is no mount point. The second is safe only where nothing is shared.
    alone = (*private, "--propagation", "unchanged")
    shared = " shared:" in Path("/proc/self/mountinfo").read_text()
    for command in (private,) if shared else (private, alone):
        if subprocess.run([*command, "true"], check=False, capture_output=True).returncode == 0:
            return command
    return ()


def mount_namespace() -> list[str]:
    """:func:`private_mounts`; skips where there are none."""
    return list(private_mounts()) or pytest.skip("no mount namespaces here")


def tells(receipt: dict[str, Any], body: bytes) -> bool:
    """Whether the receipt has the digest of these bytes; in parts, it may be the one that S3 keeps."""
    if "sha256" in receipt:
        return bool(receipt["sha256"] == hashlib.sha256(body).hexdigest())
    size = receipt.get("part_size", len(body))
    digests = [hashlib.sha256(body[start : start + size]).digest() for start in range(0, len(body), size)]
    composite = f"{base64.b64encode(hashlib.sha256(b''.join(digests)).digest()).decode()}-{len(digests)}"
    return bool(receipt.get("checksum_sha256") == composite)
