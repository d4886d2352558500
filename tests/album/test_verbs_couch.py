"""The verbs and the worker on CouchDB, as processes: the fake, and the real servers that COUCHDB_URL and COUCHDB_URL_2
name. The password comes from the environment or a file and is nowhere in what they say."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jollyae.album.couch.client import Client
from jollyae.album.couch.replication import find_exposure
from jollyae.processors.photo.samples import make_samples
from tests.album.fakecouch import FakeCouch
from tests.helpers import until

from .couch.support import Site

ROOT = Path(__file__).parents[2]
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some photos."""
    return make_samples(tmp_path_factory.mktemp("samples"), 3, side=480)


def caller(root: Path, *sites: Site) -> Call:
    """``call("album", "init", …)``, with the passwords in a file; what is said has none of them."""
    addresses = [site.address() for site in sites]
    file = root / "passwords"
    file.write_text("".join(f"{one.user}@{one.host} {one.password}\n" for one in addresses))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JOLLYAE_", "COUCHDB_"))}
    environment = clean | {"PYTHONPATH": str(ROOT / "src"), "JOLLYAE_ALBUM_PASSWORD_FILE": str(file)}

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jollyae", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert not any(f":{one.password}@" in said or f" {one.password}" in said for one in addresses), said
        return done

    return call


def _work(call: Call, root: Path, url: object) -> subprocess.CompletedProcess[str]:
    place = ("--originals", f"file://{root}/photos")
    return call("run", root / "spool", "--album", url, *place, "--once", "--settle", "0", "-v")


def _drop(call: Call, root: Path, photos: list[Path]) -> None:
    for path in photos:
        assert call("submit", root / "spool", path).returncode == 0


def test_photos_come_in_and_go_out(site: Site, tmp_path: Path, samples: list[Path]) -> None:
    """init, run, audit, export, and a copy into SQLite and back with nothing lost."""
    call, url = caller(tmp_path, site), site.address()
    place = ("--originals", f"file://{tmp_path}/photos")
    assert call("init", tmp_path / "spool").returncode == 0
    said = call("album", "init", url, "--user", "anna", "--json")
    assert said.returncode == 0 and json.loads(said.stdout)["user"] == "anna", said.stderr
    _drop(call, tmp_path, samples)
    said = _work(call, tmp_path, url)
    assert said.returncode == 0, said.stderr
    said = call("album", "audit", url, *place)
    assert said.returncode == 0 and "3 photos, 3 originals" in said.stdout, said.stdout
    assert json.loads(call("album", "export", url, tmp_path / "out", *place, "--json").stdout)["added"] == 3
    assert call("album", "user", url).stdout.split() == ["editor", "anna"]
    local = f"sqlite:///{tmp_path}/copy.sqlite"
    told = json.loads(call("album", "copy", url, local, "--json").stdout)
    assert (told["documents"]["photo"], told["documents"]["user"], told["wrong"]) == (3, 1, {})
    told = json.loads(call("album", "copy", local, site.address("second"), "--json").stdout)
    assert (told["documents"]["photo"], told["wrong"]) == (3, {})


def test_a_database_is_closed_to_others(site: Site, tmp_path: Path) -> None:
    """Made by init: the server's admins and the members that were named, and nobody without a password."""
    call, url = caller(tmp_path, site), site.address()
    assert call("album", "init", url, "--no-user", "--member", "reader").returncode == 0

    async def look() -> list[str]:
        async with Client(url) as client:
            names: list[str] = (await client.get(url.database, "_security"))["members"]["names"]
            return names

    assert "reader" in asyncio.run(look())
    assert asyncio.run(find_exposure(url)) == ""


def test_a_wrong_password_and_a_missing_database(site: Site, tmp_path: Path) -> None:
    """Each is told in a sentence with what to do."""
    call, url = caller(tmp_path, site), site.address()
    said = call("album", "user", url)
    assert said.returncode == 78 and "album init" in said.stderr
    (tmp_path / "passwords").write_text("nonsense\n")
    said = call("album", "init", url)
    assert said.returncode in (1, 75, 78) and "JOLLYAE_ALBUM_PASSWORD" in said.stderr, said.stderr


def _come_back(spool: Path, server: FakeCouch) -> None:
    """Start it again when a worker has met that it is away."""
    try:
        until(lambda: any('"paused":{' in path.read_text() for path in spool.glob("working/*/.state.json")), "a pause")
    finally:
        server.start()


def test_a_server_that_goes_away(fake_site: Site, tmp_path: Path, samples: list[Path]) -> None:
    """In the middle of it: paused, nothing fails, and all is there when it is back."""
    assert fake_site.fake is not None
    call, url = caller(tmp_path, fake_site), fake_site.address()
    assert call("init", tmp_path / "spool").returncode == 0
    assert call("album", "init", url, "--user", "anna").returncode == 0
    _drop(call, tmp_path, samples)
    fake_site.fake.kill()
    back = threading.Thread(target=_come_back, args=(tmp_path / "spool", fake_site.fake))
    back.start()
    try:
        said = _work(call, tmp_path, url)
    finally:
        back.join()
    assert said.returncode == 0 and "paused" in said.stderr and "resumed" in said.stderr, said.stderr
    assert not list((tmp_path / "spool" / "failed").iterdir())
    said = call("album", "audit", url, "--originals", f"file://{tmp_path}/photos")
    assert said.returncode == 0 and "3 photos" in said.stdout


def test_two_servers_replicate(sites: list[Site], tmp_path: Path, samples: list[Path]) -> None:
    """replicate sets it up, shows it, and ends it; a photo that came in here is there."""
    one, other = (site.address() for site in sites)
    call = caller(tmp_path, *sites)
    assert call("init", tmp_path / "spool").returncode == 0
    for url in (one, other):
        assert call("album", "init", url, "--user", "anna").returncode == 0
    said = call("album", "replicate", one, other)
    assert said.returncode == 0 and said.stdout.count("made") == 2, said.stderr
    assert call("album", "replicate", one, other).stdout.count("kept") == 2
    _drop(call, tmp_path, samples[:1])
    assert _work(call, tmp_path, one).returncode == 0
    audit = ("album", "audit", other, "--originals", f"file://{tmp_path}/photos")
    until(lambda: "1 photo, 1 original" in call(*audit).stdout, "the photo to be on the other server")
    shown = [json.loads(line) for line in call("album", "replicate", one, "--json").stdout.splitlines()]
    mine = [state for state in shown if one.database in state["source"] + state["target"]]
    assert len(mine) == 2 and all(state["well"] for state in mine)
    assert call("album", "replicate", one, other, "--remove").stdout.count("removed") == 2


def _done(said: subprocess.CompletedProcess[str]) -> list[str]:
    return sorted(line.split()[0] for line in said.stdout.splitlines() if line and not line.startswith(" "))


def test_three_servers_from_a_file(three_sites: list[Site], tmp_path: Path) -> None:
    """A plan, the ring, again nothing, and how it fares; then another list: what left it is ended."""
    call, urls = caller(tmp_path, *three_sites), [str(site.address()) for site in three_sites]
    for url in urls:
        assert call("album", "init", url, "--no-user").returncode == 0
    file = tmp_path / "jollyae.toml"
    file.write_text(f'[mesh.family]\ntopology = "ring"\nservers = {json.dumps(urls)}\n')
    ring = ("album", "replicate", "-c", file)
    planned = call(*ring, "--dry-run")
    assert planned.returncode == 0 and "Nothing was changed" in planned.stdout
    assert planned.stdout.count("make ") == 6
    assert _done(call(*ring)) == ["made"] * 6
    assert _done(call(*ring)) == ["kept"] * 6

    def is_well() -> bool:
        shown = [json.loads(line) for line in call(*ring, "--status", "--json").stdout.splitlines()]
        names = [url.rpartition("/")[2] for url in urls]
        mine = [link for link in shown if any(name in link["source"] for name in names)]
        return len(mine) == 6 and all(link["well"] for link in mine)

    until(is_well, "all links to be well")
    told = [json.loads(line) for line in call("album", "replicate", urls[0], urls[1], "--json").stdout.splitlines()]
    assert sorted(one["done"] for one in told) == ["kept"] * 2 + ["removed"] * 4
    assert all(set(one) == {"source", "target", "held_by", "done", "why", "dry_run"} for one in told)
    assert _done(call("album", "replicate", *urls, "--remove")) == ["removed", "removed"]
    assert call("album", "replicate", *urls, "--remove").stdout == "There is nothing to remove.\n"


def test_a_server_that_is_away_is_named(fake_three: list[Site], tmp_path: Path) -> None:
    """The rest is done, and the exit code says that something is left; shown, it is not well, and why."""
    call, urls = caller(tmp_path, *fake_three), [site.address() for site in fake_three]
    for url in urls:
        assert call("album", "init", url, "--no-user").returncode == 0
    assert fake_three[2].fake is not None
    fake_three[2].fake.kill()
    said = call("album", "replicate", *urls, "--star")
    assert said.returncode == 75 and _done(said) == ["made", "made", "waits", "waits"]
    assert f"{urls[2]} is away" in said.stdout
    said = call("album", "replicate", urls[0], "--status")
    assert said.returncode == 1 and urls[2].url in said.stdout + said.stderr and "cannot be reached" in said.stderr
    fake_three[2].fake.start()
    said = call("album", "replicate", *urls, "--star")
    assert said.returncode == 0 and _done(said) == ["kept", "kept", "made", "made"]
    until(lambda: call("album", "replicate", urls[1], "--status").returncode == 0, "all to be well")


def test_what_cannot_be_a_mesh(fake_three: list[Site], tmp_path: Path) -> None:
    """Each is told in a sentence, with nothing done."""
    call, urls = caller(tmp_path, *fake_three), [site.address() for site in fake_three]
    for url in urls:
        assert call("album", "init", url, "--no-user").returncode == 0
    again = str(urls[0]).replace("127.0.0.1", "localhost")
    with (tmp_path / "passwords").open("a") as file:
        file.write(f"{urls[0].user}@{urls[0].host.replace('127.0.0.1', 'localhost')} {urls[0].password}\n")
    said = call("album", "replicate", *urls, again)
    assert said.returncode == 78 and "same database of the same server" in said.stderr
    for words, text in (
        ((*urls, "--ring", "--star"), "say only one"),
        ((urls[0], "--ring"), "which other album"),
        ((*urls, "--status", "--remove"), "changes nothing"),
        ((urls[0], "-c", "x.toml"), "say only one"),
        ((), "-c FILE"),
        (("-c", "x.toml", "--star"), "has keys"),
    ):
        said = call("album", "replicate", *words)
        assert said.returncode == 2 and text in said.stderr, said.stderr
    assert call("album", "replicate", *urls, "--remove").stdout == "There is nothing to remove.\n"
