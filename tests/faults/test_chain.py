"""The whole chain for real: hosts with spools, Ceph RGW, its bucket notifications, RabbitMQ, workers on others. All
are killed, and hosts are cut off, at random; judged by what lies in the buckets, on the disks and in the queues, and by
the store's own log. The figures of docs/CLUSTER.md are those of ``FAULTS=long``.

``CHAIN_SEED``: which random it is.
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chain import judge, season, trouble
from tests.chain.chain import WAYS, Chain, chain, servers
from tests.faults.tier import TIER, scaled
from tests.rabbit import Unavailable

pytestmark = [pytest.mark.real, pytest.mark.slow]

ITEMS = scaled(150, 3_000, 20_000)
STRIKES = scaled(0, 12, 30)
"""The sample has one of each kind."""
PATIENCE = scaled(120, 600, 1_800)
"""Seconds until it has drained."""
SEED = int(os.environ.get("CHAIN_SEED", "1"))


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Chain]]:
    """A chain for each way to announce, on the same hosts and servers. Both are made before one is used: RGW 16 takes
    up to half a minute to see a new topic."""
    directory = tmp_path_factory.mktemp("chain")
    with ExitStack() as stack:
        try:
            on = stack.enter_context(servers(directory))
        except Unavailable as error:
            pytest.skip(str(error))
        if on.net.why_plain:
            pytest.skip(f"no hosts that can be cut off: {on.net.why_plain}")
        yield {way: stack.enter_context(chain(on, directory / way, announce=way, name=way)) for way in WAYS}


def _struck(way: str) -> tuple[str, ...]:
    """After each death of RGW its own announcements rest for a minute and a half: too long for the sample, in which the
    broker dies once, too."""
    return ("producer", "worker", "host", "cable") if (way, TIER) == ("rgw", "sample") else trouble.KINDS


@pytest.mark.parametrize("way", WAYS[::-1])
def test_nothing_is_lost_and_nothing_is_done_twice_visibly(
    chains: dict[str, Chain], way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every submitted item is an object and was worked on; every result is there once, written once, with the right
    bytes; spools, queues and dead letters are empty. Where jollyae announces, nothing had to be swept up."""
    it, chance = chains[way], random.Random(SEED)
    story: list[str] = []
    it.start()
    began = time.monotonic()
    it_all = season.Season(it, chance, story.append, pause=(0.1, 0.8) if TIER == "sample" else (0.3, 2.0))
    kinds = season.kinds(STRIKES or len(_struck(way)), _struck(way), chance)
    it_all.run(ITEMS, kinds)
    drained = it_all.drain(PATIENCE)
    it.stop()
    found = judge.judge(it)
    with capsys.disabled():
        print(
            f"\n{way}, seed {SEED}: {found.submitted} submitted, {found.delivered} delivered, {found.processed} "
            f"processed, {len(kinds)} strikes, {found.repeated} worked on again, {len(it_all.swept)} never announced, "
            f"{it_all.crashes} deaths of the gateway by itself, "
            f"{time.monotonic() - began:.0f} s"
        )
    assert drained and found.is_well, f"seed {SEED}: {found.brief()}\n" + "\n".join(story)
    assert found.submitted == found.delivered == found.processed == ITEMS
    assert way == "rgw" or not it_all.swept
