"""The album's verbs: what they say, their exit codes, and that no secret is among it."""

import hashlib
import importlib.util
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from jollyae.album import document, originals
from jollyae.album.public_album import MARK
from jollyae.album.store import Query
from jollyae.album.web.passwords import is_password
from jollyae.cli.album import VERBS
from jollyae.processors.photo.samples import make_samples
from tests.album.scene import add, an_album, edit, run

from .conftest import Call

SECRET = "hunter2-hunter2"


def _url(root: Path) -> str:
    return f"sqlite:///{root}/album.sqlite"


def _originals(root: Path) -> str:
    return f"file://{root}/photos"


def _fill(root: Path, *bodies: bytes, **fields: Any) -> list[str]:
    async def fill() -> list[str]:
        async with an_album(root) as (store, place):
            return [(await add(store, place, body, **fields))["_id"] for body in bodies]

    return run(fill())


def _password_of(root: Path, name: str) -> str:
    async def look() -> str:
        async with an_album(root) as (store, _):
            found = await store.get(document.user_id(name))
            return str(found["password"]) if found else ""

    return run(look())


def test_init_makes_an_album_and_its_first_user(call: Call, tmp_path: Path) -> None:
    """The password is made up and shown once; again: nothing changes, and none is shown."""
    said = call("album", "init", _url(tmp_path), "--user", "anna")
    assert said.code == 0 and "jollyae run" in said.out
    shown = re.search(r"password (\S+)", said.out)
    assert shown and is_password(shown.group(1), _password_of(tmp_path, "anna"))
    again = call("album", "init", _url(tmp_path), "--user", "anna")
    assert again.code == 0 and "password" not in again.out
    assert is_password(shown.group(1), _password_of(tmp_path, "anna"))


def test_an_album_without_users(call: Call, tmp_path: Path) -> None:
    """A public one, or a second server's; members are CouchDB's."""
    said = call("album", "init", _url(tmp_path), "--no-user", "--json")
    assert said.code == 0 and json.loads(said.out)["user"] is None
    said = call("album", "user", _url(tmp_path))
    assert said.out == "" and said.code == 0 and "there are no users" in said.err and "NAME" in said.err
    said = call("album", "init", _url(tmp_path), "--member", "x")
    assert said.code == 78 and "CouchDB" in said.err


def test_a_password_that_is_given_is_not_shown(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the environment or a file; and it is what the user has then."""
    monkeypatch.setenv("JOLLYAE_USER_PASSWORD", SECRET)
    said = call("album", "init", _url(tmp_path), "--json")
    assert said.code == 0 and SECRET not in said.out + said.err
    assert "password" not in json.loads(said.out)
    name = json.loads(said.out)["user"]
    assert is_password(SECRET, _password_of(tmp_path, name))
    (tmp_path / "secret").write_text("another-one\nmore\n")
    said = call("album", "user", _url(tmp_path), "otto", "--role", "friend", "--password-file", tmp_path / "secret")
    assert said.code == 0 and "another-one" not in said.out + said.err
    assert is_password("another-one", _password_of(tmp_path, "otto"))


def test_users_are_shown_changed_and_removed(call: Call, tmp_path: Path) -> None:
    """One line each; another password ends the old one; what cannot be is told in a sentence."""
    call("album", "init", _url(tmp_path), "--user", "anna")
    assert call("album", "user", _url(tmp_path), "otto", "--role", "friend").code == 0
    assert call("album", "user", _url(tmp_path)).out.split() == ["editor", "anna", "friend", "otto"]
    before = _password_of(tmp_path, "otto")
    assert "changed" in call("album", "user", _url(tmp_path), "otto").out
    assert _password_of(tmp_path, "otto") != before
    assert call("album", "user", _url(tmp_path), "otto", "--remove").code == 0
    said = call("album", "user", _url(tmp_path), "otto", "--remove")
    assert said.code == 1 and "otto" in said.err
    assert json.loads(call("album", "user", _url(tmp_path), "--json").out) == {
        "users": [{"name": "anna", "role": "editor"}]
    }
    said = call("album", "user", _url(tmp_path), "anna", "--remove")
    assert said.code == 1 and "last editor" in said.err
    assert call("album", "user", _url(tmp_path)).out.split() == ["editor", "anna"]
    assert call("album", "user", _url(tmp_path), "../x").code == 78
    (tmp_path / "secret").write_text("short\n")
    said = call("album", "user", _url(tmp_path), "otto", "--password-file", tmp_path / "secret")
    assert said.code == 78 and "8" in said.err


def _lines(verb: str, url: str, root: Path) -> list[str]:
    """A command line of each verb, with what is there of files below ``root``."""
    root = root / "given"
    root.mkdir(exist_ok=True)
    place = ["--originals", f"file://{root}/photos"]
    directory = {"sync-originals": [f"{root}/out"], "export": [f"{root}/out"], "import": [str(root)]}
    other = {"copy": [f"sqlite:///{root}/x"], "project": [f"sqlite:///{root}/x"], "replicate": []}
    more = directory.get(verb, other.get(verb, []))
    return ["album", verb, url, *more, *(place if verb in ("audit", *directory) else [])]


OF_URLS = [verb for verb in VERBS if verb != "demo"]


@pytest.mark.parametrize("verb", OF_URLS)
def test_a_password_in_a_url_is_refused(call: Call, verb: str, tmp_path: Path) -> None:
    """With what to do instead, and without saying it."""
    said = call(*_lines(verb, f"http://me:{SECRET}@127.0.0.1:1/album", tmp_path))
    assert said.code == 78 and "JOLLYAE_ALBUM_PASSWORD" in said.err
    assert SECRET not in said.out + said.err and "Traceback" not in said.err


@pytest.mark.parametrize("verb", OF_URLS)
@pytest.mark.parametrize(
    "url",
    ["nonsense", "ftp://x/y", "sqlite://host/x", "SQLITE:///x", "sqlite:/x", "sqlite:x", "http://host", "http://[/x"],
)
def test_what_is_no_album_is_told(call: Call, verb: str, url: str, tmp_path: Path) -> None:
    """One sentence and the form that it should have; 78."""
    said = call(*_lines(verb, url, tmp_path))
    assert said.code == 78 and "sqlite:///FILE" in said.err and "Traceback" not in said.err


@pytest.mark.parametrize("verb", [verb for verb in OF_URLS if verb not in ("serve", "project")])
def test_an_album_that_cannot_be_reached(call: Call, verb: str, tmp_path: Path) -> None:
    """Nobody listens there: 75, try again."""
    said = call(*_lines(verb, "http://127.0.0.1:1/album", tmp_path))
    assert said.code == 75 and "Traceback" not in said.err and "127.0.0.1" in said.err


@pytest.mark.parametrize("verb", [verb for verb in OF_URLS if verb not in ("init", "replicate")])
def test_an_album_that_is_not_there(call: Call, verb: str, tmp_path: Path) -> None:
    """The sentence says how to make one; nothing is made."""
    said = call(*_lines(verb, _url(tmp_path), tmp_path))
    assert said.code == 78 and "album init" in said.err and "Traceback" not in said.err
    assert not list(tmp_path.glob("*.sqlite*"))


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("demo",)])
def test_without_the_extra(call: Call, verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What to install, in one sentence."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "PIL" else find(name, *more))
    url = _url(tmp_path) if verb != "replicate" else "http://127.0.0.1:1/album"
    said = call(*_lines(verb, url, tmp_path))
    assert said.code == 78 and "pip install 'jollyae[album]'" in said.err and "Traceback" not in said.err


def test_run_without_the_extra(call: Call, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of run --album."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "PIL" else find(name, *more))
    said = call("run", spool, "--album", "sqlite:///x", "--originals", "file:///x", "--once")
    assert said.code == 78 and "pip install 'jollyae[album]'" in said.err


@pytest.mark.parametrize(
    ("options", "code", "why"),
    [
        (("--album", "sqlite:////nowhere/a"), 2, "--originals"),
        (("--originals", "file:///x"), 2, "where to deliver"),
        (("--originals", "file:///x", "--to", "file:///y"), 2, "--album"),
        (("--album", "sqlite:////nowhere/a", "--originals", "file:///x", "--to", "file:///y"), 2, "both --to"),
        (("--album", "sqlite:////nowhere/a", "--originals", "ftp://x"), 78, "ftp://x"),
        (("--album", "sqlite:////nowhere/a", "--originals", "file:///x", "--key", "{name}"), 78, "--key"),
        (("--album", f"http://a:{SECRET}@h/d", "--originals", "file:///x"), 78, "JOLLYAE_ALBUM_PASSWORD"),
    ],
)
def test_what_run_refuses(call: Call, spool: Path, options: tuple[str, ...], code: int, why: str) -> None:
    """Originals and album go together, and with nothing else that says where."""
    said = call("run", spool, *options, "--once")
    assert said.code == code and why in said.err and SECRET not in said.err


def test_a_dry_run_says_where_photos_would_go(call: Call, spool: Path, tmp_path: Path) -> None:
    """Nothing is decoded and nothing is made."""
    (spool / "incoming" / "a.jpg").write_bytes(b"x")
    said = call("run", spool, "--album", _url(tmp_path), "--originals", _originals(tmp_path), "--dry-run")
    assert said.code == 0 and "a.jpg -> file://" in said.out and "originals/" in said.out
    assert not (tmp_path / "album.sqlite").exists()


def test_originals_that_are_not_mounted(call: Call, spool: Path, tmp_path: Path) -> None:
    """An album with photos has a place of originals: one that is missing is not made anew."""
    _fill(tmp_path, b"one")
    line = ("run", spool, "--album", _url(tmp_path), "--originals", f"file://{tmp_path}/typo", "--once")
    said = call(*line)
    assert said.code == 78 and "the album has 1 photo" in said.err and "mkdir" in said.err
    assert not (tmp_path / "typo").exists()


def test_check_looks_at_the_album_and_its_originals(call: Call, spool: Path, tmp_path: Path) -> None:
    """One finding a line: the album, what can be decoded, and the originals' place."""
    line = ("check", spool, "--album", _url(tmp_path), "--originals", _originals(tmp_path), "--json")
    said = call(*line)
    found = {one["subject"]: one["state"] for one in map(json.loads, said.out.splitlines())}
    assert said.code == 1 and found["album"] == "failed"
    _fill(tmp_path)
    said = call(*line)
    found = {one["subject"]: one["state"] for one in map(json.loads, said.out.splitlines())}
    assert found["album"] == found["write"] == "ok" and {"HEIC", "RAW", "video"} <= found.keys()


def test_audit_says_what_is_wrong(call: Call, tmp_path: Path) -> None:
    """0 where all is there; 1 with each fault, as text and as JSON."""
    right, wrong = _fill(tmp_path, b"right", b"wrong")
    line = ("album", "audit", _url(tmp_path), "--originals", _originals(tmp_path))
    said = call(*line)
    assert said.code == 0 and "2 photos, 2 originals" in said.out and "all is there" in said.out
    (tmp_path / "photos" / originals.key(wrong, "jpg")).write_bytes(b"WRONG")
    said = call(*line)
    assert said.code == 1 and f"damaged   {wrong}" in said.out and right not in said.out
    assert "remove it first" in said.out and "--repair" not in said.out  # a repair does not help here
    *faults, counts = map(json.loads, call(*line, "--json").out.splitlines())
    assert [(one["id"], one["fault"], one["repaired"]) for one in faults] == [(wrong, "damaged", False)]
    assert ", taken 2" in faults[0]["name"] and faults[0]["name"] in " ".join(said.out.split())
    assert (counts["photos"], counts["faults"]) == (2, 1)
    assert call(*line, "--quick").code == 0


def test_a_copy_an_export_and_an_import(call: Call, tmp_path: Path) -> None:
    """What the verbs say of what they did, as text and as JSON; what is missing is 1."""
    ids = _fill(tmp_path, b"one", b"two", title="Home")
    place = ("--originals", _originals(tmp_path))
    said = call("album", "sync-originals", _url(tmp_path), tmp_path / "copy", *place)
    assert said.code == 0 and "2 brought" in said.out
    told = json.loads(call("album", "sync-originals", _url(tmp_path), tmp_path / "copy", *place, "--json").out)
    assert (told["brought"], told["kept"]) == (0, 2)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for itself in ("photos", "link"):
        said = call("album", "sync-originals", _url(tmp_path), tmp_path / itself, *place)
        assert said.code == 78 and "where the originals are" in said.err
    said = call("album", "export", _url(tmp_path), tmp_path / "out", *place)
    assert said.code == 0 and "2 new" in said.out and len(list((tmp_path / "out/2026/11").glob("*Home*.jpg"))) == 2
    assert json.loads(call("album", "export", _url(tmp_path), tmp_path / "out", *place, "--json").out)["kept"] == 2
    (tmp_path / "file").touch()
    for verb in ("export", "sync-originals"):
        said = call("album", verb, _url(tmp_path), tmp_path / "file", *place)
        assert said.code == 78 and "is no directory" in said.err
    (tmp_path / "photos" / originals.key(ids[0], "jpg")).unlink()
    for verb in ("export", "sync-originals"):
        said = call("album", verb, _url(tmp_path), tmp_path / f"other-{verb}", *place)
        assert said.code == 1 and ids[0] in said.err and "missing" in said.err
    said = call("album", "import", _url(tmp_path), tmp_path / "out", *place)
    assert said.code == 1 and "0 new, 0 there already, 2 failed" in said.out and said.err.count("not imported") == 2
    assert all(said.err.count(path.name) == 1 for path in (tmp_path / "out/2026/11").glob("*.jpg"))
    assert "passed over" not in said.out  # the sidecars were used
    assert call("album", "import", _url(tmp_path), tmp_path / "nowhere", *place).code == 2
    assert call("album", "export", _url(tmp_path), tmp_path / "out").code == 2


def test_a_repair_into_a_new_album_says_what_it_made(call: Call, tmp_path: Path) -> None:
    """The photos are made of the originals, and nothing is left; again: all is there."""
    (body,) = [path.read_bytes() for path in make_samples(tmp_path / "camera", 1, side=320)]
    kept = tmp_path / "photos" / originals.key(hashlib.sha256(body).hexdigest(), "jpg")
    kept.parent.mkdir(parents=True)
    kept.write_bytes(body)
    _fill(tmp_path)
    line = ("album", "audit", _url(tmp_path), "--originals", _originals(tmp_path))
    said = call(*line, "--repair")
    assert said.code == 0 and "1 photo made of originals that belonged to none" in " ".join(said.out.split())
    assert "nothing is left with a fault" in " ".join(said.out.split())
    assert json.loads(call(*line, "--json").out)["made"] == 0


def test_a_place_without_any_original(call: Call, tmp_path: Path) -> None:
    """As a disk that is not mounted: that is said, once, and not to repair or to bring each again."""
    _fill(tmp_path, b"one", b"two")
    (tmp_path / "empty").mkdir()
    place = ("--originals", f"file://{tmp_path}/empty")
    for verb, more in (("audit", ()), ("sync-originals", ("a",)), ("export", ("b",))):
        said = call("album", verb, _url(tmp_path), *(tmp_path / name for name in more), *place)
        assert said.code == 1 and said.err.count("none of 2 originals") == 1 and "mounted" in said.err
        assert "--repair" not in said.out + said.err and "not exported" not in said.err
    told = json.loads(call("album", "export", _url(tmp_path), tmp_path / "b", *place, "--json").out)
    assert told["missing"] == 2 and all(", taken 2" in name for name in told["names"].values())


def test_a_copy_of_the_album(call: Call, tmp_path: Path) -> None:
    """Into a new one: everything; again: nothing new."""
    (id, _) = _fill(tmp_path, b"one", b"two")
    target = f"sqlite:///{tmp_path}/other.sqlite"
    said = call("album", "copy", _url(tmp_path), target)
    assert said.code == 0 and "2 photos" in said.out and "0 differ" in said.out
    told = json.loads(call("album", "copy", _url(tmp_path), target, "--json").out)
    assert told["leaves"] == 0 and told["documents"]["photo"] == 2 and told["wrong"] == {}

    async def look() -> bool:
        async with an_album(tmp_path, "other") as (store, _):
            return await store.get(id) is not None

    assert run(look())
    assert call("album", "copy", _url(tmp_path), _url(tmp_path)).code == 1


def test_project_keeps_what_is_public(call: Call, tmp_path: Path) -> None:
    """With --once: what it did, and the public album has what it should."""
    shown, _ = _fill(tmp_path, b"one", b"two")

    async def publish() -> None:
        async with an_album(tmp_path) as (store, _):
            await edit(store, shown, cat="Public")
            await store.put(document.new_comment(shown, "anna", "Remark", now="2026-11-23T10:00:00.000000Z"))

    async def look() -> list[str]:
        async with an_album(tmp_path, "public") as (store, _):
            return [id async for id in store.ids()]

    run(publish())
    line = ("album", "project", _url(tmp_path), f"sqlite:///{tmp_path}/public.sqlite", "--once")
    said = call(*line)
    assert said.code == 0 and "1 photo and 1 comment published, 0 documents withdrawn" in said.out
    assert run(look()) == [shown]
    told = json.loads(call(*line, "--json").out)
    assert told["published"] == told["comments"] == 0
    for main in (line[2], line[3]):  # itself; the wrong way round
        said = call("album", "project", main, line[2], "--once")
        assert said.code == 1 and "public album" in said.err


def _refuse_all_writing(call: Call, tmp_path: Path, spool: Path, public: str) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.jpg").write_bytes(b"x")
    place = ("--originals", _originals(tmp_path))
    for line in (
        ("album", "copy", _url(tmp_path), public),
        ("album", "import", public, tmp_path / "new", *place),
        ("album", "user", public, "anna"),
        ("album", "audit", public, *place, "--repair"),
        ("run", spool, "--album", public, *place, "--once"),
        ("check", spool, "--album", public, *place),
    ):
        said = call(*line)
        words = " ".join((said.err + said.out).split())
        assert said.code in (1, 78) and f"is the public album of {_url(tmp_path)}" in words, (line, said)
        assert f"Name the album itself: {_url(tmp_path)}" in words


def test_nothing_is_written_into_a_public_album_but_by_project(
    call: Call, spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy would put users, places and originals' names there; each verb that writes says what to name instead. One
    of an older version is known from the next `project` on; reading it is allowed."""
    monkeypatch.setenv("JOLLYAE_USER_PASSWORD", SECRET)
    _fill(tmp_path, b"one", gps={"latitude": 47.1, "longitude": 8.1})
    public = f"sqlite:///{tmp_path}/public.sqlite"
    line = ("album", "project", _url(tmp_path), public, "--once")

    async def forget() -> None:
        async with an_album(tmp_path, "public") as (store, _):
            await store.remember(MARK, {})

    async def empty() -> bool:
        async with an_album(tmp_path, "public") as (store, _):
            return not await store.users() and not await store.count(Query())

    assert call(*line).code == 0
    run(forget())
    assert call(*line).code == 0
    _refuse_all_writing(call, tmp_path, spool, public)
    assert run(empty())
    assert call("album", "copy", public, f"sqlite:///{tmp_path}/elsewhere.sqlite").code == 0


def test_a_refused_projection_is_not_announced(call: Call, tmp_path: Path) -> None:
    """What is not kept is not said to be kept."""
    _fill(tmp_path)
    said = call("album", "project", _url(tmp_path), _url(tmp_path), "--once")
    assert said.code == 1 and "its own public album" in said.err and "keeping" not in said.err


def test_what_replicate_refuses(call: Call, tmp_path: Path) -> None:
    """A file does not replicate; the same album twice; options that want another album."""
    assert "album copy" in call("album", "replicate", _url(tmp_path)).err
    assert call("album", "replicate", "http://h/a", "http://h/a").code == 78
    assert call("album", "replicate", "http://h/a", "--remove").code == 2
    assert call("album", "replicate", "http://h/a", "http://h/b", "--ring", "--publish").code == 2


def test_what_a_public_server_refuses(call: Call, tmp_path: Path) -> None:
    """It takes nothing, keeps nothing, and gives no originals away."""
    _fill(tmp_path)
    for more in (["--spool", str(tmp_path)], ["--project", "sqlite:///x"], ["--originals", "file:///x"]):
        said = call("album", "serve", _url(tmp_path), "--public", *more)
        assert said.code == 78 and more[0] in said.err
    said = call("album", "serve", _url(tmp_path), "--spool", tmp_path / "none")
    assert said.code == 78 and "jollyae init" in said.err


def test_an_address_that_cannot_be_listened_at(call: Call, tmp_path: Path) -> None:
    """What is taken, or is not this machine's, is told with the option that changes it."""
    _fill(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = call("album", "serve", _url(tmp_path), "--port", port)
        assert said.code == 1 and f"port {port}" in said.err and "--port N" in said.err
    said = call("album", "serve", _url(tmp_path), "--host", "192.0.2.1", "--port", "0")  # TEST-NET-1 (RFC 5737)
    assert said.code == 1 and "192.0.2.1" in said.err and "--host" in said.err


def test_help_and_near_misses(call: Call) -> None:
    """jollyae album shows its verbs; a misspelt verb or option gets the nearest."""
    said = call("album")
    assert said.code == 2 and all(verb in said.out for verb in VERBS)
    said = call("album", "audit", "sqlite:///x", "--orignals", "file:///x")
    assert said.code == 2 and "--originals" in said.err
    said = call("album", "exprot")
    assert said.code == 2 and "export" in said.err
    assert call("album", "serve", "--help").code == 0
