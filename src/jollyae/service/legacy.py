"""The 2016 program's directories and options, carried out by today's engine."""

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..processors.keys import KeyTemplate
from ..spool.item import Item
from ..spool.outcomes import Permanent
from ..spool.places import Places
from ..worker.rules import OnDone, OnFail, Rules
from ..worker.summary import Summary
from ..worker.telling import warn
from . import compose
from .deliveries import Destination
from .settings import Settings
from .units import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """The old options, by their long names."""

    bucket: str | None
    acl: str | None
    no_upload: bool
    random_no_upload_fail: float
    src: str | None
    dest: str | None
    interim: str | None
    fail: str | None
    remove: bool
    remove_failed: bool
    verbose: bool


def problems(old: Old) -> list[str]:
    """What is wrong with the options, as the old program saw it."""
    found = []
    if not old.src:
        found.append("need a source directory (-s)")
    if old.dest and old.remove:
        found.append("both a destination (-d) and deletion (-r): to delete, use -i instead of -d")
    if not old.dest and not (old.interim and old.remove):
        found.append("need a destination (-d), or an interim directory and deletion (-i, -r)")
    if old.fail and old.remove_failed:
        found.append("both a directory for failures (-f) and their deletion (-R)")
    if not old.no_upload and not old.bucket:
        found.append("need a bucket (-b)")
    if old.no_upload and old.remove and not old.random_no_upload_fail:
        found.append("no upload (-n) and deletion (-r): use rm")
    given = {"source": old.src, "interim": old.interim, "destination": old.dest, "failure": old.fail}
    found += [
        f"the {what} path {path} is not a directory" for what, path in given.items() if path and not os.path.isdir(path)
    ]
    return found + _same(old)


def _same(old: Old) -> list[str]:
    pairs = [
        ("interim", old.interim, "destination", old.dest),
        ("interim", old.interim, "source", old.src),
        ("destination", old.dest, "source", old.src),
    ]
    return [
        f"the {one} directory is the same as the {two}"
        for one, first, two, second in pairs
        if first and second and os.path.realpath(first) == os.path.realpath(second)
    ]


def places(old: Old) -> Places:
    """Where everything is: what the old program did not know is in dot directories of the interim directory."""
    interim = Path(old.interim).absolute() if old.interim else Path(str(old.dest)).absolute() / ".working"
    failed = None if fails_wait(old) else old.fail
    return Places(
        incoming=Path(str(old.src)).absolute(),
        working=interim,
        deferred=interim / ".deferred",
        finished=Path(old.dest).absolute() if old.dest else interim / ".finished",
        failed=Path(failed).absolute() if failed else interim / ".failed",
        tmp=interim / ".tmp",
        receipts=interim / ".receipts",
        control=interim,
    )


def fails_wait(old: Old) -> bool:
    """Whether the source is where failures go, so that they are to be tried again."""
    return bool(old.fail and old.src) and os.path.realpath(str(old.fail)) == os.path.realpath(str(old.src))


def rules(old: Old) -> Rules:
    """How the worker shall work."""
    on_fail = OnFail.DEFER if fails_wait(old) else OnFail.DELETE if old.remove_failed else OnFail.KEEP
    return Rules(on_done=OnDone.DELETE if old.remove else OnDone.KEEP, on_fail=on_fail)


def run(old: Old) -> Summary:
    """Work until told to stop. Raises as :func:`compose.run`."""
    spool = compose.spool(places(old))
    if not old.no_upload:
        on_done = "delete" if old.remove else "keep"
        where = compose.destination(Settings(to=f"s3://{old.bucket}", acl=old.acl, on_done=on_done))
        return compose.work(spool, where, rules(old))
    pretence = Pretence(old.bucket or "nowhere", old.random_no_upload_fail)
    name = f"s3://{pretence.bucket} (not really)"
    summary = compose.work(spool, Destination(name, pretence, pretence.url), rules(old))
    warn(f"no upload: {counted(summary.delivered, 'item')} only moved", "")
    return summary


class Pretence:
    """A processor that uploads nothing, says so in every receipt, and fails with probability ``chance``."""

    def __init__(self, bucket: str, chance: float) -> None:
        self.bucket = bucket
        self._chance = chance
        self._template = KeyTemplate()

    def url(self, name: str, mtime: float) -> str:
        """Where an item would have gone."""
        return f"s3://{self.bucket}/{self._template.key(name, mtime)}"

    async def __call__(self, item: Item) -> dict[str, Any]:
        """Pretend."""
        if random.random() < self._chance:
            raise Permanent("no upload: a random failure, as was asked for")
        return {"url": self.url(item.name, item.mtime), "upload": False}
