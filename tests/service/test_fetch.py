"""Fetching: a file comes whole, proved and under its name, or not at all; never over another, never outside."""

import asyncio
import gzip
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jollyae.cli.main import run
from jollyae.processors import packing
from jollyae.service.fetch import Outcome, Wishes, fetch
from jollyae.service.settings import Settings
from jollyae.spool.owner import items_below
from tests.helpers import as_nobody, needs_root
from tests.processors.gcs import BUCKET, TOKEN, Gcs

BODY = b"some bytes\n" * 1000
SHA = hashlib.sha256(BODY).hexdigest()
META = "x-goog-meta-"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    """A bucket."""
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", TOKEN)
    with Gcs() as server:
        yield server


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Where files go."""
    path = tmp_path / "there"
    path.mkdir()
    return path


def put(server: Gcs, key: str, body: bytes = BODY, **metadata: str) -> None:
    """An object with metadata."""
    server.store(key, body, {META + name.replace("_", "-"): value for name, value in metadata.items()})


def bring(server: Gcs, target: Path | str, *keys: str, **wishes: object) -> tuple[Outcome, list[str]]:
    """What came of it, and what was said."""
    said: list[str] = []
    outcome = asyncio.run(
        fetch(
            [f"gs://{BUCKET}/{key}" for key in keys],
            str(target),
            Settings(endpoint_url=server.url),
            Wishes(**wishes),  # type: ignore[arg-type]
            lambda fetched: None,
            lambda url, error: said.append(str(error)),
        )
    )
    return outcome, said


def test_a_file_as_it_was(google: Gcs, there: Path) -> None:
    """Mode, time and the name that it had; set-user-ID does not come from a bucket."""
    put(google, "k/0a", jollyae_sha256=SHA, jollyae_name="d/r%C3%A9port%0A.csv", mode="104750", mtime="1354040105.5")
    outcome, _ = bring(google, there, "k/0a")
    assert (outcome.exit_code, outcome.done, outcome.unproved) == (0, 1, 0)
    found = there / "réport\n.csv"
    assert found.read_bytes() == BODY
    assert stat.S_IMODE(found.stat().st_mode) == 0o750 and found.stat().st_mtime == 1354040105.5
    outcome, _ = bring(google, there, "k/0a", keys=True)
    assert (there / "0a").read_bytes() == BODY


def test_to_a_file(google: Gcs, there: Path) -> None:
    """For one URL the target may be a file that is not there; a directory above it must be."""
    put(google, "k", jollyae_sha256=SHA)
    assert bring(google, there / "other", "k")[0].exit_code == 0
    assert (there / "other").read_bytes() == BODY
    assert bring(google, there / "no" / "such", "k")[0].exit_code == 1
    assert [path.name for path in there.iterdir()] == ["other"]


@pytest.mark.parametrize("digest", ["jollyae_sha256", "etag"])
def test_what_is_damaged_does_not_come(google: Gcs, there: Path, digest: str) -> None:
    """Other bytes than those that were sent: no file, no litter, exit code 1. An ETag alone would refute nothing."""
    put(google, "k", BODY[:-1] + b"x", **({"jollyae_sha256": SHA} if digest != "etag" else {}))
    outcome, said = bring(google, there, "k")
    if digest == "etag":
        assert outcome.exit_code == 0  # it is the ETag of these bytes
        return
    assert outcome.exit_code == 1 and "damaged" in said[0]
    assert not list(there.iterdir())


def test_what_nothing_proves_is_told(google: Gcs, there: Path) -> None:
    """No digest, and an ETag that is none: it comes, and is counted."""
    google.objects["k"] = google.store("k", BODY)
    google.objects["k"].etag = '"opaque"'
    assert bring(google, there, "k")[0].unproved == 1
    assert (there / "k").read_bytes() == BODY


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_what_was_packed_is_unpacked(google: Gcs, there: Path, method: str) -> None:
    """With the source proved; damaged in either way it does not come; a bomb is stopped at its size."""
    packer = packing.packer(method)
    made = packer.compress(BODY) + packer.flush()
    sent = hashlib.sha256(made).hexdigest()
    about = {"jollyae_packed": method, "jollyae_source_sha256": SHA, "jollyae_source_size": str(len(BODY))}
    put(google, "a.csv", made, jollyae_sha256=sent, **about)
    put(google, f"b.csv{packing.SUFFIXES[method]}", made, **about)
    put(google, "bad1", made, **about | {"jollyae_source_sha256": "0" * 64})
    put(google, "bad2", made[:-1], **about)
    put(google, "bomb", made, **about | {"jollyae_source_size": "100"})
    outcome, said = bring(google, there, "", recursive=True)
    assert (outcome.done, outcome.exit_code, len(said)) == (2, 1, 3)
    assert sorted(path.name for path in there.iterdir()) == ["a.csv", "b.csv"]
    assert (there / "a.csv").read_bytes() == (there / "b.csv").read_bytes() == BODY
    raw = there / "raw"
    assert bring(google, raw, "a.csv", unpack="never")[0].exit_code == 0
    assert raw.read_bytes() == made


def test_what_others_packed_stays_packed(google: Gcs, there: Path) -> None:
    """Unless it is asked for."""
    put(google, "a.csv.gz", gzip.compress(BODY))
    bring(google, there, "a.csv.gz")
    assert gzip.decompress((there / "a.csv.gz").read_bytes()) == BODY
    bring(google, there, "a.csv.gz", unpack="suffix")
    assert (there / "a.csv").read_bytes() == BODY


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a/../../up", "a//b", "%00", "..", "x" * 300, "."])
def test_no_name_leads_outside(google: Gcs, there: Path, name: str) -> None:
    """Whoever may write to the bucket may not write elsewhere here."""
    put(google, "k/1", jollyae_name=name)
    outcome, _ = bring(google, there, "k", recursive=True)
    assert outcome.exit_code == 1
    assert not list(there.iterdir()) and [path.name for path in there.parent.iterdir()] == ["there"]


def test_no_link_leads_outside(google: Gcs, there: Path, tmp_path: Path) -> None:
    """Not through a symbolic link in the target either."""
    (tmp_path / "others").mkdir()
    (there / "d").symlink_to(tmp_path / "others")
    put(google, "k/d/f")
    assert bring(google, there, "k", recursive=True)[0].exit_code == 1
    assert not list((tmp_path / "others").iterdir())


def test_never_over_another(google: Gcs, there: Path) -> None:
    """Another file of the name stays, the same one is found; two objects of one name are told apart by --keys."""
    put(google, "k/1", jollyae_name="f")
    put(google, "k/2", b"second", jollyae_name="f")
    outcome, _ = bring(google, there, "k", recursive=True)
    assert (outcome.done, outcome.exit_code) == (1, 1) and "--keys" in outcome.failed[0][1].hint  # type: ignore[attr-defined]
    assert bring(google, there, "k", recursive=True, keys=True)[0].done == 2
    (there / "1").write_bytes(b"mine")
    assert "other content" in bring(google, there, "k", recursive=True, keys=True)[1][0]
    assert (there / "1").read_bytes() == b"mine"


def test_a_tree(google: Gcs, there: Path) -> None:
    """Many objects below a prefix, with their directories, a console's marker of a folder left out, and no others."""
    names = {f"{number % 7}/{number}" for number in range(100)}
    for name in names:
        put(google, f"in/{name}")
    put(google, "in/", b"")
    put(google, "inside", b"")
    outcome, _ = bring(google, there, "in/", recursive=True)
    assert outcome.done == 100 and set(items_below(str(there))) == names


def test_what_is_not_there(google: Gcs, there: Path) -> None:
    """An object, a prefix, or a bucket without a key: 1, with what to do."""
    for key, recursive in (("none", False), ("none", True), ("", False)):
        outcome, _ = bring(google, there, key, recursive=recursive)
        assert outcome.exit_code == 1
    assert "--recursive" in outcome.failed[0][1].hint  # type: ignore[attr-defined]


def test_an_unwell_store_ends_it(google: Gcs, there: Path) -> None:
    """503, and nobody there: 75, and the other URLs are not tried."""
    put(google, "k")
    google.refusal = (503, "SlowDown")
    outcome, said = bring(google, there, "k", "k", "k")
    assert outcome.exit_code == 75 and len(said) == 1


@needs_root
def test_the_owner_as_root(google: Gcs, there: Path) -> None:
    """uid and gid are given as root, and only then."""
    put(google, "k", uid="1234", gid="4321", mode="100600")
    bring(google, there, "k")
    assert ((there / "k").stat().st_uid, (there / "k").stat().st_gid) == (1234, 4321)
    there.chmod(0o777)
    for parent in there.parents:
        if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o055)
    with as_nobody():
        assert bring(google, there / "second", "k")[0].exit_code == 0
    assert (there / "second").stat().st_uid == 65534


# --- file://, and the command


def test_on_the_command_line(tmp_path: Path, there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """run --to file:// and fetch: the file is back, its line says how it was proved; errors have hints and codes."""
    delivered = tmp_path / "a b" / "report.csv"
    delivered.parent.mkdir()
    delivered.write_bytes(BODY)
    os.chmod(delivered, 0o604)
    url = f"file://{tmp_path}/a%20b/report.csv"
    assert run(["fetch", url, str(there)]) == 0
    said = capsys.readouterr()
    assert f"-> {there}/report.csv" in said.out and "not proved" in said.err
    assert stat.S_IMODE((there / "report.csv").stat().st_mode) == 0o604
    assert run(["fetch", "-q", url, str(there)]) == 0 and capsys.readouterr().out == ""
    assert run(["fetch", f"file://{tmp_path}/none", str(there)]) == 1
    assert run(["fetch", "s3:/typo", str(there)]) == 78
    assert run(["fetch", "file://host/x", str(there)]) == 78
    assert run(["fetch", url]) == 2
    assert run(["fetch", url, url]) == 2
    assert run(["fetch", "--recursive", f"file://{tmp_path}/a%20b", str(there / "tree")]) == 0
    assert (there / "tree" / "report.csv").read_bytes() == BODY
    assert capsys.readouterr().out.startswith(f"{url} -> ")


@pytest.mark.parametrize("directory", ["{}", "{}/", "{}/deep", "{}/a%20b"])
def test_what_is_printed_can_be_fetched(
    tmp_path: Path, there: Path, capsys: pytest.CaptureFixture[str], directory: str
) -> None:
    """The URL of each file below a directory, as log prints it."""
    for name in ("deep/100%.csv", "a b/ü"):
        path = tmp_path / "from" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(BODY)
    assert run(["fetch", "--recursive", "file://" + directory.format(tmp_path / "from"), str(there)]) == 0
    urls = [line.partition(" -> ")[0] for line in capsys.readouterr().out.splitlines()]
    assert urls and all(url.startswith(f"file://{tmp_path}/from/") for url in urls)
    for number, url in enumerate(urls):
        assert run(["fetch", url, str(there / f"again{number}")]) == 0
        assert (there / f"again{number}").read_bytes() == BODY


def test_killed_in_the_middle(tmp_path: Path, there: Path) -> None:
    """A file is there whole or not at all: what a kill leaves has no item's name."""
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(200 << 20)
    command = [sys.executable, "-m", "jollyae", "fetch", f"file://{large}", str(there)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as child:
        while not list(there.iterdir()):
            assert child.poll() is None
        child.kill()
    assert (
        all(path.name.startswith(".jollyae-") for path in there.iterdir())
        or large.stat().st_size == (there / "large").stat().st_size
    )
