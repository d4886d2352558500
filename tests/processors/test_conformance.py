"""The promises of a destination over ``file://``, ``gs://`` (a server of our own) and obstore's own stores."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore

from jollyae.processors.clouds import Cloud, CloudDelivery, open_cloud
from jollyae.processors.files import FileDelivery
from jollyae.processors.keys import KeyTemplate
from jollyae.processors.s3 import S3Options
from jollyae.spool import names

from .conformance import HOSTILE, Delivery, Place, Promises
from .gcs import BUCKET, TOKEN, Gcs


class Files(Place):
    """A directory."""

    lacks = {  # noqa: RUF012 - only read
        "credentials": "a directory has none",
        "encoding": "a file has none",
        "proof": "a file has no metadata",
        **{what: "encoded it is over 255 bytes" for what, name in HOSTILE.items() if len(names.encode(name)) > 255},
    }

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "delivered"
        self.directory.mkdir()
        self.url = f"file://{self.directory}/"

    def delivery(self, template: KeyTemplate, **options: Any) -> Delivery:
        chosen = {name: value for name, value in options.items() if name in ("if_exists", "preserve")}
        return FileDelivery(str(self.directory), template, **chosen)

    def there(self) -> dict[str, bytes]:
        found = (path for path in self.directory.rglob("*") if path.is_file())
        return {str(path.relative_to(self.directory)): path.read_bytes() for path in found}

    def put(self, key: str, body: bytes) -> None:
        path = self.directory / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body)

    def unreachable(self) -> Delivery:
        return FileDelivery(str(self.directory / "not mounted"), KeyTemplate())


class Own(Place):
    """A store of obstore's own."""

    url = "gs://own/"

    def __init__(self, store: MemoryStore | LocalStore, *, keeps_attributes: bool) -> None:
        self.cloud = Cloud("gs://own", store, store, keeps_attributes=keeps_attributes)
        self.lacks = {"network": "there is none", "credentials": "there are none", "fetching": "it has no URL"}
        if isinstance(store, LocalStore):
            self.lacks["conditional replace"] = "obstore's LocalStore has none"
            self.lacks["metadata"] = "obstore's LocalStore has none"
            self.lacks |= {what: "obstore's LocalStore makes the name longer" for what in HOSTILE if "255" in what}

    def delivery(self, template: KeyTemplate, **options: Any) -> Delivery:
        return CloudDelivery(self.cloud, template, S3Options(**options))

    def there(self) -> dict[str, bytes]:
        found = [meta["path"] for page in obstore.list(self.cloud.store) for meta in page]
        return {key: bytes(obstore.get(self.cloud.store, key).bytes()) for key in found}

    def put(self, key: str, body: bytes) -> None:
        obstore.put(self.cloud.store, key, body)


class Google(Place):
    """Google's XML API, by a server of our own."""

    url = f"gs://{BUCKET}/"

    def __init__(self, server: Gcs) -> None:
        self.server = server
        self.endpoint = server.url

    def _delivery(self, template: KeyTemplate, token: str, **options: Any) -> Delivery:
        chosen = S3Options(**{"endpoint_url": self.server.url, **options})
        os.environ["GOOGLE_BEARER_TOKEN"] = token
        return CloudDelivery(open_cloud("gs", BUCKET, chosen), template, chosen)

    def delivery(self, template: KeyTemplate, **options: Any) -> Delivery:
        return self._delivery(template, TOKEN, **options)

    def there(self) -> dict[str, bytes]:
        return {key: found.body for key, found in self.server.objects.items()}

    def put(self, key: str, body: bytes) -> None:
        self.server.store(key, body)

    def unreachable(self) -> Delivery:
        return self._delivery(KeyTemplate(), TOKEN, endpoint_url="http://127.0.0.1:1")

    def wrong_keys(self) -> Delivery:
        return self._delivery(KeyTemplate(), "wrong")


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    """A bucket of Google's."""
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", TOKEN)
    with Gcs() as server:
        yield Google(server)


class TestPromises(Promises):
    """Over each of them."""

    @pytest.fixture(params=["file", "gs", "memory", "local"])
    def place(self, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
        """One destination."""
        if request.param == "file":
            return Files(tmp_path)
        if request.param == "gs":
            return request.getfixturevalue("google")  # type: ignore[no-any-return]
        if request.param == "memory":
            return Own(MemoryStore(), keeps_attributes=True)
        return Own(LocalStore(tmp_path / "local", mkdir=True), keeps_attributes=False)
