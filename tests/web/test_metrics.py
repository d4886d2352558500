"""``/metrics`` of the dashboard."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from jollyae import Spool
from jollyae.spool.claims import Claims
from jollyae.spool.readiness import Readiness
from jollyae.worker.state import StateFile
from tests.service.observing.test_metrics import parsed
from tests.service.snapshots import snapshot

if TYPE_CHECKING:
    from jollyae.web.access import Access
    from jollyae.web.queue import Queue

pytest.importorskip("starlette", reason="the extra web is not installed")

TOKEN = "0123456789abcdefghij"
Reply = tuple[int, str, str]


async def _ask(queues: "list[Queue]", access: "Access | None" = None, **headers: str) -> Reply:
    import httpx

    from jollyae.web.app import make_app

    transport = httpx.ASGITransport(make_app(queues, access=access))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        reply = await client.get("/metrics", headers=headers)
    return reply.status_code, reply.headers.get("content-type", ""), reply.text


def test_metrics_of_the_dashboard(spool: Spool) -> None:
    """The queues as their workers say they are; who may not look does not see them, a program sends the token."""
    from jollyae.web.access import Access, Role, Token
    from jollyae.web.queue import Queue

    claims = Claims(spool.places, Readiness(0))
    StateFile(claims.directory).show(snapshot(worker=claims.worker, delivered=12))
    queues = [Queue("photos", spool)]
    status, kind, page = asyncio.run(_ask(queues))
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert parsed(page)[("jollyae_delivered_items_total", "queue", "photos")] == 12
    assert asyncio.run(_ask(queues, Accept="application/openmetrics-text"))[2].endswith("# EOF\n")
    access = Access((Token(TOKEN, Role.LOOK),))
    status, _, page = asyncio.run(_ask(queues, access))
    assert status == 401 and "delivered" not in page
    assert asyncio.run(_ask(queues, access, Authorization=f"Bearer {TOKEN}"))[0] == 200
    claims.stop()
