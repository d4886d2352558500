"""The reference transport: boto3, in threads of its own, one attempt per request and a deadline for each.

A request that is past its deadline, or cancelled, ends here at once; its thread may linger until the socket's own
time-out, and whatever it still does is harmless: puts are conditional, parts are numbered.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from . import session
from .answers import in_region
from .options import S3Options, without_password
from .threads import Threads
from .transport import (
    Attributes,
    Checksum,
    Complete,
    Create,
    Found,
    NoAnswer,
    Part,
    Put,
    Stored,
    StoredPart,
    StoreError,
)

DEADLINE = 60.0
"""Seconds that every request may take, and …"""
SLOWEST = 64 * 1024
"""… one second more for so many bytes of body: a line slower than 64 KiB/s needs smaller files or fewer at once."""
COMPLETING = 600.0
"""Seconds for Complete ("several minutes", says AWS's API reference of CompleteMultipartUpload)."""

_CHECKSUMS = {"sha256": "ChecksumSHA256", "crc32": "ChecksumCRC32"}
_CHECKSUMS |= {"crc32c": "ChecksumCRC32C", "crc64nvme": "ChecksumCRC64NVME"}


class BotoTransport:
    """A :class:`.transport.Transport` for one bucket. ``connections``: most requests at a time."""

    def __init__(self, bucket: str, options: S3Options, connections: int = 16) -> None:
        self.bucket = bucket
        self._options = options
        self._connections = connections
        self._threads = Threads(connections)
        self._connecting = asyncio.Lock()
        self._connected: session.Connected | None = None

    async def describe(self) -> str:
        """One sentence for the log: endpoint, region and credentials, and which setting each came from."""
        return (await self._connect()).description

    async def connected(self) -> session.Connected:
        """The client, for those who need to know what it knows."""
        return await self._connect()

    def credentials_expiry(self) -> float:
        """When the credentials that are used expire, seconds since 1970; 0 where they do not, or none is known."""
        return session.expiry(self._connected.credentials) if self._connected is not None else 0.0

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """Run something of boto's that may block."""
        return await self._run(call, DEADLINE)

    def close(self) -> None:
        """Take no more requests. Nothing is waited for."""
        self._threads.shutdown(wait=False)

    async def is_secure(self) -> bool:
        """Whether requests go over TLS."""
        return str((await self._connect()).client.meta.endpoint_url).startswith("https:")

    async def put(self, request: Put) -> Stored:
        """PutObject."""
        arguments = {"Body": request.body, **_attributes(request.attributes), **_checksum(request.checksum)}
        arguments |= _conditions(request.if_none_match, request.if_match)
        answer = await self._ask("put_object", len(request.body), Key=request.key, **arguments)
        return _stored(answer)

    async def head(self, key: str, *, checksums: bool = False) -> Found:
        """HeadObject."""
        mode = {"ChecksumMode": "ENABLED"} if checksums else {}
        answer = await self._ask("head_object", 0, Key=key, **mode)
        return Found(
            size=answer["ContentLength"],
            etag=_bare(answer),
            version=answer.get("VersionId", ""),
            metadata={name.lower(): value for name, value in answer.get("Metadata", {}).items()},  # rclone: capitals
            checksums=_checksums(answer),
        )

    async def create(self, request: Create) -> str:
        """CreateMultipartUpload."""
        arguments = _attributes(request.attributes)
        if request.algorithm in _CHECKSUMS:
            arguments["ChecksumAlgorithm"] = request.algorithm.upper()
            arguments["ChecksumType"] = "COMPOSITE" if request.algorithm == "sha256" else "FULL_OBJECT"
        answer = await self._ask("create_multipart_upload", 0, Key=request.key, **arguments)
        return str(answer["UploadId"])

    async def part(self, request: Part) -> StoredPart:
        """UploadPart."""
        answer = await self._ask(
            "upload_part",
            len(request.body),
            Key=request.key,
            UploadId=request.upload,
            PartNumber=request.number,
            Body=request.body,
            **_checksum(request.checksum),
        )
        return StoredPart(
            number=request.number, size=len(request.body), etag=_bare(answer), checksums=_checksums(answer)
        )

    async def parts(self, key: str, upload: str) -> list[StoredPart]:
        """ListParts, to the last page."""
        found: list[StoredPart] = []
        marker: dict[str, Any] = {}
        while True:
            answer = await self._ask("list_parts", 0, Key=key, UploadId=upload, **marker)
            found += [_part(part) for part in answer.get("Parts", [])]
            if not answer.get("IsTruncated"):
                return found
            marker = {"PartNumberMarker": answer["NextPartNumberMarker"]}

    async def complete(self, request: Complete) -> Stored:
        """CompleteMultipartUpload. botocore reads the 200 to its end and raises the error that may be in it."""
        parts = [{"PartNumber": part.number, "ETag": f'"{part.etag}"', **_values(part)} for part in request.parts]
        arguments = _checksum(request.checksum) | _conditions(request.if_none_match, request.if_match)
        if request.checksum:
            arguments["ChecksumType"] = "FULL_OBJECT"
        answer = await self._ask(
            "complete_multipart_upload",
            0,
            Key=request.key,
            UploadId=request.upload,
            MultipartUpload={"Parts": parts},
            MpuObjectSize=request.size,
            **arguments,
        )
        return _stored(answer)

    async def abort(self, key: str, upload: str) -> None:
        """AbortMultipartUpload."""
        await self._ask("abort_multipart_upload", 0, Key=key, UploadId=upload)

    async def remove(self, key: str) -> None:
        """DeleteObject: for the test objects of ``jollyae check``, never for an item's."""
        await self._ask("delete_object", 0, Key=key)

    async def aborts_uploads(self) -> bool:
        """Whether a lifecycle rule of the bucket removes unfinished uploads."""
        answer = await self._ask("get_bucket_lifecycle_configuration", 0)
        return any("AbortIncompleteMultipartUpload" in rule for rule in answer.get("Rules", []))

    async def _ask(self, operation: str, size: int, **arguments: Any) -> Mapping[str, Any]:
        connected = await self._connect()
        call = getattr(connected.client, operation)
        seconds = COMPLETING if operation.startswith("complete") else DEADLINE + size / SLOWEST
        answer: Mapping[str, Any] = await self._run(lambda: call(Bucket=self.bucket, **arguments), seconds)
        return answer

    async def _connect(self) -> session.Connected:
        """The client, made when it is first needed (0.3 s of CPU). A failure is not kept: the next request tries."""
        if self._connected is None:
            async with self._connecting:
                if self._connected is None:
                    self._connected = await self._run(
                        lambda: session.connect(self._options, self._connections), DEADLINE
                    )
        return self._connected

    async def _run(self, call: Callable[[], Any], seconds: float) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await self._threads.run(guarded, call)
        except TimeoutError as error:
            raise StoreError(None, NoAnswer.TIMEOUT, f"not done after {seconds:.0f} s") from error


def guarded(call: Callable[[], Any]) -> Any:
    """Run it in this thread; whatever boto3 raises becomes a :class:`StoreError`."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except ClientError as error:
        raise _answered(error.response) from error
    except (BotoCoreError, Boto3Error, ValueError, OSError) as error:
        raise StoreError(None, _why_no_answer(error), _shortly(error)) from error


def _answered(response: Any) -> StoreError:
    about, said = response.get("ResponseMetadata", {}), response.get("Error", {})
    headers = about.get("HTTPHeaders", {})
    status = about.get("HTTPStatusCode")
    code = str(said.get("Code", ""))
    return StoreError(
        status,
        "" if code == str(status) else code,  # an answer to HEAD has no body: botocore repeats the status
        in_region(status, headers.get("x-amz-bucket-region", ""), str(said.get("Message") or "")),
        request_id=about.get("RequestId") or headers.get("x-amz-request-id", ""),
        skew=_skew(headers.get("date", "")),
    )


def _skew(date: str) -> float | None:
    from email.utils import parsedate_to_datetime  # only who is refused asks, and it takes a while to load

    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (TypeError, ValueError):
        return None


def _why_no_answer(error: Exception) -> NoAnswer:
    from botocore import exceptions as boto

    if isinstance(error, boto.ProfileNotFound):
        return NoAnswer.PROFILE
    kinds: list[tuple[NoAnswer, tuple[type[Exception], ...]]] = [
        (NoAnswer.TLS, (boto.SSLError,)),
        (NoAnswer.PROXY, (boto.ProxyConnectionError,)),
        (NoAnswer.TIMEOUT, (boto.ConnectTimeoutError, boto.ReadTimeoutError)),
        (NoAnswer.CLOSED, (boto.ConnectionClosedError, boto.ResponseStreamingError)),
        (NoAnswer.CREDENTIALS, (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)),
        (NoAnswer.CREDENTIALS, (boto.SSOError, boto.TokenRetrievalError)),
    ]
    for why, types in kinds:
        if isinstance(error, types):
            return why
    if isinstance(error, boto.EndpointConnectionError):
        cause = str(error.kwargs.get("error", error)).lower()
        return NoAnswer.NAME if "resol" in cause or "name or service" in cause else NoAnswer.REFUSED
    if isinstance(error, boto.HTTPClientError):
        return NoAnswer.CLOSED
    return NoAnswer.CLIENT


def _shortly(error: Exception) -> str:
    from botocore import exceptions as boto

    endpoint = getattr(error, "kwargs", {}).get("endpoint_url", "")
    if endpoint and not isinstance(error, boto.SSLError):
        # What failed is told by the code; this is where.
        return without_password("/".join(str(endpoint).split("/", 3)[:3]))
    if isinstance(error, boto.HTTPClientError) and not isinstance(error, boto.SSLError):
        return ""  # urllib3's own nested exceptions: the code says it better
    cause = getattr(error, "kwargs", {}).get("error")  # what botocore's sentence leaves out: refused, no route, …
    text = " ".join(f"{error} ({cause})".split() if cause and str(cause) not in str(error) else str(error).split())
    return without_password(text)[:500]


def _bare(answer: Mapping[str, Any]) -> str:
    return str(answer.get("ETag", "")).removeprefix("W/").strip('"')


def _stored(answer: Mapping[str, Any]) -> Stored:
    return Stored(etag=_bare(answer), version=answer.get("VersionId", ""), checksums=_checksums(answer))


def _part(part: Mapping[str, Any]) -> StoredPart:
    return StoredPart(number=part["PartNumber"], size=part["Size"], etag=_bare(part), checksums=_checksums(part))


def _checksums(answer: Mapping[str, Any]) -> dict[str, str]:
    return {algorithm: answer[field] for algorithm, field in _CHECKSUMS.items() if answer.get(field)}


def _values(part: StoredPart) -> dict[str, str]:
    return {_CHECKSUMS[algorithm]: value for algorithm, value in part.checksums.items() if algorithm in _CHECKSUMS}


def _checksum(checksum: Checksum | None) -> dict[str, Any]:
    if checksum is None:
        return {}
    return {_CHECKSUMS.get(checksum.algorithm, "ContentMD5"): checksum.value}


def _conditions(if_none_match: bool, if_match: str) -> dict[str, str]:
    conditions = {"IfNoneMatch": "*"} if if_none_match else {}
    return conditions | ({"IfMatch": if_match} if if_match else {})


def _attributes(attributes: Attributes) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "ContentType": attributes.content_type,
        "ContentEncoding": attributes.content_encoding,
        "CacheControl": attributes.cache_control,
        "StorageClass": attributes.storage_class,
        "ACL": attributes.acl,
        "ServerSideEncryption": attributes.sse,
        "SSEKMSKeyId": attributes.sse_kms_key_id,
        "Metadata": dict(attributes.metadata),
        "Tagging": urlencode(dict(attributes.tags), quote_via=quote),  # RGW 16 takes a plus for a plus
    }
    return {name: value for name, value in fields.items() if value}
