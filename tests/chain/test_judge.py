"""What the chain's judge puts into the queue, and what it reads in the gateway's log."""

import pytest

from jollyae.sources import events
from jollyae.sources.events import Kind
from tests.chain.judge import event
from tests.chain.store import PUT


@pytest.mark.parametrize("key", ["north/00/item.txt", "a b+c ö", "100%"])
def test_a_worker_reads_what_the_sweep_announces(key: str) -> None:
    """A created object, with its bucket and its key as it is."""
    (told,) = events.read(event("uploads", key))
    assert (told.kind, told.bucket, told.key) == (Kind.CREATED, "uploads", key)


LINE = '2026-11-22T17:12:56+0000 7f 1 beast: 0x7f: 198.18.121.14 - test [22/Nov] "PUT /b/k.txt HTTP/1.1" 200 65 - -'


@pytest.mark.parametrize(
    ("line", "counts"), [(LINE, True), (f" -9587> {LINE}", False), (LINE.replace("PUT", "GET"), False)]
)
def test_each_put_is_counted_once(line: str, counts: bool) -> None:
    """A gateway that crashes repeats the last of its log, which is no second write."""
    found = PUT.match(line)
    assert bool(found) == counts
    assert found is None or found.groups() == ("b", "k.txt", "200")
