"""Reading objects back from a bucket, by boto3."""

from collections.abc import AsyncIterator
from typing import Any

from jollyae.processors.keys import KeyTemplate
from jollyae.processors.reading import BLOCK, Kept
from jollyae.spool import names

from . import faults
from .boto import BotoTransport
from .faults import Meaning
from .options import S3Options, split_url
from .transport import Found, StoreError

_CONNECTIONS = 8
_DENIED = Meaning("access denied", "The credentials need s3:GetObject and s3:ListBucket here.", reason="denied")


class BucketReader:
    """A :class:`~jollyae.processors.reading.Reader` of ``s3://bucket[/prefix]``. Raises :class:`.options.OptionError`
    and :class:`~jollyae.processors.keys.TemplateError`."""

    def __init__(self, url: str, options: S3Options) -> None:
        bucket, prefix = split_url(url)
        self.url = url
        self._prefix = KeyTemplate(prefix=prefix).prefix
        self._control = BotoTransport(bucket, options, _CONNECTIONS)

    async def size(self, key: str) -> int | None:
        """See :class:`~jollyae.processors.reading.Reader`."""
        try:
            return (await self._control.head(self._whole(key))).size
        except StoreError as error:
            if error.status == 404:
                return None
            raise self._explained(error, key) from error

    async def look(self, key: str) -> Kept | None:
        """See :class:`~jollyae.processors.reading.Reader`."""
        try:
            found = await self._look(key)
        except StoreError as error:
            if error.status == 404:
                return None
            raise self._explained(error, key) from error
        whole = {name: value for name, value in found.checksums.items() if "-" not in value}
        return Kept(found.size, found.etag, found.metadata, whole)

    async def _look(self, key: str) -> Found:
        try:
            return await self._control.head(self._whole(key), checksums=True)
        except StoreError as error:
            if error.status not in (400, 403, 501):  # with KMS that may need another right, and some know no checksums
                raise
        return await self._control.head(self._whole(key))

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See :class:`~jollyae.processors.reading.Reader`."""
        part = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        body = None
        try:
            answer = await self._call("get_object", Key=self._whole(key), **part)
            body = answer["Body"]
            while data := await self._control.in_thread(lambda: body.read(BLOCK)):
                yield data
        except StoreError as error:
            if error.status == 404 and error.code != "NoSuchBucket":
                raise FileNotFoundError(f"{self.url}/{key}") from error
            if error.status != 416:  # it has no byte from there on
                raise self._explained(error, key) from error
        finally:
            if body is not None:
                body.close()

    async def list(self, folder: str) -> AsyncIterator[tuple[str, int]]:
        """See :class:`~jollyae.processors.reading.Reader`."""
        begin = len(self._whole(""))
        token: dict[str, str] = {}
        try:
            while True:
                page = await self._call("list_objects_v2", Prefix=self._whole(f"{folder}/" if folder else ""), **token)
                for found in page.get("Contents", []):
                    yield found["Key"][begin:], found["Size"]
                if not page.get("IsTruncated"):
                    return
                token = {"ContinuationToken": page["NextContinuationToken"]}
        except StoreError as error:
            raise self._explained(error, folder) from error

    def close(self) -> None:
        """See :class:`~jollyae.processors.reading.Reader`."""
        self._control.close()

    def _whole(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    async def _call(self, operation: str, **arguments: Any) -> Any:
        call = getattr((await self._control.connected()).client, operation)
        return await self._control.in_thread(lambda: call(Bucket=self._control.bucket, **arguments))

    def _explained(self, error: StoreError, key: str) -> Exception:
        where = names.show(f"s3://{self._control.bucket}/{self._whole(key)}")
        return faults.explain(
            error, where, _DENIED if error.status == 403 and error.code in ("", "AccessDenied") else None
        )
