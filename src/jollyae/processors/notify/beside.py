"""A message to another spool: an item there, under the delivery's id."""

import io
import os
import shlex
from collections.abc import Callable
from typing import Any, BinaryIO

from ...spool.item import Item
from ...spool.outcomes import Scope, Temporary
from . import message

Submit = Callable[[BinaryIO, str], Any]
"""Puts an item of this content and name into the other spool, durably; :class:`FileExistsError` where it is there."""


class Beside:
    """Submits the message that is an item to the spool at ``directory``."""

    def __init__(self, directory: str, submit: Submit) -> None:
        self.shown = f"spool://{directory}"
        self._directory = directory
        self._submit = submit

    def reach(self) -> str:
        """Whether it is there and may be written; nothing is put in. Raises :class:`Temporary`."""
        for place in ("tmp", "incoming"):
            path = os.path.join(self._directory, place)
            if not os.path.isdir(path):
                raise self._closed(f"there is no {path}")
            if not os.access(path, os.W_OK | os.X_OK):
                raise self._closed(f"no right to write: {path}")
        return self._directory

    def _closed(self, why: str) -> Temporary:
        hint = f"Make it, or give us the right to. Try: jollyae init {shlex.quote(self._directory)}"
        text = f"the other spool cannot be written: {why}"
        return Temporary(text, hint=hint, scope=Scope.DESTINATION, reason="bucket")

    def __call__(self, item: Item) -> dict[str, Any]:
        """Put it there; one that is still queued there under its name is this one. Raises :class:`Temporary`."""
        told = message.of(item)
        try:
            self._submit(io.BytesIO(told.body), f"{told.id}.json")
        except FileExistsError:
            return {"notified": self.shown, "delivery": told.id, "already_there": True}
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            where = os.fsdecode(error.filename or self._directory)
            raise self._closed(f"{error.strerror}: {where}") from error
        return {"notified": self.shown, "delivery": told.id}
