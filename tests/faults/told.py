"""What a scene's processes have told that nobody shall read: a traceback, or the secret key."""

from collections.abc import Iterator
from pathlib import Path

from tests.faults.scene import Scene

BROKEN = (b"Traceback", b"please report it")


def wrong(made: Scene) -> Iterator[str]:
    """Sentences: of the outputs, and of all that lies in the spool and is no item."""
    secret = made.environment()["AWS_SECRET_ACCESS_KEY"].encode()
    outputs = [path for path in (made.directory / "output").iterdir() if path.is_file()]
    for path in outputs:
        text = path.read_bytes()
        for word in BROKEN:
            if word in text:
                yield f"told in {path.name}: …{text[text.index(word) :][-700:].decode(errors='replace')}"
    for path in {*outputs, *_ours(made.spool)}:
        if secret in path.read_bytes():
            yield f"the secret key is in {path.relative_to(made.directory)}"


def _ours(spool: Path) -> list[Path]:
    return [path for path in (*spool.rglob(".*"), *(spool / "receipts").iterdir()) if path.is_file()]
