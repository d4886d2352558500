"""Which replications several servers need, and what cannot be. Pure functions of values.

The servers are a list, and its order says something: of two the earlier holds their links (only it must reach the
other), and the first one is a star's centre and the source of a publication. A server is known by its own uuid and not
by its address, so who names it otherwise means the same one, and a link's id is the same whoever writes it.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from urllib.parse import urlsplit

from ..store import StoreError
from .address import Address

PREFIX = "jollyae-"
"""With this the ids of our documents in ``_replicator`` begin."""


class Kind(StrEnum):
    """How servers are connected."""

    MESH = "mesh"
    """Each with each: an edit is everywhere after one step."""
    RING = "ring"
    """Each with the next: two links for each server, and it holds when one of them is away."""
    STAR = "star"
    """Each with the first: the fewest links; without the first nothing moves."""
    PUBLISH = "publish"
    """From the first to each other, which never send."""


@dataclass(frozen=True, slots=True)
class Node:
    """A database that takes part. ``address``: how we reach it, as an admin; ``end``: how the links name it, with the
    user who replicates. ``uuid``: the server's own; '' where it did not say. ``away``: why it cannot be asked now."""

    address: Address
    end: Address
    uuid: str = ""
    away: str = ""

    @property
    def name(self) -> str:
        """What it is, whatever its address."""
        return f"{self.uuid}/{self.address.database}" if self.uuid else self.address.url

    @property
    def is_local(self) -> bool:
        """Whether its address means this machine, and another one on each other machine."""
        return is_loopback(self.address.server)

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class Link:
    """A replication from ``source`` to ``target``, held by the server of ``at`` (one of the two, so that it still works
    where only one can reach the other). ``names``: of both ends, by which it is known; their URLs where none are
    said."""

    source: Address
    target: Address
    at: Address
    is_public: bool = False
    """Everybody may read both ends."""
    names: tuple[str, str] = ("", "")

    @property
    def ends(self) -> tuple[str, str]:
        """What the ends are, whatever their addresses."""
        return self.names[0] or self.source.url, self.names[1] or self.target.url

    @property
    def id(self) -> str:
        """The id of its document: a function of its ends, whoever asks there."""
        return PREFIX + hashlib.sha256("\n".join(self.ends).encode()).hexdigest()[:20]

    def __str__(self) -> str:
        return f"{self.source} → {self.target}"


def pairs(kind: Kind, count: int) -> list[tuple[int, int]]:
    """Who is connected with whom, by their places in the list, the earlier first. A ring of two is a pair.

    >>> pairs(Kind.RING, 4), pairs(Kind.RING, 2), pairs(Kind.STAR, 4)
    ([(0, 1), (1, 2), (2, 3), (0, 3)], [(0, 1)], [(0, 1), (0, 2), (0, 3)])
    """
    match kind:
        case Kind.MESH:
            return list(combinations(range(count), 2))
        case Kind.RING:
            around = [(number, number + 1) for number in range(count - 1)]
            return [*around, (0, count - 1)] if count > 2 else around
    return [(0, number) for number in range(1, count)]


def between(kind: Kind, one: Node, other: Node, at: Node) -> list[Link]:
    """The links that these two need, held by ``at``: both directions, or for a publication that from the first."""
    there = Link(one.end, other.end, at.address, kind is Kind.PUBLISH, (one.name, other.name))
    back = Link(other.end, one.end, at.address, names=(other.name, one.name))
    return [there] if kind is Kind.PUBLISH else [back, there]


def holder(kind: Kind, one: Node, other: Node) -> Node:
    """Who of the two holds their links: the earlier, unless its address means something else to the other one."""
    return other if other.is_local and not one.is_local and kind is not Kind.PUBLISH else one


def links(kind: Kind, nodes: Sequence[Node]) -> list[Link]:
    """All links, each held by whom :func:`holder` says."""
    couples = [(nodes[first], nodes[second]) for first, second in pairs(kind, len(nodes))]
    return [link for one, other in couples for link in between(kind, one, other, holder(kind, one, other))]


def check(kind: Kind, nodes: Sequence[Node], receivers: Sequence[str] = ()) -> None:
    """Raise :class:`StoreError` for what can be no mesh. ``receivers``: the names of databases that only receive."""
    if len(nodes) < 2:
        raise StoreError(f"a {kind} of one server has nothing to do", "Name the others; --remove ends all there is.")
    seen: dict[str, Node] = {}
    for node in nodes:
        other = seen.setdefault(node.name, node)
        if other is not node:
            raise StoreError(f"{other} and {node} are the same database of the same server", "Name it once.")
    sending = nodes[:1] if kind is Kind.PUBLISH else nodes
    for node in sending:
        if node.name in receivers:
            raise StoreError(
                f"{node} only receives: it is a public server's, and sends nothing",
                "Leave it out here, and connect it by --publish, after the public album that it is to have.",
            )
    if kind is Kind.PUBLISH and nodes[0].is_local is False and any(node.is_local for node in nodes[1:]):
        named = next(node for node in nodes[1:] if node.is_local)
        raise StoreError(
            f"{nodes[0]} would look for {named} on its own machine", "Name it so that the other machine finds it."
        )


def is_loopback(server: str) -> bool:
    """Whether a server's URL means the machine on which it is read.

    >>> is_loopback("http://localhost:5984"), is_loopback("http://[::1]:5984"), is_loopback("https://a.example")
    (True, True, False)
    """
    host = (urlsplit(server).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
