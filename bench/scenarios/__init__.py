"""The scenarios: one function each, by name."""

from collections.abc import Callable
from dataclasses import dataclass

from ..lab import Lab
from . import arrival, backlog, batches, brokers, idle, ingest, latency, limit, lists, pictures, profile, start, submit


@dataclass(frozen=True)
class Scenario:
    """A name, what it measures, and the function that does."""

    name: str
    about: str
    run: Callable[[Lab], None]
    usual: bool = True
    """Whether it is run when none is named."""


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("limit", "wrk to the null sink: how many PUTs of 4 KiB it takes, http and https", limit.run),
        Scenario("small-http", "20,000 files of 4 KiB on tmpfs to the null sink; --full: 100,000", batches.small_http),
        Scenario("small-https", "the same over TLS", batches.small_https),
        Scenario("small-disk", "the same as small-http, the files on disk; no goal", batches.small_disk),
        Scenario("small-rgw", "2,000 files of 10 KiB to Ceph RGW; --full: 10,000", batches.small_rgw),
        Scenario("one-http", "one file of 1 GiB", batches.one_http),
        Scenario("one-https", "the same over TLS", batches.one_https),
        Scenario("sixteen-http", "16 files of 64 MiB", batches.sixteen_http),
        Scenario("sixteen-https", "the same over TLS", batches.sixteen_https),
        Scenario(
            "latency",
            "a file renamed in while idle → its first byte at the server, 100 times; --full: 200",
            latency.run,
        ),
        Scenario("backlog", "100,000 waiting in one directory against 10,000; --full: 1,000,000", backlog.run),
        Scenario("arrival", "2,000 files/s renamed in, for 5 s: arrival → object; --full: 30 s", arrival.run),
        Scenario("idle", "nothing to do for 60 s: requests and CPU; --full: 600 s", idle.run),
        Scenario("submit", "500 durable submits each, 8 producers against one; --full: 2,000", submit.run),
        Scenario("start", "--help, and --once on an empty spool", start.run),
        Scenario("lists", "what a page asks of an album of 5,000 photos in SQLite; --full: 50,000", lists.run),
        Scenario("pictures", "60 photos of 12 megapixels read and scaled, on one core; --full: 300", pictures.run),
        Scenario("ingest", "60 photos of 12 megapixels through a spool into an album; --full: 300", ingest.run),
        Scenario("ingest-many", "6,000 small photos into an album against 3,000; --full: 10,000", ingest.many),
        Scenario("brokers", "20,000 messages of RabbitMQ about objects of 4 KiB; --full: 40,000", brokers.run),
        Scenario("profile-small", "where the time goes with 4 KiB files; only when named", profile.small, usual=False),
        Scenario("profile-large", "where the time goes with 64 MiB files; only when named", profile.large, usual=False),
    )
}
