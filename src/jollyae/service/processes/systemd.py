"""Tells systemd how we are: sd_notify(3), by a datagram to the socket that it gave us.

Only the process that systemd started may speak (``NotifyAccess=main``), so what we were given is taken out of the
environment at once: the commands of ``--exec`` must not say that a service is ready, nor think that they are asked.
"""

import os
import socket
import time
from collections.abc import MutableMapping
from contextlib import suppress

_OURS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_MICROSECONDS = 1_000_000
_LONGEST = 1000
"""Bytes of a status line; systemd takes a datagram of 4,096."""


class Notifier:
    """Speaks to the service manager whose socket ``environment`` names, and takes what concerns it out of there.
    Without one, all that is said is lost, which is no error; nor is a manager that does not listen: nothing here waits
    or raises.

    ``watchdog``: seconds within which :meth:`alive` must be called again and again, None where nobody asks for it.
    """

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        path, usec, pid = (environment.pop(name, "") for name in _OURS)
        self.watchdog = _watchdog(usec, pid) if path else None
        self._status = ""
        self._socket: socket.socket | None = None
        with suppress(OSError):
            self._socket = _connected(path) if path else None

    @property
    def is_heard(self) -> bool:
        """Whether there is somebody who listens."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """All works now: after the start, and after :meth:`reloading`."""
        self._say("READY=1", status)

    def status(self, text: str) -> None:
        """The line that ``systemctl status`` shows; said only if it is another one."""
        if text != self._status:
            self._say("", text)

    def alive(self) -> None:
        """The watchdog's question, answered."""
        self._say("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is loaded again; :meth:`ready` says when that is over."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self, status: str = "") -> None:
        """We end."""
        self._say("STOPPING=1", status)

    def close(self) -> None:
        """Say nothing more; for a child, in which only the parent's voice counts."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, text: str, status: str = "") -> None:
        if self._socket is None:
            return
        if status:
            self._status = status
            text = "\n".join(filter(None, (text, f"STATUS={one_line(status)}")))
        with suppress(OSError):
            self._socket.send(text.encode(errors="replace"))


def one_line(text: str) -> str:
    """Text that ends no line and fits.

    >>> one_line("two\\nlines")
    'two lines'
    """
    return " ".join(text.split()).encode(errors="replace")[:_LONGEST].decode(errors="ignore")


def _connected(path: str) -> socket.socket:
    """A socket to the path; one that begins with @ is abstract. Raises :class:`OSError`."""
    address = "\0" + path[1:] if path.startswith("@") else path
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        made.setblocking(False)
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


def _watchdog(usec: str, pid: str) -> float | None:
    """Seconds; None where it is not we who are asked."""
    if not usec.isdigit() or int(usec) <= 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / _MICROSECONDS
