"""Secrets from the service manager's directory."""

from pathlib import Path

import pytest

from jollyae.service import credentials, notifications
from jollyae.service.settings import Target


def test_the_copy_is_read_where_there_is_one(tmp_path: Path) -> None:
    """A webhook's secret is taken from $CREDENTIALS_DIRECTORY, so that only root need be able to read the file."""
    secret = tmp_path / "hook.secret"
    copies = tmp_path / "credentials"
    copies.mkdir()
    environment = {credentials.DIRECTORY: str(copies)}
    assert credentials.readable(str(secret), environment) == str(secret)
    (copies / credentials.name(str(secret))).write_text("whsec_aGVsbG8=")
    assert Path(credentials.readable(str(secret), environment)).read_text() == "whsec_aGVsbG8="
    assert credentials.readable(str(secret), {}) == str(secret)


def test_a_target_s_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file itself is not there for us; its copy is."""
    path = str(tmp_path / "not-for-us")
    (tmp_path / credentials.name(path)).write_text("whsec_aGVsbG8=\n")
    monkeypatch.setenv(credentials.DIRECTORY, str(tmp_path))
    target = Target(name="hook", url="https://hooks.example/", secret_file=path)
    assert notifications._secret_text(target) == "whsec_aGVsbG8=\n"


@pytest.mark.parametrize("text", ["hunter2", "hunter2\n", "hunter2\r\n"])
def test_a_password_is_the_one_line(tmp_path: Path, text: str) -> None:
    """As it is, but for the line's end."""
    file = tmp_path / "password"
    file.write_bytes(text.encode())
    assert credentials.password(str(file)) == "hunter2"
    file.write_text(" a b\u2028c \n")
    assert credentials.password(str(file)) == " a b\u2028c "


@pytest.mark.parametrize(
    ("body", "why"),
    [(b"", "it is empty"), (b"\n", "it is empty"), (b"a\nb\n", "it has several lines"), (b"\xff", "no text")],
)
def test_a_file_that_has_no_password(tmp_path: Path, body: bytes, why: str) -> None:
    """Why, and nothing of what is in it."""
    file = tmp_path / "password"
    file.write_bytes(body)
    with pytest.raises(credentials.Unreadable, match=why) as caught:
        credentials.password(str(file))
    assert not caught.value.is_missing
    with pytest.raises(credentials.Unreadable) as caught:
        credentials.password(str(tmp_path / "none"))
    assert caught.value.is_missing


def test_a_copy_is_no_secret_that_all_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the file that is read; of one that cannot be looked at nothing is said."""
    path = str(tmp_path / "password")
    assert credentials.exposure(path) is None
    Path(path).write_text("x")
    Path(path).chmod(0o604)
    assert credentials.exposure(path) == (f"{path} can be read by everybody on this machine", f"chmod 600 {path}")
    copy = tmp_path / credentials.name(path)
    copy.write_text("x")
    copy.chmod(0o400)
    monkeypatch.setenv(credentials.DIRECTORY, str(tmp_path))
    assert credentials.exposure(path) is None
