"""Upload: files go into the spool under their names, like everything else that comes into the album, and each appears
as soon as the worker is done with it. A photo's id is the SHA-256 of its bytes, so the page knows what to wait for.
"""

import hashlib
import re
import secrets
from dataclasses import asdict, dataclass, replace
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ...http.forms import Told
from ...http.texts import plain
from .browse import card_of, image_path
from .orientation import shown_size
from .photos import PHOTO_ID
from .site import Submit
from .texts import alternative
from .visits import Visit

LONGEST_NAME = 180
"""Bytes of a name: a file system has room for 255, and the spool's notes want some."""
ASKED = 200
"""Uploads that one question asks about."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one file that was sent: ``name`` in the spool and ``id`` of the photo to be, or an ``error``."""

    sent: str
    name: str = ""
    id: str = ""
    error: str = ""


async def upload(visit: Visit) -> Response:
    """The page, with the photos of a moment ago where it comes after an upload without JavaScript."""
    submit_of(visit)
    asked = zip_longest(visit.parameters.getlist("id")[:ASKED], visit.parameters.getlist("name")[:ASKED], fillvalue="")
    return await upload_page(visit, [Taken(plain(name, 100), name, id) for id, name in asked if PHOTO_ID.fullmatch(id)])


async def upload_page(visit: Visit, taken: list[Taken], *, status: int = 200) -> Response:
    """The page, saying what became of these."""
    cards = []
    for one in taken:
        document = await visit.site.photo(one.id, visit.visitor) if one.id else None
        if one.name and not document:
            one = replace(one, error=await trouble_of(visit, one.name))
        cards.append((one, card_of(document) if document else None))
    again = address_of(taken)
    return await visit.page("upload.html", status=status, taken=cards, again=again, max_upload=visit.site.max_upload)


def address_of(taken: list[Taken]) -> str:
    """The page that says what has become of these: by their ids, and by the names that the spool knows them by.

    >>> address_of([Taken("a b.jpg", "a b.jpg", "00ff"), Taken("c", error="The file is empty.")])
    '/upload?id=00ff&name=a+b.jpg'
    """
    return "/upload?" + urlencode([pair for one in taken if one.id for pair in (("id", one.id), ("name", one.name))])


async def trouble_of(visit: Visit, name: str) -> str:
    """Why an upload of that name is not there; '' where nothing is known of it."""
    trouble = visit.site.trouble
    return plain(await run_in_threadpool(trouble, name), 300) if trouble else ""


def submit_of(visit: Visit) -> Submit:
    """What puts a file into the spool; 404 where this album has none."""
    if visit.site.submit is None:
        raise Told(404, "This album takes no uploads: it was started without a spool.")
    return visit.site.submit


async def send(visit: Visit) -> Response:
    """Take the files that were sent. For a script: what became of each, as JSON."""
    submit = submit_of(visit)
    taken = [
        await run_in_threadpool(take, file.file, file.filename or "", submit) for file in visit.form.files("photo")
    ]
    if visit.wants_json:
        return visit.json({"taken": [asdict(one) for one in taken]})
    if not taken or any(one.error for one in taken):
        return await upload_page(visit, taken or [Taken("", error="No file was chosen.")], status=400)
    return visit.go(address_of(taken[:ASKED]))


def take(file: BinaryIO, sent: str, submit: Submit) -> Taken:
    """Put one file into the spool."""
    shown = plain(sent, 100)
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # all our files have readinto
    if not file.tell():
        return Taken(shown, error="The file is empty.")
    name = item_name(sent)
    path = PurePosixPath(name)
    for candidate in (name, f"{path.stem}-{secrets.token_hex(4)}{path.suffix}"):
        file.seek(0)
        try:
            submit(file, candidate)
        except FileExistsError:
            continue
        except ValueError as error:
            return Taken(shown, error=f"A file of this name is not taken: {plain(error, 200)}.")
        except OSError:
            return Taken(shown, error="There is no room for it, or the spool cannot be written. The log says more.")
        return Taken(shown, candidate, digest)
    return Taken(shown, error="A file of this name is waiting already.")


def item_name(sent: str) -> str:
    """The name of an upload in the spool: the last part of the sender's, without what a name must not have.

    >>> item_name("C:\\\\Photos\\\\IMG 1.JPG"), item_name("../.hidden"), item_name("")
    ('IMG 1.JPG', 'hidden', 'upload')
    """
    name = plain(re.split(r"[/\\]", sent)[-1]).lstrip(". ")
    path = PurePosixPath(name or "upload")
    stem, suffix = path.stem.encode()[: LONGEST_NAME - 20], path.suffix.encode()[:20]
    return (stem.decode(errors="ignore") + suffix.decode(errors="ignore")) or "upload"


async def state(visit: Visit) -> Response:
    """What has become of uploads, for the script that waits: by their ids, and where known why one is not there."""
    ids = visit.parameters.getlist("id")[:ASKED]
    names = visit.parameters.getlist("name")[:ASKED]
    found = []
    for number, id in enumerate(ids):
        document = await visit.site.photo(id, visit.visitor) if PHOTO_ID.fullmatch(id) else None
        if document:
            card = card_of(document)
            width, height = shown_size(card.width, card.height, card.rotate, 320)
            found.append(
                {
                    "id": id,
                    "page": f"/photo/{id}?in=inbox",
                    "src": image_path(card, "thumb") if card.has_renditions else "",
                    "alt": alternative(card.title, card.taken, card.kind),
                    "width": width,
                    "height": height,
                }
            )
        elif visit.site.trouble and number < len(names):
            name = names[number]
            found.append({"id": id, "name": name, "trouble": await trouble_of(visit, name)})
    return visit.json({"photos": found})
