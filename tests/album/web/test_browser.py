"""The album in a real browser: Debian's Chromium, driven by Playwright. Skipped by name where either is missing."""

import asyncio
import http.client
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pytest

from jollyae.album.couch.watching import Health
from jollyae.album.document import new_comment
from jollyae.album.open import open_store
from jollyae.album.store import Store
from jollyae.album.web import serve
from tests.album.web.support import PASSWORD, Shot, add, add_user, jpeg
from tests.album.web.test_conflicts import diverge
from tests.album.web.test_servers import trouble
from tests.browsing import Windows, pytestmark, serious_faults  # noqa: F401 - when to skip

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (make setup)")
from playwright.sync_api import FilePayload, Page


@dataclass
class Running:
    """An album that is served, in a thread of its own."""

    url: str
    store: Store
    loop: asyncio.AbstractEventLoop
    uploads: dict[str, bytes] = field(default_factory=dict)

    @property
    def runner(self) -> "Running":
        """For what wants something to run coroutines with."""
        return self

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Run it in the server's loop."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    def add(self, shot: Shot, **changes: Any) -> str:
        """Put a photo in; its id."""
        found = self.run(add(self.store, shot, **changes))
        assert isinstance(found, str)
        return found

    def document(self, id: str) -> dict[str, Any]:
        """A document as it is now."""
        found = self.run(self.store.get(id))
        assert isinstance(found, dict)
        return found


class HasUrl(Protocol):
    """What can be visited."""

    url: str


@contextmanager
def running(path: Path, **options: Any) -> Iterator[Running]:
    """An album in that file, served on a port of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="album")
    thread.start()

    def call(what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(30)

    store = call(open_store(f"sqlite:///{path}", create=True))
    uploads: dict[str, bytes] = {}

    def submit(file: BinaryIO, name: str) -> None:
        uploads[name] = file.read()

    urls: list[str] = []
    told = threading.Event()

    def ready(url: str) -> None:
        urls.append(url)
        told.set()

    spool = None if options.get("public") else submit
    stop = asyncio.Event()
    serving = asyncio.run_coroutine_threadsafe(
        serve(store, port=0, stop=stop, ready=ready, spool=spool, **options), loop
    )
    try:
        assert told.wait(10)
        yield Running(urls[0].rstrip("/"), store, loop, uploads)
    finally:
        loop.call_soon_threadsafe(stop.set)
        serving.result(30)
        call(store.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def album(tmp_path: Path) -> Iterator[Running]:
    """An album with the users ann (editor) and ben (friend)."""
    with running(tmp_path / "album.db") as found:
        found.run(add_user(found.store, "ann", "editor"))
        found.run(add_user(found.store, "ben", "friend"))
        yield found


Open = Callable[..., Page]


@pytest.fixture
def visit(windows: Windows) -> Open:
    """Opens the album in a window of its own, logged in where a name is given."""

    def open_page(album: HasUrl, name: str = "", **options: Any) -> Page:
        page = windows(album.url, **options)
        if name:
            page.goto("/login")
            page.get_by_label("Name").fill(name)
            page.get_by_label("Password").fill(PASSWORD)
            page.locator("main").get_by_role("button", name="Log in").click()
            page.wait_for_url("**/")
        return page

    return open_page


def _pages(album: Running) -> list[str]:
    """Some photos of all kinds, and the address of every kind of page."""
    for n in range(12):
        kind = "video" if n == 5 else "image"
        trouble = "the RAW extra is not installed" if n == 6 else ""
        cat = "Public" if n % 2 else "Private"
        keywords = ["sea", f"tag {n % 3}"] if n % 4 else ["sea", "unprocessed"]
        shot = Shot(n, taken=f"2026-{n % 4 + 1:02}-03T10:00:00", descr="*calm* sea", kind=kind, trouble=trouble)
        album.add(shot, cat=cat, keywords=keywords, title=f"Photo {n}" if n % 3 else "")
    disputed = album.add(Shot(50), title="Old")
    diverge(album, disputed, {"title": "Pier"}, {"title": "The pier"})  # type: ignore[arg-type]
    one = Shot(1).sha256
    lists = ["/", "/timeline", "/added", "/tags", "/tags/sea", "/tags/none", "/cameras", "/inbox", "/conflicts"]
    return [
        *lists,
        f"/photo/{one}",
        f"/photo/{Shot(6).sha256}",
        f"/conflicts/{disputed}",
        "/upload",
        "/users",
        "/account",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "width"), [("light", 1024), ("dark", 360)])
def test_axe_finds_no_serious_fault(album: Running, visit: Open, scheme: str, width: int) -> None:
    """On any page, light and dark, wide and narrow; nor does a page complain on the console or scroll sideways."""
    paths = _pages(album)
    page = visit(album, "ann", color_scheme=scheme, viewport={"width": width, "height": 740})
    visitor = visit(album, color_scheme=scheme, viewport={"width": width, "height": 740})
    faults = []
    for one, path in [*((page, path) for path in [*paths, "/slideshow"]), (visitor, "/login"), (visitor, "/")]:
        one.goto(path, wait_until="load")
        faults += [(path, *fault) for fault in serious_faults(one)]
        assert one.evaluate("document.documentElement.scrollWidth") <= width, path
    assert faults == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1024, 1920])
def test_the_page_of_servers(tmp_path: Path, visit: Open, scheme: str, width: int) -> None:
    """With servers that are well, away and unseen: axe finds nothing serious, only the table scrolls sideways, and a
    cell leads to what is to be done."""

    async def seen() -> Health:
        return trouble()

    with running(tmp_path / "album.db", servers=seen) as album:
        album.run(add_user(album.store, "ann", "editor"))
        page = visit(album, "ann", color_scheme=scheme, viewport={"width": width, "height": 800})
        page.goto("/servers", wait_until="load")
        assert serious_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("link", name="cabin.example to attic.example: crashing").click()
        assert page.url.endswith("#link-4")
        assert page.locator(".way:target").get_by_text("What to do").is_visible()


def test_an_uploaded_photo_appears(album: Running, visit: Open) -> None:
    """Dropped on the page, sent with its name, and its thumbnail is shown when the worker is done with it."""
    page = visit(album, "ann")
    page.goto("/upload")
    body = jpeg(300, 200, 3)
    drop = """bytes => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "walk.jpg", {type: "image/jpeg"}));
        for (const name of ["dragenter", "dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(name, {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }"""
    page.evaluate(drop, list(body))
    page.get_by_text("is being looked at").wait_for()
    assert album.uploads == {"walk.jpg": body}
    shot = Shot(3, original=body, width=300, height=200)
    album.add(shot)  # as the worker does
    image = page.locator("#uploads img")
    image.wait_for()
    page.wait_for_function("() => document.querySelector('#uploads img').naturalWidth > 0")
    assert "1 of 1 in the album" in page.locator("#told").inner_text()
    image.click()
    page.wait_for_url(f"**/photo/{shot.sha256}?in=inbox")


def test_a_file_is_chosen_instead_of_dropped(album: Running, visit: Open, tmp_path: Path) -> None:
    """The button's way; an empty file is told at once and never sent."""
    (tmp_path / "a.jpg").write_bytes(jpeg(40, 30))
    (tmp_path / "empty.jpg").touch()
    page = visit(album, "ann")
    page.goto("/upload")
    page.locator("input[type=file]").set_input_files([tmp_path / "a.jpg", tmp_path / "empty.jpg"])
    page.get_by_text("is being looked at").wait_for()
    assert page.get_by_text("is empty").count() == 1
    assert list(album.uploads) == ["a.jpg"]


def test_one_photo_under_two_names_is_two_uploads(album: Running, visit: Open, tmp_path: Path) -> None:
    """Both tiles show it when it is there, and both are counted; an empty file is counted too, and told."""
    body = jpeg(40, 30, 5)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(body)
    (tmp_path / "empty.jpg").touch()
    page = visit(album, "ann")
    page.goto("/upload")
    page.locator("input[type=file]").set_input_files([tmp_path / name for name in ("a.jpg", "b.jpg", "empty.jpg")])
    page.get_by_text("0 of 3 in the album; 2 being looked at; the others say why they are not.").wait_for()
    album.add(Shot(5, original=body, width=40, height=30))
    page.get_by_text("2 of 3 in the album; the others say why they are not.").wait_for()
    assert page.locator("#uploads img").count() == 2


def test_what_was_not_sent_is_tried_again(album: Running, visit: Open, tmp_path: Path) -> None:
    """The server is gone, and comes back: the files are still there to be sent, by a button that says so."""
    for n in range(2):
        (tmp_path / f"{n}.jpg").write_bytes(jpeg(40, 30, n))
    page = visit(album, "ann")
    page.goto("/upload")
    page.route("**/upload", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.locator("input[type=file]").set_input_files([tmp_path / "0.jpg", tmp_path / "1.jpg"])
    page.get_by_text("0 of 2 in the album; 2 not sent.").wait_for()
    page.unroute("**/upload")
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("0 of 2 in the album; 2 being looked at.").wait_for()
    assert sorted(album.uploads) == ["0.jpg", "1.jpg"]
    assert not page.get_by_role("button", name="Try again").is_visible()


def test_a_narrow_screen_shows_what_there_is_to_say(tmp_path: Path, visit: Open) -> None:
    """The whole reason of a failed upload is in its tile; the bar that edits many leaves room for the photos."""
    why = "The file ends in the middle. " * 10
    with running(tmp_path / "narrow.db", trouble=lambda name: why) as album:
        album.run(add_user(album.store, "ann", "editor"))
        album.add(Shot(1))
        page = visit(album, "ann", viewport={"width": 360, "height": 740})
        page.goto("/upload")
        file: FilePayload = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": jpeg(40, 30)}
        page.locator("input[type=file]").set_input_files([file])
        page.get_by_text("The file ends").wait_for()
        inside = "one => one.scrollHeight <= one.clientHeight"
        assert page.locator("#uploads li").evaluate(inside) and page.locator("#uploads .bare").evaluate(inside)
        page.goto("/inbox")
        page.keyboard.press("a")
        page.get_by_text("Edit 1 selected photo").wait_for()
        bar = page.locator("#bulk-fields").bounding_box()
        assert bar and bar["height"] <= 0.45 * 740


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_narrow_screen_shows_where_one_is(album: Running, visit: Open, has_scripts: bool) -> None:
    """The row of places is scrolled to the one that is open; the first one stays at the left edge; no choice is cut."""
    page = visit(album, "ann", viewport={"width": 360, "height": 740}, java_script_enabled=has_scripts)
    page.goto("/users")
    if not has_scripts and not page.evaluate("CSS.supports('scroll-initial-target: nearest')"):
        pytest.skip("this Chromium scrolls to nothing without a script (scroll-initial-target is of version 133)")
    here = page.locator(".places [aria-current]").bounding_box()
    assert here and here["x"] >= 16 and here["x"] + here["width"] <= 360 - 36
    text = """one => {
        const canvas = document.createElement("canvas").getContext("2d");
        canvas.font = getComputedStyle(one).font;
        return Math.max(...[...one.options].map(option => canvas.measureText(option.text).width));
    }"""
    select = page.get_by_label("Role")
    assert select.evaluate(text) < select.evaluate("one => one.clientWidth") - 60  # its padding, and the arrow
    page.goto("/timeline")
    first = page.locator(".places [aria-current]").bounding_box()
    assert first and first["x"] == 16


def test_a_photo_is_edited_and_found_by_its_tag(album: Running, visit: Open) -> None:
    """The edit form opens by a key; the new tag leads to the photo, from the page and from the search field."""
    id = album.add(Shot(1))
    page = visit(album, "ann")
    page.goto(f"/photo/{id}")
    page.get_by_role("button", name="Save").wait_for()
    page.keyboard.press("e")
    page.keyboard.type("The pier")
    page.locator("[name=keywords]").fill("beach, anna")
    page.get_by_label("Who may see it").select_option("Public")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="The pier").wait_for()
    page.locator("body").press("/")
    page.keyboard.type("anna -night")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tags/anna-night")
    page.get_by_role("link", name="The pier").click()
    page.wait_for_url(f"**/photo/{id}?in=tags&of=anna-night")
    assert album.document(id)["cat"] == "Public"
    nobody = visit(album)
    nobody.goto("/tags/beach")
    assert nobody.get_by_role("link", name="The pier").count() == 1


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
def test_what_else_becomes_public_is_shown_with_the_choice(album: Running, visit: Open, has_scripts: bool) -> None:
    """Without a script too: when Public is chosen for a photo that has comments."""
    id = album.add(Shot(1))
    album.run(album.store.put(new_comment(id, "ben", "Remark", now="2026-11-23T10:00:00.000000Z")))
    page = visit(album, "ann", java_script_enabled=has_scripts)
    page.goto(f"/photo/{id}")
    said = page.get_by_text("Its comment, with its author's name, becomes public too.")
    page.get_by_label("Who may see it").wait_for()
    assert said.is_hidden()
    page.get_by_label("Who may see it").select_option("Public")
    said.wait_for()
    page.get_by_label("Who may see it").select_option("Private")
    said.wait_for(state="hidden")


def test_what_was_typed_is_not_lost_by_a_key(album: Running, visit: Open) -> None:
    """Arrow keys lead to the neighbour, but not while the form is changed; to leave then is asked for, to save not."""
    ids = [album.add(Shot(n, taken=f"2026-01-0{n + 1}T10:00:00")) for n in range(3)]
    page = visit(album, "ann")
    page.goto(f"/photo/{ids[2]}")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/photo/{ids[1]}")
    page.keyboard.press("e")
    page.keyboard.type("The pier")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("u")
    assert page.url.endswith(ids[1])
    asks = "() => !dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    assert page.evaluate(asks)
    page.get_by_label("Title").fill("")
    assert not page.evaluate(asks)
    page.get_by_label("Title").fill("The pier")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="The pier").wait_for()
    assert album.document(ids[1])["title"] == "The pier"
    assert not page.evaluate(asks)
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/photo/{ids[0]}")


def test_many_are_edited_by_keyboard_alone(album: Running, visit: Open) -> None:
    """j and x select, # writes tags, Enter saves: the inbox is shorter, and the others are as they were."""
    ids = [album.add(Shot(n), added=f"2026-11-0{5 - n}T10:00:00Z") for n in range(4)]
    page = visit(album, "ann")
    page.goto("/inbox")
    for key in ("j", "x", "j", "j", " ", "#"):
        page.keyboard.press(key)
    assert page.locator("#selected").inner_text() == "Edit 2 selected photos"
    page.keyboard.type("beach, anna")
    page.keyboard.press("Enter")
    page.get_by_text("2 photos changed").wait_for()
    assert [album.document(id)["keywords"] for id in ids] == [
        ["anna", "beach"],
        ["unprocessed"],
        ["anna", "beach"],
        ["unprocessed"],
    ]
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("select all, or none").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    assert page.locator("#selected").inner_text() == "Edit 2 selected photos"
    page.keyboard.press("]")
    page.get_by_text("2 photos changed").wait_for()
    assert album.document(ids[1])["rotate"] == 90
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/photo/*in=inbox")


def test_the_arrows_walk_through_the_inbox(album: Running, visit: Open) -> None:
    """From a photo on; down and up go to the nearest photo of the next row."""
    for n in range(12):
        album.add(Shot(n), added=f"2026-11-05T10:00:{59 - n}Z")
    page = visit(album, "ann", viewport={"width": 700, "height": 740})
    page.goto("/inbox")
    at = """() => {
        const boxes = [...document.querySelectorAll("#picks input[type=checkbox]")];
        const here = document.activeElement, tile = here.closest("li"), { left, right } = tile.getBoundingClientRect();
        return [boxes.indexOf(here), tile.offsetTop, (left + right) / 2];
    }"""
    page.keyboard.press("j")
    page.keyboard.press("ArrowRight")
    first, top, middle = page.evaluate(at)
    page.keyboard.press("ArrowDown")
    below, lower, there = page.evaluate(at)
    assert first == 1 and below > 1 and lower > top and abs(there - middle) < 350
    page.keyboard.press("ArrowUp")
    assert page.evaluate(at)[1] == top
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(at)[0] == 0


def test_a_conflict_is_resolved(album: Running, visit: Open) -> None:
    """From the navigation to the choice: one value is picked, the other written anew, and the conflict is gone."""
    id = album.add(Shot(1), title="Old", keywords=["sea"])
    one, other = {"title": "Pier", "keywords": ["pier"]}, {"title": "The pier", "keywords": ["anna"]}
    diverge(album, id, one, other)  # type: ignore[arg-type]
    page = visit(album, "ann")
    page.get_by_role("link", name="Conflicts (1)").click()
    page.locator("main .grid a").click()
    page.get_by_role("radio", name="The pier on cellar").check()
    own = page.get_by_label("Tags: both, or something else")
    assert own.input_value() == "anna, pier"
    own.fill("anna, pier, sea")
    page.get_by_role("button", name="Keep what is chosen").click()
    page.get_by_role("heading", name="The pier").wait_for()
    assert page.get_by_role("link", name="Conflicts").count() == 0
    document = album.document(id)
    assert (document["title"], document["keywords"]) == ("The pier", ["anna", "pier", "sea"])
    assert "_conflicts" not in document


def test_a_public_album_shows_no_private_photo_and_takes_nothing(
    tmp_path: Path, visit: Open, request: pytest.FixtureRequest
) -> None:
    """In the browser no form that writes and nothing private; over the wire every method but GET and HEAD is refused,
    also one that nobody knows, and with a body of any kind."""
    with running(tmp_path / "public.db", public=True) as album:
        public = album.add(Shot(1), cat="Public", title="The pier")
        private = album.add(Shot(2), title="Diary")
        page = visit(album)
        page.goto("/timeline")
        assert page.locator(".grid li").count() == 1 and page.locator("form[method=post]").count() == 0
        page.locator(".grid a").click()
        page.get_by_role("heading", name="The pier").wait_for()
        assert "Diary" not in page.content() and page.get_by_role("link", name="Log in").count() == 0
        host = album.url.removeprefix("http://")
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "LOCK", "COPY"):
            for path in ("/", "/login", "/upload", f"/photo/{public}/edit", "/_bulk_docs", "/_local/x", f"/{public}"):
                wire = http.client.HTTPConnection(host, timeout=10)
                wire.request(method, path, body=b'{"title": "x"}', headers={"Content-Type": "application/json"})
                assert wire.getresponse().status == 405, (method, path)
                wire.close()
        for path in (f"/photo/{private}", f"/image/thumb/{private}-0.jpg", f"/original/{public}", "/inbox", "/login"):
            assert page.request.get(path).status == 404, path


def test_scripts_in_names_and_tags_do_nothing(album: Running, visit: Open) -> None:
    """Wherever a person, a camera or a file name can put text: it is text on every page, and no dialog opens."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>"
    id = album.add(
        Shot(1, camera={"name": evil, "lens": evil}, exif={evil: evil}),
        title=evil,
        descr=f"{evil} [x](javascript:alert(3))",
        keywords=[evil, "\U0001f3d6\ufe0f sea"],
    )
    page = visit(album, "ann")
    page.goto(f"/photo/{id}")
    page.get_by_label("Your comment").fill(evil)
    page.get_by_role("button", name="Comment").click()
    page.get_by_role("button", name="Delete this comment").wait_for()
    album.add(Shot(2), title=evil)
    for path in ("/", "/timeline", "/tags", "/cameras", f"/photo/{id}", "/inbox", "/slideshow", f"/search?q={evil}"):
        page.goto(path, wait_until="load")
        assert page.locator("main b:not(article b, .years b), main img[src=x]").count() == 0
    page.goto("/tags")
    page.get_by_role("link", name="alert(1)").click()
    page.locator(".grid a").wait_for()
    page.goto(f"/photo/{id}")
    assert evil in page.locator("h1").inner_text()
    page.goto("/upload")
    page.locator("input[type=file]").set_input_files(
        FilePayload(name=f"{evil.replace('/', '')}.jpg", mimeType="image/jpeg", buffer=b"x")
    )
    page.get_by_text("is being looked at").wait_for()


def test_without_javascript_one_views_and_edits(album: Running, visit: Open) -> None:
    """Login, lists, a photo's neighbours, its edit form, turning, upload, and the slideshow."""
    ids = [album.add(Shot(n, taken=f"2026-0{n + 1}-01T10:00:00"), keywords=[]) for n in range(3)]
    page = visit(album, "ann", java_script_enabled=False)
    page.goto("/timeline")
    assert page.locator(".grid a").count() == 3
    page.locator(".grid a").nth(1).click()
    page.wait_for_url(f"**/photo/{ids[1]}")
    page.get_by_role("link", name="Older photo").click()
    page.wait_for_url(f"**/photo/{ids[0]}")
    page.locator("summary", has_text="Edit").click()
    page.locator("[name=title]").fill("The pier")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="The pier").wait_for()
    page.get_by_role("button", name="Turn right").click()
    page.wait_for_load_state()
    assert album.document(ids[0])["title"] == "The pier" and album.document(ids[0])["rotate"] == 90
    page.goto("/upload")
    page.locator("input[type=file]").set_input_files(
        FilePayload(name="a.jpg", mimeType="image/jpeg", buffer=jpeg(40, 30))
    )
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("is being looked at").wait_for()
    page.goto(f"/slideshow?at={ids[1]}")
    page.get_by_role("link", name="Next").click()
    page.wait_for_url(f"**/slideshow?at={ids[0]}")


def test_arrows_and_fingers_lead_to_the_neighbours(album: Running, visit: Open) -> None:
    """Right and a draw to the left: older; left: newer; u: the list."""
    ids = [album.add(Shot(n, taken=f"2026-0{n + 1}-01T10:00:00")) for n in range(3)]
    page = visit(album, "ann", has_touch=True, viewport={"width": 360, "height": 740})
    page.goto(f"/photo/{ids[1]}")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(f"**/photo/{ids[0]}")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(f"**/photo/{ids[1]}")
    draw = """to => {
        const stage = document.querySelector("[data-swipe]");
        const at = x => new Touch({identifier: 1, target: stage, clientX: x, clientY: 100});
        const send = (name, touches, x) =>
            stage.dispatchEvent(new TouchEvent(name, {touches, changedTouches: [at(x)], bubbles: true}));
        send("touchstart", [at(180)], 180);
        send("touchend", [], to);
    }"""
    page.evaluate(draw, 300)
    page.wait_for_url(f"**/photo/{ids[2]}")
    page.keyboard.press("u")
    page.wait_for_url("**/timeline")


def test_a_turned_photo_is_shown_turned(album: Running, visit: Open) -> None:
    """The browser honours the orientation that is served: width and height change places, for both renditions."""
    id = album.add(Shot(1, width=400, height=200))
    page = visit(album, "ann")
    page.goto(f"/photo/{id}")
    page.keyboard.press("]")
    page.wait_for_function("() => document.querySelector('.stage img').src.endsWith('-90.jpg')")
    size = "image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])"
    assert page.locator(".stage img").evaluate(size) == [160, 320]
    page.goto("/timeline")
    assert page.locator(".grid img").evaluate(size) == [160, 320]
    shape = page.locator(".grid img").evaluate("image => image.clientWidth / image.clientHeight")
    assert 0.45 < shape < 0.6


def test_a_list_goes_on_while_one_scrolls(album: Running, visit: Open) -> None:
    """All photos come, each once, under one heading for each month; what is far away is not loaded."""
    for n in range(300):
        album.add(Shot(n, taken=f"2026-{n % 5 + 1:02}-{n % 28 + 1:02}T10:00:00"))
    page = visit(album, "ann")
    page.goto("/timeline")
    assert page.locator(".grid li").count() == 120
    loaded = page.evaluate("[...document.images].filter(image => image.complete).length")
    assert loaded < 120
    for _ in range(40):
        page.mouse.wheel(0, 4000)
        page.wait_for_timeout(50)
        if page.locator("[data-more]").count() == 0:
            break
    links = page.locator(".grid a").evaluate_all("links => links.map(link => link.href)")
    assert len(links) == len(set(links)) == 300
    headings = page.locator("#list h2").all_inner_texts()
    assert headings == ["May 2026", "April 2026", "March 2026", "February 2026", "January 2026"]


def test_the_slideshow_goes_on_and_pauses(album: Running, visit: Open) -> None:
    """By keys: the next photo, the one before, a pause that is told; after the last comes the first."""
    for n in range(3):
        album.add(Shot(n, taken=f"2026-0{n + 1}-01T10:00:00"), title=f"Photo {n}")
    page = visit(album, "ann")
    page.goto("/slideshow", wait_until="networkidle")
    caption = "[...document.querySelectorAll('figcaption')].at(-1).innerText"
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Go on").get_attribute("aria-pressed") == "true"
    for key, title in (("ArrowRight", 1), ("ArrowRight", 0), ("ArrowLeft", 1), ("ArrowRight", 0), ("ArrowRight", 2)):
        page.keyboard.press(key)
        page.wait_for_function(f"() => {caption} === 'Photo {title}'")
    page.keyboard.press("Escape")
    page.wait_for_url("**/timeline")
