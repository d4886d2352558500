"""How replication between all servers of an album fares, as one of them sees it: for a page, a command, metrics.

:class:`Watch` asks each server that its own one remembers (:data:`.mesh.MEMORY`) who it is, which links it holds and
how they are. What cannot be asked is told with the reason. CouchDB does not say when a link last was through: that
is the last time at which we saw it with nothing left to do, or further than before. Our own server remembers it.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..store import Document, StoreError
from .address import Address, parse_address
from .client import Client, decode
from .mesh import MEMORY
from .plan import Held
from .replication import State, read_held, read_states
from .store import CouchStore
from .topology import Kind, Link, Node, between, pairs

SEEN = "replication"
"""Under this name it is remembered when each link was last through."""
WITHIN = 15.0
"""Seconds that one server has to answer in."""
REMEMBER_SECONDS = 60.0
MISSING, UNSEEN = "missing", "unseen"
"""States of our own: a link that should be there and is not; one whose holder cannot be asked."""


@dataclass(frozen=True, slots=True)
class Server:
    """One of them. ``url`` has no user; ``trouble`` and ``hint`` say why it cannot be asked, and what to do."""

    url: str
    label: str
    uuid: str = ""
    version: str = ""
    trouble: str = ""
    hint: str = ""
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A link between two of the servers (their places in the list; -1: none of them). ``success``: when it was last
    through, seconds since 1970; None where nobody knows. ``advice``: what to do where it is not well."""

    state: State
    source: int
    target: int
    success: float | None
    advice: str

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return self.state.is_well


@dataclass(frozen=True, slots=True)
class Health:
    """All of it, at that time. ``kind``: as what it was set up; '' where that is not known."""

    kind: str
    at: float
    servers: tuple[Server, ...] = ()
    links: tuple[Seen, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return all(one.is_well for one in self.links) and not any(one.trouble for one in self.servers)

    def between(self, source: int, target: int) -> Seen | None:
        """The link from the one to the other; of several the worst."""
        found = [one for one in self.links if (one.source, one.target) == (source, target)]
        return min(found, key=lambda one: one.is_well, default=None)


def advice(state: State) -> str:
    """What to do about a link that is not well; '' where nothing is to be done."""
    if state.is_well:
        return ""
    text = state.error.lower()
    if state.state == MISSING or "already started" in text:
        return "Run the same `jollyae album replicate` again."
    if state.state == UNSEEN:
        return f"It is held by {state.held_by}, which cannot be asked: see there."
    for words, what in _ADVICE:
        if any(word in text for word in words):
            return what
    if state.state == "failed":
        return "CouchDB has given up on it. When what it says is mended, run `jollyae album replicate` again."
    if state.refused:
        return "The target refused documents: see its log; a validate function, or a limit on their size?"
    return "It is tried again. The log of the server that holds it says more."


_ADVICE = (
    (
        ("unauthorized", "forbidden", "401", "403", "incorrect"),
        "The password or the user's rights are wrong: give the right one (JOLLYAE_ALBUM_PASSWORD_FILE), and run "
        "`jollyae album replicate` again.",
    ),
    (
        ("db_not_found", "not_found", "could not open", "missing"),
        "The database is gone, or the server away. It is tried again; if it is gone: `jollyae album init URL`, then "
        "`jollyae album replicate` again.",
    ),
    (
        ("nxdomain", "econnrefused", "conn_failed", "timeout", "enetunreach", "ehostunreach", "closed"),
        "The other server is away, or its name or the way to it is wrong. It is tried again by itself.",
    ),
    (
        ("certificate", "tls", "unknown_ca", "handshake"),
        "The holder does not trust the other's certificate: [replicator] ssl_trusted_certificates_file.",
    ),
    (
        ("too_large", "413", "max_document"),
        "Raise [couchdb] max_document_size and [chttpd] max_http_request_size of the target.",
    ),
    (("checkpoint",), "Who replicates must be able to write to the source too: make the user a member there."),
)


# --- one look


@dataclass(frozen=True, slots=True)
class _Visited:
    node: Node
    server: Server
    held: tuple[Held, ...] = ()
    states: tuple[State, ...] = ()


class Watch:
    """Looks at all servers of the album of ``store``. ``writes``: whether it remembers what it saw."""

    def __init__(self, store: CouchStore, *, writes: bool = True) -> None:
        self._store = store
        self._writes = writes
        self._seen: dict[str, dict[str, Any]] | None = None
        self._written = -REMEMBER_SECONDS
        self.last: Health | None = None
        self._looking = asyncio.Lock()

    async def recent(self) -> Health:
        """What was seen last; what is to be seen where nothing was yet."""
        return self.last or await self.look()

    async def look(self) -> Health:
        """How all is now. Raises :class:`StoreError` where our own database does not answer."""
        async with self._looking:
            return await self._look()

    async def _look(self) -> Health:
        memory = await self._store.remembered(MEMORY)
        if self._seen is None:
            self._seen = dict((await self._store.remembered(SEEN)).get("links", {}))
        own = self._store.client.address
        uuid = str(decode(await self._store.client.ask("GET")).get("uuid", ""))
        nodes = _nodes(Node(own, own, uuid), memory)
        visited = await asyncio.gather(*(_visit(node, [one.address for one in nodes]) for node in nodes))
        names = [one.node.name for one in visited]
        where = [replace(one.server, is_here=one.node.address == own) for one in visited]
        told = [self._tell(*_joined(held, one.states), visited, names) for one in visited for held in one.held]
        links = [one for one in told if one.state.held_by == str(own) or max(one.source, one.target) >= 0]
        links += _missing(str(memory.get("kind", "")), visited, links)
        self.last = Health(str(memory.get("kind", "")), time.time(), tuple(_labelled(where)), tuple(links))
        await self._keep()
        return self.last

    def _tell(self, held: Held, state: State, visited: Sequence[_Visited], names: Sequence[str]) -> Seen:
        places = [_place(held, end, visited, names) for end in (0, 1)]
        return Seen(state, places[0], places[1], self._success(state), advice(state))

    def _success(self, state: State) -> float | None:
        assert self._seen is not None
        before = self._seen.get(state.id, {})
        is_further = bool(state.through) and "through" in before and state.through != before["through"]
        if state.is_well and (state.lag == 0 or is_further):
            before = {"at": time.time(), "through": state.through}
        elif "through" not in before:
            before = before | {"through": state.through}
        self._seen[state.id] = before
        at = before.get("at")
        return float(at) if isinstance(at, int | float) else None

    async def _keep(self) -> None:
        if not self._writes or time.monotonic() - self._written < REMEMBER_SECONDS or self.last is None:
            return
        known = {one.state.id for one in self.last.links}
        links = {id: told for id, told in (self._seen or {}).items() if id in known}
        with contextlib.suppress(StoreError):  # forgetting costs a time that is not known after the next start
            await self._store.remember(SEEN, {"links": links})
            self._written = time.monotonic()


def _nodes(own: Node, memory: Document) -> list[Node]:
    """The servers of the list in its order; our own one by the address at which we have it."""
    found: list[Node] = []
    for one in memory.get("servers", ()):
        try:
            address = parse_address(str(one["url"]))
        except (StoreError, KeyError, TypeError):
            continue
        node = Node(address, address, str(one.get("uuid", "")))
        found.append(own if node.name == own.name or address.url == own.address.url else node)
    return found if own in found else [own, *found]


async def _visit(node: Node, known: Sequence[Address]) -> _Visited:
    server = Server(node.address.url, node.address.host, node.uuid)
    try:
        async with asyncio.timeout(WITHIN):
            async with Client(node.address) as client:
                told = decode(await client.ask("GET"))
            uuid = str(told.get("uuid", ""))
            server = replace(server, uuid=uuid or node.uuid, version=str(told.get("version", "")))
            if node.uuid and uuid and uuid != node.uuid:
                wrong = "another server answers at this address"
                return _Visited(node, replace(server, uuid=node.uuid, trouble=wrong, hint=_NAME_IT))
            node = replace(node, uuid=uuid)
            held = await read_held(node)
            states = await read_states(node.address, known) if held else []
    except TimeoutError:
        return _Visited(node, replace(server, trouble=f"no answer within {WITHIN:.0f} s", hint=_IS_IT_THERE))
    except StoreError as error:
        hint = error.hint if error.is_temporary else f"{_ADMIN} {error.hint}"
        return _Visited(node, replace(server, trouble=error.message, hint=hint))
    return _Visited(node, server, tuple(held), tuple(states))


_NAME_IT = "Name each server so that all others find it (no localhost), and run `jollyae album replicate` again."
_ADMIN = "Only an admin of that server sees what it replicates."
_IS_IT_THERE = "Is it running, and is the network between?"


_WORDS = {"triggered": "running", "error": "crashing"}
"""What servers before 2.1 said."""


def _joined(held: Held, states: Sequence[State]) -> tuple[Held, State]:
    """The document with what the scheduler says of it; where it says nothing, with what CouchDB wrote into it."""
    for state in states:
        if state.id == held.id:
            return held, state
    word = str(held.document.get("_replication_state") or "unknown")
    reason = str(held.document.get("_replication_state_reason") or "")
    source, target = held.urls
    since = str(held.document.get("_replication_state_time") or "")
    return held, State(
        held.id, source, target, _WORDS.get(word, word), reason, None, 0, 0, str(held.at.address), "", since
    )


def _place(held: Held, end: int, visited: Sequence[_Visited], names: Sequence[str]) -> int:
    """Which of the servers that end is; -1: none."""
    if held.names[end] in names:
        return list(names).index(held.names[end])
    for number, one in enumerate(visited):
        if held.sends(one.node) if end == 0 else held.has(one.node) and not held.sends(one.node):
            return number
    return -1


def _missing(kind: str, visited: Sequence[_Visited], links: Sequence[Seen]) -> list[Seen]:
    """The links that the list needs and nobody was seen to hold."""
    if kind not in list(Kind):
        return []
    there = {(one.source, one.target) for one in links}
    found = []
    for pair in pairs(Kind(kind), len(visited)):
        one, other = (visited[place] for place in pair)
        for link in between(Kind(kind), one.node, other.node, one.node):
            ends = pair if link.source.url == one.node.address.url else pair[::-1]
            if ends not in there:
                found.append(_absent(link, ends, next((v for v in (one, other) if v.server.trouble), None)))
    return found


def _absent(link: Link, ends: tuple[int, int], unseen: _Visited | None) -> Seen:
    state = State(link.id, link.source.url, link.target.url, UNSEEN if unseen else MISSING, "", None, 0, 0)
    if unseen:
        state = replace(state, held_by=unseen.server.url, error=unseen.server.trouble)
    else:
        state = replace(state, error="no server has it")
    return Seen(state, *ends, None, advice(state))


def _labelled(servers: Sequence[Server]) -> list[Server]:
    """With short names, which tell them apart."""
    hosts = [one.label for one in servers]
    return [one if hosts.count(one.label) == 1 else replace(one, label=one.url.partition("://")[2]) for one in servers]
