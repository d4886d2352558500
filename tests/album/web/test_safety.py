"""What must not be possible: forged requests, scripts in names, other hosts, guessed passwords, endless bodies."""

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from jollyae.album.store import StoreError
from jollyae.album.web import make_app, passwords
from jollyae.album.web.app import LOOK, WORK
from jollyae.album.web.markdown import render
from jollyae.http import throttle
from jollyae.http.forms import local
from tests.album.web.conftest import Served
from tests.album.web.support import PASSWORD, Shot, Surfer

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
POSTS = [str(route.path) for route in WORK if isinstance(route, Route) and "POST" in (route.methods or ())]


def _posts(id: str) -> Iterator[str]:
    return (path.replace("{id}", id) for path in POSTS)


def test_no_action_without_login(album: Served) -> None:
    """Every POST is refused to nobody; only logging in is possible."""
    id = album.add(Shot(1))
    nobody = album.surfer()
    token = nobody.token("/login")
    for path in _posts(id):
        if path != "/login":
            assert nobody.ask("POST", path, data={"token": token}).status_code == 403, path


def test_no_action_of_an_editor_for_a_friend(album: Served) -> None:
    """A friend may comment, log out, and change their own password."""
    id = album.add(Shot(1), cat="Public")
    ben = album.surfer("ben")
    token = ben.token("/account")
    theirs = ("/login", "/logout", "/account", f"/photo/{id}/comment", f"/photo/{id}/uncomment")
    for path in _posts(id):
        if path not in theirs:
            answer = ben.ask("POST", path, data={"token": token})
            assert answer.status_code == 403, path
    for path in ("/inbox", "/conflicts", "/users", "/upload", f"/original/{id}"):
        assert ben.get(path).status_code == 403


def test_no_action_without_a_token_of_the_session(album: Served) -> None:
    """None, a wrong one, another session's, and one from before the login are all refused, and nothing changes."""
    id = album.add(Shot(1))
    ann, other = album.surfer(), album.surfer("ann")
    early = ann.token("/login")
    ann.login("ann")
    for path in _posts(id):
        for token in ("", "x", "A" * 44, early, other.token("/account")):
            answer = ann.ask("POST", path, data={"token": token, "title": "forged", "was_title": "", "sure": "1"})
            assert answer.status_code == 403, (path, token)
            assert ann.ask("POST", path, headers={"X-CSRF-Token": token}).status_code == 403
    assert album.document(id)["title"] == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_action_from_another_sites_page(album: Served, headers: dict[str, str]) -> None:
    """Even with a right token: the browser says where the form comes from."""
    id = album.add(Shot(1))
    ann = album.surfer("ann")
    data = {"token": ann.token("/account"), "turn": "right"}
    assert ann.ask("POST", f"/photo/{id}/turn", data=data, headers=headers).status_code == 403
    assert album.document(id)["rotate"] == 0
    good = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert ann.ask("POST", f"/photo/{id}/turn", data=data, headers=good).status_code == 303


def test_it_answers_under_no_other_name(serve_album: Callable[..., Served]) -> None:
    """DNS rebinding: a name that is not ours is answered 421; ours, localhost and addresses are answered."""
    served = serve_album(hosts=["photos.example.org"])
    for base, status in (
        ("http://evil.test", 421),
        ("http://photos.example.org.evil.test", 421),
        ("http://photos.example.org", 200),
        ("http://PHOTOS.example.org:8080", 200),
        ("http://localhost:1234", 200),
        ("http://192.0.2.1", 200),
        ("http://[::1]:80", 200),
    ):
        answer = served.surfer(base=base).get("/")
        assert answer.status_code == status and ("--hostname" in answer.text) == (status == 421), base


def test_every_answer_has_the_headers_that_protect(album: Served) -> None:
    """Also errors, pictures and files: a policy without anything inline, no sniffing, no frames."""
    id = album.add(Shot(1))
    ann = album.surfer("ann")
    for path in ("/", "/nowhere", f"/photo/{id}", f"/image/thumb/{id}-0.jpg", "/robots.txt", "/slides"):
        headers = ann.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    for path in ("/", "/inbox", f"/photo/{id}", "/slideshow"):  # so that the policy breaks nothing
        text = ann.get(path).text
        assert not re.search(r"<[^>]*\s(style|on\w+)=", text) and not re.search(r"<(script|style)[^>]*>[^<]", text)


@pytest.mark.parametrize(
    "text", [EVIL, "\u202egpj.exe\u2066", "a" * 10_000, "🏖️👩‍👩‍👧", "'\"`{{7*7}}&amp;", "</textarea><script>"]
)
def test_names_and_tags_do_nothing(album: Served, text: str) -> None:
    """Scripts, quotes, turned writing, emoji and ten thousand letters are shown as text, wherever they come from."""
    shot = Shot(
        1,
        title=text,
        descr=text,
        keywords=[text[:100]],
        camera={"name": text, "lens": text},
        exif={"Tag" + text[:9]: text},
    )
    id = album.add(shot, cat="Public")
    ann = album.surfer("ann")
    ann.post(f"/photo/{id}/comment", text=text[:9000])
    for path in (
        "/",
        "/timeline",
        "/tags",
        "/cameras",
        f"/photo/{id}",
        "/inbox",
        "/slideshow",
        f"/photo/{id}?in=tags&of=x",
    ):
        page = ann.get(path).text
        assert page.count("<script") == page.count("<script src="), path
        assert "<img src=x" not in page and "\u202e" not in page.split("<form")[0]
        assert "49" not in re.findall(r"<h1[^>]*>(.*?)</h1>", page, re.S)[0] or "7*7" in page
    assert len(ann.get("/timeline").text) < 20_000
    for path in (
        f"/tags/{EVIL}",
        f"/search?q={EVIL}",
        f"/cameras/{EVIL}",
        f"/timeline?from={EVIL}",
        f"/nowhere/{EVIL}",
        f"/login?next={EVIL}",
    ):
        page = album.surfer().get(path).text
        assert page.count("<script") == page.count("<script src=")


def test_markdown_does_no_harm() -> None:
    """Links to elsewhere are marked; scripts, HTML, pictures and other schemes do not come through."""
    told = render(
        "[a](https://x.test) ![p](https://x.test/p.png) <b onclick=x>b</b> [j](javascript:alert(1)) [r](/logout)\n# H"
    )
    assert '<a href="https://x.test" rel="noopener noreferrer nofollow ugc">a</a>' in told
    assert "<img" not in told and "<b" not in told and "javascript" not in re.sub(r">[^<]*<", "><", told)
    assert 'href="/logout"' not in told and "<h3>H</h3>" in told


@pytest.mark.parametrize(
    "address",
    [
        "//evil.test",
        "https://evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "javascript:alert(1)",
        "evil.test",
        "/\n/evil.test",
        "/\t/evil.test",
        "",
    ],
)
def test_no_redirect_leads_elsewhere(album: Served, address: str) -> None:
    """Neither after the login nor anywhere else."""
    assert local(address) == "/"
    ann = album.surfer()
    answer = ann.post("/login", "/login", name="ann", password=PASSWORD, next=address)
    assert answer.headers["location"] == "/"
    assert ann.post("/bulk", back=address).headers["location"] == "/?none=1"


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(album: Served) -> None:
    """HttpOnly and SameSite=Lax; by https Secure too, and with the prefix that ties it to the host."""
    for base, is_secure in (("http://127.0.0.1", False), ("https://127.0.0.1", True)):
        cookie = album.surfer(base=base).get("/login").headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
        assert ("Secure" in cookie) == is_secure == cookie.startswith("__Host-")


def test_a_forged_or_old_cookie_is_nobodys(album: Served) -> None:
    """A changed letter ends the session; so does logging out, a new password, and the user's removal."""
    ann = album.surfer("ann")
    assert ann.get("/inbox").status_code == 200
    kept = dict(ann.client.cookies)
    name, value = next(iter(kept.items()))
    thief = album.surfer()
    thief.client.cookies.set(name, value[:-2] + ("AA" if value[-2:] != "AA" else "BB"))
    assert thief.get("/inbox").status_code == 303
    answer = ann.post("/account", old=PASSWORD, new="another password")
    assert answer.status_code == 303 and ann.get("/inbox").status_code == 200
    before = album.surfer()
    before.client.cookies.set(name, value)
    assert before.get("/inbox").status_code == 303
    assert ann.post("/logout").status_code == 303 and ann.get("/inbox").status_code == 303


def test_passwords_cannot_be_guessed_quickly(album: Served) -> None:
    """After a few wrong ones the name has to wait, even with the right one; the answer tells nothing about names."""
    thief = album.surfer()
    answers = [thief.post("/login", "/login", name=name, password="wrong password") for name in ("ann", "nobody")]
    assert [answer.status_code for answer in answers] == [403, 403]
    texts = [answer.text.split("<main")[1] for answer in answers]
    assert all("Name and password do not match." in text for text in texts)
    for name in ("a/b", "../ann", "\x00", "_design", "user:ann", "é" * 200, ""):
        other = album.surfer()
        album.app.state.site.throttle.succeed("from 192.0.2.7")
        assert other.post("/login", "/login", name=name, password="wrong password").status_code == 403
    album.app.state.site.throttle.succeed("from 192.0.2.7")
    for _ in range(throttle.FREE):
        answer = thief.post("/login", "/login", name="ann", password="wrong password")
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
    assert thief.post("/login", "/login", name="ann", password=PASSWORD).status_code == 429


def test_a_wait_ends_and_grows() -> None:
    """Each failure doubles it; success ends it; after a long while all is forgotten."""
    now = [0.0]
    gate = throttle.Throttle(lambda: now[0])
    for _ in range(throttle.FREE):
        assert gate.wait("a") == 0
        gate.fail("a")
    assert gate.wait("a") == 1 and gate.wait("b") == 0
    now[0] += 1
    gate.fail("a")
    assert gate.wait("a") == 2
    gate.succeed("a")
    assert gate.wait("a") == 0
    for key in range(throttle.REMEMBERED + 5):
        gate.fail(str(key))
    assert len(gate._failures) == throttle.REMEMBERED


def test_a_password_is_hashed_with_a_salt_and_told_apart() -> None:
    """The same one twice gives two hashes; what cannot be read is no password's hash."""
    one, other = (passwords.hash_password(PASSWORD, n=16) for _ in range(2))
    assert one != other and PASSWORD not in one
    assert passwords.is_password(PASSWORD, one) and not passwords.is_password(PASSWORD + "x", one)
    for broken in (
        "",
        "scrypt$x",
        "md5$1$1$1$AA==$AA==",
        "scrypt$1073741824$8$1$AA==$AA==",
        one[:-3],
        passwords.NOBODYS,
    ):
        assert not passwords.is_password(PASSWORD, broken)
    with pytest.raises(ValueError, match="at least 8"):
        passwords.hash_password("short")


def test_a_body_is_bounded(serve_album: Callable[..., Served]) -> None:
    """413 for a form or an upload that is too large, whether its length is said or not; nothing is taken."""
    from tests.album.web.support import add_user

    served = serve_album(max_upload=100_000)
    served.runner.run(add_user(served.store, "ann", "editor"))
    ann = served.surfer("ann")
    token = ann.token("/upload")
    big = b"x" * 2_000_000

    async def unsaid() -> Any:
        for _ in range(20):
            yield b"a=" + big[:99_990] + b"&"

    assert ann.ask("POST", "/bulk", data={"token": token, "add": big.decode()}).status_code == 413
    assert ann.ask("POST", "/upload", files={"photo": ("a.jpg", big)}, data={"token": token}).status_code == 413
    for path in ("/upload", "/bulk"):
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-CSRF-Token": token}
        answer = ann.ask("POST", path, content=unsaid(), headers=headers)
        assert answer.status_code == 413 and "Too large" in answer.text
    assert served.uploads == {}


# --- errors are pages


class Broken:
    """A store that fails in one way."""

    url, server = "http://couch.internal:5984/album", "attic"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        async def fail(*_: object, **__: object) -> None:
            raise self.error

        return fail


def _surfer(runner: asyncio.Runner, error: Exception, **options: Any) -> Surfer:
    app: Starlette = make_app(Broken(error), **options)
    return Surfer(runner, app)


@pytest.mark.parametrize("is_public", [False, True])
def test_a_store_that_does_not_answer_is_a_page(is_public: bool, caplog: pytest.LogCaptureFixture) -> None:
    """503 with what to do; the reason is in the log and not on the page."""
    with asyncio.Runner() as runner:
        error = StoreError("cannot reach http://couch.internal:5984", "Start it.", is_temporary=True)
        answer = _surfer(runner, error, public=is_public).get("/timeline")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "30"
    assert "reload the page in a minute" in answer.text and "</html>" in answer.text
    assert "couch.internal" not in answer.text and "couch.internal" in caplog.text and "Start it." in caplog.text


def test_a_fault_of_ours_is_a_page_without_a_traceback() -> None:
    """500 in the album's design, with its protecting headers."""
    with asyncio.Runner() as runner:
        answer = _surfer(runner, RuntimeError("a secret of the inside"), public=True).get("/")
    assert answer.status_code == 500 and "fault of the program" in answer.text
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_what_is_not_there_is_a_page(album: Served) -> None:
    """404 and 405 too; a script gets JSON."""
    ann = album.surfer("ann")
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", "/photo/x", 404),
        ("POST", "/timeline", 405),
        ("DELETE", "/", 405),
    ):
        answer = ann.ask(method, path)
        assert answer.status_code == status and "</html>" in answer.text, path
    assert ann.get("/nowhere", Accept="application/json").json()["error"]
    assert {route.path for route in LOOK} & {"/", "/timeline"}
