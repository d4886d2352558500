"""Items from a broker's queue: a message names an object in S3, the object becomes an item, and when the item is
retired the message is done.

>>> from jollyae import Rules, Spool, Worker
>>> from jollyae.sources import supply_from
>>> def work(process):  # process(item), as from any spool
...     return Worker(Spool("/var/tmp/work"), process, supply=supply_from("amqp://localhost/photos")).run()
"""

from .opening import SourceError, supply_from

__all__ = ["SourceError", "supply_from"]
