"""Servers that hold one document, edit it, replicate it in parts and merge it: what CouchDB does to leaves, and a
record of who knew of which edit, kept apart from what the documents say.
"""

from dataclasses import dataclass, field
from typing import Any

from jollyae.album import document as documents
from jollyae.album import merge
from jollyae.album.merge import Merge
from jollyae.album.revisions import LONGEST, is_deleted, next_leaf, ranked
from jollyae.album.store import Document, Leaf


@dataclass(frozen=True)
class Edit:
    """Somebody wrote a value into a field."""

    number: int
    name: str
    value: Any = field(compare=False)
    server: str


@dataclass
class Tree:
    """The leaves of one document on one server, deleted ones too."""

    leaves: dict[str, Leaf] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def take(self, leaf: Leaf) -> None:
        """As :meth:`jollyae.album.store.Store.take` does."""
        rev = leaf.revisions[0]
        if rev in self.known:
            return
        for before in leaf.revisions:
            self.leaves.pop(before, None)
        self.leaves[rev] = leaf
        self.known |= set(leaf.revisions)

    def live(self) -> list[Leaf]:
        """As :meth:`jollyae.album.store.Store.leaves` tells them."""
        return [leaf for leaf in ranked(self.leaves.values()) if not is_deleted(leaf)]


class World:
    """All servers. ``remembers``: of how many revisions a path tells, as CouchDB's ``_revs_limit``."""

    def __init__(self, document: Document, servers: str, *, together: bool, remembers: int = LONGEST) -> None:
        self.trees = {server: Tree() for server in servers}
        self.knew: dict[Edit, frozenset[Edit]] = {}
        """For each edit those that its author had before them, in whatever field."""
        self.holds: dict[str, frozenset[Edit]] = {}
        """For each revision the edits that went into it."""
        self.clock = 0
        self.remembers = remembers
        for number, server in enumerate(servers):
            own = document if together else document | {"added": f"2026-11-22T0{9 - number}:00:00.000000Z"}
            rev = f"1-{'0' if together else number:>032}"
            self.trees[server].take(Leaf(own | {"_rev": rev}, (rev,)))
            self.holds[rev] = frozenset()

    def edit(self, server: str, which: int, **changes: Any) -> None:
        """Somebody edits one of the leaves they have, mostly the winner. There may be none: what a merge elsewhere has
        deleted is not to be seen where its result did not come yet."""
        live = self.trees[server].live()
        if not live:
            return
        leaf = live[which % len(live)]
        self.clock += 1
        now = f"2026-11-22T12:00:00.{self.clock:06}Z"
        after = documents.edited(leaf.document, changes, now=now, server=server)
        if after is leaf.document:
            return
        held = self.holds[leaf.revisions[0]]
        edits = [
            Edit(self.clock, name, after[name], server) for name in changes if after[name] != leaf.document.get(name)
        ]
        self.knew |= dict.fromkeys(edits, held)
        self._put(server, next_leaf(leaf, after), held | set(edits))

    def replicate(self, source: str, target: str, parts: int) -> None:
        """Some of the source's leaves, chosen by bits, arrive at the target."""
        for number, leaf in enumerate(list(self.trees[source].leaves.values())):
            if parts & (1 << number % 5):
                self.trees[target].take(self._shortened(leaf))

    def merge(self, server: str, steps: int = 1000) -> bool:
        """Merge by itself; killed after so many steps. Whether there was anything to merge."""
        live = self.trees[server].live()
        found = merge.merged(live)
        if found is None:
            return False
        self._take_merge(server, live, found, steps)
        return True

    def resolve(self, server: str, value: int) -> None:
        """A person ends a conflict: some fields get one of the values, some a new one."""
        live = self.trees[server].live()
        differences = merge.differing(live)
        if not differences:
            return
        self.clock += 1
        choices: dict[str, Any] = {}
        for number, one in enumerate(differences):
            values = [candidate.value for candidate in one.candidates]
            choices[one.field] = (
                values[value % len(values)] if value >> number & 1 else different(one.field, self.clock)
            )
        found = merge.resolved(live, choices, now=f"2026-11-22T12:00:00.{self.clock:06}Z", server=server)
        held = frozenset[Edit]().union(*(self.holds[leaf.revisions[0]] for leaf in live))
        edits = {Edit(self.clock, name, found[0].document[name], server) for name in choices}
        self.knew |= dict.fromkeys(edits, held)
        self._take_merge(server, live, found, 1000, frozenset(edits))

    def _take_merge(
        self, server: str, live: list[Leaf], found: Merge, steps: int, edits: frozenset[Edit] = frozenset()
    ) -> None:
        held = edits.union(*(self.holds[leaf.revisions[0]] for leaf in live))
        for number, leaf in enumerate(merge.leaves_to_take(found)):
            if number >= steps:
                return
            rev = leaf.revisions[0]
            if not is_deleted(leaf):
                same = self.holds.setdefault(rev, held)
                assert same == held or leaf in live, "one revision for two contents"
            self.trees[server].take(self._shortened(leaf))

    def _put(self, server: str, leaf: Leaf, held: frozenset[Edit]) -> None:
        self.holds[leaf.revisions[0]] = held
        self.trees[server].take(self._shortened(leaf))

    def _shortened(self, leaf: Leaf) -> Leaf:
        return Leaf(leaf.document, leaf.revisions[: self.remembers], leaf.renditions)

    def settle(self) -> None:
        """Replicate everything and merge on all servers, until nothing changes."""
        for _ in range(100):
            before = {server: set(tree.known) for server, tree in self.trees.items()}
            for source in self.trees:
                for target in self.trees:
                    self.replicate(source, target, 31)
            for server in self.trees:
                self.merge(server)
            if before == {server: tree.known for server, tree in self.trees.items()}:
                return
        raise AssertionError("it never ends")

    # --- what must be

    def agree(self) -> list[Leaf]:
        """All servers have the same leaves: these."""
        first, *others = ([(leaf.document, leaf.revisions[0]) for leaf in tree.live()] for tree in self.trees.values())
        assert all(other == first for other in others)
        return next(iter(self.trees.values())).live()

    def last(self, name: str, *, by_server: bool = True) -> list[Edit]:
        """The edits of a field that nobody who knew them replaced; ``by_server``: nor a later one of that server."""
        edits = [edit for edit in self.knew if edit.name == name]

        def is_replaced(edit: Edit) -> bool:
            return any(
                edit in self.knew[other] or (by_server and other.server == edit.server and other.number > edit.number)
                for other in edits
            )

        return [edit for edit in edits if not is_replaced(edit)]


def different(name: str, number: int) -> Any:
    """A value for that field, another one for each number."""
    return {
        "title": f"title {number}",
        "descr": f"descr {number}",
        "keywords": [f"word {number}"],
        "cat": documents.CATEGORIES[number % 3],
        "taken": f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}",
        "rotate": number % 4 * 90,
        "gps": None,
    }[name]
