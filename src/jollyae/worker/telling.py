"""What the operator is told, in the log: one logger, its levels, and the fields beside a message."""

import logging
from typing import Any

from ..spool import names
from ..spool.item import Item

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
    item = {"item": names.show(about.name)} if about is not None else {}
    log.log(level, text, extra={**item, **fields, "hint": hint})


def tells_each() -> bool:
    """Whether anybody wants to hear of each delivered item."""
    return log.isEnabledFor(logging.INFO)


def delivered(item: Item, receipt: dict[str, Any]) -> None:
    """One item is delivered."""
    brief: dict[str, object] = {key: receipt[key] for key in ("id", "url", "size", "attempts") if key in receipt}
    if "url" in brief:
        brief["url"] = names.printable(str(brief["url"]))
    log.info("delivered", extra={"item": names.show(item.name), **brief})
