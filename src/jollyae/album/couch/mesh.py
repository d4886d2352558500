"""Has several servers replicate as they shall, and keeps it so: :func:`arrange` looks at all of them, plans
(:mod:`.plan`), and does what is to be done; again, it changes only what differs.

What cannot be is refused before anything is done (:func:`.topology.check`; a database that everybody can read; a public
album that has more than what is public). A server that is away is passed over, and its links wait for the next time.

Each server remembers the list (``_local/``, never replicated), so that one that is left out later is found again, and
what it holds is ended too. It is written before the links, and again after them without those that are done with.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from .. import public_album
from ..keeper import why_private
from ..store import Document, StoreError
from .address import Address, find_password, parse_address
from .client import Client, decode
from .plan import CHANGED, FAILED, MADE, REMOVED, WAITS, Held, Step, dissolution, plan
from .replication import REPLICATOR, erase, find_exposure, read_held, write
from .store import CouchStore
from .topology import Kind, Node, check, is_loopback

log = logging.getLogger(__name__)

MEMORY = public_album.MESH
"""Under this name a server remembers the list: ``kind``, ``role`` and ``servers`` (each ``url`` and ``uuid``)."""
SENDS, RECEIVES, BOTH = "sends", public_album.RECEIVES, "both"
"""What a database does; one that receives is no source of anything."""


async def arrange(
    kind: Kind, addresses: Sequence[Address], *, user: str = "", dry_run: bool = False, forget: Sequence[str] = ()
) -> list[Step]:
    """Connect these databases, and end what connected others with them. ``user``: in whose name they replicate (else
    each address's own). ``dry_run``: only say what would be done. ``forget``: URLs of servers that are gone for good,
    and not to be asked for what they hold. Raises :class:`StoreError`, with nothing done, for what cannot be."""
    nodes = await _look_at_all(addresses, user)
    memories = await asyncio.gather(*(_remembered(node) for node in nodes))
    nodes = [_named_by(node, memories) for node in nodes]
    receivers = [node.name for node, told in zip(nodes, memories, strict=True) if told.get("role") == RECEIVES]
    check(kind, nodes, receivers)
    await _refuse_exposed(kind, nodes)
    await _refuse_mixed(kind, nodes)
    leaving = [] if kind is Kind.PUBLISH else await _leaving(nodes, memories, forget)
    all_of_them, held = await _held([*nodes, *leaving])
    nodes, leaving = all_of_them[: len(nodes)], all_of_them[len(nodes) :]
    steps = plan(kind, nodes, held, leaving)
    await _refuse_open_replicators(steps)
    if dry_run:
        return steps
    await _remember(kind, nodes, memories, [*nodes, *leaving])
    done = [await _do(step) for step in steps]
    unfinished = {step.at.url for step in done if step.done in (WAITS, FAILED)}
    remaining = [node for node in leaving if node.address.url in unfinished]
    await _remember(kind, nodes, memories, [*nodes, *remaining])
    return done


async def dissolve(addresses: Sequence[Address], *, dry_run: bool = False) -> list[Step]:
    """End what these databases replicate with each other. What was replicated stays."""
    nodes = list(await asyncio.gather(*(look(address, at_database=False) for address in addresses)))
    memories = await asyncio.gather(*(_remembered(node, whatever=True) for node in nodes))
    nodes, held = await _held([_named_by(node, memories) for node in nodes])
    steps = dissolution(nodes, held)
    if dry_run:
        return steps
    done = [await _do(step) for step in steps]
    gone = {node.name for node in nodes if not node.away}
    for node, told in zip(nodes, memories, strict=True):
        if told and not node.away:
            left = [one for one in told.get("servers", ()) if _name(one) not in gone]
            await _store(node, told | {"servers": [_entry(node), *left]} if left else {})
    return done


async def look(address: Address, end: Address | None = None, *, at_database: bool = True) -> Node:
    """The node of that address: who the server is, or why it cannot be asked now. Raises :class:`StoreError` where it
    refuses, or has no such database."""
    end = end or address
    try:
        async with Client(address) as client:
            told = decode(await client.ask("GET"))
            if at_database:
                await client.get(address.database)
        if end != address:
            async with Client(end) as client:
                await client.get(end.database)
    except StoreError as error:
        if not error.is_temporary:
            raise
        return Node(address, end, away=f"{address} is away: {error.message}")
    return Node(address, end, str(told.get("uuid", "")))


def name_of(url: str, uuid: str) -> str:
    """What a server that is remembered is called (:attr:`.topology.Node.name`)."""
    address = parse_address(url, password="-")
    return Node(address, address, uuid).name


# --- looking


async def _look_at_all(addresses: Sequence[Address], user: str) -> list[Node]:
    return list(await asyncio.gather(*(look(address, _as(address, user)) for address in addresses)))


def _as(address: Address, user: str) -> Address:
    if not user or user == address.user:
        return address
    password = find_password(user, address.host)
    return replace(address, user=user, password=password)


async def _remembered(node: Node, *, whatever: bool = False) -> Document:
    """What it remembers; ``whatever``: nothing, where its database is gone."""
    if node.away:
        return {}
    try:
        async with Client(node.address) as client:
            return await CouchStore(client, "").remembered(MEMORY)
    except StoreError:
        if not whatever:
            raise
        return {}


def _servers(memories: Iterable[Document]) -> list[dict[str, Any]]:
    return [one for told in memories for one in told.get("servers", ()) if isinstance(one, dict) and "url" in one]


def _name(entry: Document) -> str:
    return name_of(str(entry["url"]), str(entry.get("uuid", "")))


def _named_by(node: Node, memories: Sequence[Document]) -> Node:
    """One that is away is known by what the others remember of it."""
    if not node.away:
        return node
    found = (one for one in _servers(memories) if one.get("uuid") and one["url"] == str(node.address))
    return replace(node, uuid=str(next(found, {}).get("uuid", "")))


async def _leaving(nodes: Sequence[Node], memories: Sequence[Document], forget: Sequence[str]) -> list[Node]:
    """The servers that were in the list, and are not any more."""
    here = {node.name for node in nodes} | {node.address.url for node in nodes}
    forgotten = {parse_address(url, password="-").url for url in forget}
    found: dict[str, Document] = {}
    for one in _servers(memories):
        url = parse_address(str(one["url"]), password="-").url
        if not {_name(one), url} & here and url not in forgotten:
            found.setdefault(_name(one), one)
    return list(await asyncio.gather(*(_look_at_leaving(one) for one in found.values())))


async def _look_at_leaving(entry: Document) -> Node:
    """As it is now; whatever is against asking it is a reason to wait, and none to do nothing."""
    address = parse_address(str(entry["url"]))
    uuid = str(entry.get("uuid", ""))
    try:
        node = await look(address, at_database=False)
    except StoreError as error:
        return Node(address, address, uuid, f"{error.message} {error.hint}".strip())
    if uuid and node.uuid and node.uuid != uuid:
        return Node(address, address, uuid, f"{address} leads to another server now")
    return replace(node, uuid=uuid or node.uuid)


async def _held(nodes: Sequence[Node]) -> tuple[list[Node], list[Held]]:
    """The nodes, and all that they hold; one that went away meanwhile is away."""
    asked, found = [], []
    for node, held in await asyncio.gather(*map(_held_by, nodes)):
        asked.append(node)
        found += held
    return asked, found


async def _held_by(node: Node) -> tuple[Node, list[Held]]:
    if node.away:
        return node, []
    try:
        return node, await read_held(node)
    except StoreError as error:
        if not error.is_temporary:
            raise
        return replace(node, away=f"{node} is away: {error.message}"), []


# --- what is refused


async def _refuse_exposed(kind: Kind, nodes: Sequence[Node]) -> None:
    present = [node for node in nodes if not node.away]
    if kind is Kind.PUBLISH:
        if nodes[0] in present:
            await _refuse_private(nodes[0])
        return
    for node in present:
        if warning := await find_exposure(node.address):
            raise StoreError(warning, "Name its members: jollyae album init, or PUT …/_security.")


async def _refuse_mixed(kind: Kind, nodes: Sequence[Node]) -> None:
    """Public albums may give each other all that they have; an album may not give them what it has."""
    present = [] if kind is Kind.PUBLISH else [node for node in nodes if not node.away]
    are_public = [await _is_public(node) for node in present]
    if any(are_public) and not all(are_public):
        public = present[are_public.index(True)]
        raise StoreError(
            f"{public} is a public album, kept by `jollyae album project`: it would get all that is not public",
            "Leave it out. From it to public servers: jollyae album replicate --publish",
        )


async def _is_public(node: Node) -> bool:
    async with Client(node.address) as client:
        return await public_album.is_marked(CouchStore(client, ""))


async def _refuse_private(source: Node) -> None:
    async with Client(source.address) as client:
        why = await why_private(CouchStore(client, ""))
    if why:
        raise StoreError(
            f"{source} is no public album: {why}; all of it would be published",
            "Publish what `jollyae album project` keeps; it comes first, then the public servers.",
        )


async def _refuse_open_replicators(steps: Sequence[Step]) -> None:
    """Passwords are shown there to admins alone; users and addresses to all who can read it."""
    for at in dict.fromkeys(step.at for step in steps if step.done in (MADE, CHANGED)):
        if await find_exposure(at.beside(REPLICATOR)):
            raise StoreError(
                f"everybody who reaches the server can read who replicates with whom: {at.server}/{REPLICATOR}",
                f'Close it: PUT {at.server}/{REPLICATOR}/_security with {{"members": {{"roles": ["_admin"]}}}}',
            )


# --- doing


async def _do(step: Step) -> Step:
    try:
        if step.link is not None and step.done in (MADE, CHANGED):
            return replace(step, done=await write(step.link))
        if step.held is not None and step.done == REMOVED:
            await erase(step.at, step.held.id)
    except StoreError as error:
        return replace(step, done=WAITS if error.is_temporary else FAILED, why=f"{error.message} {error.hint}".strip())
    return step


# --- remembering


def _entry(node: Node) -> dict[str, str]:
    return {"url": str(node.address), "uuid": node.uuid}


async def _remember(kind: Kind, nodes: Sequence[Node], memories: Sequence[Document], all_of_them: list[Node]) -> None:
    """Have each know all of them: by the names that we have for them, but where that is a ``localhost`` of ours, by one
    that somebody else gave."""
    named = {_name(one): str(one["url"]) for one in _servers(memories) if not is_loopback(str(one["url"]))}
    for number, node in enumerate(nodes):
        role = BOTH if kind is not Kind.PUBLISH else RECEIVES if number else SENDS
        servers = [
            _entry(one) | ({"url": named[one.name]} if one.is_local and one.name in named else {})
            for one in all_of_them
        ]
        if not node.away:
            await _store(node, {"kind": str(kind), "role": role, "servers": servers})


async def _store(node: Node, value: Document) -> None:
    """Have the server remember it, if it does not already."""
    try:
        async with Client(node.address) as client:
            store = CouchStore(client, "")
            if await store.remembered(MEMORY) != value:
                await store.remember(MEMORY, value)
    except StoreError as error:  # it went away meanwhile: its steps say so, and the next time writes it
        log.warning("%s does not remember the list: %s", node, error.message)
