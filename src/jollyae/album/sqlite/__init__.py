"""The album in one SQLite file: the store that needs nothing else.

``schema`` says what is in the file; ``connections`` opens it, commits, and explains what goes wrong; ``tree`` writes
documents and their leaves; ``reading`` and ``listing`` read them; ``store`` is the :class:`~jollyae.album.store.Store`.
"""

from .store import SqliteStore, open_sqlite

__all__ = ["SqliteStore", "open_sqlite"]
