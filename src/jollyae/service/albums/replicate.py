"""Replication between the CouchDB servers of an album, by their URLs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..settings import ConfigurationError
from . import opening as album

if TYPE_CHECKING:
    from ...album.couch.address import Address
    from ...album.couch.replication import State, Step


def addresses(urls: Sequence[str]) -> "list[Address]":
    """The databases that the URLs name. Raises :class:`ConfigurationError` for what is no CouchDB."""
    album.require()
    from ...album.couch.address import parse_address

    for url in urls:
        if album.check_url(url).startswith("sqlite:"):
            raise ConfigurationError(
                f"{url} cannot replicate: it is a file", "Move it into CouchDB first: jollyae album copy FROM TO"
            )
    found = [parse_address(url) for url in urls]
    if len({one.url for one in found}) < len(found):
        raise ConfigurationError("the same album twice")
    return found


async def change(urls: Sequence[str], kind: str, *, remove: bool) -> "list[Step]":
    """Set up or remove the links of the albums: of a 'mesh', a 'ring', or from the first to each other ('publish').
    Raises :class:`ConfigurationError` and :class:`~jollyae.album.store.StoreError`."""
    from ...album.couch import replication

    albums = addresses(urls)
    if kind == "publish":
        links = [replication.publication(albums[0], other) for other in albums[1:]]
    else:
        links = (replication.ring if kind == "ring" else replication.mesh)(albums)
    return await (replication.remove if remove else replication.set_up)(links)


async def states(url: str) -> "list[State]":
    """How all links that the album's server holds fare."""
    from ...album.couch import replication

    (at,) = addresses([url])
    return await replication.read_states(at, [at])
