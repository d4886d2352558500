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
