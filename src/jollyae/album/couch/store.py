"""The album in Apache CouchDB 3: all of :class:`~jollyae.album.store.Store` over HTTP.

A new photo is one ``multipart/related`` PUT: the document and its renditions are there together or not at all. Edits
keep the renditions by stubs. What replication brings is written by ``_bulk_docs`` with ``new_edits=false`` (never by
multipart: CouchDB leaves the renditions of a revision that it knows already unread in the connection). The server's
name and what is remembered are ``_local/`` documents, which no replication carries.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Any

from ..revisions import generation
from ..store import Change, Document, Leaf, Missing, Rendition, Stale, StoreError
from . import views
from .address import Address, parse_address
from .bodies import (
    inline,
    make_multipart,
    plain,
    read_digest,
    read_leaf,
    relatives,
    revisions_of,
    told_revisions,
    winning,
)
from .client import Client, decode
from .listing import Lists

log = logging.getLogger(__name__)

BATCH = 200
"""Changes asked for at once."""
PUBLIC = "-public"
"""The public database of an album has its name with this at the end."""
PUBLIC_REVS_LIMIT = 50
"""How many generations of a photo a public database knows. Low, since nobody merges there; not lower, since a server
that was away while a photo had more new revisions than this would keep its old one beside the new one."""
COMPACT_SECONDS = 600.0
"""How long :meth:`CouchStore.compact` waits for the server, which goes on by itself after that."""
_SERVER, _REMEMBERED = "_local/jollyae-server", "_local/jollyae-"


class CouchStore(Lists):
    """An open album in a CouchDB database. Made by :func:`open_couch`."""

    multipart = True
    """False: renditions are sent inline, in Base64 (a third more bytes), to servers that know no multipart PUT."""

    def __init__(self, client: Client, server: str) -> None:
        super().__init__(client)
        self.server = server

    def __repr__(self) -> str:
        return f"CouchStore({self.url!r})"

    async def __aenter__(self) -> "CouchStore":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    # --- writing

    async def add(self, document: Document, renditions: Mapping[str, Rendition]) -> bool:
        """See :meth:`.Store.add`. One request more than needed asks first: the usual second drop sends no renditions,
        and a refused multipart PUT leaves its bytes in the connection."""
        id = document["_id"]
        if (await self.client.ask("HEAD", self._db, id, accept=(404,))).status_code != 404:
            return False
        try:
            await self._write(plain(document, "_rev"), renditions)
        except Stale:
            return False
        except StoreError as error:
            # The answer may have been lost after the document was written: then it is ours, and it is there.
            if not error.is_temporary or not await self._is_ours(document):
                raise
        return True

    async def _is_ours(self, document: Document) -> bool:
        try:
            return plain(await self.get(document["_id"]) or {}, "_rev", "_conflicts") == plain(document, "_rev")
        except StoreError:
            return False

    async def put(self, document: Document) -> str:
        """See :meth:`.Store.put`."""
        body = plain(document, "_conflicts")
        if rev := document.get("_rev"):
            query = {"rev": rev}
            answer = await self.client.ask("GET", self._db, document["_id"], query=query, accept=(404,))
            if self.client.is_missing(answer, (self._db,)):
                raise Stale(f"revision {rev} of the document is no more: {document['_id']}", "Read it again.")
            if kept := decode(answer).get("_attachments"):
                body["_attachments"] = kept  # stubs, as the server told them
        return await self._write(body)

    async def set_renditions(self, id: str, renditions: Mapping[str, Rendition]) -> None:
        """See :meth:`.Store.set_renditions`."""
        document = await self.get(id)
        if document is None:
            raise Missing(f"there is no such photo: {id}")
        await self._write(plain(document, "_conflicts"), renditions)

    async def remove(self, id: str, rev: str) -> None:
        """See :meth:`.Store.remove`."""
        answer = await self.client.ask("DELETE", self._db, id, query={"rev": rev}, accept=(404,))
        if self.client.is_missing(answer, (self._db, id)):
            raise Stale(f"the document is gone already: {id}", "Read it again.")

    async def _write(self, body: dict[str, Any], renditions: Mapping[str, Rendition] | None = None) -> str:
        """PUT the document with these renditions, in one revision; the revision."""
        id = body["_id"]
        if not renditions:
            answer = await self.client.ask("PUT", self._db, id, send=body)
        elif not self.multipart:
            answer = await self.client.ask("PUT", self._db, id, send=body | {"_attachments": inline(renditions)})
        else:
            mime, content = make_multipart(body, renditions)
            answer = await self.client.ask("PUT", self._db, id, body=content, mime=mime)
        return str(decode(answer)["rev"])

    # --- reading one

    async def get(self, id: str) -> Document | None:
        """See :meth:`.Store.get`."""
        if not id or id.startswith("_"):  # not a document's: CouchDB's own
            return None
        found = await self.client.find(self._db, id, query={"conflicts": True})
        return None if found is None else plain(found)

    async def rendition(self, id: str, name: str, rev: str = "") -> Rendition | None:
        """See :meth:`.Store.rendition`."""
        query = {"rev": rev} if rev else {}
        answer = await self.client.ask("GET", self._db, id, name, query=query, accept=(404,))
        if self.client.is_missing(answer, (self._db, id, name)):
            return None
        body, headers = answer.content, answer.headers
        return Rendition(body, headers.get("Content-Type", ""), read_digest(headers.get("ETag", ""), body))

    async def comments(self, id: str) -> list[Document]:
        """See :meth:`.Store.comments`."""
        return await self._documents(["comment", id, ""], ["comment", id, views.AFTER_ALL])

    async def users(self) -> list[Document]:
        """See :meth:`.Store.users`."""
        return await self._documents(["user"], ["user", "\U0010ffff"])

    async def _documents(self, first: list[str], last: list[str]) -> list[Document]:
        rows = await self.view(views.DOCUMENTS, startkey=first, endkey=last, include_docs=True)
        return [plain(row["doc"]) for row in rows if row["doc"]]

    # --- what replication brings

    async def conflicts(self) -> list[str]:
        """See :meth:`.Store.conflicts`."""
        rows = await self.view(views.DOCUMENTS, startkey=["conflict"], endkey=["conflict", "\U0010ffff"])
        return [row["id"] for row in rows]

    async def leaves(self, id: str) -> list[Leaf]:
        """See :meth:`.Store.leaves`. A leaf's renditions are told by their type and digest, with empty bodies."""
        found = await self._leaves(id)
        living = [one for one in found if not one.get("_deleted")]
        return [read_leaf(one) for one in living or found[:1]]

    async def _leaves(self, id: str) -> list[dict[str, Any]]:
        """All leaves, deleted ones too, as CouchDB tells them, the winner first."""
        answer = await self.client.ask("GET", self._db, id, query={"open_revs": "all", "revs": True}, accept=(404,))
        if self.client.is_missing(answer, (self._db, id)):
            return []
        found = [one["ok"] for one in decode(answer) if "ok" in one]
        return sorted(found, key=winning, reverse=True)

    async def take(self, leaf: Leaf) -> None:
        """See :meth:`.Store.take`."""
        id, rev = leaf.document["_id"], leaf.revisions[0]
        for left in (2, 1, 0):
            there = await self._leaves(id)
            if any(rev in revisions_of(one) for one in there):
                return
            body = plain(leaf.document, "_conflicts", "_rev")
            body |= {"_rev": rev, "_revisions": told_revisions(leaf.revisions)}
            if not body.get("_deleted") and (attachments := await self._attachments(id, leaf, there)):
                body["_attachments"] = attachments
            answer = await self.client.ask(
                "POST",
                self._db,
                "_bulk_docs",
                send={"new_edits": False, "docs": [body]},
                accept=(412,) if left else (),
                repeatable=True,
            )
            if answer.status_code == 412:  # the leaf it builds on was compacted away meanwhile: look again
                continue
            if refused := [one for one in decode(answer) if "error" in one]:
                raise StoreError(
                    f"the album's server refused a revision: {id}: {refused[0].get('error')}: "
                    f"{refused[0].get('reason', '')}",
                    "Does a validate function or the user's rights forbid it?",
                )
            return

    async def _attachments(self, id: str, leaf: Leaf, there: list[dict[str, Any]]) -> dict[str, Any]:
        """The leaf's renditions for ``_bulk_docs``: those that it brings; for the others stubs, where it descends from
        a leaf that is there (CouchDB takes a stub from the nearest ancestor whose body it still has); else copies of
        those of the leaf that is its nearest relative."""
        brought = {name: one for name, one in leaf.renditions.items() if one.body}
        number = generation(leaf.revisions[0])
        made: dict[str, Any] = {name: one | {"revpos": number} for name, one in inline(brought).items()}
        wanted = set(leaf.renditions) - set(brought)  # named without bytes: it has these and no others
        for relative in relatives(leaf, there):
            rev = relative["_rev"]
            names = [name for name in relative.get("_attachments", {}) if name not in made]
            if wanted:
                names = [name for name in names if name in wanted]
            if rev in leaf.revisions:
                return made | {name: relative["_attachments"][name] for name in names}
            for name in names:
                if one := await self.rendition(id, name, rev):
                    made[name] = inline({name: one})[name] | {"revpos": number}
            return made
        return made

    async def changes(self, since: str = "", *, follow: bool = False) -> AsyncIterator[Change]:
        """See :meth:`.Store.changes`. The sequence is CouchDB's own text; of another database's it makes ''."""
        query = {"include_docs": True, "conflicts": True}
        async for rows, seq in self.client.changes(self._db, since, follow=follow, limit=BATCH, query=query):
            told = [row for row in rows if not row["id"].startswith("_design/")]
            for row in told:
                document = row.get("doc") or {"_id": row["id"], "_rev": row["changes"][0]["rev"], "_deleted": True}
                if row.get("deleted"):
                    document = {"_id": row["id"], "_rev": document["_rev"], "_deleted": True}
                # A single row's sequence may be null or cost the server much: the batch's own is asked for at its end.
                yield Change(seq if row is told[-1] else str(row.get("seq") or seq), plain(document))

    # --- this server's own

    async def remembered(self, name: str) -> Document:
        """See :meth:`.Store.remembered`."""
        return await self._local(_REMEMBERED + "kept-" + name) or {}

    async def remember(self, name: str, value: Document) -> None:
        """See :meth:`.Store.remember`."""
        await self._set_local(_REMEMBERED + "kept-" + name, value)

    async def _local(self, id: str) -> Document | None:
        found = await self.client.find(self._db, *id.split("/", 1))
        return None if found is None else dict(found["value"])

    async def _set_local(self, id: str, value: Document) -> None:
        """Write it, whatever is there."""
        path = (self._db, *id.split("/", 1))
        for _ in range(5):
            found = await self.client.find(*path)
            body = {"value": value} | ({"_rev": found["_rev"]} if found else {})
            answer = await self.client.ask("PUT", *path, send=body, accept=(409,))
            if answer.status_code != 409:
                return
        raise Stale(f"others write it all the time: {id}", "Is one keeper running for each database?")

    async def compact(self) -> None:
        """See :meth:`.Store.compact`. Waits until the server says that it is done, ten minutes at most (it may say so
        before it began)."""
        await self.client.ask("POST", self._db, "_compact", send={})
        await self.client.ask("POST", self._db, "_compact", views.DESIGN, send={}, accept=(404,))
        for pause in _pauses(COMPACT_SECONDS):
            await asyncio.sleep(pause)
            if not (await self.client.get(self._db)).get("compact_running"):
                return
        log.warning("the album's server still compacts %s", self.url)

    # --- setting up

    async def set_up(self, revs_limit: int | None = None) -> None:
        """Put in what the store needs: the design document, if it is another, whose old index is then given up; and
        how many generations are known."""
        design = views.make_design()
        path = (self._db, "_design", views.DESIGN)
        for _ in range(5):
            stored = await self.client.find(*path)
            if stored and views.is_same_design(stored, design):
                break
            body = design | ({"_rev": stored["_rev"]} if stored else {})
            answer = await self.client.ask("PUT", *path, send=body, accept=(401, 403, 409))
            if answer.status_code in (401, 403):
                raise StoreError(
                    f"the album's index is {'of another version' if stored else 'missing'}: {self.url}",
                    f"Only an admin of the database may write it: jollyae album init {self.url}",
                )
            if answer.status_code != 409:
                if stored:
                    await self.client.ask("POST", self._db, "_view_cleanup", send={})
                break
        if revs_limit is not None and await self.client.get(self._db, "_revs_limit") != revs_limit:
            await self.client.ask("PUT", self._db, "_revs_limit", send=revs_limit)


async def open_couch(
    url: str | Address, *, create: bool = False, public: bool | None = None, server: str = ""
) -> CouchStore:
    """The album at ``http(s)://[user@]host/database``. ``create``: make the database and its index if they are missing
    (the user must be the server's admin), and, of a ``public`` one, let it know few old revisions; it is one if its
    name ends so, unless told. ``server`` is the name of this server in stamps of edits, if it has none yet. Raises
    :class:`StoreError`."""
    address = url if isinstance(url, Address) else parse_address(url)
    client = Client(address)
    is_public = address.database.endswith(PUBLIC) if public is None else public
    try:
        # Asked first: a user who is not the server's admin may not even try to make one.
        answer = await client.ask("GET", address.database, accept=(404,) if create else ())
        if answer.status_code == 404:
            await client.ask("PUT", address.database, accept=(412,))
        store = CouchStore(client, server)
        await store.set_up(PUBLIC_REVS_LIMIT if create and is_public else None)
        store.server = await _name_server(store, server)
    except BaseException:
        await client.close()
        raise
    return store


async def _name_server(store: CouchStore, server: str) -> str:
    """The server's name that is written in the database; written now if there is none."""
    for _ in range(5):
        if found := await store._local(_SERVER):
            return str(found["name"])
        name = server or f"{socket.gethostname().partition('.')[0]}-{secrets.token_hex(2)}"
        path = (address := store.client.address).database, *_SERVER.split("/", 1)
        answer = await store.client.ask("PUT", *path, send={"value": {"name": name}}, accept=(409,))
        if answer.status_code != 409:
            return name
    raise StoreError(f"cannot name the server in {address}", "Is it written to by others all the time?")


def _pauses(seconds: float) -> Iterable[float]:
    pause, spent = 0.1, 0.0
    while spent < seconds:
        yield pause
        spent += pause
        pause = min(pause * 2, 2.0)
