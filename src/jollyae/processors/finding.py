"""One line of ``jollyae check``: what was tried, how it went, what to do."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it went. WARNING: it will run, with a limit that should be known."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What ``subject`` (a word or two) was found to be; ``hint`` says what to do. ``queue``: whose it is, where several
    are checked."""

    subject: str
    state: State
    text: str
    hint: str = ""
    queue: str = ""


def ok(subject: str, text: str) -> Finding:
    """Tried, and fine."""
    return Finding(subject, State.OK, text)


def warning(subject: str, text: str, hint: str) -> Finding:
    """Tried, and something should be known."""
    return Finding(subject, State.WARNING, text, hint)


def failed(subject: str, text: str, hint: str) -> Finding:
    """Tried, and it cannot run like this."""
    return Finding(subject, State.FAILED, text, hint)
