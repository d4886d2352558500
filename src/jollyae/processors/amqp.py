"""The address of a queue of an AMQP broker, for what takes from it and what sends to it. Pure."""

from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ..spool import names

KEEPS_FOR = 1800.0
"""Seconds that RabbitMQ waits for an acknowledgement before it closes the channel (``consumer_timeout``)."""
_SHARE = 0.8  # of that time after which a message is given back
_PORTS = {"amqp": 5672, "amqps": 5671}

_OURS = {"dead-exchange", "exchange", "consumer-timeout"}
_OF_AIORMQ = {"heartbeat", "cafile", "capath", "certfile", "keyfile", "no_verify_ssl"}


class AddressError(ValueError):
    """A URL that names no queue."""


class Address:
    """``amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][/VHOST]/QUEUE[?OPTIONS]``. Without VHOST it is ``/``; a ``/`` in a name
    is written ``%2F``. Options: ``dead-exchange`` (where dead letters go; else the queue ``QUEUE.dead``),
    ``consumer-timeout`` (seconds, as the broker has it), ``exchange`` (of what is sent: QUEUE is its routing key then),
    and those of aiormq: ``heartbeat``, ``cafile``, ``certfile``, ``keyfile``, ``no_verify_ssl``. Two addresses with one
    ``identity`` are of one queue. Raises :class:`AddressError`.

    >>> address = Address("amqp://me:secret@host/photos/new?dead-exchange=dlx&heartbeat=30")
    >>> address.queue, address.name, address.dead_exchange
    ('new', 'amqp://host/photos/new', 'dlx')
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            raise AddressError("the URL of a broker has a port that is none") from None
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        if parts.scheme not in ("amqp", "amqps") or not parts.hostname or not path[-1] or len(path) > 2:
            raise AddressError("a queue is amqp://[USER[:PASSWORD]@]HOST[:PORT][/VHOST]/QUEUE")
        self.queue = path[-1]
        self._vhost = path[0] if len(path) > 1 else "/"
        options = dict(parse_qsl(parts.query))
        self.dead_exchange = options.pop("dead-exchange", "")
        self.exchange = options.pop("exchange", "")
        self.keeps_for = _seconds("consumer-timeout", options.pop("consumer-timeout", KEEPS_FOR)) * _SHARE
        _seconds("heartbeat", options.get("heartbeat", 60))
        if unknown := sorted(options.keys() - _OF_AIORMQ):
            known = ", ".join(sorted(_OURS | _OF_AIORMQ))
            raise AddressError(f"the URL of a broker has no option {unknown[0]!r}; there are: {known}")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.host = f"{host}{port}"
        self.name = names.printable(f"{parts.scheme}://{self.host}{quote(parts.path)}")
        self._who = parts.netloc.rpartition("@")[0]
        query = f"?{urlencode(options)}" if options else ""
        self._scheme, self._rest = parts.scheme, f"{self.host}/{quote(self._vhost, safe='')}{query}"
        own_port = "" if parts.port == _PORTS[parts.scheme] else port  # by both usual ones it is the same broker
        self.identity = (f"{parts.hostname}{own_port}", self._vhost, self.queue)

    @property
    def has_password(self) -> bool:
        """Whether the URL has a password in it."""
        return ":" in self._who

    @property
    def login(self) -> str:
        """The URL for the library, with what user and password it has: a secret."""
        return f"{self._scheme}://{self._who}{'@' if self._who else ''}{self._rest}"

    def login_with(self, password: str) -> str:
        """:attr:`login` with this password, for the URL's user, else for ``guest``.

        >>> Address("amqp://me@host/new").login_with("a/b@c")
        'amqp://me:a%2Fb%40c@host/%2F'
        """
        user = self._who.partition(":")[0] or "guest"
        return f"{self._scheme}://{user}:{quote(password, safe='')}@{self._rest}"

    def __repr__(self) -> str:
        return f"Address({self.name!r})"  # no password in a traceback


def _seconds(name: str, text: str | float) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf") and not (name == "heartbeat" and seconds == 0):
        raise AddressError(f"{name}={text}: it is a number of seconds")
    return seconds
