"""From settings to what brings the items from a broker."""

from dataclasses import replace

from ..spool.places import Places
from ..worker.rules import Share
from ..worker.supply import Supply
from .deliveries import s3_options
from .settings import ConfigurationError, Settings


def supply(settings: Settings) -> Supply | None:
    """What brings the items; None where producers do. Raises :class:`ConfigurationError`."""
    if settings.source is None:
        return None
    from ..processors.s3 import OptionError
    from ..sources.intake import PREFETCH, PREFETCH_BYTES
    from ..sources.opening import SourceError, supply_from

    of_source = replace(
        settings,
        endpoint_url=settings.from_endpoint_url or settings.endpoint_url,
        region=settings.from_region or settings.region,
        profile=settings.from_profile or settings.profile,
    )
    share = settings.share
    try:
        return supply_from(
            settings.source,
            s3_options(of_source),
            prefetch=share.part(max(settings.prefetch or PREFETCH, settings.most_in_flight)),
            is_wanted=settings.rules().wanted() if settings.include or settings.exclude else None,
            prefetch_bytes=share.part(settings.prefetch_bytes or PREFETCH_BYTES),
        )
    except OptionError as error:
        raise ConfigurationError(str(error)) from error
    except SourceError as error:
        raise ConfigurationError(error.message, error.hint) from error


def places(whole: Places, share: Share) -> Places:
    """The places of one of several processes: each has its own, for only who received a message can say that it is
    done, so nobody else may retire what it names."""
    return whole if share.is_whole else Places.under(whole.control / str(share.index))
