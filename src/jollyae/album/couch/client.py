"""Asks a CouchDB server over HTTP: addresses, deadlines, repeats where they do no harm, and what an answer means.

It knows requests and answers, and nothing of albums. Every failure is a :class:`~jollyae.album.store.StoreError` with a
hint; the password is in none of them.
"""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from ..store import Missing, Stale, StoreError
from .address import PASSWORD, Address

log = logging.getLogger(__name__)

CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
"""How long to wait for a connection, and for the next bytes of an answer. A view that is being built answers when it is
whole, which takes longer: INDEX_SECONDS."""
INDEX_SECONDS = 900.0
HEARTBEAT_SECONDS = 20.0
"""How often the server says in a feed that it still lives; three times that without a byte, and it does not."""
TRIES, FIRST_PAUSE = 4, 0.1
"""A harmless request is sent up to 4 times, 0.1, 0.2 and 0.4 s apart (with jitter): over a hiccup, not an outage."""
LONGEST_PAUSE = 30.0
"""Seconds between two tries of a feed that is followed, at most."""
_TROUBLE = "See its log and the room on its disk. It is tried again."
BUSY = (429, 500, 502, 503, 504)
"""Answers after which the same request may succeed."""


class Client:
    """A server and who asks it; its connections are kept open until :meth:`close`."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._http = httpx.AsyncClient(
            auth=httpx.BasicAuth(address.user, address.password) if address.user else None,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=8),
            headers={"Accept": "application/json"},
            # Reading all authorities costs 27 ms, and http:// asks none.
            verify=address.server.startswith("https:"),
        )

    def __repr__(self) -> str:
        return f"Client({str(self.address)!r})"

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        *path: str,
        query: Mapping[str, Any] | None = None,
        send: Any = None,
        body: bytes | None = None,
        mime: str = "application/json",
        accept: tuple[int, ...] = (),
        repeatable: bool | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> httpx.Response:
        """The answer to a request for ``/path/…`` (each part is quoted). ``send`` is sent as JSON, ``body`` as it is;
        values of the ``query`` that are no texts go as JSON. An answer that is neither good nor in ``accept`` is
        raised. ``repeatable``: sending it twice does no harm (GET and HEAD, unless told otherwise)."""
        url = f"{self.address.server}/{'/'.join(quote(part, safe='') for part in path)}"
        if send is not None:
            body = json.dumps(send, separators=(",", ":")).encode()
        request = self._http.build_request(
            method,
            url,
            params={name: _text(value) for name, value in (query or {}).items()},
            content=body,
            headers={"Content-Type": mime} if body is not None else {},
            timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
        )
        is_harmless = method in ("GET", "HEAD") if repeatable is None else repeatable
        answer = await self._send(request, is_harmless)
        if answer.is_success or answer.status_code in accept:
            return answer
        raise self._refused(answer, method, path)

    async def _send(self, request: httpx.Request, is_harmless: bool) -> httpx.Response:
        """The answer, after some tries where they do no harm."""
        for failures in range(TRIES):
            is_last = failures == TRIES - 1
            try:
                answer = await self._http.send(request)
            except httpx.HTTPError as error:
                # A request that never got a connection was not seen by the server: sending it again is harmless.
                if is_last or not (is_harmless or isinstance(error, httpx.ConnectError | httpx.PoolTimeout)):
                    raise self._unreachable(error) from None
            else:
                if is_last or not is_harmless or answer.status_code not in BUSY:
                    return answer
            await asyncio.sleep(_pause(failures))
        raise AssertionError("the last try returns or raises")

    async def get(self, *path: str, query: Mapping[str, Any] | None = None, seconds: float = ANSWER_SECONDS) -> Any:
        """The JSON value there."""
        return decode(await self.ask("GET", *path, query=query, seconds=seconds))

    async def find(self, *path: str, query: Mapping[str, Any] | None = None) -> Any:
        """The JSON value there; None where there is none (but raises where the database is missing)."""
        answer = await self.ask("GET", *path, query=query, accept=(404,))
        return None if self.is_missing(answer, path) else decode(answer)

    def is_missing(self, answer: httpx.Response, path: tuple[str, ...]) -> bool:
        """Whether the answer says that there is no such document (raises where it says so of the database)."""
        if answer.status_code == 404 and _is_database(answer):
            raise self._refused(answer, "GET", path)
        return answer.status_code == 404

    async def changes(
        self, database: str, since: str, *, follow: bool, limit: int, query: Mapping[str, Any] | None = None
    ) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        """Batches of rows of ``_changes`` after ``since`` ('': all), each with the sequence after it. ``follow``: for
        ever, over restarts of the server, which are logged."""
        asked = dict(query or {}) | {"since": since or "0", "limit": limit}
        if follow:
            asked |= {"feed": "longpoll", "heartbeat": int(HEARTBEAT_SECONDS * 1000)}
        failures = 0
        while True:
            try:
                seconds = HEARTBEAT_SECONDS * 3 if follow else ANSWER_SECONDS
                value = await self.get(database, "_changes", query=asked, seconds=seconds)
                rows = rows_of(value, "results")
            except StoreError as error:
                if not (follow and error.is_temporary):
                    raise
                if not failures:
                    log.warning("the changes of %s wait: %s", self.address, error.message)
                failures += 1
                await asyncio.sleep(min(LONGEST_PAUSE, _pause(failures)))
                continue
            if failures:
                log.info("the changes of %s go on", self.address)
            failures = 0
            asked["since"] = value["last_seq"]
            if rows:
                yield rows, str(value["last_seq"])
            if not follow and len(rows) < limit:
                return

    def _unreachable(self, error: httpx.HTTPError) -> StoreError:
        """Of a request that got no answer. The error's text names the host at most."""
        what = "gave no answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
        reason = str(error) or type(error).__name__
        hint = "Is it running, and is the host and port right? It is tried again."
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            hint = "SSL_CERT_FILE names the file with the authority that its certificate is from. It is tried again."
        return StoreError(f"the album's server {what}: {self.address.server}: {reason}", hint, is_temporary=True)

    def _refused(self, answer: httpx.Response, method: str, path: tuple[str, ...]) -> StoreError:
        """What an answer that is not good means."""
        status = answer.status_code
        told = _told(answer)
        where = f"{self.address.server}/{'/'.join(path)}"
        reason = f"{status} {told.get('error', '')}: {told.get('reason', '')}".rstrip(": ")
        if status == 409:
            return Stale(f"somebody else wrote it meanwhile: {where}", "Read it again, and repeat the edit.")
        if status == 404 and not _is_database(answer):
            return Missing(f"there is no such document: {where}")
        message, hint, is_temporary = _meaning(status, self.address, method)
        return StoreError(f"{message}: {where}: {reason}", hint, is_temporary=is_temporary)


def _meaning(status: int, address: Address, method: str) -> tuple[str, str, bool]:
    """Message, hint and whether it may work later."""
    whom = f"user {address.user!r}" if address.user else "anonymous"
    match status:
        case 401:
            return (
                f"the album's server does not let {whom} in",
                f"Put the user into the URL (http://user@…) and the password into {PASSWORD} (or a file).",
                False,
            )
        case 403:
            return (
                f"{whom} may not do that",
                "Make the user a member (to read and write) or an admin (to create, compact, replicate) of it.",
                False,
            )
        case 404:
            return "there is no such database", f"Make it: jollyae album init {address}", False
        case 412:
            return "the server has it already, or lacks what the request builds on", "Try it again.", False
        case 413:
            return (
                "too large for the album's server",
                "Raise [couchdb] max_document_size and max_attachment_size, [chttpd] max_http_request_size, and the "
                "limit of a proxy before it (nginx: client_max_body_size).",
                False,
            )
        case _ if status in BUSY or status >= 500:
            return "the album's server has trouble", _TROUBLE, True
        case _ if 300 <= status < 400:
            return "the album's URL leads elsewhere", "Give the URL that the server itself has.", False
    return f"the album's server refused {method}", "Is this a CouchDB 3 server?", False


def decode(answer: httpx.Response) -> Any:
    """The JSON of an answer. Raises :class:`StoreError` where it is none."""
    try:
        return json.loads(answer.content)
    except ValueError:
        # A feed that ends in the middle of a restart is cut; a proxy's page is no JSON either.
        raise StoreError(
            f"the album's server answered with something else than JSON: {answer.url.host}",
            "Does the URL name a CouchDB server? It is tried again.",
            is_temporary=True,
        ) from None


def rows_of(value: Any, name: str) -> list[dict[str, Any]]:
    """The rows that an answer has under that name. A server that fails in the middle has said 200 already."""
    rows = value.get(name) if isinstance(value, dict) else None
    if not isinstance(rows, list) or any("error" in row for row in rows):
        told = json.dumps(value)[:200]
        raise StoreError(f"the album's server failed in the middle of an answer: {told}", _TROUBLE, is_temporary=True)
    return rows


def _told(answer: httpx.Response) -> dict[str, Any]:
    """The ``error`` and ``reason`` that CouchDB puts into an answer."""
    try:
        told = json.loads(answer.content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _is_database(answer: httpx.Response) -> bool:
    """Whether a 404 is of the database and not of a document in it."""
    return _told(answer).get("reason") in ("Database does not exist.", "no_db_file")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _pause(failures: int) -> float:
    """Seconds before the next try: doubling, with jitter so that many do not come at once."""
    return FIRST_PAUSE * float(2 ** min(failures, 16)) * random.uniform(0.8, 1.2)
