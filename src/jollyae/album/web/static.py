"""The files that pages refer to (style, scripts, icon): read once, kept in memory, served under a name with their
hash, so that browsers may keep them for ever.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path(__file__).parent / "static"
MIMES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file: its address, what it is, and its bytes, also compressed."""

    address: str
    mime: str
    body: bytes
    gzipped: bytes


def load() -> dict[str, StaticFile]:
    """All files by name."""
    found = {}
    for path in sorted(DIRECTORY.iterdir()):
        if path.suffix in MIMES:
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:16]
            zipped = gzip.compress(body, 9, mtime=0)
            found[path.name] = StaticFile(f"/static/{digest}/{path.name}", MIMES[path.suffix], body, zipped)
    return found
