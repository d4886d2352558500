"""A CouchDB 3 in this process: the endpoints that jollyae uses, over a real socket, as they are documented.

It is strict: an endpoint, a parameter or a field that it does not know is answered by 404 or 400 **and** noted in
:attr:`FakeCouch.problems`, which fails the test at the end. Kept in memory; :meth:`FakeCouch.kill` drops every
connection in the middle, as kill -9 does, and :meth:`FakeCouch.start` comes back with what was acknowledged.

Pinned to the protocol: the winner rule, 409s, ``new_edits=false`` with ``_revisions``, stubs taken from the nearest
ancestor that still has a body, compaction, ``_revs_limit``, ``open_revs``, ``revs_info``, ``_changes`` (normal and
longpoll with heartbeat), raw collation, ``_count``, ``_local``, ``_security``, the ``_replicator`` database. Views run
Python functions in place of their map functions; a test compares the two in a JavaScript engine.
"""

import asyncio
import base64
import contextlib
import email
import email.policy
import hashlib
import json
import re
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from jollyae.album.couch.address import Address
from jollyae.album.couch.views import turn

T = TypeVar("T")
Json = dict[str, Any]
Emitted = tuple[list[str], Any]
Row = tuple[list[str], str, Any]
"""Key, id, value."""
ADMIN, PASSWORD = "admin", "correct horse"
LOST = -1
"""See :attr:`FakeCouch.refuse`."""


# --- what is in a database


@dataclass
class Attachment:
    """An attachment's bytes, its type, and the generation in which it came."""

    body: bytes
    mime: str
    revpos: int

    @property
    def digest(self) -> str:
        """As ETags and stubs tell it."""
        return base64.b64encode(hashlib.md5(self.body, usedforsecurity=False).digest()).decode()


@dataclass
class Node:
    """A revision. ``body`` is None where only its id is known (not sent, or compacted away)."""

    rev: str
    parent: str | None
    body: Json | None
    deleted: bool = False
    attachments: dict[str, Attachment] = field(default_factory=dict)


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, error: str, reason: str) -> None:
        super().__init__(f"{status} {error}: {reason}")
        self.status, self.error, self.reason = status, error, reason


CONFLICT = (409, "conflict", "Document update conflict.")


def _order(rev: str) -> tuple[int, str]:
    generation, _, id = rev.partition("-")
    if not generation.isdigit() or not id:
        raise Refusal(400, "bad_request", "Invalid rev format")
    return int(generation), id


class Doc:
    """A document's tree of revisions."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.nodes: dict[str, Node] = {}
        self.seq = 0

    def leaves(self) -> list[Node]:
        """The winner first."""
        parents = {node.parent for node in self.nodes.values()}
        found = [node for node in self.nodes.values() if node.rev not in parents]
        return sorted(found, key=lambda node: (not node.deleted, _order(node.rev)), reverse=True)

    def winner(self) -> Node:
        """The same on every server."""
        return self.leaves()[0]

    def path(self, rev: str) -> list[str]:
        """The revision and its ancestors, newest first."""
        found: list[str] = []
        here: str | None = rev
        while here is not None and here in self.nodes:
            found.append(here)
            here = self.nodes[here].parent
        return found

    def stem(self, limit: int) -> None:
        """Forget what is further than that from every leaf."""
        kept = {rev for leaf in self.leaves() for rev in self.path(leaf.rev)[:limit]}
        self.nodes = {rev: node for rev, node in self.nodes.items() if rev in kept}
        for node in self.nodes.values():
            if node.parent not in self.nodes:
                node.parent = None

    def compact(self) -> None:
        """Old revisions lose what they hold."""
        leaves = {leaf.rev for leaf in self.leaves()}
        for node in self.nodes.values():
            if node.rev not in leaves:
                node.body, node.attachments = None, {}

    def merge(self, path: list[str], node: Node) -> bool:
        """Put in a revision with its ancestors; False where it was known."""
        if node.rev in self.nodes:
            return False
        known = next((place for place, rev in enumerate(path) if rev in self.nodes), len(path))
        for rev in path[1:known]:
            self.nodes[rev] = Node(rev, None, None)
        self.nodes[node.rev] = node
        # What is new gets its parents; so does a branch that began where we knew nothing.
        for rev, parent in pairwise(path):
            if self.nodes[rev].parent is None and parent in self.nodes:
                self.nodes[rev].parent = parent
        return True


class Database:
    """Documents, what is local, and who may."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.uuid = secrets.token_hex(16)
        self.docs: dict[str, Doc] = {}
        self.local: dict[str, tuple[int, Json]] = {}
        self.seq = 0
        self.revs_limit = 1000
        self.security: Json = {"admins": {"roles": ["_admin"]}, "members": {"roles": ["_admin"]}}
        self.changed = asyncio.Event()
        self._indexes: dict[str, tuple[int, list[Row]]] = {}

    def touch(self, doc: Doc) -> None:
        """It was changed: its place in the changes is the last."""
        doc.stem(self.revs_limit)
        self.seq += 1
        doc.seq = self.seq
        self.changed.set()
        self.changed = asyncio.Event()

    def tell_seq(self, seq: int) -> str:
        """A number, and something that only this database knows."""
        return f"{seq}-{self.uuid}"

    def read_seq(self, told: str) -> int:
        """'now', and what another database told (then: from the beginning), too."""
        if told == "now":
            return self.seq
        number, _, uuid = told.partition("-")
        return int(number) if uuid == self.uuid else 0

    def find(self, id: str) -> Doc:
        """The document, deleted or not; 404."""
        if id not in self.docs:
            raise Refusal(404, "not_found", "missing")
        return self.docs[id]

    def index(self, view: str) -> list[Row]:
        """A view's rows, in order; made anew when something was written."""
        seq, rows = self._indexes.get(view, (-1, []))
        if seq != self.seq:
            rows = []
            for doc in self.docs.values():
                winner = doc.winner()
                if not winner.deleted and not doc.id.startswith("_design/"):
                    told = self.tell(doc, winner, {"conflicts": True})
                    rows += [(key, doc.id, value) for key, value in VIEWS[view](told)]
            rows.sort(key=lambda row: row[:2])
            self._indexes[view] = self.seq, rows
        return rows

    # --- writing

    def edit(self, id: str, given: Json, parts: Mapping[str, bytes], rev: str | None) -> str:
        """An edit by a client: it must name the leaf that it replaces."""
        body, attachments = _split(given)
        told = given.get("_rev")
        if rev and told and rev != told:
            raise Refusal(400, "bad_request", "Document rev and query string rev have different values")
        rev = rev or told
        doc = self.docs.get(id) or Doc(id)
        leaves = {leaf.rev: leaf for leaf in doc.leaves()} if doc.nodes else {}
        if rev:
            _order(rev)
            if rev not in leaves:
                raise Refusal(*CONFLICT)
            parent: Node | None = leaves[rev]
        elif leaves and not doc.winner().deleted:
            raise Refusal(*CONFLICT)
        else:
            parent = doc.winner() if leaves else None
        generation = _order(parent.rev)[0] + 1 if parent else 1
        held = _attach(id, attachments, parts, parent, generation)
        deleted = bool(given.get("_deleted"))
        told = [deleted, parent.rev if parent else None, body, {name: one.digest for name, one in held.items()}]
        new = f"{generation}-{hashlib.md5(json.dumps(told, sort_keys=True).encode()).hexdigest()}"
        doc.merge([new, *(doc.path(parent.rev) if parent else ())], Node(new, None, body, deleted, held))
        self.docs[id] = doc
        self.touch(doc)
        return new

    def graft(self, given: Json) -> None:
        """A revision that has its id already (new_edits=false)."""
        body, attachments = _split(given)
        id = given["_id"]
        if "_revisions" in given:
            start = given["_revisions"]["start"]
            path = [f"{start - back}-{one}" for back, one in enumerate(given["_revisions"]["ids"])]
            if "_rev" in given and given["_rev"] != path[0]:
                raise Refusal(400, "bad_request", "the fake: _rev is not the first of _revisions")
        elif "_rev" in given:
            path = [given["_rev"]]
        else:
            reason = "When `new_edits: false`, the document needs `_rev` or `_revisions` information"
            raise Refusal(400, "bad_request", reason)
        for rev in path:
            _order(rev)
        doc = self.docs.get(id) or Doc(id)
        if path[0] in doc.nodes:
            return
        known = [doc.nodes[rev] for rev in path if rev in doc.nodes]
        ancestors = known and [doc.nodes[rev] for rev in doc.path(known[0].rev)]
        nearest = next((node for node in ancestors if node.body is not None), None)
        held = _attach(id, attachments, {}, nearest, _order(path[0])[0])
        if doc.merge(path, Node(path[0], None, body, bool(given.get("_deleted")), held)):
            self.docs[id] = doc
            self.touch(doc)

    # --- reading

    def tell(self, doc: Doc, node: Node, query: Json) -> Json:
        """A revision as JSON, with what is asked for."""
        if node.body is None:
            raise Refusal(404, "not_found", "missing")
        told = {"_id": doc.id, "_rev": node.rev, **node.body}
        if node.deleted:
            told["_deleted"] = True
        if query.get("revs"):
            path = doc.path(node.rev)
            told["_revisions"] = {"start": _order(node.rev)[0], "ids": [_order(rev)[1] for rev in path]}
        if query.get("revs_info"):
            told["_revs_info"] = [{"rev": rev, "status": _status(doc.nodes[rev])} for rev in doc.path(node.rev)]
        others = [leaf.rev for leaf in doc.leaves() if not leaf.deleted and leaf.rev != node.rev]
        if query.get("conflicts") and others and node is doc.winner():
            told["_conflicts"] = others
        if node.attachments:
            told["_attachments"] = {
                name: {"content_type": one.mime, "revpos": one.revpos, "digest": f"md5-{one.digest}"}
                | (
                    {"data": base64.b64encode(one.body).decode()}
                    if query.get("attachments")
                    else {"length": len(one.body), "stub": True}
                )
                for name, one in node.attachments.items()
            }
        return told

    def changes(self, since: int, query: Json) -> list[Json]:
        """Rows after that sequence."""
        rows = []
        for doc in sorted((one for one in self.docs.values() if one.seq > since), key=lambda one: one.seq):
            winner = doc.winner()
            row: Json = {"seq": self.tell_seq(doc.seq), "id": doc.id, "changes": [{"rev": winner.rev}]}
            if winner.deleted:
                row["deleted"] = True
            if query.get("include_docs"):
                row["doc"] = self.tell(doc, winner, {"conflicts": query.get("conflicts")})
            rows.append(row)
        return rows[: query.get("limit", len(rows))]


def _status(node: Node) -> str:
    if node.body is None:
        return "missing"
    return "deleted" if node.deleted else "available"


KNOWN = {"_id", "_rev", "_deleted", "_revisions", "_attachments", "_conflicts", "_revs_info"}


def _split(given: Json) -> tuple[Json, Json]:
    """The body and the attachments of what was sent."""
    for name in given:
        if name.startswith("_") and name not in KNOWN:
            raise Refusal(400, "doc_validation", f"Bad special document member: {name}")
    return {name: one for name, one in given.items() if not name.startswith("_")}, given.get("_attachments", {})


def _attach(
    id: str, attachments: Json, parts: Mapping[str, bytes], ancestor: Node | None, generation: int
) -> dict[str, Attachment]:
    """What a new revision holds: stubs from the ancestor, parts that followed, inline data."""
    held = {}
    for name, told in attachments.items():
        if told.get("stub"):
            there = ancestor.attachments.get(name) if ancestor else None
            if there is None or told.get("revpos", there.revpos) != there.revpos:
                raise Refusal(412, "missing_stub", f"Invalid attachment stub in {id} for {name}")
            held[name] = there
        elif told.get("follows"):
            held[name] = Attachment(parts[name], told["content_type"], generation)
            if told["length"] != len(parts[name]):
                raise Refusal(400, "bad_request", "attachment longer or shorter than expected")
            if told.get("digest", f"md5-{held[name].digest}") != f"md5-{held[name].digest}":
                raise Refusal(400, "bad_request", "Possible message corruption. Content-MD5 header does not match.")
        else:
            try:
                data = base64.b64decode(told["data"], validate=True)
            except (KeyError, ValueError):
                raise Refusal(400, "bad_request", f"Invalid attachment data for {name}") from None
            held[name] = Attachment(data, told.get("content_type", "application/octet-stream"), generation)
    return held


def parse_multipart(mime: str, content: bytes) -> tuple[Json, dict[str, bytes]]:
    """The document and the parts of a ``multipart/related`` body, matched in order."""
    message = email.message_from_bytes(b"Content-Type: " + mime.encode() + b"\r\n\r\n", policy=email.policy.HTTP)
    boundary = message.get_boundary()
    if not boundary or not content.endswith(mark := b"--" + boundary.encode() + b"--"):
        raise Refusal(400, "bad_request", "the fake: no boundary at the end of a multipart body")
    pieces = content[: -len(mark)].split(b"--" + boundary.encode() + b"\r\n")
    if pieces[0] or len(pieces) < 2:
        raise Refusal(400, "bad_request", "the fake: something before the first boundary")
    found = []
    for piece in pieces[1:]:
        head, _, body = piece.partition(b"\r\n\r\n")
        headers = email.message_from_bytes(head + b"\r\n\r\n", policy=email.policy.HTTP)
        if not body.endswith(b"\r\n"):
            raise Refusal(400, "bad_request", "the fake: a part that does not end with a line")
        found.append((headers, body[:-2]))
    if found[0][0].get_content_type() != "application/json":
        raise Refusal(400, "bad_request", "the fake: the first part is no document")
    document = json.loads(found[0][1])
    names = [name for name, one in document.get("_attachments", {}).items() if one.get("follows")]
    if len(names) != len(found) - 1:
        raise Refusal(400, "bad_request", "the fake: as many parts as attachments that follow")
    parts = {}
    for name, (headers, body) in zip(names, found[1:], strict=True):
        if headers.get_filename(name) != name or int(headers.get("Content-Length", len(body))) != len(body):
            raise Refusal(400, "bad_request", f"the fake: the part of {name}")
        parts[name] = body
    return document, parts


# --- views


def map_photos(doc: Json) -> Iterator[Emitted]:
    """What the map function of ``photos`` emits."""
    if doc.get("type") != "photo":
        return
    given = doc.get("keywords")
    words = list(dict.fromkeys(one for one in given if isinstance(one, str))) if isinstance(given, list) else []
    known = [word for word in words if word != "unprocessed" and not word.startswith("_")]
    cat = _text(doc, "cat")
    yield from _list(doc, "all", words)
    if cat in ("Friends/Family", "Public"):
        yield from _list(doc, "friends", known)
    if cat == "Public":
        yield from _list(doc, "public", known)


def _list(doc: Json, audience: str, words: list[str]) -> Iterator[Emitted]:
    taken, added, camera = _text(doc, "taken"), _text(doc, "added"), _text(doc.get("camera") or {}, "name")
    sizes = [doc[name] if type(doc.get(name)) in (int, float) else 0 for name in ("width", "height", "rotate")]
    first = [_text(doc, "title"), taken, added, _text(doc, "cat") or "Private"]
    card = [*first, *sizes, _text(doc, "kind") or "image", "_attachments" in doc, camera, words]
    facets = ["", *(f"k:{one}" for one in words)]
    facets += [f"c:{camera}"] if camera else []
    facets += [f"m:{taken[:7]}"] if re.match("[0-9]{4}-[0-9]{2}", taken) else []
    for facet in facets:
        yield [audience, "taken", facet, turn(taken)], card
        yield [audience, "added", facet, turn(added)], card


def _text(doc: Json, name: str) -> str:
    value = doc.get(name)
    return value if isinstance(value, str) else ""


def map_documents(doc: Json) -> Iterator[Emitted]:
    """What the map function of ``documents`` emits."""
    if doc.get("type") == "photo":
        yield ["photo", doc["_id"]], None
    if doc.get("type") == "comment":
        yield ["comment", _text(doc, "photo"), _text(doc, "time")], None
    if doc.get("type") == "user":
        yield ["user", _text(doc, "name")], None
    if doc.get("_conflicts"):
        yield ["conflict", doc["_id"]], None


VIEWS: dict[str, Callable[[Json], Iterator[Emitted]]] = {"photos": map_photos, "documents": map_documents}


def query_view(database: Database, design: Json, name: str, query: Json) -> Json:
    """The rows of a view."""
    view = design["views"].get(name)
    if view is None or name not in VIEWS:
        raise Refusal(404, "not_found", "missing_named_view")
    if view.get("options") != {"collation": "raw"} or view.get("reduce") not in (None, "_count"):
        raise Refusal(400, "bad_request", "the fake: a view that it does not know how to sort or reduce")
    rows = database.index(name)
    descending = bool(query.get("descending"))
    rows = rows[::-1] if descending else rows
    if "startkey" in query:
        start = (query["startkey"], query.get("startkey_docid", "\U0010ffff" if descending else ""))
        rows = [row for row in rows if (row[:2] <= start if descending else row[:2] >= start)]
    if "endkey" in query:
        rows = [row for row in rows if (row[0] >= query["endkey"] if descending else row[0] <= query["endkey"])]
    if view.get("reduce") and query.get("reduce", True):
        return {"rows": _count(rows, query)}
    if "group_level" in query:
        raise Refusal(400, "query_parse_error", "Invalid use of grouping on a map view.")
    told_rows: list[Json] = [{"id": id, "key": key, "value": value} for key, id, value in rows]
    told_rows = told_rows[: query.get("limit", len(rows))]
    if query.get("include_docs"):
        for row in told_rows:
            doc = database.docs[row["id"]]
            row["doc"] = database.tell(doc, doc.winner(), {})
    return {"total_rows": len(rows), "offset": 0, "rows": told_rows}


def _count(rows: list[Row], query: Json) -> list[Json]:
    if "include_docs" in query or "startkey_docid" in query:
        raise Refusal(400, "query_parse_error", "`include_docs` is invalid for reduce")
    level = query.get("group_level", 0)
    counts: dict[tuple[str, ...], int] = {}
    for key, _, _ in rows:
        counts[tuple(key[:level])] = counts.get(tuple(key[:level]), 0) + 1
    return [{"key": list(key) or None, "value": count} for key, count in counts.items()]


# --- the server


@dataclass
class Request:
    """What was asked."""

    method: str
    path: list[str]
    query: Json
    headers: dict[str, str]
    body: bytes
    user: str
    roles: list[str]

    def json(self) -> Any:
        """The body, which must be JSON and say so."""
        if self.headers.get("content-type") != "application/json":
            raise Refusal(415, "bad_content_type", "Content-Type must be application/json")
        return json.loads(self.body)

    def allow(self, *names: str) -> None:
        """Refuse any other parameter."""
        if unknown := set(self.query) - set(names):
            raise Refusal(400, "bad_request", f"the fake: unknown parameters {sorted(unknown)}")


@dataclass
class Answer:
    """What is answered; a stream has no length."""

    status: int
    body: bytes | AsyncIterator[bytes]
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def say(value: Any, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(status, json.dumps(value).encode() + b"\n")


class Job:
    """A replication that runs: leaves that the target does not know, one document after the other."""

    def __init__(self, server: "FakeCouch", id: str, told: Json) -> None:
        self.server, self.id, self.told = server, id, told
        self.state, self.error = "initializing", ""
        self.checkpoint, self.through, self.written, self.pending = 0, 0, 0, 0
        self.task = asyncio.get_running_loop().create_task(self.run())

    def info(self) -> Json:
        """As the scheduler tells it."""
        if self.state in ("crashing", "failed"):
            return {"error": self.error}
        told = {"through_seq": f"{self.through}-x", "checkpointed_source_seq": f"{self.checkpoint}-x"}
        return told | {"changes_pending": self.pending, "docs_written": self.written, "doc_write_failures": 0}

    async def run(self) -> None:
        """Until it is ended."""
        while True:
            try:
                source, target = self._open("source"), self._open("target")
                self.state = "running"
                await self._copy(source, target)
                self.checkpoint = self.through
                if not self.told.get("continuous"):
                    self.state = "completed"
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(source.changed.wait(), 0.05)
            except Refusal as refusal:
                self.state, self.error = "crashing", f"{refusal.error}: {refusal.reason}"
                await asyncio.sleep(0.05)

    def _open(self, end: str) -> Database:
        """The database at that end, if it is there and the credentials are good."""
        told = self.told[end]
        url = urlsplit(told["url"])
        server = next((one for one in SERVERS if url.netloc == f"127.0.0.1:{one.port}" and one.is_running), None)
        shown = f"could not open {told['url']}"
        if server is None:
            raise Refusal(500, "nxdomain", shown)
        basic = told.get("auth", {}).get("basic", {})
        user, password = basic.get("username", ""), basic.get("password", "")
        if user and server.users.get(user, ("", []))[0] != password:
            raise Refusal(401, "unauthorized", f"unauthorized to access or create database {told['url']}")
        database = server.databases.get(url.path.strip("/"))
        if database is None:
            raise Refusal(404, "db_not_found", shown)
        if not server.may(database, "members", user, server.users.get(user, ("", []))[1]):
            raise Refusal(403, "unauthorized", f"unauthorized to access or create database {told['url']}")
        return database

    async def _copy(self, source: Database, target: Database) -> None:
        pattern = re.compile(self.told.get("selector", {}).get("_id", {}).get("$regex", ""))
        self.through = self.checkpoint
        todo = sorted((one for one in source.docs.values() if one.seq > self.checkpoint), key=lambda one: one.seq)
        for left, doc in zip(reversed(range(len(todo))), todo, strict=True):
            if pattern.search(doc.id):
                for leaf in doc.leaves():
                    self._give(doc, leaf, target)
            self.through, self.pending = doc.seq, left
            await asyncio.sleep(self.server.replication_pause)
            self._open("source"), self._open("target")

    def _give(self, doc: Doc, leaf: Node, target: Database) -> None:
        there = target.docs.get(doc.id) or Doc(doc.id)
        copy = Node(leaf.rev, None, leaf.body, leaf.deleted, dict(leaf.attachments))
        if there.merge(doc.path(leaf.rev), copy):
            target.docs[doc.id] = there
            target.touch(there)
            self.written += 1


SERVERS: list["FakeCouch"] = []
LINK_FIELDS = {"owner", "source", "target", "continuous", "selector", "jollyae"}
"""CouchDB passes over fields that it does not know; this one of ours is to be such a one."""


class FakeCouch:
    """A server on a port of its own, in a thread that all of them share. Use it as a context manager."""

    def __init__(self) -> None:
        self.users: dict[str, tuple[str, list[str]]] = {ADMIN: (PASSWORD, ["_admin"])}
        self.databases: dict[str, Database] = {}
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.refuse: list[tuple[str, int]] = []
        """Refusals to come: (what the request begins with, 'PUT /album'; status). 0: nothing is done, and there is no
        answer; LOST: it is done, and there is none."""
        self.replication_pause = 0.0
        self.uuid = secrets.token_hex(16)
        self.port = 0
        self.is_running = False
        self._jobs: dict[str, Job] = {}
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> "FakeCouch":
        self.start()
        SERVERS.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        SERVERS.remove(self)
        assert not self.problems, self.problems

    @property
    def url(self) -> str:
        """Without a user."""
        return f"http://127.0.0.1:{self.port}"

    def address(self, database: str, user: str = ADMIN, password: str = PASSWORD) -> Address:
        """A database of it."""
        return Address(self.url, database, user, password)

    def start(self) -> None:
        """Listen; after :meth:`kill` on the same port."""
        _run(self._start())

    def kill(self) -> None:
        """Be gone at once, with every connection and every replication."""
        _run(self._kill())

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.is_running = True
        for name in ("_replicator", "_users"):
            self.databases.setdefault(name, Database(name))
        for doc in self.databases["_replicator"].docs.values():
            self._schedule(doc)

    async def _kill(self) -> None:
        self.is_running = False
        for job in self._jobs.values():
            job.task.cancel()
        await asyncio.gather(*(job.task for job in self._jobs.values()), return_exceptions=True)
        self._jobs.clear()
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.transport.abort()
            self._server = None
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while (head := await reader.readuntil(b"\r\n\r\n")) and self.is_running:
                if not await self._handle(head, reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except Exception as error:
            self.problems.append(f"the fake has a fault: {error!r}")
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _handle(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = head.decode("ascii").split("\r\n")[:-2]
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "transfer-encoding" in headers:
            self.problems.append(f"{method} {target}: CouchDB hangs on chunked bodies")
            return False
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append(f"{method} {target}")
        status = self._planned(f"{method} {target}")
        if status == 0:
            return False
        answer = say({"error": "planned", "reason": "by the test"}, status or 0)
        if status in (None, LOST):
            answer = self._answer(method, target, headers, body)
        if status == LOST:
            return False
        await _send(writer, answer, method)
        return True

    def _planned(self, asked: str) -> int | None:
        for place, (beginning, status) in enumerate(self.refuse):
            if asked.startswith(beginning):
                del self.refuse[place]
                return status
        return None

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        path, _, query = target.partition("?")
        try:
            user, roles = self._identify(headers.get("authorization", ""))
            parts = [unquote(part) for part in path.split("/")[1:]]
            while parts and not parts[-1]:
                parts.pop()
            return self._route(Request(method, parts, _parse(query), headers, body, user, roles))
        except Refusal as refusal:
            if refusal.reason.startswith("the fake:"):
                self.problems.append(f"{method} {target}: {refusal.reason}")
            return say({"error": refusal.error, "reason": refusal.reason}, refusal.status)
        except (KeyError, TypeError, ValueError) as error:
            self.problems.append(f"{method} {target}: {error!r}")
            return say({"error": "bad_request", "reason": repr(error)}, 400)

    def _identify(self, authorization: str) -> tuple[str, list[str]]:
        if not authorization:
            return "", []
        scheme, _, told = authorization.partition(" ")
        user, _, password = base64.b64decode(told).decode().partition(":")
        if scheme != "Basic" or self.users.get(user, ("", []))[0] != password:
            raise Refusal(401, "unauthorized", "Name or password is incorrect.")
        return user, self.users[user][1]

    def may(self, database: Database, whom: str, user: str, roles: list[str]) -> bool:
        """Whether the security object lets that user be one of the members or admins."""
        if "_admin" in roles:
            return True
        groups = [database.security.get("admins", {})]
        if whom == "members":
            members = database.security.get("members", {})
            groups.append(members)
            if not members.get("names") and not members.get("roles"):
                return True
        return any(user in group.get("names", ()) or set(roles) & set(group.get("roles", ())) for group in groups)

    def _require(self, request: Request, database: Database | None, whom: str) -> None:
        if database is None:
            allowed = "_admin" in request.roles
        else:
            allowed = self.may(database, whom, request.user, request.roles)
        if not allowed:
            status, error = (403, "forbidden") if request.user else (401, "unauthorized")
            raise Refusal(status, error, "You are not allowed to access this db.")

    def _route(self, request: Request) -> Answer:
        path, method = request.path, request.method
        if not path:
            request.allow()
            told = {"couchdb": "Welcome", "version": "3.5.0", "uuid": self.uuid, "vendor": {"name": "the fake"}}
            return say(told)
        if path[0] == "_scheduler":
            self._require(request, None, "admins")
            return self._scheduler(request)
        if path[0].startswith("_") and path[0] != "_replicator":
            raise Refusal(404, "not_found", "the fake: unknown endpoint")
        if len(path) == 1 and method == "PUT":
            return self._create(request)
        database = self.databases.get(path[0])
        if database is None:
            raise Refusal(404, "not_found", "Database does not exist.")
        self._require(request, database, "members")
        if len(path) == 1:
            return self._database(request, database)
        if path[1] == "_design" and len(path) > 3:
            return self._design(request, database)
        if path[1] == "_local":
            return self._local(request, database)
        if path[1] == "_design":
            if method != "GET":
                self._require(request, database, "admins")
            return self._document(request, database, f"_design/{path[2]}")
        if path[1].startswith("_"):
            return self._special(request, database)
        if len(path) == 2:
            return self._document(request, database, path[1])
        return self._attachment(request, database)

    def _create(self, request: Request) -> Answer:
        request.allow("q")
        self._require(request, None, "admins")
        name = request.path[0]
        if name in self.databases:
            raise Refusal(412, "file_exists", "The database could not be created, the file already exists.")
        if not re.fullmatch(r"[a-z][a-z0-9_$()+/-]*", name):
            raise Refusal(400, "illegal_database_name", f"Name: '{name}'.")
        self.databases[name] = Database(name)
        return say({"ok": True}, 201)

    def _database(self, request: Request, database: Database) -> Answer:
        request.allow()
        if request.method == "DELETE":
            self._require(request, None, "admins")
            del self.databases[database.name]
            return say({"ok": True})
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "method_not_allowed", "the fake: not on a database")
        alive = [doc for doc in database.docs.values() if not doc.winner().deleted]
        told = {"db_name": database.name, "doc_count": len(alive), "update_seq": database.tell_seq(database.seq)}
        return say(told | {"compact_running": False, "instance_start_time": "0"})

    def _special(self, request: Request, database: Database) -> Answer:
        match request.method, *request.path[1:]:
            case "GET", "_changes":
                return self._changes(request, database)
            case "GET", "_all_docs":
                return self._all_docs(request, database)
            case "POST", "_bulk_docs":
                return self._bulk(request, database)
            case "POST", "_compact":
                request.allow()
                request.json()
                self._require(request, database, "admins")
                for doc in database.docs.values():
                    doc.compact()
                return say({"ok": True}, 202)
            case "POST", "_compact", name:
                request.allow()
                request.json()
                self._require(request, database, "admins")
                database.find(f"_design/{name}")
                return say({"ok": True}, 202)
            case "POST", "_view_cleanup":
                request.allow()
                request.json()
                self._require(request, database, "admins")
                return say({"ok": True}, 202)
            case "GET", "_revs_limit":
                return say(database.revs_limit)
            case "PUT", "_revs_limit":
                self._require(request, database, "admins")
                database.revs_limit = int(request.json())
                return say({"ok": True})
            case "GET", "_security":
                return say(database.security)
            case "PUT", "_security":
                self._require(request, database, "admins")
                database.security = request.json()
                return say({"ok": True})
        raise Refusal(404, "not_found", "the fake: unknown endpoint")

    def _all_docs(self, request: Request, database: Database) -> Answer:
        request.allow("include_docs", "startkey", "endkey")
        first, last = request.query["startkey"], request.query["endkey"]
        rows = []
        for id, doc in sorted(database.docs.items()):
            node = doc.winner()
            if first <= id <= last and not node.deleted:
                told = database.tell(doc, node, {})
                rows.append({"id": id, "key": id, "value": {"rev": node.rev}, "doc": told})
        return say({"total_rows": len(database.docs), "offset": 0, "rows": rows})

    def _bulk(self, request: Request, database: Database) -> Answer:
        request.allow()
        given = request.json()
        if set(given) != {"docs", "new_edits"} or given["new_edits"] is not False:
            raise Refusal(400, "bad_request", "the fake: only new_edits=false")
        for one in given["docs"]:
            database.graft(one)
        return say([], 201)

    def _changes(self, request: Request, database: Database) -> Answer:
        request.allow("since", "limit", "include_docs", "conflicts", "feed", "heartbeat")
        query = request.query
        since = database.read_seq(str(query.get("since", "0")))
        feed = query.get("feed", "normal")
        if feed not in ("normal", "longpoll") or ("heartbeat" in query) != (feed == "longpoll"):
            raise Refusal(400, "bad_request", f"the fake: feed {feed}")
        if feed == "normal" or since < database.seq:
            return say(self._told_changes(database, since, query))
        return Answer(200, self._wait(database, since, query))

    def _told_changes(self, database: Database, since: int, query: Json) -> Json:
        rows = database.changes(since, query)
        left = len(database.changes(since, {})) - len(rows)
        last = rows[-1]["seq"] if rows and left else database.tell_seq(database.seq)
        return {"results": rows, "last_seq": last, "pending": left}

    async def _wait(self, database: Database, since: int, query: Json) -> AsyncIterator[bytes]:
        """The heartbeats, and what was waited for."""
        while since >= database.seq:
            try:
                await asyncio.wait_for(database.changed.wait(), query["heartbeat"] / 1000)
            except TimeoutError:
                yield b"\n"
        yield json.dumps(self._told_changes(database, since, query)).encode()

    def _design(self, request: Request, database: Database) -> Answer:
        _, _, name, kind, *rest = request.path
        if request.method != "GET" or kind != "_view" or len(rest) != 1:
            raise Refusal(404, "not_found", "the fake: unknown endpoint")
        request.allow(
            "startkey", "startkey_docid", "endkey", "descending", "limit", "reduce", "group_level", "include_docs"
        )
        node = database.find(f"_design/{name}").winner()
        if node.deleted or node.body is None:
            raise Refusal(404, "not_found", "deleted")
        return say(query_view(database, node.body, rest[0], request.query))

    def _local(self, request: Request, database: Database) -> Answer:
        request.allow()
        id = "/".join(request.path[1:])
        if len(request.path) != 3:
            raise Refusal(404, "not_found", "the fake: a local document's id")
        if request.method == "GET":
            if id not in database.local:
                raise Refusal(404, "not_found", "missing")
            number, body = database.local[id]
            return say({"_id": id, "_rev": f"0-{number}", **body})
        if request.method != "PUT":
            raise Refusal(405, "method_not_allowed", "the fake: not on a local document")
        given = request.json()
        number = database.local.get(id, (0, {}))[0]
        if given.pop("_rev", "0-0") != f"0-{number}":
            raise Refusal(*CONFLICT)
        database.local[id] = (number + 1, given)
        return say({"ok": True, "id": id, "rev": f"0-{number + 1}"}, 201)

    def _document(self, request: Request, database: Database, id: str) -> Answer:
        match request.method:
            case "GET" | "HEAD":
                return self._read(request, database, id)
            case "PUT":
                request.allow("rev")
                parts: dict[str, bytes] = {}
                mime = request.headers.get("content-type", "")
                if mime.startswith("multipart/related"):
                    given, parts = parse_multipart(mime, request.body)
                else:
                    given = request.json()
                if given.get("_id", id) != id:
                    raise Refusal(400, "bad_request", "Document ID must match URL")
                if database.name == "_replicator":
                    self._require(request, None, "admins")
                    given["owner"] = request.user
                rev = database.edit(id, given, parts, request.query.get("rev"))
            case "DELETE":
                request.allow("rev")
                doc = database.find(id)
                if "rev" not in request.query:
                    raise Refusal(*CONFLICT)
                rev = database.edit(doc.id, {"_deleted": True}, {}, request.query["rev"])
            case _:
                raise Refusal(405, "method_not_allowed", "the fake: not on a document")
        if database.name == "_replicator":
            self._schedule(database.docs[id])
        return say({"ok": True, "id": id, "rev": rev}, 200 if request.method == "DELETE" else 201)

    def _read(self, request: Request, database: Database, id: str) -> Answer:
        request.allow("rev", "revs", "revs_info", "conflicts", "open_revs", "attachments")
        query = request.query
        doc = database.find(id)
        if "open_revs" in query:
            if request.headers.get("accept") != "application/json":
                raise Refusal(400, "bad_request", "the fake: open_revs as multipart/mixed")
            if query["open_revs"] == "all":
                return say([{"ok": database.tell(doc, node, query)} for node in doc.leaves()])
            return say([self._one_open(database, doc, rev, query) for rev in query["open_revs"]])
        node = doc.nodes.get(query["rev"]) if "rev" in query else doc.winner()
        if node is None:
            raise Refusal(404, "not_found", "missing")
        if "rev" not in query and node.deleted:
            raise Refusal(404, "not_found", "deleted")
        return say(database.tell(doc, node, query))

    def _one_open(self, database: Database, doc: Doc, rev: str, query: Json) -> Json:
        node = doc.nodes.get(rev)
        return {"missing": rev} if node is None or node.body is None else {"ok": database.tell(doc, node, query)}

    def _attachment(self, request: Request, database: Database) -> Answer:
        request.allow("rev")
        _, id, *rest = request.path
        if request.method not in ("GET", "HEAD"):
            raise Refusal(405, "method_not_allowed", "the fake: attachments are only read")
        doc = database.find(id)
        node = doc.nodes.get(request.query["rev"]) if "rev" in request.query else doc.winner()
        if node is None or node.body is None or (node.deleted and "rev" not in request.query):
            raise Refusal(404, "not_found", "missing")
        if (one := node.attachments.get("/".join(rest))) is None:
            raise Refusal(404, "not_found", "Document is missing attachment")
        headers = {"Content-Type": one.mime, "ETag": f'"{one.digest}"', "Content-Security-Policy": "sandbox"}
        return Answer(200, one.body, headers)

    # --- replication

    def _schedule(self, doc: Doc) -> None:
        """Begin, begin anew or end the replication that a document of ``_replicator`` asks for."""
        if job := self._jobs.pop(doc.id, None):
            job.task.cancel()
        node = doc.winner()
        if node.deleted or node.body is None or doc.id.startswith("_design/"):
            return
        if unknown := {name for name in node.body if not name.startswith("_")} - LINK_FIELDS:
            self.problems.append(f"a replication with unknown fields: {sorted(unknown)}")
        if set(node.body.get("selector", {"_id": 0})) != {"_id"}:
            self.problems.append(f"a replication with a selector that the fake does not know: {node.body['selector']}")
        for other in self._jobs.values():
            if all(other.told[end]["url"] == node.body[end]["url"] for end in ("source", "target")):
                return self._give_up(doc, node.body, other)
        self._jobs[doc.id] = Job(self, doc.id, node.body)

    def _give_up(self, doc: Doc, body: Json, other: Job) -> None:
        """Of two documents that ask for the same CouchDB does the first, and never again looks at the second."""
        job = self._jobs[doc.id] = Job(self, doc.id, dict(body))
        job.task.cancel()
        job.state, job.error = "failed", f"Replication specified by {doc.id} already started, triggered by {other.id}"
        body |= {"_replication_state": "failed", "_replication_state_reason": job.error}

    def _scheduler(self, request: Request) -> Answer:
        request.allow("limit")
        match request.method, *request.path[1:]:
            case "GET", "docs", "_replicator":
                docs = [self._told_job(job) for job in self._jobs.values()]
                return say({"total_rows": len(docs), "offset": 0, "docs": docs})
            case "GET", "docs", "_replicator", id:
                if id not in self._jobs:
                    raise Refusal(404, "not_found", "missing")
                return say(self._told_job(self._jobs[id]))
            case "GET", "jobs":
                jobs = [self._told_job(job) | {"history": []} for job in self._jobs.values()]
                return say({"total_rows": len(jobs), "offset": 0, "jobs": jobs})
        raise Refusal(404, "not_found", "the fake: unknown endpoint")

    def _told_job(self, job: Job) -> Json:
        ends = {end: job.told[end]["url"].rstrip("/") + "/" for end in ("source", "target")}
        told = {"database": "_replicator", "doc_id": job.id, "id": f"{job.id}+continuous", "node": "fake@127.0.0.1"}
        times = {"start_time": "2026-11-22T10:00:00Z", "last_updated": "2026-11-22T10:00:00Z"}
        how = {"state": job.state, "info": job.info(), "error_count": int(job.state == "crashing")}
        return told | ends | times | how


def _parse(query: str) -> Json:
    """Parameters: texts, and JSON where CouchDB wants JSON."""
    texts = {"since", "feed", "rev", "startkey_docid"}
    found: Json = {}
    for name, value in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)):
        found[name] = value if name in texts or value == "all" else json.loads(value)
    return found


async def _send(writer: asyncio.StreamWriter, answer: Answer, method: str) -> None:
    reasons = {200: "OK", 201: "Created", 202: "Accepted"}
    head = [f"HTTP/1.1 {answer.status} {reasons.get(answer.status, 'No')}", "Server: the fake"]
    head += [f"{name}: {value}" for name, value in answer.headers.items()]
    if isinstance(answer.body, bytes):
        head.append(f"Content-Length: {len(answer.body)}")
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + (b"" if method == "HEAD" else answer.body))
    else:
        writer.write("\r\n".join([*head, "Transfer-Encoding: chunked"]).encode() + b"\r\n\r\n")
        async for piece in answer.body:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
    await writer.drain()


# --- the thread


_loop: asyncio.AbstractEventLoop | None = None


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it in the servers' thread, and wait."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
        threading.Thread(target=partial(_loop.run_forever), name="fakecouch", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(coroutine, _loop).result(30)
