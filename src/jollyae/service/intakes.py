"""From settings to what brings the items from a broker."""

import functools
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..sources.source import away
from ..worker.supply import Supply
from . import credentials
from .deliveries import s3_options
from .settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from ..processors.s3 import S3Options
    from ..sources.source import Source

PASSWORD_FILE = "--from-password-file"


def supply(settings: Settings) -> Supply | None:
    """What brings the items; None where producers do. Raises :class:`ConfigurationError`."""
    if settings.source is None:
        return None
    from ..sources.intake import PREFETCH, PREFETCH_BYTES
    from ..sources.opening import SourceError, supply_from

    share = settings.share
    try:
        return supply_from(
            settings.source,
            store(settings),
            prefetch=share.part(max(settings.prefetch or PREFETCH, settings.most_in_flight)),
            is_wanted=settings.rules().wanted() if settings.include or settings.exclude else None,
            prefetch_bytes=share.part(settings.prefetch_bytes or PREFETCH_BYTES),
            password=_password(settings),
        )
    except SourceError as error:
        raise ConfigurationError(error.message, error.hint) from error


def source(settings: Settings) -> "Source | None":
    """The broker's queue alone, to look at; None where producers bring the items. Raises
    :class:`ConfigurationError`."""
    if settings.source is None:
        return None
    from ..processors.notify.aws import Access
    from ..sources import opening

    of_source = _of_source(settings)
    access = Access(region=of_source.region or "", profile=of_source.profile or "")
    try:
        return opening.source(settings.source, access, password=_password(settings))
    except opening.SourceError as error:
        raise ConfigurationError(error.message, error.hint) from error


def store(settings: Settings) -> "S3Options":
    """How the store is reached in which the objects are. Raises :class:`ConfigurationError`."""
    from ..processors.s3 import OptionError

    try:
        options: S3Options = s3_options(_of_source(settings))
    except OptionError as error:
        raise ConfigurationError(str(error)) from error
    return options


def prepare(settings: Settings) -> None:
    """See that the broker's queue can be what the settings say, and that its password can be read. Nobody is asked.
    Raises :class:`ConfigurationError`."""
    source(settings)
    if settings.source is not None and settings.from_password_file is not None:
        try:
            credentials.password(settings.from_password_file)
        except credentials.Unreadable as error:
            raise ConfigurationError(*_unreadable(settings.from_password_file, error)) from error


def exposure(settings: Settings) -> tuple[str, str] | None:
    """What is to be said, and done, about a password that is no secret."""
    is_read = settings.source is not None and settings.from_password_file is not None
    return credentials.exposure(settings.from_password_file or "") if is_read else None


def _of_source(settings: Settings) -> Settings:
    """The settings, with the store of the objects as the one that is meant."""
    return replace(
        settings,
        endpoint_url=settings.from_endpoint_url or settings.endpoint_url,
        region=settings.from_region or settings.region,
        profile=settings.from_profile or settings.profile,
    )


def _password(settings: Settings) -> Any:
    """What tells the password at each connection, so that another one counts without a new start; None without a
    file."""
    path = settings.from_password_file
    return None if path is None else functools.partial(_read, path)


def _read(path: str) -> str:
    try:
        return credentials.password(path)
    except credentials.Unreadable as error:
        message, hint = _unreadable(path, error)
        raise away(message, hint, "credentials") from None


def _unreadable(path: str, error: credentials.Unreadable) -> tuple[str, str]:
    hint = "It has one line, the password, which we must be able to read, and nobody else (chmod 600)."
    return f"{PASSWORD_FILE} {shlex.quote(path)}: {error}", hint
