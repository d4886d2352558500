"""From a URL to what takes items from that queue."""

from collections.abc import Callable

from ..processors.notify import UrlError
from ..processors.notify.aws import Access
from ..processors.s3 import S3Options
from ..worker.supply import Supply
from .intake import FETCHES, PREFETCH, PREFETCH_BYTES, Intake
from .objects import Objects
from .source import Source
from .sqs import SqsSource

SCHEMES = ("amqp", "amqps", "sqs")


class SourceError(ValueError):
    """A URL from which nothing can be taken. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def supply_from(
    url: str,
    options: S3Options | None = None,
    *,
    prefetch: int = PREFETCH,
    prefetch_bytes: int = PREFETCH_BYTES,
    is_wanted: Callable[[str], bool] | None = None,
    password: Callable[[], str] | None = None,
) -> Supply:
    """What gives a worker the objects that the messages of this queue tell of: ``amqp[s]://…/QUEUE`` or ``sqs://QUEUE``.
    ``options``: how the store is reached in which the objects are. ``prefetch``: the most messages at a time, and
    ``prefetch_bytes``: the most bytes of their objects that lie in the spool. ``is_wanted``: see
    :class:`.intake.Intake`. ``password``: see :func:`source`. Raises :class:`SourceError`."""
    store = options or S3Options()
    access = Access(region=store.region or "", profile=store.profile)
    found = source(url, access, prefetch=prefetch, password=password)
    return Intake(found, Objects(store, FETCHES), most_bytes=prefetch_bytes, is_wanted=is_wanted)


def source(
    url: str,
    access: Access | None = None,
    *,
    prefetch: int = PREFETCH,
    password: Callable[[], str] | None = None,
) -> Source:
    """The queue with this URL. ``access``: how Amazon is reached; ``password``: tells that of the URL's user, at each
    connection to an AMQP broker. Raises :class:`SourceError`."""
    scheme = url.partition("://")[0]
    if scheme in ("amqp", "amqps"):
        return _amqp(url, prefetch, password)
    if scheme == "sqs":
        if password is not None:
            raise SourceError("sqs:// has no password", "Its keys are the AWS environment's, or --from-profile's.")
        try:
            return SqsSource(url, access or Access(), prefetch=prefetch)
        except UrlError as error:
            raise SourceError(f"--from: {error}") from error
    raise SourceError("nothing can be taken from there", "A queue is amqp://HOST/QUEUE or sqs://QUEUE.")


def _amqp(url: str, prefetch: int, password: Callable[[], str] | None) -> Source:
    try:
        from .amqp import AddressError, AmqpSource
    except ImportError as error:
        raise SourceError(
            f"--from amqp:// needs the extra 'amqp': {error.name} is not installed",
            "Try: pip install '.[amqp]' in the checkout.",
        ) from error
    try:
        return AmqpSource(url, prefetch=prefetch, password=password)
    except AddressError as error:
        raise SourceError(f"--from: {error}") from error
