"""Documents in ``_replicator`` databases, by which CouchDB servers replicate by themselves, for ever and over restarts.

:mod:`.topology` says which links several servers need, :mod:`.plan` what is to be done, and :mod:`.mesh` does it by
what is here: reading, writing and removing one document, and how it fares. Design documents are not replicated: each
server has the index of its own jollyae. Everything else is, deletions and conflicts too: a link selects by nothing that
an edit could change, since what no longer passes a selector stays on the other side for ever.

The credentials for both ends stand in the link's document, in its ``auth`` objects, where CouchDB shows them to admins
alone (others are shown the document without). They come from the environment or a file (:mod:`.address`), and are in no
message of ours. ``_replicator`` itself must be closed to others.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..store import Stale, StoreError
from .address import Address
from .client import Client, decode, rows_of
from .plan import Held, is_same, make_document, url_of
from .topology import PREFIX, Link, Node

REPLICATOR = "_replicator"
WELL = ("running", "pending", "initializing", "completed")
"""CouchDB's words for a replication of which nobody has to take care."""


@dataclass(frozen=True, slots=True)
class State:
    """How a link fares. ``state`` is CouchDB's word: ``running`` and ``pending`` are well, ``crashing`` is tried again,
    ``failed`` needs somebody; ``error`` says why. ``lag``: how many changes of the source the target lacks; None where
    nobody can tell. ``refused``: documents that the target would not write. ``held_by``: the server that does it.
    ``through``: how far it is, in the source's own words. ``updated``: when CouchDB last said something new of it."""

    id: str
    source: str
    target: str
    state: str
    error: str
    lag: int | None
    written: int
    refused: int
    held_by: str = ""
    through: str = ""
    updated: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return self.state in WELL and not self.refused


async def read_held(node: Node) -> list[Held]:
    """All our documents that this server has."""
    query = {"include_docs": True, "startkey": json.dumps(PREFIX), "endkey": json.dumps(PREFIX + "~")}
    async with Client(node.address) as client:
        answer = await client.ask("GET", REPLICATOR, "_all_docs", query=query, accept=(404,))
    if answer.status_code == 404:  # without a _replicator database there are none
        return []
    return [Held(node, row["doc"]) for row in rows_of(decode(answer), "rows") if row.get("doc")]


async def write(link: Link) -> str:
    """Write the link's document, if it is missing or different: ``made``, ``changed`` or ``kept``."""
    wanted = make_document(link)
    async with Client(link.at) as client:
        if (await client.ask("GET", REPLICATOR, accept=(404,))).status_code == 404:
            await client.ask("PUT", REPLICATOR, accept=(412,))
        for _ in range(3):
            stored = await client.find(REPLICATOR, link.id)
            if stored and is_same(stored, link):
                return "kept"
            body = wanted | ({"_rev": stored["_rev"]} if stored else {})
            answer = await client.ask("PUT", REPLICATOR, link.id, send=body, accept=(409,))
            if answer.status_code != 409:
                return "changed" if stored else "made"
    raise Stale(f"somebody else writes the same link all the time: {link}")


async def erase(at: Address, id: str) -> None:
    """Remove a link's document, if it is there. What was replicated stays."""
    async with Client(at) as client:
        for _ in range(3):
            stored = await client.find(REPLICATOR, id)
            if not stored:
                return
            answer = await client.ask("DELETE", REPLICATOR, id, query={"rev": stored["_rev"]}, accept=(404, 409))
            if answer.status_code != 409:
                return
    raise Stale(f"somebody else writes the same link all the time: {id}")


async def read_states(at: Address, known: Sequence[Address] = ()) -> list[State]:
    """How all our links that this server holds fare. The databases of ``known`` are asked how far they are where the
    server itself does not say."""
    async with Client(at) as client:
        query = {"limit": 100_000}  # it tells 25 unless asked for more
        answer = await client.ask("GET", "_scheduler", "docs", REPLICATOR, query=query, accept=(404,))
    docs = decode(answer).get("docs", [])  # without a _replicator database there are no links
    found = [_state(doc, at) for doc in docs if str(doc.get("doc_id", "")).startswith(PREFIX)]
    by_url = {address.url: address for address in known}
    return [
        one if one.lag is not None else replace(one, lag=await _lag(by_url.get(one.source), one.through))
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


def _with_names(group: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The group with these names; one that was open to everybody is closed by the role of the server's admins."""
    known = [*group.get("names", ()), *names]
    return {**group, "names": sorted(set(known)), "roles": group.get("roles") or ["_admin"]}


def _state(doc: Mapping[str, Any], at: Address) -> State:
    info = doc.get("info") or {}
    return State(
        id=doc["doc_id"],
        source=url_of(doc.get("source")),
        target=url_of(doc.get("target")),
        state=str(doc.get("state")),
        error=_reason(info.get("error")),
        lag=info.get("changes_pending"),
        written=int(info.get("docs_written") or 0),
        refused=int(info.get("doc_write_failures") or 0),
        held_by=str(at),
        through=str(info.get("through_seq") or info.get("checkpointed_source_seq") or ""),
        updated=str(doc.get("last_updated") or ""),
    )


def _reason(error: Any) -> str:
    return str(error.get("reason") or error.get("error") or error) if isinstance(error, Mapping) else str(error or "")


async def _lag(source: Address | None, through: str) -> int | None:
    """The source's sequence less that which is through. The number that a sequence begins with counts changes."""
    before = _number(through)
    if source is None or before is None:
        return None
    try:
        async with Client(source) as client:
            now = _number((await client.get(source.database))["update_seq"])
    except StoreError:
        return None
    return None if now is None else max(0, now - before)


def _number(seq: Any) -> int | None:
    number = str(seq).partition("-")[0]
    return int(number) if number.isdigit() else None
