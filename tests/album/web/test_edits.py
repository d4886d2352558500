"""Editing photos, one and many, comments, users, uploads and originals."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from jollyae.album.web.orientation import TURNS, shown_size, turned
from tests.album.web.conftest import Served
from tests.album.web.support import PASSWORD, Shot, Surfer, add_user, jpeg


def form(surfer: Surfer, id: str, **changes: str) -> dict[str, str]:
    """What the edit form of a photo sends, changed so."""
    import re
    from html import unescape

    page = surfer.get(f"/photo/{id}").text
    was = {name: unescape(value) for name, value in re.findall(r'name="was_(\w+)" value="([^"]*)"', page)}
    was["descr"] = unescape(re.search(r'name="was_descr" hidden>\n(.*?)</textarea>', page, re.S)[1])  # type: ignore[index]
    now = {name: value for name, value in was.items() if name != "gps"}
    return {**{f"was_{name}": value for name, value in was.items()}, **now, **changes}


def test_a_photo_is_edited_by_its_form(album: Served) -> None:
    """Every field; what was not changed gets no stamp."""
    id = album.add(
        Shot(1, taken="2026-05-01T12:00:00+02:00", gps={"latitude": 1.0, "longitude": 2.0}, exif={"GPSLatitude": "1"})
    )
    ann = album.surfer("ann")
    changes = {
        "title": "The pier",
        "descr": "Line one\r\n\r\n**Line** two",
        "keywords": "Beach, anna,beach ",
        "taken": "2026-05-01T13:30",
        "gps": "remove",
        "processed": "1",
    }
    answer = ann.post(f"/photo/{id}/edit", **form(ann, id, **changes))
    assert answer.status_code == 303 and answer.headers["location"] == f"/photo/{id}"
    document = album.document(id)
    assert document["title"] == "The pier" and document["descr"] == "Line one\n\n**Line** two"
    assert document["keywords"] == ["Beach", "anna", "beach"] and document["taken"] == "2026-05-01T13:30:00+02:00"
    assert document["gps"] is None and "GPSLatitude" not in document["exif"]
    assert set(document["stamps"]) == {"title", "descr", "keywords", "taken", "gps"}
    page = ann.get(f"/photo/{id}").text
    assert "<strong>Line</strong>" in page and "13:30" in page
    before = document["_rev"]
    assert ann.post(f"/photo/{id}/edit", **form(ann, id)).status_code == 303
    assert album.document(id)["_rev"] == before


def test_being_in_the_inbox_is_no_tag_to_be_edited(album: Served) -> None:
    """The form does not show it among the tags, and editing them leaves it; the photo leaves the inbox by its box."""
    id = album.add(Shot(1))
    ann = album.surfer("ann")
    assert form(ann, id)["keywords"] == ""
    ann.post(f"/photo/{id}/edit", **form(ann, id, keywords="sea"))
    assert album.document(id)["keywords"] == ["sea", "unprocessed"]
    ann.post(f"/photo/{id}/edit", **form(ann, id, processed="1"))
    assert album.document(id)["keywords"] == ["sea"]


def test_two_people_edit_two_fields_at_once(album: Served) -> None:
    """Both edits are there, though the second form was made before the first was sent."""
    id = album.add(Shot(1))
    ann, eve = album.surfer("ann"), album.surfer("ann")
    first, second = form(ann, id, title="The pier"), form(eve, id, descr="Calm")
    assert ann.post(f"/photo/{id}/edit", **first).status_code == 303
    assert eve.post(f"/photo/{id}/edit", **second).status_code == 303
    document = album.document(id)
    assert (document["title"], document["descr"]) == ("The pier", "Calm")


def test_two_people_edit_one_field_at_once(album: Served) -> None:
    """The second is shown both values and decides; nothing is written before."""
    id = album.add(Shot(1))
    ann, eve = album.surfer("ann"), album.surfer("ann")
    first, second = form(ann, id, title="The pier"), form(eve, id, title="A pier")
    ann.post(f"/photo/{id}/edit", **first)
    answer = eve.post(f"/photo/{id}/edit", **second)
    assert answer.status_code == 409
    assert "Meanwhile it is: <bdi>The pier" in answer.text and 'value="A pier"' in answer.text
    assert album.document(id)["title"] == "The pier"
    again = {**second, "was_title": "The pier"}  # what the page that was shown sends
    assert 'name="was_title" value="The pier"' in answer.text
    assert eve.post(f"/photo/{id}/edit", **again).status_code == 303
    assert album.document(id)["title"] == "A pier"


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"taken": "yesterday"}, "Write the time"), ({"cat": "Secret"}, "one of"), ({"title": "x" * 600}, "at most")],
)
def test_what_cannot_be_is_told_and_kept_in_the_form(album: Served, changes: dict[str, str], told: str) -> None:
    """400 with a sentence, and what was typed is still there."""
    id = album.add(Shot(1))
    ann = album.surfer("ann")
    answer = ann.post(f"/photo/{id}/edit", **form(ann, id, descr="typed for an hour", **changes))
    assert answer.status_code == 400 and told in answer.text and "typed for an hour" in answer.text
    assert album.document(id)["descr"] == ""


def test_a_photo_is_turned_without_touching_it(album: Served) -> None:
    """Four turns to the right are none; pictures have new addresses, and the size follows."""
    id = album.add(Shot(1, width=400, height=200))
    ann = album.surfer("ann")
    seen = []
    for _ in range(4):
        assert ann.post(f"/photo/{id}/turn", turn="right").status_code == 303
        seen.append(album.document(id)["rotate"])
        assert f"/image/medium/{id}-{seen[-1]}.jpg" in ann.get(f"/photo/{id}").text
    assert seen == [90, 180, 270, 0]
    ann.post(f"/photo/{id}/turn", turn="left")
    assert album.document(id)["rotate"] == 270
    assert 'width="160" height="320"' in ann.get("/timeline").text
    assert album.document(id)["width"] == 400


@pytest.mark.parametrize("rotate", TURNS)
def test_the_orientation_that_is_served_is_understood(rotate: int) -> None:
    """An independent reader of EXIF turns the served picture as the address says; its pixels are the same bytes."""
    body = jpeg(80, 40)
    served = turned(body, rotate)
    assert len(served) == len(body) + (36 if rotate else 0) and served.endswith(body[2:])
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(served)))
    assert shown.size == shown_size(80, 40, rotate)
    red = {0: (2, 2), 90: (shown.width - 3, 2), 180: (shown.width - 3, shown.height - 3), 270: (2, shown.height - 3)}[
        rotate
    ]
    pixel = shown.convert("RGB").getpixel(red)
    assert isinstance(pixel, tuple) and pixel[0] > 200 and pixel[1] < 60


def test_what_is_no_jpeg_is_served_as_it_is() -> None:
    """Nothing is put into it."""
    assert turned(b"RIFF", 90) == b"RIFF"


def test_many_are_edited_alike(album: Served) -> None:
    """Tags added and taken, seen by others, out of the inbox; each photo's own tags stay; others are not touched."""
    ids = [album.add(Shot(n), keywords=["unprocessed", f"own{n}", "sea"]) for n in range(3)]
    ann = album.surfer("ann")
    assert "3 photos" in ann.get("/inbox").text
    data: dict[str, Any] = {"photo": [*ids[:2], "0" * 64, "x"], "add": "beach, anna", "remove": "sea", "cat": "Public"}
    answer = ann.post("/bulk", processed="1", back="/inbox", **data)
    assert answer.headers["location"] == "/inbox?done=2&same=0&skipped=1"
    assert "2 photos changed, 1 skipped" in ann.get(answer.headers["location"]).text
    assert [album.document(id)["keywords"] for id in ids] == [
        ["anna", "beach", "own0"],
        ["anna", "beach", "own1"],
        ["own2", "sea", "unprocessed"],
    ]
    assert [album.document(id)["cat"] for id in ids] == ["Public", "Public", "Private"]
    assert (
        ann.post("/bulk", back="/inbox", turn="right", photo=ids, add="no")
        .headers["location"]
        .startswith("/inbox?done=3")
    )
    assert album.document(ids[0])["rotate"] == 90 and "no" not in album.document(ids[0])["keywords"]
    answer = ann.post("/bulk", back="/inbox", photo=ids, add="x" * 200)
    assert answer.status_code == 400 and "at most 100 are possible" in answer.text
    assert "No photo was selected" in ann.get(ann.post("/bulk", back="/inbox").headers["location"]).text


def test_photos_of_any_list_are_edited_together(album: Served) -> None:
    """From a search to its selection and back to it after the edit, with what became of it."""
    ids = [album.add(Shot(n), keywords=["sea", f"own{n}"]) for n in range(3)]
    album.add(Shot(9), keywords=["land"])
    ann = album.surfer("ann")
    assert "/select?in=tags&amp;of=sea" in ann.get("/tags/sea").text
    page = ann.get("/select?in=tags&of=sea").text
    assert [id in page for id in ids] == [True] * 3 and Shot(9).sha256 not in page and "checked" not in page
    answer = ann.post("/bulk", back="/select?in=tags&of=sea&done=9", photo=ids, add="pier")
    assert answer.headers["location"] == "/select?in=tags&of=sea&done=3&same=0&skipped=0"
    assert "3 photos changed" in ann.get(answer.headers["location"]).text
    assert album.document(ids[0])["keywords"] == ["own0", "pier", "sea"]
    assert album.surfer("ben").get("/select").status_code == 403


def test_an_edit_that_meets_another_is_made_again(album: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's revision between reading and writing costs a second try, and nobody's edit."""
    id = album.add(Shot(1))
    put = album.store.put
    met: list[int] = []

    async def slow(document: dict[str, Any]) -> str:
        if not met:
            met.append(1)
            other = dict(album_document, title="theirs")
            await put(other)
        return await put(document)

    album_document = album.document(id)
    monkeypatch.setattr(album.store, "put", slow)
    ann = album.surfer("ann")
    assert ann.post(f"/photo/{id}/turn", turn="right").status_code == 303
    assert (album.document(id)["title"], album.document(id)["rotate"]) == ("theirs", 90)


def test_comments_are_written_and_deleted(album: Served) -> None:
    """By friends and editors, in Markdown; each deletes their own, an editor any."""
    id = album.add(Shot(1), cat="Public")
    ann, ben, nobody = album.surfer("ann"), album.surfer("ben"), album.surfer()
    assert ben.post(f"/photo/{id}/comment", text="So *calm*").status_code == 303
    ann.post(f"/photo/{id}/comment", text="Yes")
    ann.post(f"/photo/{id}/comment", text="  ")
    assert "<em>calm</em>" in nobody.get(f"/photo/{id}").text
    first, second = album.runner.run(album.store.comments(id))
    assert (first["author"], second["author"]) == ("ben", "ann")
    assert ben.post(f"/photo/{id}/uncomment", comment=second["_id"]).status_code == 403
    assert ben.post(f"/photo/{id}/uncomment", comment=first["_id"]).status_code == 303
    assert ann.post(f"/photo/{id}/uncomment", comment=second["_id"]).status_code == 303
    assert album.runner.run(album.store.comments(id)) == []
    private = album.add(Shot(2))
    assert ben.post(f"/photo/{private}/comment", text="I see you").status_code == 404


def test_it_is_said_that_comments_become_public(album: Served) -> None:
    """With their authors' names: to who makes their photo Public, alone or with others, and to who writes one."""
    id, alone = album.add(Shot(1), cat="Friends/Family"), album.add(Shot(2), cat="Public")
    ann, ben = album.surfer("ann"), album.surfer("ben")
    assert "public too" not in ann.get(f"/photo/{alone}").text
    assert "The photo is Public: everybody can read your comment" in ben.get(f"/photo/{alone}").text
    assert "once it is made Public, everybody can" in ben.get(f"/photo/{id}").text
    ben.post(f"/photo/{id}/comment", text="Remark")
    assert "Its comment, with its author&#39;s name, becomes public too." in ann.get(f"/photo/{id}").text
    ann.post(f"/photo/{id}/comment", text="Another")
    assert "Its 2 comments, with their authors&#39; names, become public too." in ann.get(f"/photo/{id}").text
    assert "public too" not in ben.get(f"/photo/{id}").text
    ann.post("/bulk", photo=id, cat="Public", back="/inbox")
    assert "Its 2 comments, with their authors&#39; names, are public too." in ann.get(f"/photo/{id}").text
    assert "with their authors' names, become public too" in ann.get("/select?in=timeline").text


def test_a_photo_is_deleted_when_one_is_sure(album: Served) -> None:
    """With its comments, and with all its leaves."""
    from tests.album.web.test_conflicts import diverge

    id = album.add(Shot(1))
    diverge(album, id, {"title": "a"}, {"title": "b"})
    ann = album.surfer("ann")
    ann.post(f"/photo/{id}/comment", text="Bye")
    assert ann.post(f"/photo/{id}/delete").status_code == 400 and album.document(id)
    assert ann.post(f"/photo/{id}/delete", sure="1").headers["location"] == "/timeline"
    assert ann.get(f"/photo/{id}").status_code == 404 and ann.get(f"/image/thumb/{id}-0.jpg").status_code == 404
    assert album.runner.run(album.store.conflicts()) == [] and album.runner.run(album.store.comments(id)) == []


def test_users_are_added_and_removed(album: Served) -> None:
    """Each logs in with their password; the last editor stays; names and passwords are checked."""
    ann = album.surfer("ann")
    assert ann.post("/users", name="Cat", role="friend", password="a good password").status_code == 303
    cat = album.surfer()
    assert cat.post("/login", "/login", name="cat", password="a good password").status_code == 303
    assert "You are a friend" in cat.get("/account").text
    for name, password, told in (
        ("cat", "a good password", "already"),
        ("d d", "a good password", "A name has"),
        ("d", "short", "at least 8"),
    ):
        answer = ann.post("/users", name=name, role="friend", password=password)
        assert answer.status_code in (400, 409) and told in answer.text
    assert ann.post("/users/remove", name="ann", sure="1").status_code == 409
    assert ann.post("/users/remove", name="cat").status_code == 400  # not asked for twice
    assert cat.get("/account").status_code == 200
    assert ann.post("/users/remove", name="cat", sure="1").status_code == 303
    assert cat.get("/account").status_code == 303
    wrong = ann.post("/account", old="wrong password", new="another password")
    assert wrong.status_code == 403 and "not your present password" in wrong.text
    assert ann.post("/account", old=PASSWORD, new="short").status_code == 400


def test_uploads_go_into_the_spool(album: Served) -> None:
    """Each under its name, without directories and dots; one that waits already gets another; empty ones are told."""
    ann = album.surfer("ann")
    one, two = jpeg(40, 30, 1), jpeg(40, 30, 2)
    token = ann.token("/upload")
    headers = {"X-CSRF-Token": token, "Accept": "application/json"}
    files = [("photo", (name, body)) for name, body in (("../../.a.jpg", one), ("a.jpg", two), ("empty.jpg", b""))]
    taken = ann.ask("POST", "/upload", files=files, headers=headers).json()["taken"]
    assert taken[0] == {"sent": "../../.a.jpg", "name": "a.jpg", "id": hashlib.sha256(one).hexdigest(), "error": ""}
    assert taken[1]["name"].startswith("a-") and taken[1]["id"] == hashlib.sha256(two).hexdigest()
    assert taken[2]["error"] == "The file is empty."
    assert sorted(album.uploads.values()) == sorted([one, two])


def test_an_upload_appears_when_the_worker_is_done(album: Served) -> None:
    """The script asks by id; without a script the page after the upload shows it."""
    ann = album.surfer("ann")
    shot = Shot(7, original=jpeg(60, 40, 7))
    answer = ann.ask("POST", "/upload", files={"photo": ("b.jpg", shot.original)}, data={"token": ann.token("/upload")})
    assert answer.headers["location"] == f"/upload?id={shot.sha256}&name=b.jpg"
    assert "is being looked at" in ann.get(answer.headers["location"]).text
    state = f"/upload/state?id={shot.sha256}&name=b.jpg"
    assert ann.get(state).json() == {"photos": []}
    album.add(shot)
    assert ann.get(state).json()["photos"][0]["src"] == f"/image/thumb/{shot.sha256}-0.jpg"
    assert f"/photo/{shot.sha256}" in ann.get(answer.headers["location"]).text
    assert ann.ask("POST", "/upload", data={"token": ann.token("/upload")}).status_code == 400


def test_an_upload_that_failed_says_why(serve_album: Callable[..., Served]) -> None:
    """What the spool knows of it; a full disk is told at once; an album without a spool takes none."""

    def full(file: Any, name: str) -> None:
        raise OSError(28, "No space left on device")

    served = serve_album(spool=full, trouble=lambda name: f"{name} is not a picture")
    served.runner.run(add_user(served.store, "ann", "editor"))
    ann = served.surfer("ann")
    found = ann.get(f"/upload/state?id={'0' * 64}&name=x.txt").json()["photos"]
    assert found == [{"id": "0" * 64, "name": "x.txt", "trouble": "x.txt is not a picture"}]
    page = ann.get(f"/upload?id={'0' * 64}&name=x.txt").text  # where "Look again" leads without a script
    assert "x.txt is not a picture" in page and "is being looked at" not in page
    assert f'href="/upload?id={"0" * 64}&amp;name=x.txt">Look again' in page
    answer = ann.ask("POST", "/upload", files={"photo": ("b.jpg", b"x")}, data={"token": ann.token("/upload")})
    assert answer.status_code == 400 and "no room" in answer.text
    closed = serve_album("closed", spool=None)
    closed.runner.run(add_user(closed.store, "ann", "editor"))
    assert closed.surfer("ann").get("/upload").status_code == 404


# --- originals


@pytest.fixture
def originals(serve_album: Callable[..., Served], tmp_path: Path) -> tuple[Served, str, bytes]:
    """An album with one video whose original is in a directory."""
    directory = tmp_path / "originals"
    directory.mkdir()
    body = os.urandom(600_000)
    shot = Shot(1, original=body, kind="video", mime="video/mp4", extension="mp4", size=len(body), title="Waves")
    (directory / shot.sha256).write_bytes(body)
    served = serve_album(originals=directory)
    served.runner.run(add_user(served.store, "ann", "editor"))
    served.runner.run(add_user(served.store, "ben", "friend"))
    id = served.add(shot, cat="Public")

    async def move(url: str) -> None:
        document = await served.store.get(id)
        assert document
        document["original"]["url"] = url
        await served.store.put(document)

    served.runner.run(move((directory / shot.sha256).as_uri()))
    return served, id, body


def test_an_original_is_downloaded_whole_and_in_parts(originals: tuple[Served, str, bytes]) -> None:
    """By editors only; Range as players ask for it, 416 for what is not there, 304 for who has it."""
    served, id, body = originals
    ann = served.surfer("ann")
    answer = ann.get(f"/original/{id}?download")
    assert answer.content == body and answer.headers["content-disposition"].startswith(
        "attachment; filename*=UTF-8''img1.jpg"
    )
    for text, start, stop in (
        ("bytes=0-99", 0, 100),
        ("bytes=500000-", 500_000, 600_000),
        ("bytes=-5", 599_995, 600_000),
    ):
        answer = ann.get(f"/original/{id}", Range=text)
        assert answer.status_code == 206 and answer.content == body[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/600000"
        assert answer.headers["content-type"] == "video/mp4" and "inline" in answer.headers["content-disposition"]
    assert ann.get(f"/original/{id}", Range="bytes=600000-").status_code == 416
    assert ann.get(f"/original/{id}", Range="bytes=0-1", **{"If-Range": '"old"'}).status_code == 200
    head = ann.ask("HEAD", f"/original/{id}")
    assert head.headers["content-length"] == "600000" and head.content == b""
    tag = answer.headers["etag"]
    assert ann.get(f"/original/{id}", **{"If-None-Match": tag}).status_code == 304
    assert f'<video controls preload="metadata" src="/original/{id}"' in ann.get(f"/photo/{id}").text
    ben, nobody = served.surfer("ben"), served.surfer()
    assert ben.get(f"/original/{id}").status_code == 403 and nobody.get(f"/original/{id}").status_code == 303
    assert "<video" not in ben.get(f"/photo/{id}").text and "download" not in ben.get(f"/photo/{id}").text


@pytest.mark.parametrize("url", ["file:///etc/passwd", "file:///nowhere/../etc/passwd", "s3://bucket/key", ""])
def test_no_file_outside_of_the_originals_is_sent(originals: tuple[Served, str, bytes], url: str) -> None:
    """Whatever a document names: one that came by replication may name anything."""
    served, id, _ = originals

    async def move() -> None:
        document = await served.store.get(id)
        assert document
        document["original"]["url"] = url
        await served.store.put(document)

    served.runner.run(move())
    answer = served.surfer("ann").get(f"/original/{id}")
    assert answer.status_code == 404 and "root:" not in answer.text
