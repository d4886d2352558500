"""How an album is known that is the public one of another: what somebody writes into it the keeper takes out again,
after everybody could read it (users, places, originals' names). So nothing but the keeper, and replication from another
public album, may write there.

It says so itself, in what its server remembers: the keeper writes it each time that it begins, and replication notes
who receives only (:mod:`.couch.mesh`).
"""

from .store import Store, StoreError

MARK = "public"
"""Under this name a public album remembers ``of``: the URL of the album that it is made from."""
MESH = "mesh"
"""Under this name a server remembers with whom it replicates; ``role``: what it does."""
RECEIVES = "receives"
"""The role of a public server."""


async def mark(public: Store, source: Store) -> None:
    """Have ``public`` remember that it is the public album of ``source``."""
    value = {"of": source.url}
    if await public.remembered(MARK) != value:
        await public.remember(MARK, value)


async def is_marked(store: Store) -> bool:
    """Whether a keeper made it, or keeps it."""
    return bool(await store.remembered(MARK))


async def refuse(store: Store) -> None:
    """Raise :class:`StoreError` where this is a public album, which is about to be written to."""
    if found := await store.remembered(MARK):
        raise StoreError(
            f"{store.url} is the public album of {found.get('of')}: what is written there is public at once, and is "
            "taken out again by `jollyae album project`",
            f"Name the album itself: {found.get('of')}; what is Public there comes by itself.",
        )
    if (await store.remembered(MESH)).get("role") == RECEIVES:
        raise StoreError(
            f"{store.url} is a public server's album: it only receives, and what is written there is public at once",
            "Name the album that it is published from: what is Public there comes by itself.",
        )
