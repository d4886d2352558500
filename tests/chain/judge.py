"""What came of it, asked of the disks, the store, the broker and the gateway's own log; and the sweep by which the
announcements of a store are made whole.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus

from jollyae import Spool
from jollyae.spool.owner import items_below
from tests.chain.broker import AWAY
from tests.chain.chain import Chain, md5

SUFFIX = ".sha256"


@dataclass(frozen=True)
class Verdict:
    """``lost``: keys without the object or the result that they must have; ``wrong``: with another content; ``twice``:
    that became visible more than once; ``repeated``: items that were worked on more than once, which is allowed;
    ``left``: what is not empty."""

    submitted: int
    delivered: int
    processed: int
    lost: list[str]
    wrong: list[str]
    twice: list[str]
    repeated: int
    left: list[str]

    @property
    def is_well(self) -> bool:
        """Whether all promises were kept."""
        return not (self.lost or self.wrong or self.twice or self.left)

    def brief(self) -> str:
        """All of it, with the beginnings of the lists."""
        lists = {"lost": self.lost, "wrong": self.wrong, "twice": self.twice, "left": self.left}
        told = [f"{len(names)} {what}: {', '.join(names[:5])}" for what, names in lists.items() if names]
        counts = f"{self.submitted} submitted, {self.delivered} delivered, {self.processed} processed"
        return "; ".join([counts, *told])


def judge(chain: Chain) -> Verdict:
    """After the chain has drained and was stopped: the queue then has ready whatever is not done."""
    store = chain.servers.store
    uploads, results = store.objects(chain.uploads), store.objects(chain.results)
    expected = {f"{key}{SUFFIX}": md5(f"{digest}\n".encode()) for key, digest in chain.digests.items()}
    wanted = {**chain.submitted, **expected}
    found = {**uploads, **results}
    worked = Counter(name for place in chain.places for name in place.worked())
    often = [key for bucket in (chain.uploads, chain.results) for key, n in store.written(bucket).items() if n > 1]
    return Verdict(
        submitted=len(chain.submitted),
        delivered=len(uploads),
        processed=len(results),
        lost=sorted([key for key in wanted if key not in found] + [key for key in chain.submitted if not worked[key]]),
        wrong=sorted(key for key, etag in found.items() if wanted.get(key) != etag),
        twice=sorted(often),
        repeated=sum(count > 1 for count in worked.values()),
        left=left(chain),
    )


def left(chain: Chain) -> list[str]:
    """What is not empty, in words."""
    queue = chain.queue
    found = [f"{queue.name}: {count} messages" for count in [queue.waiting()] if count]
    found += [f"{queue.dead}: {count} messages" for count in [queue.buried()] if count]
    for spool in _spools(chain):
        for place in ("incoming", "working", "deferred", "failed"):
            if names := list(items_below(str(getattr(spool.places, place)))):
                found.append(f"{spool.places.control}/{place}: {len(names)} items, {min(names)}")
    return found


def _spools(chain: Chain) -> list[Spool]:
    """All there are: of producers, of results, of what workers have in hand, and of notifications."""
    tops = [site.spool.places.control for site in chain.sites]
    tops += [directory for place in chain.places for directory in place.workdirs]
    found = {path.parent for top in tops for path in Path(top).rglob("incoming") if path.is_dir()}
    return [Spool(path, make=False) for path in sorted(found)]


def progress(chain: Chain) -> tuple[int, int]:
    """How many objects there are in both buckets."""
    store = chain.servers.store
    return len(store.objects(chain.uploads)), len(store.objects(chain.results))


def has_drained(chain: Chain, done: tuple[int, int]) -> bool:
    """Whether there is a result for all that was submitted, no message waits, and no spool holds anything: what is
    worked on again, its result is on its way still. ``done``: the progress."""
    try:
        return done[1] >= len(chain.submitted) and not left(chain)
    except AWAY:
        return False


def sweep(chain: Chain) -> list[str]:
    """Announce what has no result once more: what RGW did not announce, and never will. What was announced twice is
    worked on twice, and visible once. The keys."""
    results = chain.servers.store.objects(chain.results)
    found = [key for key in chain.servers.store.objects(chain.uploads) if f"{key}{SUFFIX}" not in results]
    chain.queue.publish(event(chain.uploads, key) for key in found)
    return found


def event(bucket: str, key: str) -> bytes:
    """Amazon's event, as far as a worker reads it."""
    about = {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/")}}
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": about}]}).encode()
