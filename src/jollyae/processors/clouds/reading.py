"""Reading objects back from Google's and Azure's stores, by obstore."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from jollyae.processors.keys import KeyTemplate
from jollyae.processors.reading import BLOCK, Kept
from jollyae.spool import names

from ..s3.options import S3Options
from . import faults
from .places import open_cloud, split_url

if TYPE_CHECKING:
    from obstore import GetOptions


class CloudReader:
    """A :class:`~jollyae.processors.reading.Reader` of ``gs://bucket[/prefix]`` or ``az://container[/prefix]``. Raises
    :class:`~..s3.options.OptionError` and :class:`~jollyae.processors.keys.TemplateError`."""

    def __init__(self, url: str, options: S3Options) -> None:
        scheme, bucket, prefix = split_url(url)
        self.url = url
        self._prefix = KeyTemplate(prefix=prefix).prefix
        self._cloud = open_cloud(scheme, bucket, options)

    async def size(self, key: str) -> int | None:
        """See :class:`~jollyae.processors.reading.Reader`."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = await obstore.get_async(self._cloud.patient, self._whole(key), options={"head": True})
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise self._explained(error, key) from error
        return found.meta["size"]

    async def look(self, key: str) -> Kept | None:
        """See :class:`~jollyae.processors.reading.Reader`."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = await obstore.get_async(self._cloud.patient, self._whole(key), options={"head": True})
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise self._explained(error, key) from error
        metadata = {self._cloud.common_name(str(name)): str(value) for name, value in found.attributes.items()}
        return Kept(found.meta["size"], (found.meta["e_tag"] or "").strip('"'), metadata)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See :class:`~jollyae.processors.reading.Reader`."""
        import obstore
        from obstore.exceptions import BaseError

        if end is not None and end <= start:
            return
        part: GetOptions = {"range": (start, end)} if end is not None else {"range": {"offset": start}}
        try:
            found = await obstore.get_async(self._cloud.patient, self._whole(key), options=part if start or end else {})
            async for piece in found.stream(BLOCK):
                yield bytes(piece)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.url}/{key}") from None
        except BaseError as error:
            raise self._explained(error, key) from error

    async def list(self, folder: str) -> AsyncIterator[tuple[str, int]]:
        """See :class:`~jollyae.processors.reading.Reader`."""
        import obstore
        from obstore.exceptions import BaseError

        begin = len(self._whole(""))
        try:
            async for page in obstore.list(self._cloud.patient, self._whole(folder), chunk_size=1000):
                for found in page:
                    yield found["path"][begin:], found["size"]
        except BaseError as error:
            raise self._explained(error, folder) from error

    def close(self) -> None:
        """See :class:`~jollyae.processors.reading.Reader`."""

    def _whole(self, key: str) -> str:
        return self._cloud.key(f"{self._prefix}/{key}" if self._prefix else key)

    def _explained(self, error: BaseException, key: str) -> Exception:
        return faults.explain(error, names.show(f"{self._cloud.url}/{self._whole(key)}"), self._cloud.credentials_hint)
