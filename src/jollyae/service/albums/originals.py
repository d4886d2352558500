"""Where an album's originals are: a directory, a bucket or a container, opened for reading."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ...album.originals import FOLDER, DirectoryOriginals, Kept, Originals, directory_of, parse
from ...album.store import Missing, StoreError
from ...spool.outcomes import Permanent, Temporary
from ..deliveries import CLOUDS, s3_options
from ..settings import ConfigurationError, Settings

if TYPE_CHECKING:
    from ...processors.reading import Reader

PLACES = "Originals are kept in s3://BUCKET[/PREFIX], gs://…, az://… or file:///DIR."


def open_originals(url: str, settings: Settings) -> Originals:
    """The originals at ``url``; of the settings only those of the store count. Raises :class:`ConfigurationError`."""
    from ...processors.keys import TemplateError
    from ...processors.s3 import OptionError

    scheme = url.partition("://")[0]
    try:
        if scheme == "file":
            return DirectoryOriginals(directory_of(url))
        if scheme == "s3":
            from ...processors.s3.reading import BucketReader

            return StoredOriginals(BucketReader(url, s3_options(settings)))
        if scheme in CLOUDS:
            from ...processors.clouds.reading import CloudReader

            return StoredOriginals(CloudReader(url, s3_options(settings)))
    except (OptionError, TemplateError, ValueError) as error:
        raise ConfigurationError(str(error)) from error
    raise ConfigurationError(f"there can be no originals at {url}", PLACES)


class StoredOriginals:
    """:class:`~jollyae.album.originals.Originals` in an object store."""

    def __init__(self, reader: "Reader") -> None:
        self._reader = reader
        self.url = reader.url

    async def size(self, key: str) -> int | None:
        """See :class:`~jollyae.album.originals.Originals`."""
        try:
            return await self._reader.size(key)
        except (Temporary, Permanent) as error:
            raise _as_store_error(error) from error

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See :class:`~jollyae.album.originals.Originals`."""
        try:
            async for piece in self._reader.read(key, start, end):
                yield piece
        except FileNotFoundError as error:
            raise Missing(f"there is no original {key} in {self.url}") from error
        except (Temporary, Permanent) as error:
            raise _as_store_error(error) from error

    async def listed(self) -> AsyncIterator[Kept]:
        """See :class:`~jollyae.album.originals.Originals`."""
        try:
            async for key, size in self._reader.list(FOLDER):
                if parse(key) is not None:
                    yield Kept(key, size)
        except (Temporary, Permanent) as error:
            raise _as_store_error(error) from error

    async def close(self) -> None:
        """See :class:`~jollyae.album.originals.Originals`."""
        self._reader.close()


def _as_store_error(error: Temporary | Permanent) -> StoreError:
    return StoreError(error.message, error.hint, is_temporary=isinstance(error, Temporary))
