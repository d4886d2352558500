"""What the operator is told, in the log: one logger, its levels, and the fields beside a message."""

import logging
from typing import Any

from ..spool import names
from ..spool.item import Item
from .receipts import delivery_id

log = logging.getLogger("jollyae")

NOTICE = 25
"""The level of what an operator sees without asking: changes of state. Each delivered item is told at INFO."""


STUCK_HINT = "It stays in incoming/ until its directory lets us."


def notice(text: str, *arguments: object, **fields: object) -> None:
    """A change of state."""
    log.log(NOTICE, text, *arguments, extra=fields)


def warn(text: str, hint: str, about: Item | None = None, *, level: int = logging.WARNING, **fields: object) -> None:
    """Something is wrong; ``hint`` says what to do, ``about`` which item met it. Lines (of a command's output) are made
    one."""
    text = " | ".join(text.replace(":\n", ": ").splitlines())
    item = _fields(about) if about is not None else {}
    log.log(level, text, extra={**item, **fields, "hint": hint})


def raised(item: Item, error: Exception) -> None:
    """What nobody foresaw, with where it was raised: for who asks for all."""
    log.debug("raised while it was processed", exc_info=error, extra=_fields(item))


def _fields(item: Item) -> dict[str, object]:
    """Which item, which key and which delivery, as far as that is known."""
    fields: dict[str, object] = {"item": names.show(item.name)}
    if item.aim is not None:
        root, key, digest = item.aim
        fields["key"] = names.show(key)
        if digest is not None:
            fields["id"] = delivery_id(root + key, digest, item.inode, item.mtime_ns)
    return fields


def tells_each() -> bool:
    """Whether anybody wants to hear of each delivered item."""
    return log.isEnabledFor(logging.INFO)


def delivered(item: Item, receipt: dict[str, Any], seconds: float) -> None:
    """One item is delivered; the attempt took so many seconds."""
    brief: dict[str, object] = {key: receipt[key] for key in ("id", "url", "size", "attempts") if key in receipt}
    if "url" in brief:
        url = str(brief["url"])
        if item.aim is not None and url.startswith(item.aim[0]):
            brief = {"key": names.show(url.removeprefix(item.aim[0])), **brief}  # another than the aim with keep-both
        brief["url"] = names.printable(url)
    log.info("delivered", extra={"item": names.show(item.name), **brief, "duration_s": round(seconds, 3)})
