"""Addresses of databases, and where their passwords come from."""

from pathlib import Path

import pytest

from jollyae.album.couch.address import Address, find_password, parse_address
from jollyae.album.store import StoreError

SECRET = "hunter2 with spaces"


@pytest.mark.parametrize(
    ("url", "server", "database", "user"),
    [
        ("http://127.0.0.1:5984/album", "http://127.0.0.1:5984", "album", ""),
        ("https://anna@example.org/a%2Fb/", "https://example.org", "a/b", "anna"),
        (
            "https://a%40b@example.org:6984/couch/album",
            "https://example.org:6984/couch",
            "album",
            "a@b",
        ),
        ("http://[::1]:5984/album", "http://[::1]:5984", "album", ""),
    ],
)
def test_an_address_is_read(url: str, server: str, database: str, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scheme, host, port and path before the database are the server's."""
    monkeypatch.delenv("JOLLYAE_ALBUM_PASSWORD_FILE", raising=False)
    monkeypatch.setenv("JOLLYAE_ALBUM_PASSWORD", SECRET)
    found = parse_address(url)
    assert (found.server, found.database, found.user) == (server, database, user)
    assert found.password == (SECRET if user else "")
    assert SECRET not in repr(found) + str(found)
    assert parse_address(found.url).database == database


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "http://host/",
        "ftp://host/album",
        "host/album",
        "http:///album",
        "http://h:x/a",
        "http://h/a?b=c",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """With a hint that shows one."""
    with pytest.raises(StoreError) as caught:
        parse_address(url)
    assert "http://user@host:5984/database" in caught.value.hint


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    """A command line is read by everybody; the error names the variables."""
    with pytest.raises(StoreError) as caught:
        parse_address("http://anna:hunter2@host/album")
    assert "hunter2" not in caught.value.message + caught.value.hint
    assert "JOLLYAE_ALBUM_PASSWORD_FILE" in caught.value.hint
    assert parse_address("http://anna:hunter%202@host/album", with_secret=True).password == "hunter 2"


def test_a_file_holds_one_password_or_one_for_each_server(tmp_path: Path) -> None:
    """The file comes before the variable; a server that is not in it gets the variable's."""
    file = tmp_path / "passwords"
    environ = {"JOLLYAE_ALBUM_PASSWORD_FILE": str(file), "JOLLYAE_ALBUM_PASSWORD": "variable"}
    file.write_text("only-one\n")
    assert find_password("anna", "home:5984", environ) == "only-one"
    file.write_text("anna@home:5984 at home\nanna@office elsewhere\n")
    assert find_password("anna", "home:5984", environ) == "at home"
    assert find_password("anna", "office", environ) == "elsewhere"
    assert find_password("ben", "office", environ) == "variable"
    assert find_password("anna", "home:5984", {}) == ""


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    """Instead of asking the server without a password."""
    with pytest.raises(StoreError, match="cannot read the password's file"):
        find_password("anna", "home", {"JOLLYAE_ALBUM_PASSWORD_FILE": str(tmp_path / "absent")})


def test_a_database_beside_another_has_the_same_secret() -> None:
    """The public one of the same server."""
    address = Address("http://host", "album", "anna", SECRET).beside("album-public")
    assert (str(address), address.password) == ("http://anna@host/album-public", SECRET)
