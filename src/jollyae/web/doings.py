"""What one does: each is a form sent by POST, and an answer that leads back to the page it came from."""

import asyncio
import re
from dataclasses import asdict
from urllib.parse import urlencode

from starlette.responses import Response

from ..http.forms import Told, local
from . import actions
from .actions import Answer, Retried
from .failures import Filter
from .messages import Message
from .queue import Queue
from .screens import named as queue_of
from .visits import Shown, Visit

SURE = 100
"""From so many items on it is asked whether that is meant."""
MOST_FILES = 200
"""Files of one upload without JavaScript."""


async def pause(visit: Visit) -> Response:
    """Stop the workers of a queue from taking items."""
    found = await queue_of(visit)
    return await _did(visit, found, await asyncio.to_thread(actions.pause, found, visit.form.text("reason")[:500]))


async def resume(visit: Visit) -> Response:
    """End a pause by hand."""
    found = await queue_of(visit)
    return await _did(visit, found, await asyncio.to_thread(actions.resume, found))


async def retry(visit: Visit) -> Response:
    """Retry one item, those that are selected, a group, or all that match a filter."""
    found = await queue_of(visit)
    failures = visit.site.failures[found.name]
    is_sure = "sure" in visit.form
    try:
        if "matching" in visit.form:
            wanted = Filter.of({name: visit.form.text(name) for name in ("place", "text", "group")})
            total = (await asyncio.to_thread(failures.groups, wanted)).total
            if total >= SURE and not is_sure:
                return _ask(visit, found, total, [("matching", "1"), *wanted.fields().items()])
            retries = visit.site.retries[found.name]
            return await _retried(visit, found, await retries.matching(wanted, visit.site.watching.tell))
        ids = visit.form.texts("item")
    except ValueError as error:
        raise Told(400, f"{error}.") from error
    if not ids:
        return await _did(visit, found, Answer(False, "Nothing was selected, so nothing was retried", 400))
    if len(ids) >= SURE and not is_sure:
        return _ask(visit, found, len(ids), [("item", id) for id in ids])
    return await _retried(visit, found, await asyncio.to_thread(actions.retry, found, ids))


def _ask(visit: Visit, queue: Queue, total: int, fields: list[tuple[str, str]]) -> Response:
    """Whether so many are meant."""
    values = {"name": queue.name, "total": total, "fields": fields, "next": _next(visit, queue)}
    return visit.page(Shown("sure.html", values))


async def _retried(visit: Visit, queue: Queue, became: Retried) -> Response:
    said = became.sentence if became.over else f"{became.sentence} so far; the server goes on with it"
    details = tuple(f"{name}: {why}" for name, why in became.reasons)
    more = {**asdict(became), "sentence": said}
    return await _back(visit, queue, Message(said, details, is_good=not became.skipped), more)


async def _did(visit: Visit, queue: Queue, answer: Answer) -> Response:
    more = {"done": answer.done, "sentence": answer.sentence}
    return await _back(visit, queue, Message(answer.sentence, (), is_good=answer.done), more, answer.status)


async def _back(visit: Visit, queue: Queue, message: Message, more: dict[str, object], status: int = 200) -> Response:
    """Say it: to a script as JSON, to a person on the page that they came from."""
    visit.site.dashboard.moved(queue.name)
    await visit.site.watching.tell()
    if visit.wants_json:
        return visit.json(more, status)
    path, hash, fragment = _next(visit, queue).partition("#")
    path, _, query = path.partition("?")
    kept = "&".join(word for word in query.split("&") if word and not word.startswith(("told=", "after=")))
    said = urlencode({"told": visit.site.messages.add(message)})
    return visit.go_to(f"{path}?{kept}{'&' if kept else ''}{said}{hash}{fragment}")


def _next(visit: Visit, queue: Queue) -> str:
    said = visit.form.text("next")
    wanted = local(said)
    is_ours = wanted.startswith(f"{visit.site.prefix}/") and (wanted != "/" or said == "/")
    return wanted if is_ours else visit.site.url(f"/queue/{queue.name}")


async def upload(visit: Visit) -> Response:
    """Put the files that were sent into the queue."""
    found = await queue_of(visit)
    answers = [
        await asyncio.to_thread(actions.upload, found, item_name(file.filename or ""), file.file)
        for file in visit.form.files("file")
    ]
    visit.site.dashboard.moved(found.name)
    await visit.site.watching.tell()
    if visit.wants_json:
        status = max((answer.status for answer in answers), default=400)
        if "each" in visit.form and status >= 400:  # our own script: a browser would call it an error of the page
            status = 207
        return visit.json({"files": [asdict(answer) for answer in answers]}, status)
    wrong = [answer.sentence for answer in answers if not answer.done]
    if not answers:
        return await _did(visit, found, Answer(False, "No file was chosen"))
    said = f"{len(answers) - len(wrong)} queued" + (f", {len(wrong)} not taken" if wrong else "")
    if len(answers) == 1:
        said, wrong = answers[0].sentence, []
    is_good = all(answer.done for answer in answers)
    return await _back(visit, found, Message(said, tuple(wrong), is_good=is_good), {})


def item_name(sent: str) -> str:
    """The name of an upload: the last part of the sender's.

    >>> item_name("C:\\\\Photos\\\\IMG 1.JPG"), item_name("../a")
    ('IMG 1.JPG', 'a')
    """
    return re.split(r"[/\\]", sent)[-1]
