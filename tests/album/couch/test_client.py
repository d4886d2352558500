"""The client: what an answer means, what is repeated, and that no secret is told."""

import asyncio
import logging
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest

from jollyae.album.couch import client as module
from jollyae.album.couch.address import Address
from jollyae.album.couch.client import Client
from jollyae.album.couch.store import open_couch
from jollyae.album.store import Missing, Stale, StoreError
from tests.album.fakecouch import ADMIN, PASSWORD, FakeCouch
from tests.processors.s3.servers import certificate

from .support import closing, photo, sync


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds, heartbeats of a tenth of a second."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.1)


@pytest.mark.parametrize(
    ("status", "kind", "is_temporary", "hint"),
    [
        (401, StoreError, False, "JOLLYAE_ALBUM_PASSWORD"),
        (403, StoreError, False, "member"),
        (409, Stale, False, "Read it again"),
        (412, StoreError, False, "again"),
        (413, StoreError, False, "max_document_size"),
        (429, StoreError, True, "tried again"),
        (500, StoreError, True, "log"),
        (503, StoreError, True, "log"),
        (301, StoreError, False, "URL"),
        (418, StoreError, False, "CouchDB"),
    ],
)
@sync
async def test_an_answer_that_is_not_good_is_an_error_with_a_hint(
    status: int, kind: type[StoreError], is_temporary: bool, hint: str
) -> None:
    """Its kind tells what to do: read again, try later, or mend something first."""
    with FakeCouch() as fake:
        async with Client(fake.address("album")) as client:
            fake.refuse += [("PUT /album", status)] * 9
            with pytest.raises(kind) as caught:
                await client.ask("PUT", "album")
            assert (type(caught.value), caught.value.is_temporary) == (kind, is_temporary)
            assert hint in caught.value.hint
            assert PASSWORD not in f"{caught.value!r} {caught.value} {caught.value.hint}"
            assert len(fake.requests) == 1, "a write is not repeated: the first may have been done"


@sync
async def test_a_database_that_is_not_there_is_told_from_a_document(fake: FakeCouch) -> None:
    """The one needs an operator, the other is None."""
    async with Client(fake.address("album")) as client:
        with pytest.raises(StoreError, match="no such database") as caught:
            await client.find("album", "doc")
        assert not isinstance(caught.value, Missing)
        assert "jollyae album init" in caught.value.hint
        await client.ask("PUT", "album")
        assert await client.find("album", "doc") is None
        with pytest.raises(Missing):
            await client.get("album", "doc")


@pytest.mark.parametrize("trouble", [503, 0])
@sync
async def test_a_read_is_repeated_and_a_write_is_not(trouble: int) -> None:
    """0: the connection ends without an answer, so nobody knows whether the write was done."""
    with FakeCouch() as fake:
        async with Client(fake.address("album")) as client:
            await client.ask("PUT", "album")
            fake.refuse += [("GET /album", trouble)] * 3 + [("PUT /album/doc", trouble)]
            assert (await client.get("album"))["db_name"] == "album"
            with pytest.raises(StoreError) as caught:
                await client.ask("PUT", "album", "doc", send={"_id": "doc"})
            assert caught.value.is_temporary
            assert sum(request.startswith("PUT /album/doc") for request in fake.requests) == 1


@sync
async def test_an_unreachable_server_is_temporary(fake: FakeCouch) -> None:
    """And said to be where it was looked for."""
    address = fake.address("album")
    fake.kill()
    async with Client(address) as client:
        with pytest.raises(StoreError, match=f"127.0.0.1:{fake.port}") as caught:
            await client.get("album")
        assert caught.value.is_temporary


@sync
async def test_a_wrong_password_is_told_without_it(fake: FakeCouch, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the error, nor in a repr, nor in any log at DEBUG."""
    caplog.set_level(logging.DEBUG)
    async with Client(fake.address("album", ADMIN, "not-that-one")) as client:
        with pytest.raises(StoreError, match="'admin'") as caught:
            await client.get("album")
        shown = f"{caught.value!r} {caught.value.hint} {client!r} {client.address!r} {caplog.text}"
        assert "not-that-one" not in shown
    async with Client(fake.address("album")) as client:
        await client.ask("PUT", "album")
        assert PASSWORD not in caplog.text + repr(client)


@pytest.mark.parametrize(
    "value", [{}, [], None, {"error": "timeout"}, {"rows": [{"id": "x"}, {"error": "timeout", "reason": "x"}]}]
)
def test_an_answer_that_fails_in_the_middle_is_told(value: Any) -> None:
    """CouchDB has said 200 by then."""
    with pytest.raises(StoreError, match="middle") as caught:
        module.rows_of(value, "rows")
    assert caught.value.is_temporary


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate")
@sync
async def test_a_certificate_that_nobody_trusts_is_told(tmp_path: Path) -> None:
    """With the name of the variable that makes it trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    server = await asyncio.start_server(_say_hello, "127.0.0.1", 0, ssl=context)
    async with server:
        address = Address(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", "album")
        async with Client(address) as client:
            with pytest.raises(StoreError) as caught:
                await client.get("album")
            assert "SSL_CERT_FILE" in caught.value.hint


@sync
async def test_something_else_than_couchdb_is_told(fake: FakeCouch) -> None:
    """A proxy's page is no JSON."""
    server = await asyncio.start_server(_say_hello, "127.0.0.1", 0)
    async with server, Client(Address(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "album")) as client:
        with pytest.raises(StoreError, match="something else than JSON"):
            await client.get("album")


async def _say_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
    await writer.drain()
    writer.close()


@sync
async def test_changes_are_followed_over_a_restart(fake: FakeCouch) -> None:
    """kill -9 of the server in a longpoll costs nothing but time; heartbeats keep an idle one open."""
    store = await open_couch(fake.address("album"), create=True)
    async with closing(store):
        feed = store.changes(follow=True)
        await store.add(photo(1), {})
        assert (await anext(feed)).document["title"] == "Photo 1"
        waiting = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0.3)  # some heartbeats
        assert not waiting.done()
        fake.kill()
        await asyncio.sleep(0.1)
        fake.start()
        await store.add(photo(2), {})
        assert (await asyncio.wait_for(waiting, 30)).document["title"] == "Photo 2"
