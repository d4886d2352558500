"""When listeners are told of a worker that has nothing to tell."""

import asyncio

import pytest

from jollyae import Rules, Spool, Worker
from jollyae.worker import news
from jollyae.worker.state import Snapshot
from tests.helpers import eventually


def test_an_idle_worker_gives_signs_of_life(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listeners are told again and again, each time of a later look, though nothing else is another."""
    monkeypatch.setattr(news, "BEAT_EVERY", 0.3)
    monkeypatch.setattr(news, "NEWS_FOR", 0.0)
    told: list[Snapshot] = []

    async def life() -> None:
        worker = Worker(spool, lambda item: None, Rules(settle=0), listeners=[told.append])
        task = asyncio.ensure_future(worker.serve())
        await eventually(lambda: told and told[-1].idle_since, "the worker is idle")
        idle = len(told)
        await eventually(lambda: len({seen.last_scan for seen in told[idle:]}) >= 3, "three signs of life")
        assert {(seen.delivered, seen.idle_since) for seen in told[idle:]} == {(0, told[idle].idle_since)}
        worker.stop()
        await task

    asyncio.run(life())
