"""jollyae: from a queue directory to S3, an album or any command, with nothing lost.

>>> from jollyae import Spool, Worker, Temporary, Permanent
"""

from .spool.item import Item
from .spool.outcomes import Permanent, Scope, Temporary
from .spool.spool import Spool, SpoolError
from .worker.rules import Rules
from .worker.worker import Summary, Worker

__version__ = "0.1.0"

__all__ = ["Item", "Permanent", "Rules", "Scope", "Spool", "SpoolError", "Summary", "Temporary", "Worker"]
