"""What came of fetching an album's originals one by one: those that are not there, why, and how a person knows them.
Shared by all that makes a copy of them (:mod:`.syncing`, :mod:`.export`)."""

from dataclasses import dataclass, field

from .disk import Damaged
from .document import called
from .store import Document, Missing


@dataclass(slots=True)
class Fetched:
    """``kept``: originals that were there already; ``bytes``: brought; ``failed``: per photo that has none in the copy,
    why; ``names``: how a person knows each of these; ``missing``: how many of them have no original in its place."""

    kept: int = 0
    bytes: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    missing: int = 0

    def fail(self, document: Document, error: Missing | Damaged | ValueError) -> None:
        """The photo's original could not be brought."""
        id = document["_id"]
        if isinstance(error, Missing):
            self.missing += 1
            self.failed[id] = f"its original is missing: {error.message}"
        elif isinstance(error, Damaged):
            self.failed[id] = f"its original is damaged: {error}"
        else:
            self.failed[id] = str(error)
        self.names[id] = called(document)
