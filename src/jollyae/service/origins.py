"""The broker's queue that a queue of ours takes its items from, as far as the settings tell, and where these items lie.
Pure, but for :func:`existing`."""

from urllib.parse import urlsplit

from ..processors.amqp import Address
from ..spool.places import Places
from ..worker.rules import Share
from .settings import Queue, Settings

FORMS = "amqp://[USER@]HOST[:PORT][/VHOST]/QUEUE or sqs://QUEUE"


def check(url: str) -> None:
    """What ``from`` may be, as far as a look at it tells. Raises :class:`ValueError`, which tells no password.

    >>> check("amqp://host/photos"), check("sqs://photos")
    (None, None)
    >>> check("http://me:secret@host/photos")
    Traceback (most recent call last):
    ValueError: nothing can be taken from there: write amqp://[USER@]HOST[:PORT][/VHOST]/QUEUE or sqs://QUEUE
    """
    scheme, mark, rest = url.partition("://")
    if is_amqp(url):
        Address(url)
    elif scheme != "sqs" or not mark or not rest.strip("/"):
        raise ValueError(f"nothing can be taken from there: write {FORMS}")
    else:
        from ..processors.notify.aws import Access, Sqs

        Sqs(url, Access())


def has_password(url: str) -> bool:
    """Whether a password is in the URL."""
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return False


def is_amqp(url: str) -> bool:
    """Whether a broker that speaks AMQP is meant."""
    return url.partition("://")[0] in ("amqp", "amqps")


def identity(settings: Settings) -> tuple[str, ...]:
    """What is the same for two queues that take from one; () for one whose items no broker brings."""
    url = settings.source
    if url is None:
        return ()
    if is_amqp(url):
        return Address(url).identity
    region, profile = settings.from_region or settings.region, settings.from_profile or settings.profile
    return (url.rstrip("/"), region or "", profile or "")


def places(whole: Places, share: Share) -> Places:
    """The places of one of several processes that take from a broker: each has its own, for only who received a message
    can say that it is done, so nobody else may retire what it names."""
    return whole if share.is_whole else Places.under(whole.control / str(share.index))


def worked_on(queue: Queue) -> list[Places]:
    """Where the workers of a queue work: all on its own places, or each on some of its own.

    >>> queue = Queue("q", Places.under("/w"), Settings(source="sqs://q", processes=2))
    >>> [str(one.control) for one in worked_on(queue)]
    ['/w/0', '/w/1']
    """
    settings = queue.settings
    if settings.source is None:
        return [queue.places]
    return [places(queue.places, Share(index, settings.processes)) for index in range(settings.processes)]


def existing(whole: Places) -> list[Places]:
    """The places of the processes that work, or worked, below a workdir, by their numbers; none where one process works
    on the workdir itself, or where it is a spool as any other."""
    found = (path.parent for path in whole.control.glob("[0-9]*/incoming"))
    return [
        Places.under(path)
        for path in sorted((one for one in found if one.name.isdigit()), key=lambda one: int(one.name))
    ]
