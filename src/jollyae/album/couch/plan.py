"""What has to be done so that servers replicate as they shall: what is there beside what is wanted. Pure functions of
values.

A document in ``_replicator`` is ours if its id begins with :data:`.topology.PREFIX`, and of this mesh if one of its
ends is the database of the server that holds it, and that is one of the list. Of those, the wanted ones are made,
changed or kept, and all others removed; so who leaves a server out of the list ends what connected it. What a server
holds that left is removed there. All other documents stay.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from .address import Address
from .topology import Kind, Link, Node, between, holder, is_loopback, pairs

EVERYTHING = {"_id": {"$regex": "^[^_]"}}
"""All documents but design documents."""
OURS = "jollyae"
"""Under this key a link's document has what we must know of it again; CouchDB passes over what it does not know."""
MADE, CHANGED, KEPT, REMOVED, WAITS, FAILED = "made", "changed", "kept", "removed", "waits", "failed"


@dataclass(frozen=True, slots=True)
class Held:
    """One of our documents, and the server on which it was found."""

    at: Node
    document: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """The document's."""
        return str(self.document["_id"])

    @property
    def urls(self) -> tuple[str, str]:
        """Its source and target, without users and passwords."""
        return url_of(self.document.get("source")), url_of(self.document.get("target"))

    @property
    def names(self) -> tuple[str, str]:
        """What its ends are; '' in a document that an older jollyae wrote."""
        told = _told(self.document).get("ends")
        return (str(told[0]), str(told[1])) if isinstance(told, list) and len(told) == 2 else ("", "")

    @property
    def is_publication(self) -> bool | None:
        """Whether it is one; None where it does not say."""
        found = _told(self.document).get("publishes")
        return found if isinstance(found, bool) else None

    def has(self, node: Node) -> bool:
        """Whether the node is one of its ends."""
        return any(self._is(end, node) for end in (0, 1))

    def sends(self, node: Node) -> bool:
        """Whether the node is its source."""
        return self._is(0, node)

    def _is(self, end: int, node: Node) -> bool:
        if self.names[end] and node.uuid:
            return self.names[end] == node.name
        url = self.urls[end]
        if is_loopback(url):  # it means the server that holds it
            return node.name == self.at.name and unquote(urlsplit(url).path.rpartition("/")[2]) == node.address.database
        return url in (node.address.url, node.end.url)


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with one link: ``made``, ``changed``, ``kept``, ``removed``; or not done: ``waits`` for a server
    that is away, ``failed``. ``why`` says the reason, ``source`` and ``target`` are for people ('': all that a server
    holds); ``at`` holds it."""

    done: str
    source: str
    target: str
    at: Address
    link: Link | None = None
    held: Held | None = None
    why: str = ""

    def __str__(self) -> str:
        return f"{self.source} → {self.target}" if self.target else f"what {self.source} holds"


def plan(kind: Kind, nodes: Sequence[Node], held: Sequence[Held], leaving: Sequence[Node] = ()) -> list[Step]:
    """The steps: first what is to be there, then what is to go, so that servers stay connected meanwhile; but a
    document that does the same as a new one goes before it, since CouchDB gives up on the second of two that do the
    same. ``held``: all our documents on all servers that could be asked; ``leaving``: servers that were in the list."""
    steps = [step for pair in pairs(kind, len(nodes)) for step in _of_pair(kind, nodes[pair[0]], nodes[pair[1]], held)]
    wanted = {(step.at.url, step.link.id) for step in steps if step.link}
    gone = [
        _removal(one)
        for one in held
        if (one.at.address.url, one.id) not in wanted and _is_to_go(kind, one, nodes, leaving)
    ]
    made = {(step.at.url, step.link.source.url, step.link.target.url) for step in steps if step.link}
    gone.sort(key=lambda step: (step.at.url, step.source, step.target) not in made)
    before = sum((step.at.url, step.source, step.target) in made for step in gone)
    return [
        *gone[:before],
        *steps,
        *gone[before:],
        *(_remains(node, node.away) for node in leaving if node.away and kind is not Kind.PUBLISH),
    ]


def dissolution(nodes: Sequence[Node], held: Sequence[Held]) -> list[Step]:
    """The steps that end all links between these servers. What others hold of them stays."""
    gone = [_removal(one) for one in held if sum(one.has(node) for node in nodes) > 1]
    return [*gone, *(_remains(node, node.away) for node in nodes if node.away)]


def make_document(link: Link) -> dict[str, Any]:
    """The link's document, with the credentials."""
    document: dict[str, Any] = {
        "_id": link.id,
        "source": _end(link.source),
        "target": _end(link.target),
        "continuous": True,
        "selector": EVERYTHING,
        OURS: {"ends": list(link.ends), "publishes": link.is_public},
    }
    return document | ({"owner": link.at.user} if link.at.user else {})


def is_same(stored: Mapping[str, Any], link: Link) -> bool:
    """Whether the stored document says the same. What CouchDB itself writes into it does not count, except that it has
    given up: only another writing has it try again."""
    wanted = make_document(link)
    if stored.get("_replication_state") == "failed":
        return False
    return all(stored.get(name) == value for name, value in wanted.items()) and all(
        name in wanted or name.startswith("_") for name in stored
    )


def url_of(end: Any) -> str:
    """The URL of a document's source or target, without a user, a password or a slash at its end."""
    url = end.get("url") if isinstance(end, Mapping) else end
    scheme, _, rest = str(url or "").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".rstrip("/")


# --- of one pair


def _of_pair(kind: Kind, one: Node, other: Node, held: Iterable[Held]) -> Iterable[Step]:
    at = holder(kind, one, other)
    partner = other if at is one else one
    found = {(here.at.name, here.id): here for here in held}
    if kind is not Kind.PUBLISH:
        ids = [link.id for link in between(kind, one, other, at)]
        there = [found[partner.name, id] for id in ids if (partner.name, id) in found]
        if there and not any((at.name, id) in found for id in ids) and all(_works(here, partner) for here in there):
            at = partner  # somebody else has made it, from over there
    for link in between(kind, one, other, at):
        yield _of_link(link, one, other, found.get((at.name, link.id)))


def _of_link(link: Link, one: Node, other: Node, stored: Held | None) -> Step:
    if stored is not None:
        link = _as_there(link, stored)
        done = KEPT if is_same(stored.document, link) else CHANGED
    else:
        done = WAITS if one.away or other.away else MADE
    why = (one.away or other.away) if done == WAITS else ""
    return Step(done, str(link.source), str(link.target), link.at, link, stored, why)


def _works(held: Held, at: Node) -> bool:
    """Whether the document's other end is named so that the holder finds it."""
    return at.is_local or not all(map(is_loopback, held.urls))


def _as_there(link: Link, held: Held) -> Link:
    """The link with its ends named as the document has them, where that is as good: ``localhost`` and the name that
    others use mean the holder alike, and a ``localhost`` of ours means nothing to a holder elsewhere."""
    is_own = link.at.url == link.source.url
    ends = (link.source, is_own), (link.target, not is_own)
    source, target = (_end_there(*end, url) for end, url in zip(ends, held.urls, strict=True))
    return replace(link, source=source, target=target)


def _end_there(wanted: Address, is_own: bool, url: str) -> Address:
    is_here, is_there = is_loopback(wanted.server), is_loopback(url)
    server, _, database = url.rpartition("/")
    is_as_good = is_here != is_there if is_own else is_here and not is_there
    return replace(wanted, server=server) if is_as_good and unquote(database) == wanted.database else wanted


# --- of what is there and not wanted


def _is_to_go(kind: Kind, one: Held, nodes: Sequence[Node], leaving: Sequence[Node]) -> bool:
    if any(one.has(node) for node in nodes if node.away):
        return False  # who cannot be asked may be known by another name: it is seen when it is back
    if one.is_publication not in (None, kind is Kind.PUBLISH):
        return False
    if kind is Kind.PUBLISH:
        return one.at.name == nodes[0].name and one.sends(nodes[0])
    if any(one.at.name == node.name for node in nodes):
        return one.has(one.at)
    is_its_own = any(one.at.name == node.name and one.has(node) for node in leaving)
    return is_its_own and sum(one.has(node) for node in (*nodes, *leaving)) > 1


def _removal(one: Held) -> Step:
    source, target = one.urls
    return Step(REMOVED, source, target, one.at.address, held=one)


def _remains(node: Node, why: str) -> Step:
    return Step(WAITS, str(node), "", node.address, why=f"{why}; what it holds is still to be removed")


# --- documents


def _told(document: Mapping[str, Any]) -> Mapping[str, Any]:
    told = document.get(OURS)
    return told if isinstance(told, Mapping) else {}


def _end(address: Address) -> dict[str, Any]:
    basic = {"username": address.user, "password": address.password}
    return {"url": address.url} | ({"auth": {"basic": basic}} if address.user else {})
