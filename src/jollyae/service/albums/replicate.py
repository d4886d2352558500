"""Replication between the CouchDB servers of an album, by their URLs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...album.store import StoreError
from ..settings import ConfigurationError
from . import opening as album
from .meshes import Mesh

if TYPE_CHECKING:
    from ...album.couch.address import Address
    from ...album.couch.plan import Step
    from ...album.couch.watching import Health


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


async def change(mesh: Mesh, *, remove: bool = False, dry_run: bool = False) -> "list[Step]":
    """Connect the servers as the mesh says, and end what connected others with them; or ``remove`` what connects them.
    ``dry_run``: only say what would be done. Raises :class:`ConfigurationError` for what cannot be, with nothing done,
    and :class:`~jollyae.album.store.StoreError`."""
    servers = addresses(mesh.servers)
    for url in mesh.forget:
        album.check_url(url)
    from ...album.couch import mesh as work
    from ...album.couch.topology import Kind

    try:
        if remove:
            return await work.dissolve(servers, dry_run=dry_run)
        return await work.arrange(Kind(mesh.kind), servers, user=mesh.user, dry_run=dry_run, forget=mesh.forget)
    except StoreError as error:
        if error.is_temporary:
            raise
        raise ConfigurationError(error.message, error.hint) from error


async def health(url: str) -> "Health":
    """How all replications between the servers that the album's server remembers fare."""
    (at,) = addresses([url])
    from ...album.couch.client import Client
    from ...album.couch.store import CouchStore
    from ...album.couch.watching import Watch

    async with Client(at) as client:
        await client.get(at.database)
        return await Watch(CouchStore(client, ""), writes=False).look()
