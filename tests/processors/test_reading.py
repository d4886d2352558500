"""Reading objects back: sizes, whole objects and parts of them, lists; and whose fault it is where that cannot be."""

import asyncio
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from jollyae import Temporary
from jollyae.album.originals import DirectoryOriginals, Kept, Originals
from jollyae.album.store import Missing, StoreError
from jollyae.processors.clouds import Cloud, reading
from jollyae.processors.clouds.reading import CloudReader
from jollyae.processors.s3 import S3Options
from jollyae.processors.s3.reading import BucketReader
from jollyae.service.albums.originals import StoredOriginals, open_originals
from jollyae.service.settings import ConfigurationError, Settings
from tests.processors.s3.servers import Server, Visit

ID = "0123456789abcdef" * 4
KEY = f"originals/01/{ID}.jpg"
BODY = b"0123456789" * 300_000


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """A bucket in memory, which ``gs://b`` is."""
    store = MemoryStore()
    monkeypatch.setattr(
        reading, "open_cloud", lambda scheme, bucket, options: Cloud(f"{scheme}://{bucket}", store, store)
    )
    return store


def test_what_is_in_a_cloud(cloud: MemoryStore) -> None:
    """Below the prefix: sizes, bytes from and to, the list in order, and what is no original passed over."""
    obstore.put(cloud, f"photos/{KEY}", BODY)
    obstore.put(cloud, f"photos/{KEY.replace('.jpg', '.txt.bak')}", b"x")
    obstore.put(cloud, f"else/{KEY}", b"x")

    async def look() -> None:
        place = StoredOriginals(CloudReader("gs://b/photos", S3Options()))
        assert await place.size(KEY) == len(BODY) and await place.size(KEY.replace("jpg", "png")) is None
        assert await _read(place, 0, None) == BODY
        assert await _read(place, 2_999_995, None) == b"56789" and await _read(place, 3, 7) == b"3456"
        assert [kept async for kept in place.listed()] == [Kept(KEY, len(BODY))]
        with pytest.raises(Missing):
            [piece async for piece in place.read(KEY.replace("jpg", "png"))]
        await place.close()

    asyncio.run(look())


async def _read(place: Originals, start: int, end: int | None) -> bytes:
    return b"".join([piece async for piece in place.read(KEY, start, end)])


def _bucket(visit: Visit) -> None:
    """A bucket of one object, in two pages of a list."""
    while head := visit.head():
        line = head.split(b"\r\n")[0].decode()
        told = {name.lower(): value for name, _, value in (row.partition(b": ") for row in head.split(b"\r\n")[1:])}
        if "list-type=2" in line:
            more = "continuation-token" not in line
            key = KEY if more else KEY.replace("01/0", "0f/0").replace(ID, "0f" * 32)
            rest = "<NextContinuationToken>x</NextContinuationToken>" if more else ""
            found = f"<Contents><Key>p/{key}</Key><Size>10</Size></Contents>"
            body = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{rest}{found}</ListBucketResult>"
            visit.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        elif f"/b/p/{KEY}" in line:
            data, status = b"0123456789", "200 OK"
            if span := told.get(b"range"):
                first, _, last = span.decode().removeprefix("bytes=").partition("-")
                data, status = data[int(first) : int(last) + 1 if last else None], "206 Partial Content"
            visit.send(f'HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\nETag: "x"\r\n\r\n'.encode())
            if not line.startswith("HEAD"):
                visit.send(data)
        else:
            status = "403 Forbidden" if "denied" in line else "404 Not Found"
            visit.send(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())


def _options(server: Server) -> S3Options:
    return S3Options(endpoint_url=f"http://127.0.0.1:{server.port}", region="us-east-1", no_sign_request=True)


def test_what_is_in_a_bucket() -> None:
    """The same over S3's protocol."""

    async def look(server: Server) -> None:
        place = StoredOriginals(BucketReader("s3://b/p", _options(server)))
        assert await place.size(KEY) == 10 and await place.size("originals/none") is None
        assert await _read(place, 0, None) == b"0123456789"
        assert await _read(place, 5, None) == b"56789" and await _read(place, 3, 7) == b"3456"
        assert [kept.key async for kept in place.listed()] == [KEY, f"originals/0f/{'0f' * 32}.jpg"]
        with pytest.raises(Missing):
            [piece async for piece in place.read("originals/none")]
        with pytest.raises(StoreError, match="access denied"):
            await place.size("originals/denied")
        await place.close()

    with Server(_bucket) as server:
        asyncio.run(look(server))


def test_a_store_that_is_down_is_not_an_original_that_is_missing() -> None:
    """Whoever asks is told to try again."""

    async def look() -> None:
        options = S3Options(endpoint_url="http://127.0.0.1:1", region="us-east-1", no_sign_request=True)
        reader = BucketReader("s3://b", options)
        with pytest.raises(Temporary, match="connection refused"):
            await reader.size(KEY)
        place = StoredOriginals(reader)
        for ask in (place.size(KEY), _read(place, 0, None)):
            with pytest.raises(StoreError) as caught:
                await ask
            assert caught.value.is_temporary and not isinstance(caught.value, Missing)
        await place.close()

    asyncio.run(look())


def test_each_url_opens_its_place(tmp_path: Path) -> None:
    """A directory, a bucket; what is neither is told."""
    assert isinstance(open_originals(f"file://{tmp_path}", Settings()), DirectoryOriginals)
    assert open_originals("s3://b/p", Settings()).url == "s3://b/p"
    for wrong in ("ftp://x", "/just/a/path", "s3://", "file://host/x"):
        with pytest.raises(ConfigurationError):
            open_originals(wrong, Settings())
