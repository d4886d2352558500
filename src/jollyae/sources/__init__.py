"""Items from a broker's queue: a message names an object in S3, the object becomes an item, and when the item is
retired the message is done.

>>> from jollyae import Rules, Spool, Worker
>>> from jollyae.sources import supply_from
>>> def work(process):  # process(item), as from any spool
...     return Worker(Spool("/var/tmp/work"), process, supply=supply_from("amqp://localhost/photos")).run()
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .opening import SourceError, supply_from

__all__ = ["SourceError", "supply_from"]


def __getattr__(name: str) -> Any:
    if name not in __all__:  # who reads events alone, as a function for Lambda does, need not wait for brokers
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(".opening", __name__), name)
