"""The pages that show photos, and who is shown what."""

import gzip
import re
from collections.abc import Callable

import pytest
from starlette.routing import Route

from jollyae.album.store import Query
from jollyae.album.web.app import LOOK, WORK
from jollyae.album.web.texts import sorted_as
from tests.album.web.conftest import Served
from tests.album.web.support import PASSWORD, Shot, add

LISTS = ("/", "/timeline", "/added", "/tags", "/cameras")


@pytest.fixture
def photos(album: Served) -> dict[str, str]:
    """One photo of each category, and one in the inbox."""
    place = {"latitude": 46.5, "longitude": 6.6}
    exif = {"GPSLatitude": "46.5", "BodySerialNumber": "0815", "FNumber": "2.8"}
    return {
        "public": album.add(
            Shot(1, gps=place, exif=exif),
            cat="Public",
            title="The pier",
            keywords=["beach", "anna", "_secret"],
            descr="*calm*",
        ),
        "friends": album.add(
            Shot(2, taken="2025-03-04T09:00:00"), cat="Friends/Family", title="Party", keywords=["anna"]
        ),
        "private": album.add(Shot(3, taken="2024-12-31T23:59:59"), title="Diary", keywords=["beach", "night"]),
        "new": album.add(Shot(4, taken="2026-06-01T08:00:00")),
    }


def test_every_page_opens_for_an_editor(album: Served, photos: dict[str, str]) -> None:
    """Home, the lists, a photo, the inbox and all others answer 200 with a whole page."""
    ann = album.surfer("ann")
    of_one = (f"/photo/{photos['public']}", f"/photo/{photos['public']}?in=tags&of=beach", "/tags/beach+anna-night")
    more = ("/cameras/Canon%20EOS%20R5", "/inbox", "/conflicts", "/upload", "/users", "/account", "/slideshow")
    for path in (*LISTS, *of_one, *more):
        answer = ann.get(path)
        assert answer.status_code == 200, path
        assert answer.text.rstrip().endswith("</html>")
        assert "<h1" in answer.text and "</main>" in answer.text


@pytest.mark.parametrize(
    ("name", "seen"),
    [("", {"public"}), ("ben", {"public", "friends"}), ("ann", {"public", "friends", "private", "new"})],
)
def test_each_visitor_sees_the_photos_that_are_theirs(
    album: Served, photos: dict[str, str], name: str, seen: set[str]
) -> None:
    """In lists, on photo pages and as pictures: the same photos, and no other."""
    surfer = album.surfer(name)
    pages = "".join(surfer.get(path).text for path in (*LISTS, "/tags/anna", "/slideshow", "/slides"))
    for what, id in photos.items():
        is_theirs = what in seen
        assert (id in pages) == is_theirs, what
        expected = 200 if is_theirs else 404
        assert surfer.get(f"/photo/{id}").status_code == expected
        assert surfer.get(f"/image/thumb/{id}-0.jpg").status_code == expected
        assert surfer.get(f"/slideshow?at={id}").status_code == expected


@pytest.mark.parametrize(("name", "is_shown"), [("", False), ("ben", False), ("ann", True)])
def test_only_editors_see_place_serial_number_and_private_tags(
    album: Served, photos: dict[str, str], name: str, is_shown: bool
) -> None:
    """What the whitelist does not name is on no page for others, nor found by a search."""
    surfer = album.surfer(name)
    page = surfer.get(f"/photo/{photos['public']}").text
    for text in ("46.5", "openstreetmap", "0815", "_secret", "img1.jpg"):
        assert (text in page) == is_shown, text
    assert "f/2.8" in page and "<em>calm</em>" in page
    assert (photos["public"] in surfer.get("/tags/_secret").text) == is_shown
    assert ("_secret" in surfer.get("/tags").text) == is_shown
    assert ("unprocessed" in surfer.get("/tags").text) is False


def test_previous_and_next_stay_in_the_list_one_came_from(album: Served, photos: dict[str, str]) -> None:
    """From the timeline the neighbours are by date taken; from a tag they have it."""
    ann = album.surfer("ann")
    page = ann.get(f"/photo/{photos['public']}").text
    assert re.search(r'rel="prev" href="/photo/(\w+)"', page)[1] == photos["new"]  # type: ignore[index]
    assert re.search(r'rel="next" href="/photo/(\w+)"', page)[1] == photos["friends"]  # type: ignore[index]
    page = ann.get(f"/photo/{photos['public']}?in=tags&of=beach").text
    assert 'rel="prev"' not in page
    assert f'rel="next" href="/photo/{photos["private"]}?in=tags&amp;of=beach"' in page


def test_a_search_wants_and_refuses_tags(album: Served, photos: dict[str, str]) -> None:
    """beach-night is the photo with the first and without the second; words in the field lead to such an address."""
    ann = album.surfer("ann")
    page = ann.get("/tags/beach-night").text
    assert photos["public"] in page and photos["private"] not in page
    assert ann.get("/search?q=beach+-night").headers["location"] == "/tags/beach-night"
    assert ann.get("/search?q=").headers["location"] == "/tags"
    assert "is not closed" in ann.get("/tags/%22open").text


def test_a_search_without_photos_offers_the_tags_that_are_alike(album: Served) -> None:
    """Whatever the case and the accents, or as a part; only tags that the visitor may know of; no slideshow of it."""
    album.add(Shot(1), cat="Public", keywords=["Café", "new york", "_cafe"])
    album.add(Shot(2), cat="Private", keywords=["cafeteria"])
    for name, tags in (("ann", ["Café", "_cafe", "cafeteria"]), ("", ["Café"])):
        page = album.surfer(name).get("/tags/CAFE").text
        assert re.findall(r'class="t\d" href="[^"]+"><bdi>([^<]+)</bdi>', page) == sorted(tags, key=sorted_as)
        assert "exactly as they are written" in page and 'href="/slideshow?' not in page and "/select" not in page
    assert 'href="/tags/%22new%20york%22"' in album.surfer("ann").get("/tags/new+york").text


def test_a_list_goes_on_and_back_without_a_gap(album: Served) -> None:
    """Page after page, forwards and backwards, every photo is on exactly one of them, also those of the same second."""
    ids = {album.add(Shot(n, taken=f"2026-01-{1 + n % 3:02}T00:00:00")) for n in range(300)}
    ann = album.surfer("ann")

    def pages(path: str, rel: str) -> list[tuple[str, list[str]]]:
        found = []
        while path:
            page = ann.get(path).text
            found.append((path, re.findall(r'<li class="r\d+"><a href="/photo/(\w+)', page)))
            path = next(iter(re.findall(rf'rel="{rel}" href="([^"]+)"', page)), "").replace("&amp;", "&")
        return found

    forwards = pages("/timeline", "next")
    assert [len(of) for _, of in forwards] == [120, 120, 60]
    in_order = [id for _, of in forwards for id in of]
    assert len(in_order) == 300 and set(in_order) == ids
    backwards = pages(forwards[-1][0], "prev")
    assert [id for _, of in reversed(backwards) for id in of] == in_order


def test_one_jumps_to_a_month(album: Served, photos: dict[str, str]) -> None:
    """The timeline from a month on shows its photos and older ones, and the way to newer ones."""
    page = album.surfer("ann").get("/timeline?from=2025-03").text
    assert photos["friends"] in page and photos["private"] in page and photos["public"] not in page
    assert 'rel="prev"' in page


def test_headings_are_as_wide_as_the_album_is_sparse(album: Served) -> None:
    """A heading for each month where months have several photos, else for each year; the same on all pages."""
    for n in range(3):
        album.add(Shot(n, taken=f"2026-0{n + 1}-02T10:00:00"))
    ann = album.surfer("ann")
    headings = re.compile(r'<h2 id="g\d+">(.*?)</h2>')
    assert headings.findall(ann.get("/timeline").text) == ["2026"]
    for n in range(3, 20):
        album.add(Shot(n, taken="2026-05-02T10:00:00"))
    assert headings.findall(ann.get("/timeline").text) == ["May 2026", "March 2026", "February 2026", "January 2026"]
    assert headings.findall(ann.get("/timeline?from=2026-02").text) == ["February 2026", "January 2026"]
    assert headings.findall(ann.get("/added").text) == ["22 November 2026"]


def test_a_picture_is_kept_for_ever_and_told_again_by_its_tag(album: Served, photos: dict[str, str]) -> None:
    """A year, immutable, private; 304 for who has it; no other turn or name than there is."""
    ann = album.surfer("ann")
    answer = ann.get(f"/image/medium/{photos['public']}-90.jpg")
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "image/jpeg"
    again = ann.get(f"/image/medium/{photos['public']}-90.jpg", **{"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and again.content == b""
    for path in ("medium/x-0.jpg", f"medium/{photos['public']}-45.jpg", f"huge/{photos['public']}-0.jpg"):
        assert ann.get(f"/image/{path}").status_code == 404


def test_a_photo_without_a_picture_says_why(album: Served) -> None:
    """It stands in the lists by its name, and its page says what the trouble was."""
    id = album.add(Shot(9, trouble="the RAW extra is not installed", title="IMG_9.CR3"))
    ann = album.surfer("ann")
    assert "no picture to show" in ann.get("/timeline").text
    assert "the RAW extra is not installed" in ann.get(f"/photo/{id}").text


def test_the_slideshow_needs_no_script(album: Served, photos: dict[str, str]) -> None:
    """It leads to the next photo by a link and by itself; its script gets the following ones in batches."""
    ben = album.surfer("ben")
    page = ben.get(f"/slideshow?at={photos['public']}").text
    assert f'content="8; url=/slideshow?at={photos["friends"]}"' in page
    more = re.search(r'data-more="([^"]+)"', page)
    assert more
    found = ben.get(more[1].replace("&amp;", "&")).json()
    assert [slide["page"] for slide in found["slides"]] == [f"/photo/{photos['friends']}"]


def test_pages_are_compressed_and_say_how_long_they_took(album: Served, photos: dict[str, str]) -> None:
    """gzip where the browser reads it; Server-Timing everywhere."""
    ann = album.surfer("ann")
    with_gzip, without = ann.get("/"), ann.get("/", **{"Accept-Encoding": "identity"})
    assert with_gzip.headers["content-encoding"] == "gzip" and "content-encoding" not in without.headers
    assert re.fullmatch(r"app;dur=[\d.]+", without.headers["server-timing"])
    address = re.search(r'href="(/static/\w+/album.css)"', without.text)
    assert address
    style = ann.get(address[1])
    assert style.headers["cache-control"].endswith("immutable") and style.headers["content-type"].startswith("text/css")
    assert gzip.decompress(gzip.compress(style.content)) == style.content and ":root" in style.text
    assert ann.get("/static/0000000000000000/album.css").status_code == 404


def test_a_conflict_hides_a_photo_from_who_may_not_see_all_of_it(album: Served) -> None:
    """A photo that is Public on one server and was made Private on another is shown to editors only, until merged."""
    from tests.album.web.test_conflicts import diverge

    id = album.add(Shot(1), cat="Public", title="one")
    diverge(album, id, {"title": "two"}, {"title": "three", "cat": "Private"})
    album.app.state.site.forget_conflicts()
    nobody = album.surfer()
    assert id not in "".join(nobody.get(path).text for path in LISTS)
    assert nobody.get(f"/photo/{id}").status_code == 404
    assert nobody.get(f"/image/thumb/{id}-0.jpg").status_code == 404
    assert id in album.surfer("ann").get("/timeline").text


# --- a public server


@pytest.fixture
def public(serve_album: Callable[..., Served]) -> Served:
    """A public app, over a store into which, by mistake, something private came too."""
    served = serve_album("public", public=True)
    served.runner.run(
        add(served.store, Shot(1, gps={"latitude": 46.5, "longitude": 6.6}), cat="Public", title="The pier")
    )
    served.runner.run(add(served.store, Shot(2), title="Diary"))
    return served


def test_a_public_app_refuses_every_method_but_get_and_head(public: Served) -> None:
    """405 for all others, at every address that any app has, whatever is sent."""
    nobody = public.surfer()
    before = public.runner.run(public.store.count(Query()))
    paths = {str(route.path).replace("{id}", Shot(1).sha256) for route in (*LOOK, *WORK) if isinstance(route, Route)}
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MKCOL", "PROPFIND"):
        for path in sorted(paths):
            answer = nobody.ask(method, path, content=b"title=x&cat=Public")
            assert answer.status_code == 405, (method, path)
            assert answer.headers["allow"] == "GET, HEAD"
    assert public.runner.run(public.store.count(Query())) == before


def test_a_public_app_shows_nothing_private_and_has_no_login(public: Served) -> None:
    """No page of the editors is there, none names a user, and what is not Public is not shown even if it is there."""
    nobody = public.surfer()
    pages = "".join(nobody.get(path).text for path in (*LISTS, f"/photo/{Shot(1).sha256}"))
    assert "The pier" in pages and "Diary" not in pages and "46.5" not in pages
    assert "login" not in pages and 'method="post"' not in pages
    for route in WORK:
        assert nobody.get(str(route.path).replace("{id}", Shot(1).sha256)).status_code == 404
    assert nobody.get(f"/image/thumb/{Shot(2).sha256}-0.jpg").status_code == 404
    answer = nobody.get(f"/image/thumb/{Shot(1).sha256}-0.jpg")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "set-cookie" not in answer.headers
    assert public.runner.run(public.store.remembered("web")) == {}


def test_a_public_page_is_not_sent_twice(public: Served) -> None:
    """304 where nothing changed."""
    nobody = public.surfer()
    tag = nobody.get("/timeline").headers["etag"]
    assert nobody.get("/timeline", **{"If-None-Match": tag}).status_code == 304


def test_head_is_answered_like_get(public: Served) -> None:
    """For pages and pictures."""
    nobody = public.surfer()
    for path in ("/", f"/image/thumb/{Shot(1).sha256}-0.jpg"):
        assert nobody.ask("HEAD", path).status_code == 200


def test_an_empty_album_says_what_to_do(album: Served) -> None:
    """To an editor: where photos come from. To others: that there is nothing, or to log in."""
    assert "/upload" in album.surfer("ann").get("/").text
    assert "/login" in album.surfer().get("/").text
    assert PASSWORD not in album.surfer("ann").get("/users").text
