"""The album in Apache CouchDB 3.x: a store that several servers can have, each with its own copy.

``address`` names a database and finds its password; ``client`` speaks HTTP; ``bodies`` is what is sent and told;
``views`` is the index, ``listing`` reads it; ``store`` is the :class:`~jollyae.album.store.Store`; ``replication``
connects servers.
"""

from .address import Address, parse_address
from .store import CouchStore, open_couch

__all__ = ["Address", "CouchStore", "open_couch", "parse_address"]
