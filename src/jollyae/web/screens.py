"""The pages that one looks at."""

import asyncio
import time
from contextlib import suppress
from urllib.parse import urlencode

from starlette.responses import PlainTextResponse, Response

from ..http.forms import Told
from ..service.observing.metrics import OPEN_METRICS, TEXT, wants_open_metrics
from ..service.observing.why import TROUBLE
from . import plots, receipts
from .api import told
from .failures import NO_GROUPS, NO_PAGE, PAGE, Filter, Groups, Page
from .history import History, history, unknown
from .model import MISSED, QueueView
from .queue import Queue
from .spark import spark
from .visits import Shown, Visit

ORDER = ("trouble", "waits", "ok")


async def overview(visit: Visit) -> Shown:
    """All queues at a glance."""
    dashboard = visit.site.dashboard

    def look() -> list[tuple[QueueView, plots.Svg]]:
        seen, queues = dashboard.overview(), {queue.name: queue for queue in dashboard.queues}
        return [(view, spark(_history(view, queues[view.name]))) for view in seen if view.name in queues]

    seen = await asyncio.to_thread(look)
    levels = [view.level for view, _ in seen]
    # of each level how many, and the number of the first
    counts = [(level, levels.count(level), levels.index(level) + 1) for level in ORDER if level in levels]
    worst = counts[0][0] if counts else "ok"
    values = {"queues": seen, "counts": counts, "worst": worst, "troubled": levels.count("trouble")}
    return Shown("overview.html", values | {"wrong": dashboard.wrong} | message(visit))


def _history(view: QueueView, queue: Queue) -> History:
    """The last hour; that of a spool that cannot be read is not asked for: it could hold the page."""
    return unknown() if view.is_lost else history(queue)


async def queue(visit: Visit) -> Shown:
    """One queue: how it goes, and what failed."""
    found, wanted, after = await named(visit), filter_of(visit), visit.parameters.get("after", "")
    failures = visit.site.failures[found.name]

    def look() -> tuple[QueueView, History, Groups, Page]:
        view = visit.site.dashboard.look(found.name)
        if view.is_lost:
            return view, unknown(), NO_GROUPS, NO_PAGE
        return view, history(found), failures.groups(wanted), failures.page(wanted, after)

    try:
        view, past, groups, page = await asyncio.to_thread(look)
    except ValueError as error:
        raise Told(400, f"{error}.") from error
    values = {
        "queue": view,
        "plots": [plots.delivered(past), plots.latency(past)],
        "groups": groups,
        "page": page,
        "page_size": PAGE,
        "filter": wanted,
        "is_filtered": bool(wanted.fields()),
        "fields": wanted.fields(),
        "after": after,
        "more": urlencode(wanted.fields() | {"after": page.next}),
        "retrying": visit.site.retries[found.name],
    }
    return Shown("queue.html", values | message(visit))


async def search(visit: Visit) -> Shown:
    """The receipts of one queue that match."""
    queues = visit.site.dashboard.queues
    name = visit.parameters.get("queue", "") or (queues[0].name if queues else "")
    fields = {key: visit.parameters.get(key, "") for key in ("text", "since", "until")}
    found = await _queue(visit, name)
    try:
        query = receipts.Query.of(fields)
        page = await asyncio.to_thread(receipts.search, found, query, visit.parameters.get("after", ""))
    except ValueError as error:
        values: dict[str, object] = {"found": None, "more": "", "message": f"{error}.", "is_good": False}
    else:
        more = urlencode(
            {"queue": name} | {key: value for key, value in fields.items() if value} | {"after": page.next}
        )
        values = {"found": page, "more": more}
    values |= {"names": [one.name for one in queues], "name": name, "now": time.time()}
    return Shown("receipts.html", values | fields)


async def receipts_page(visit: Visit) -> Response:
    """The same as a page that does not go on by itself."""
    return visit.page(await search(visit))


async def api(visit: Visit) -> Response:
    """All queues as JSON."""
    seen = await asyncio.to_thread(visit.site.dashboard.overview)
    return visit.json({"queues": [told(view) for view in seen]})


async def metrics(visit: Visit) -> Response:
    """All queues for Prometheus."""
    asked = wants_open_metrics(visit.request.headers.get("accept", ""))
    await asyncio.to_thread(visit.site.dashboard.renew)
    page = await asyncio.to_thread(visit.site.watched.text, open_metrics=asked)
    return Response(page, headers={"Content-Type": OPEN_METRICS if asked else TEXT, "Cache-Control": "no-store"})


async def alive(visit: Visit) -> Response:
    """That the server answers."""
    return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})


async def ready(visit: Visit) -> Response:
    """That the queues can be looked at, and that those have a worker that need one."""
    seen = await asyncio.to_thread(visit.site.dashboard.overview)
    wrong = [f"{view.name} {why}" for view in seen if (why := _why_unready(view))]
    said = "".join(f"not ready: {one}\n" for one in wrong) or "ok\n"
    return PlainTextResponse(said, 503 if wrong else 200, {"Cache-Control": "no-store"})


def _why_unready(view: QueueView) -> str:
    """In few words; '' where it is ready."""
    if view.reason in ("gone", "hangs"):
        return "cannot be read"
    return "has no worker" if view.reason in ("absent", "deadly") and view.level == TROUBLE and not view.workers else ""


def message(visit: Visit) -> dict[str, object]:
    """What an action before said."""
    said = visit.site.messages.get(visit.parameters.get("told", ""))
    if not said:
        return {"details": ()}
    rest = urlencode([(key, value) for key, value in visit.parameters.multi_items() if key != "told"])
    return {"message": said.sentence, "details": said.details, "is_good": said.is_good, "closes": f"?{rest}"}


async def named(visit: Visit) -> Queue:
    """The queue that the address names; 404 where there is none, in the configuration as it is now either."""
    return await _queue(visit, visit.part("name"))


async def _queue(visit: Visit, name: str) -> Queue:
    with suppress(KeyError):
        return visit.site.queue(name)
    await asyncio.to_thread(visit.site.dashboard.renew, MISSED)
    try:
        return visit.site.queue(name)
    except KeyError:
        raise Told(404, "There is no such queue. Perhaps the configuration has another one by now.") from None


def filter_of(visit: Visit) -> Filter:
    """The filter that the address means; 400 for what is none."""
    try:
        return Filter.of(visit.parameters)
    except ValueError as error:
        raise Told(400, f"{error}.") from error
