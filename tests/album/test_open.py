"""An album by its URL."""

import asyncio
import sys
from pathlib import Path

import pytest

from jollyae.album.open import open_store, sqlite_path
from jollyae.album.store import StoreError


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///album.db", "album.db"),
        ("sqlite:///a/b.db", "a/b.db"),
        ("sqlite:////var/lib/a%20b%3F%23.db", "/var/lib/a b?#.db"),
        ("SQLITE:////x", "/x"),
        ("sqlite:////%FF", "/\udcff"),
    ],
)
def test_the_path_of_a_url(url: str, path: str) -> None:
    """Three slashes are from the working directory, four from the root."""
    assert sqlite_path(url) == path


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://album.db", "a file has no host"),
        ("sqlite:///", "no file is named"),
        ("sqlite:////var/", "no file is named"),
        ("sqlite:///a%00b", "no file is named"),
        ("sqlite:///a.db?mode=ro", "%3F"),
        ("sqlite:///a.db#x", "%23"),
        ("album.db", "not an album's URL: album.db"),
        ("s3://bucket/album", "not an album's URL: s3://…"),
        ("mysql://anna:secret@host/db", "not an album's URL: mysql://…"),
        ("", "not an album's URL"),
        ("http:///db", ""),
        ("https://", ""),
    ],
)
def test_what_is_no_url(url: str, message: str) -> None:
    """It is refused with what can be written; and no password is shown."""
    with pytest.raises(StoreError) as caught:
        asyncio.run(open_store(url))
    assert message in caught.value.message
    assert "secret" not in str(caught.value) + caught.value.hint
    assert "http" in caught.value.hint or "sqlite" in caught.value.hint


def test_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made where that was asked, from the working directory; its own URL opens it again."""
    monkeypatch.chdir(tmp_path)

    async def check() -> None:
        with pytest.raises(StoreError, match="there is no album"):
            await open_store("sqlite:///a b.db")
        store = await open_store("sqlite:///a b.db", create=True)
        await store.close()
        again = await open_store(store.url)
        assert again.url == store.url == f"sqlite:///{tmp_path}/a%20b.db" and again.server == store.server
        await again.close()

    asyncio.run(check())


def test_one_slash_too_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes it like file:///srv/… is told how it is written; nothing is made."""
    monkeypatch.chdir(tmp_path)
    there = str(tmp_path).lstrip("/")
    with pytest.raises(StoreError, match="there is no directory") as caught:
        asyncio.run(open_store(f"sqlite:///{there}/album.db", create=True))
    assert f"sqlite:////{there}/album.db" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """CouchDB needs a package: it is said which to install."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(StoreError, match="not installed") as caught:
        asyncio.run(open_store("http://127.0.0.1:1/album"))
    assert "pip install 'jollyae[album]'" in caught.value.hint


def test_a_password_in_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody on the machine could read it: refused, and not repeated."""
    with pytest.raises(StoreError) as caught:
        asyncio.run(open_store("http://anna:secret@127.0.0.1:1/album"))
    assert "JOLLYAE_ALBUM_PASSWORD" in caught.value.hint
    assert "secret" not in str(caught.value) + caught.value.hint
