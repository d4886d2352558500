"""Connects CouchDB servers: documents in ``_replicator`` databases, by which the servers themselves replicate, for ever
and over restarts.

A :class:`Link` has one direction, and is held by one server, which pulls or pushes. :func:`mesh` and :func:`ring` say
which links several servers need, :func:`publication` the one by which a public server receives (it never sends).
:func:`set_up` writes them; doing so again changes nothing. The design documents are not replicated: each server has the
index of its own jollyae. Everything else is, deletions and conflicts too: a link selects by nothing that an edit could
change, since what no longer passes a selector stays on the other side for ever.

The credentials for both ends stand in the link's document, in its ``auth`` objects, where CouchDB shows them to admins
alone. They come from the environment or a file (:mod:`.address`), and are in no message of ours.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from ..store import Stale, StoreError
from .address import Address
from .client import Client, decode

REPLICATOR = "_replicator"
PREFIX = "jollyae-"
"""With this the ids of our documents in ``_replicator`` begin."""
EVERYTHING = {"_id": {"$regex": "^[^_]"}}
"""All documents but design documents."""


@dataclass(frozen=True, slots=True)
class Link:
    """A replication from ``source`` to ``target``, held by the server of ``at`` (one of the two, so that it still works
    where only one can reach the other)."""

    source: Address
    target: Address
    at: Address
    is_public: bool = False
    """Everybody may read both ends."""

    @property
    def id(self) -> str:
        """The id of its document: a function of its ends, whoever asks there."""
        return PREFIX + hashlib.sha256(f"{self.source.url}\n{self.target.url}".encode()).hexdigest()[:20]

    def __str__(self) -> str:
        return f"{self.source} → {self.target}"


@dataclass(frozen=True, slots=True)
class Step:
    """What :func:`set_up` or :func:`remove` did: ``made``, ``kept``, ``changed``; ``removed``, ``absent``."""

    link: Link
    done: str


@dataclass(frozen=True, slots=True)
class State:
    """How a link fares. ``state`` is CouchDB's word: ``running`` and ``pending`` are well, ``crashing`` is tried again,
    ``failed`` needs somebody; ``error`` says why. ``lag``: how many changes of the source the target lacks; None where
    nobody can tell. ``refused``: documents that the target would not write."""

    id: str
    source: str
    target: str
    state: str
    error: str
    lag: int | None
    written: int
    refused: int

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return self.state in ("running", "pending", "initializing", "completed") and not self.refused


def mesh(servers: Sequence[Address]) -> list[Link]:
    """Each with each, in both directions; the first of two holds the links. An edit is everywhere after one step."""
    return [link for one, other in combinations(servers, 2) for link in between(one, other)]


def ring(servers: Sequence[Address]) -> list[Link]:
    """Each with the next, in both directions: fewer links, and it holds when one of them is away."""
    if len(servers) < 3:
        return mesh(servers)
    pairs = zip(servers, [*servers[1:], servers[0]], strict=True)
    return [link for one, other in pairs for link in between(one, other)]


def between(one: Address, other: Address) -> list[Link]:
    """Both directions, held by the first, which pulls the one and pushes the other."""
    return [Link(other, one, at=one), Link(one, other, at=one)]


def publication(source: Address, target: Address) -> Link:
    """From a public database to that of a public server, pushed: it needs to know nobody, and sends nothing."""
    return Link(source, target, at=source, is_public=True)


async def set_up(links: Iterable[Link]) -> list[Step]:
    """Write what is missing or different. Raises :class:`StoreError` where a database is missing or refuses, or is not
    public and can be read by everybody who reaches the server."""
    links = list(links)
    for address in _ends(links):
        async with Client(address) as client:
            await client.get(address.database)
    for address in _ends(link for link in links if not link.is_public):
        if warning := await find_exposure(address):
            raise StoreError(warning, "Name its members: jollyae album init, or PUT …/_security.")
    return [await _write(link) for link in links]


async def remove(links: Iterable[Link]) -> list[Step]:
    """End them. What was replicated stays."""
    steps = []
    for link in links:
        async with Client(link.at) as client:
            stored = await client.find(REPLICATOR, link.id)
            if stored:
                await client.ask("DELETE", REPLICATOR, link.id, query={"rev": stored["_rev"]}, accept=(404,))
            steps.append(Step(link, "removed" if stored else "absent"))
    return steps


async def read_states(at: Address, known: Sequence[Address] = ()) -> list[State]:
    """How all our links that this server holds fare. The databases of ``known`` are asked how far they are where the
    server itself does not say."""
    async with Client(at) as client:
        query = {"limit": 100_000}  # it tells 25 unless asked for more
        answer = await client.ask("GET", "_scheduler", "docs", REPLICATOR, query=query, accept=(404,))
    docs = decode(answer).get("docs", [])  # without a _replicator database there are no links
    found = [_state(doc) for doc in docs if str(doc.get("doc_id", "")).startswith(PREFIX)]
    by_url = {address.url: address for address in known}
    told = {doc["doc_id"]: doc.get("info") or {} for doc in docs}
    return [
        one if one.lag is not None else replace(one, lag=await _lag(by_url.get(one.source), told[one.id]))
        for one in sorted(found, key=lambda one: (one.source, one.target))
    ]


async def find_exposure(address: Address) -> str:
    """A warning where the database can be read without a password; '' where it cannot."""
    async with Client(Address(address.server, address.database)) as client:
        answer = await client.ask("GET", address.database, accept=(401, 403, 404))
    return f"everybody who reaches the server can read the database: {address}" if answer.is_success else ""


async def secure(address: Address, *, members: Sequence[str] = (), admins: Sequence[str] = ()) -> bool:
    """Let these users, besides those that are named already and the server's admins, read and write the database
    (``members``) and keep its index (``admins``), and nobody else. Whether that changed anything. The user who asks
    must be an admin of it."""
    async with Client(address) as client:
        stored = await client.get(address.database, "_security")
        wanted = {
            group: _with_names(stored.get(group) or {}, names)
            for group, names in (("admins", admins), ("members", members))
        }
        if all(stored.get(group) == value for group, value in wanted.items()):
            return False
        await client.ask("PUT", address.database, "_security", send=stored | wanted)
    return True


def make_document(link: Link) -> dict[str, Any]:
    """The link's document, with the credentials."""
    document = {
        "_id": link.id,
        "source": _end(link.source),
        "target": _end(link.target),
        "continuous": True,
        "selector": EVERYTHING,
    }
    return document | ({"owner": link.at.user} if link.at.user else {})


async def _write(link: Link) -> Step:
    wanted = make_document(link)
    async with Client(link.at) as client:
        if (await client.ask("GET", REPLICATOR, accept=(404,))).status_code == 404:
            await client.ask("PUT", REPLICATOR, accept=(412,))
        for _ in range(3):
            stored = await client.find(REPLICATOR, link.id)
            if stored and _same(stored, wanted):
                return Step(link, "kept")
            body = wanted | ({"_rev": stored["_rev"]} if stored else {})
            answer = await client.ask("PUT", REPLICATOR, link.id, send=body, accept=(409,))
            if answer.status_code != 409:
                return Step(link, "changed" if stored else "made")
    raise Stale(f"somebody else writes the same link all the time: {link}")


def _same(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the stored document says the same; what CouchDB itself writes into it does not count."""
    return all(stored.get(name) == value for name, value in wanted.items()) and all(
        name in wanted or name.startswith("_") for name in stored
    )


def _end(address: Address) -> dict[str, Any]:
    basic = {"username": address.user, "password": address.password}
    return {"url": address.url} | ({"auth": {"basic": basic}} if address.user else {})


def _ends(links: Iterable[Link]) -> list[Address]:
    return list(dict.fromkeys(end for link in links for end in (link.source, link.target)))


def _with_names(group: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The group with these names; one that was open to everybody is closed by the role of the server's admins."""
    known = [*group.get("names", ()), *names]
    return {**group, "names": sorted(set(known)), "roles": group.get("roles") or ["_admin"]}


def _state(doc: Mapping[str, Any]) -> State:
    info = doc.get("info") or {}
    return State(
        id=doc["doc_id"],
        source=_shown(doc.get("source")),
        target=_shown(doc.get("target")),
        state=str(doc.get("state")),
        error=_reason(info.get("error")),
        lag=info.get("changes_pending"),
        written=int(info.get("docs_written") or 0),
        refused=int(info.get("doc_write_failures") or 0),
    )


def _shown(url: Any) -> str:
    """The end as the scheduler tells it, without the slash at its end, and without a user or password."""
    scheme, _, rest = str(url or "").partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}".rstrip("/")


def _reason(error: Any) -> str:
    return str(error.get("reason") or error.get("error") or error) if isinstance(error, Mapping) else str(error or "")


async def _lag(source: Address | None, info: Mapping[str, Any]) -> int | None:
    """The source's sequence less that which is through. The number that a sequence begins with counts changes."""
    through = _number(info.get("through_seq") or info.get("checkpointed_source_seq"))
    if source is None or through is None:
        return None
    try:
        async with Client(source) as client:
            now = _number((await client.get(source.database))["update_seq"])
    except StoreError:
        return None
    return None if now is None else max(0, now - through)


def _number(seq: Any) -> int | None:
    number = str(seq).partition("-")[0]
    return int(number) if number.isdigit() else None
