"""What the pages of one dashboard share: the queues, who may come in, and the retries that go on."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..http.pages import Pages
from ..http.sessions import Sessions
from ..http.throttle import Throttle
from ..service.observing.watched import Watched
from .access import Access
from .failures import Failures
from .messages import Messages
from .model import Dashboard
from .queue import Queue
from .retries import Retries
from .watching import Watching

MAX_UPLOAD = 4 * 10**9
"""Bytes of one upload."""


@dataclass(kw_only=True)
class Site:
    """One dashboard as one app serves it. ``prefix``: what comes before the path in all of its addresses."""

    dashboard: Dashboard
    pages: Pages
    access: Access = field(default_factory=Access)
    prefix: str = ""
    hosts: frozenset[str] = frozenset()
    max_upload: int = MAX_UPLOAD
    machine: str = field(default_factory=socket.gethostname)
    throttle: Throttle = field(default_factory=Throttle)
    messages: Messages = field(default_factory=Messages)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @cached_property
    def sessions(self) -> Sessions:
        """The cookies of those who logged in."""
        return Sessions(self.access.key(), "jollyae")

    @cached_property
    def watching(self) -> Watching:
        """What tells that something happened."""
        return Watching(lambda: self.dashboard.queues, self.dashboard.count_again, self.stopping)

    @cached_property
    def watched(self) -> Watched:
        """What metrics are told of."""
        return Watched(lambda: [(queue.name, queue.spool.places) for queue in self.dashboard.queues])

    @cached_property
    def failures(self) -> Mapping[str, Failures]:
        """What failed, for each queue by its name."""
        return self.dashboard.failures

    @cached_property
    def retries(self) -> Mapping[str, Retries]:
        """The retries that go on, for each queue by its name."""
        return _Retries(self.dashboard)

    def queue(self, name: str) -> Queue:
        """The queue of this name. Raises :class:`KeyError`."""
        return self.dashboard.queue(name)

    def url(self, path: str) -> str:
        """The address of a page."""
        return self.prefix + path


class _Retries(dict[str, Retries]):
    """Of each queue by its name, from when somebody asks for it."""

    def __init__(self, dashboard: Dashboard) -> None:
        super().__init__()
        self._dashboard = dashboard

    def __missing__(self, name: str) -> Retries:
        self[name] = Retries(self._dashboard.queue(name), self._dashboard.failures[name])
        return self[name]
