"""Objects as items: each is fetched into a file in the function's ephemeral storage, and removed after its work.

One is there at a time, and goes through memory in blocks. What a killed process left there (Lambda may keep the storage
and start another process in it) is removed at the next start: whose it was, and that it is dead, is told by a lock, as
in a spool.
"""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..sources.naming import name_of
from ..spool import names, owner
from ..spool.item import Item
from ..spool.outcomes import Permanent, Scope, Temporary

BLOCK = 1 << 20
"""Bytes that are in memory at a time."""
SPARE = 8 << 20
"""Bytes of the storage that a fetched object leaves free."""
ATTEMPTS = 3
"""Requests for one object, within one invocation; after that the queue brings it again."""
CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 20.0
"""Seconds: what takes longer is begun again, well within a function's time."""
DIGEST = "jollyae-sha256"
"""In an object's metadata: the digest of the bytes that jollyae delivered."""

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,16}\Z")
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound"})


class Place(NamedTuple):
    """Where an object is, and what was told of it: ``size`` in bytes and ``etag`` without quotes, None and '' where
    that was not told."""

    bucket: str
    key: str
    size: int | None = None
    etag: str = ""

    @property
    def url(self) -> str:
        """For people and logs."""
        return f"s3://{self.bucket}/{self.key}"


class Gone(Exception):
    """There is no such object any more: nothing is left to do."""


class FetchedItem(Item):
    """An object in work. Beside what every :class:`~jollyae.Item` has:

    - ``bucket``, ``key`` (str), ``url`` (``s3://bucket/key``, which is ``source`` too); ``name`` is the key,
      but for what no item can be called (:mod:`jollyae.sources.naming`)
    - ``etag`` (without quotes), ``version`` (the version's id, '' where the bucket has none), ``content_type``,
      ``metadata`` (dict): as the store told them
    - ``mtime``: when the file was changed, where the object's metadata say so (``mtime``, as jollyae and rclone write
      it), else when the object was stored
    - ``attempt``: how often the message about it was received (SQS's ApproximateReceiveCount)

    ``path`` has the key's extension and nothing else of it. What :meth:`remember` keeps is kept for this attempt alone:
    the next one may be on another machine.
    """

    __slots__ = ("_attempt", "_memory", "bucket", "content_type", "etag", "key", "metadata", "version")

    def __init__(self, place: Place, path: str, holder: owner.Owner, answer: dict[str, Any], attempt: int) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        super().__init__(name_of(place.key), path, holder, descriptor, os.fstat(descriptor))
        self.bucket, self.key = place.bucket, place.key
        self.source = place.url
        self.etag = _bare(answer.get("ETag", ""))
        self.version = str(answer.get("VersionId", ""))
        self.content_type = str(answer.get("ContentType", ""))
        self.metadata: dict[str, str] = answer.get("Metadata", {})
        self._attempt = attempt
        self._memory: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """Of the object."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def attempt(self) -> int:
        """1 the first time its message is received."""
        return self._attempt

    @property
    def memory(self) -> dict[str, Any]:
        """What :meth:`remember` kept in this attempt."""
        return self._memory

    def remember(self, **memory: Any) -> None:
        """Keep ``memory`` until the end of this attempt."""
        self._memory = memory

    def temporary_directory(self) -> Path:
        """A directory of the item's own, removed when this attempt is over, or after the process was killed."""
        if self._temporary is None:
            self._temporary = tempfile.mkdtemp(dir=self.owner.path)
        return Path(self._temporary)


class Fetcher:
    """Brings objects, one at a time, by a client that is made when it is first needed. ``largest``: more bytes than
    that are refused for ever."""

    def __init__(self, largest: int | None = None) -> None:
        self._largest = largest
        self._made: Any = None
        self._owner: owner.Owner | None = None

    @contextlib.contextmanager
    def fetched(self, places: Sequence[Place], attempt: int, check: Callable[[], None]) -> Iterator[FetchedItem]:
        """The object as an item, for as long as the context lasts; of several ``places`` the one that is meant.
        ``check`` is called after each block and may raise. Raises :class:`Gone`, :class:`Temporary` and
        :class:`Permanent`."""
        holder = self._own()
        item = None
        try:
            place = self._meant(places)
            path = os.path.join(holder.path, f"object{extension(place.key)}")
            item = FetchedItem(place, path, holder, self._bring(place, path, check), attempt)
            yield item
        finally:
            if item is not None:
                item.close()
            _empty(holder.path)

    def close(self) -> None:
        """Remove all that was made. For tests: a function is never told that it is over."""
        if self._owner is not None:
            shutil.rmtree(self._owner.path, ignore_errors=True)
            os.close(self._owner.lock)
            self._owner = None
        if self._made is not None:
            self._made.close()
            self._made = None

    def _own(self) -> owner.Owner:
        """Our directory in the storage; those of the dead are removed before it is made."""
        if self._owner is None:
            root = os.path.join(tempfile.gettempdir(), f"jollyae-lambda-{os.getuid()}")
            os.makedirs(root, mode=0o700, exist_ok=True)
            if os.lstat(root).st_uid != os.getuid() or os.path.islink(root):
                raise Temporary(f"{root} is not ours", hint="Remove it, or set TMPDIR.", reason="machine")
            for dead in owner.adopt(root, "lambda"):
                shutil.rmtree(dead.path, ignore_errors=True)
                os.close(dead.lock)
            self._owner = owner.publish(root)
        return self._owner

    def _meant(self, places: Sequence[Place]) -> Place:
        """That with the announced ETag; else the first that there is."""
        if len(places) == 1:
            return places[0]
        there = []
        for place in places:
            with contextlib.suppress(Gone):
                there.append((place, _bare(self._asked("head_object", place).get("ETag", ""))))
        if not there:
            raise Gone(places[0].url)
        return next((place for place, etag in there if etag and etag == place.etag), there[0][0])

    def _asked(self, operation: str, place: Place) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: dict[str, Any] = getattr(self._client(), operation)(Bucket=place.bucket, Key=place.key)
        except ClientError as error:
            raise _answered(error.response, place) from error
        except BotoCoreError as error:
            raise _unanswered(error, place) from error
        return answer

    def _bring(self, place: Place, path: str, check: Callable[[], None]) -> dict[str, Any]:
        for left in reversed(range(ATTEMPTS)):
            try:
                return self._try(place, path, check)
            except Temporary as error:
                if not left or error.reason not in ("network", "timeout", "server"):
                    raise
            time.sleep(0.1 * (ATTEMPTS - left))
            check()
        raise AssertionError  # the last attempt has returned or raised

    def _try(self, place: Place, path: str, check: Callable[[], None]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError

        answer = self._asked("get_object", place)
        try:
            with contextlib.closing(answer["Body"]) as body:
                self._refuse(place, answer, os.path.dirname(path))
                _write(body, path, answer, place, check)
        except BotoCoreError as error:  # also of a transfer that was cut off
            raise _unanswered(error, place) from error
        return answer

    def _refuse(self, place: Place, answer: dict[str, Any], directory: str) -> None:
        """See that the object is what was announced, and that there is room for it."""
        size, shown = answer["ContentLength"], names.printable(place.url)
        if place.etag and place.etag == _bare(answer.get("ETag", "")) and place.size not in (None, size):
            told = f"{shown}: it has {size} bytes, and {place.size} were announced under the same ETag"
            raise Temporary(told, hint="Look at the object and at who announced it.", reason="content")
        if self._largest is not None and size > self._largest:
            hint = "Allow more: lambda_handler(largest=…), and enough ephemeral storage."
            raise Permanent(f"{shown}: {size} bytes, over the limit of {self._largest}", hint=hint, reason="size")
        if size + SPARE > (free := shutil.disk_usage(directory).free):
            hint = (
                "Give the function more ephemeral storage (10,240 MB at the most), or let a worker do it: run --from."
            )
            raise Temporary(f"{shown}: {size} bytes, and {free} are free in {directory}", hint=hint, reason="full")

    def _client(self) -> Any:
        if self._made is None:
            import boto3
            from botocore.config import Config

            own = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
            config = Config(
                retries={"total_max_attempts": 1, "mode": "standard"},  # an object is begun again whole, by us
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                s3={"addressing_style": "path"} if own else None,
            )
            self._made = boto3.client("s3", config=config)
        return self._made


def extension(key: str) -> str:
    """The extension that a file of this key may have: a key is anybody's text, and no path.

    >>> [extension(key) for key in ("a/b.JPG", "../..", "a.b/c", "x.j;rm -rf", "")]
    ['.JPG', '', '', '', '']
    """
    found = _EXTENSION.search(key)
    return found.group() if found else ""


def mtime_of(answer: dict[str, Any]) -> float:
    """When the file was changed, in seconds since 1970."""
    with contextlib.suppress(KeyError, ValueError):
        told = float(answer.get("Metadata", {})["mtime"])
        if abs(told) < 1 << 33:  # also: neither nan nor inf
            return told
    stored = answer.get("LastModified")
    return stored.timestamp() if isinstance(stored, datetime) else time.time()


def _write(body: Any, path: str, answer: dict[str, Any], place: Place, check: Callable[[], None]) -> None:
    """The object's bytes into a new file, proved. botocore has compared their number, and the checksum that the store
    keeps where it is one that it knows, when the last block has come."""
    wanted = answer.get("Metadata", {}).get(DIGEST, "")
    digest = hashlib.sha256() if wanted else None
    with open(path, "wb") as file:
        written = 0
        while data := body.read(BLOCK):
            file.write(data)
            written += len(data)
            if digest is not None:
                digest.update(data)
            check()
    if written != answer["ContentLength"]:
        raise _damaged(place, f"{written} of {answer['ContentLength']} bytes came")
    if digest is not None and digest.hexdigest() != wanted:
        raise _damaged(place, f"its SHA-256 is {digest.hexdigest()}, and {wanted} in its metadata")
    moment = mtime_of(answer)
    os.utime(path, (moment, moment))


def _damaged(place: Place, how: str) -> Temporary:
    return Temporary(
        f"the bytes are not what was delivered: {names.printable(place.url)}: {how}",
        hint="It is fetched again. If it stays so, look who wrote the object.",
        reason="content",
    )


def _answered(response: Any, place: Place) -> Exception:
    """What the store's refusal means."""
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    text = f"{names.printable(place.url)}: {status} {code}"
    if code in _GONE or (status == 405 and code == "MethodNotAllowed"):  # the newest version is a mark of deletion
        return Gone(text)
    if code == "NoSuchBucket":
        return Temporary(f"there is no such bucket: {text}", hint="Who announced it?", reason="bucket")
    if code == "InvalidObjectState":
        hint = "Restore it, or leave what goes to an archive out of the notification."
        return Temporary(f"it is archived: {text}", hint=hint, reason="content")
    if status == 403:
        hint = "The function's role needs s3:GetObject, and s3:ListBucket: without it a deleted object is refused, too."
        return Temporary(f"access denied: {text}", hint=hint, scope=Scope.UNSURE, reason="denied")
    if status in (429, 503) or code in ("SlowDown", "Throttling"):
        hint = "Fewer at a time: the trigger's MaximumConcurrency."
        return Temporary(f"the store asks for fewer requests: {text}", hint=hint, throttled=True, reason="throttled")
    if (status or 500) >= 500:
        return Temporary(f"the store is unwell: {text}", hint="It is tried again.", reason="server")
    return Temporary(f"the store refused: {text}", hint="Look at what it says.", scope=Scope.UNSURE, reason="other")


def _unanswered(error: Exception, place: Place) -> Temporary:
    """What it means that no whole answer came."""
    text = f"{names.printable(place.url)}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        return Temporary(f"no credentials: {text}", hint="Give the function a role.", reason="credentials")
    if type(error).__name__ == "ParamValidationError":  # a bucket or key that no S3 can have
        return Temporary(f"the request could not be made: {text}", hint="Who announced it?", reason="key")
    hint = "Check the function's network (a VPC needs an endpoint for S3) and its region."
    return Temporary(f"it could not be fetched: {text}", hint=hint, reason="network")


def _bare(etag: object) -> str:
    return str(etag).removeprefix("W/").strip('"')


def _empty(directory: str) -> None:
    """Remove all but the lock."""
    for entry in list(os.scandir(directory)):
        if entry.name == owner.LOCK:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.path)
