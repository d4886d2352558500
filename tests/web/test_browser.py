"""The dashboard in a real browser, with real workers. Skipped by name where there is no Chromium."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING

import msgspec
import pytest

from jollyae import Spool
from jollyae.worker.state import DELIVERY_BOUNDS, Minute
from tests.browsing import Windows, pytestmark, serious_faults  # noqa: F401 - when to skip
from tests.corpus import TEXT
from tests.helpers import private_mounts
from tests.processors.s3.servers import Server, Visit
from tests.web.conftest import Dashboards
from tests.web.spools import trouble

if TYPE_CHECKING:
    from playwright.sync_api import Page

BODY = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)
Work = Callable[..., "Popen[bytes]"]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """Starts real workers, and ends them."""
    started: list[Popen[bytes]] = []

    def start(spool: Spool, *options: str, before: tuple[str, ...] = (), **environment: str) -> "Popen[bytes]":
        command = [*before, sys.executable, "-m", "jollyae", "run", str(spool.places.control), *options]
        clean = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "JOLLYAE_"))}
        keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1"}
        worker = Popen([*command, "--no-progress", "--grace", "1"], env=clean | keys | environment, stderr=DEVNULL)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.terminate()
    for worker in started:
        worker.wait(30)


def drop(spool: Spool, name: str, data: bytes = b"x") -> float:
    """Put an item in as a producer does; when."""
    (spool.places.tmp / "new").write_bytes(data)
    (spool.places.tmp / "new").rename(spool.places.incoming / name)
    return time.time()


def shown_at(page: "Page", condition: str) -> float:
    """When (seconds since 1970, by the browser's clock) the page met the condition."""
    return float(page.wait_for_function(f"() => ({condition}) && Date.now()", polling=20).json_value()) / 1000


def is_live(page: "Page") -> None:
    """Wait until the page goes on by itself."""
    page.wait_for_function("() => /^live ·/.test(document.getElementById('live-text').textContent)")


def test_an_arrival_and_a_failure_are_seen_within_a_second(dashboard: Dashboards, windows: Windows, work: Work) -> None:
    """Without a reload: what lands where no worker runs, and what a worker refuses. Of five each, most within one
    second on this machine's clock (it is shared with other tests, so not each)."""
    there = dashboard("photos", "invoices")
    work(there.spool("invoices"), "--exec", "false {}")
    page = windows(there.url)
    page.goto("/")
    is_live(page)
    page.evaluate("window.same = true")
    took = []
    for number in range(1, 6):
        at = drop(there.spool("photos"), f"a{number}")
        took.append(
            shown_at(page, f"document.querySelector('#part-queue-1 .incoming b').innerText === '{number}'") - at
        )
        at = drop(there.spool("invoices"), f"b{number}")
        took.append(shown_at(page, f"document.querySelector('#part-queue-2 .failed b').innerText === '{number}'") - at)
    assert page.evaluate("window.same") is True
    print("seconds until an arrival or a failure was shown:", " ".join(f"{seconds:.2f}" for seconds in took))
    assert sorted(took)[len(took) // 2] < 1.0, took
    assert page.title().startswith("(2) ")


def test_a_thousand_failures_are_retried_by_one_button(dashboard: Dashboards, windows: Windows) -> None:
    """The number is in the button; it is asked whether that is meant; what became of them is said; two had gone."""
    there = dashboard()
    spool = there.spool()
    for number in range(1000):
        trouble(spool, f"{number:04}.jpg", f"'{number:04}.jpg' is no JPEG", "Open it and save it again")
    for number in (7, 8):  # while others of these names wait already
        (spool.places.incoming / f"{number:04}.jpg").write_bytes(b"newer")
    page = windows(there.url)
    page.goto("/queue/photos")
    page.get_by_role("button", name="Retry 1,000").click()
    page.get_by_role("heading", name="Retry 1,000 items of photos?").wait_for()
    assert len(list(spool.places.failed.glob("*.jpg"))) == 1000
    page.get_by_role("link", name="No, leave them").click()
    page.get_by_role("button", name="Retry 1,000").click()
    page.locator("main").get_by_role("button", name="Retry 1,000").click()
    said = page.get_by_role("status").filter(has_text="retried")
    assert said.locator("p").inner_text() == "998 retried, 2 skipped"
    said.get_by_text("Which, and why").click()
    assert "0007.jpg" in said.inner_text()
    assert len(list(spool.places.incoming.glob("*.jpg"))) == 1000
    assert (spool.places.incoming / "0007.jpg").read_bytes() == b"newer"


def test_one_and_some_are_retried_and_the_filter_stays(dashboard: Dashboards, windows: Windows) -> None:
    """A row's own button retries it alone, whatever is ticked; ticked ones go together; the filter stays."""
    there = dashboard()
    for number in range(6):
        trouble(there.spool(), f"a{number}.jpg", "is no JPEG")
        trouble(there.spool(), f"b{number}.pdf", "is no PDF")
    page = windows(there.url)
    page.goto("/queue/photos")
    page.get_by_label("Name or reason").fill("pdf")
    page.get_by_role("button", name="Filter").click()
    assert page.locator("tbody tr").count() == 6
    page.get_by_label("select b0.pdf").check()
    page.get_by_role("button", name="Retry b1.pdf").click()
    page.get_by_text("1 retried, 0 skipped").wait_for()
    assert "text=pdf" in page.url and sorted(os.listdir(there.spool().places.incoming)) == ["b1.pdf"]
    page.get_by_label("select all").check()
    page.get_by_role("button", name="Retry 5 selected").click()
    page.get_by_text("5 retried, 0 skipped").wait_for()
    page.get_by_text("Nothing that failed or waits is like that.").wait_for()
    page.get_by_role("link", name="show all").click()
    assert page.locator("tbody tr").count() == 6


def test_a_part_in_use_is_left_alone(dashboard: Dashboards, windows: Windows) -> None:
    """A tick, the focus or the pointer over a button holds the list as it is, and says so; then it is brought up to
    date. What is unfolded stays so."""
    there = dashboard()
    spool = there.spool()
    trouble(spool, "a.jpg", "is no JPEG")
    page = windows(there.url)
    page.goto("/queue/photos")
    is_live(page)
    rows = page.locator("tbody tr[id]")
    page.get_by_label("select a.jpg").check()
    page.locator("h1").click()
    trouble(spool, "b.jpg", "is no JPEG")
    page.get_by_text("kept while in use").wait_for()
    assert rows.count() == 1 and page.get_by_label("select a.jpg").is_checked()
    page.get_by_label("select a.jpg").uncheck()
    page.locator("h1").click()
    page.locator("tbody tr[id]").nth(1).wait_for()
    page.get_by_role("button", name="Retry b.jpg").hover()
    trouble(spool, "c.jpg", "is no JPEG")
    page.get_by_text("kept while in use").wait_for()
    assert rows.count() == 2
    page.mouse.move(2, 2)
    page.locator("tbody tr[id]").nth(2).wait_for()


def test_a_page_is_held_and_goes_on(dashboard: Dashboards, windows: Windows) -> None:
    """``r`` holds it, whatever happens meanwhile; ``r`` again brings it up to date."""
    there = dashboard()
    page = windows(there.url)
    page.goto("/")
    is_live(page)
    page.keyboard.press("r")
    page.get_by_text("held").wait_for()
    drop(there.spool(), "a")
    other = windows(there.url)
    other.goto("/")
    shown_at(other, "document.querySelector('#part-queue-1 .incoming b').innerText === '1'")
    assert page.locator("#part-queue-1 .incoming b").inner_text() == "0"
    page.keyboard.press("r")
    shown_at(page, "document.querySelector('#part-queue-1 .incoming b').innerText === '1'")
    is_live(page)


def test_keys_lead_through_the_pages(dashboard: Dashboards, windows: Windows) -> None:
    """j, k, Enter, x, t, /, g and the help."""
    there = dashboard("photos", "invoices")
    for name in ("a.pdf", "b.pdf"):
        trouble(there.spool("invoices"), name, "is no PDF")
    page = windows(there.url)
    page.goto("/")
    is_live(page)
    for key in ("j", "j", "k", "j", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**/queue/invoices")
    page.keyboard.press("/")
    page.keyboard.type("b.pdf")
    page.keyboard.press("Enter")
    page.wait_for_url("**text=b.pdf*")
    is_live(page)
    page.keyboard.press("j")  # the group
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert page.get_by_label("select b.pdf").is_checked()
    page.keyboard.press("t")
    page.get_by_text("1 retried, 0 skipped").wait_for()
    page.get_by_role("link", name="Close").click()
    assert page.get_by_text("1 retried, 0 skipped").count() == 0 and "text=b.pdf" in page.url
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("hold the page").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.wait_for_url(f"{there.url}/")


@pytest.mark.parametrize("width", [360, 1024])
def test_what_was_done_is_seen_where_one_is(dashboard: Dashboards, windows: Windows, width: int) -> None:
    """The answer to a button far below on the page is in sight, and what is beside it is not under the frame."""
    there = dashboard()
    for number in range(40):
        trouble(there.spool(), f"{number}.jpg", f"reason {number * 'x'}")
    page = windows(there.url, viewport={"width": width, "height": 700})
    page.goto("/queue/photos")
    page.locator("tbody tr").last.get_by_role("button").click()
    page.get_by_text("1 retried, 0 skipped").wait_for()
    assert page.evaluate("scrollY") > 300
    top, bottom = page.locator(".message").evaluate("e => [e.getBoundingClientRect().top, innerHeight]")
    assert page.locator("header.top").evaluate("e => e.getBoundingClientRect().bottom") <= top < bottom - 50


def test_the_first_page_leads_to_who_is_in_trouble(dashboard: Dashboards, windows: Windows) -> None:
    """On a telephone it may be far below."""
    there = dashboard("a", "b", "c", "d")
    trouble(there.spool("c"), "a.jpg", "is no JPEG")
    page = windows(there.url, viewport={"width": 360, "height": 600})
    page.goto("/")
    page.get_by_role("link", name="1 in trouble").click()
    top = page.locator("article", has=page.get_by_role("link", name="c", exact=True)).evaluate(
        "e => e.getBoundingClientRect().top"
    )
    assert 0 <= top < 300


def test_pause_and_resume(dashboard: Dashboards, windows: Windows) -> None:
    """With a reason that is shown everywhere; and on."""
    there = dashboard()
    page = windows(there.url)
    page.goto("/queue/photos")
    page.get_by_label("Why").fill("the <b>bucket</b> moves")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("photos is paused").wait_for()
    assert there.spool().paused() == "the <b>bucket</b> moves"
    page.goto("/")
    assert page.locator(".why").inner_text() == "paused by hand: the <b>bucket</b> moves."
    assert page.locator(".command code").inner_text() == f"jollyae resume {there.spool().places.words}"
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("photos goes on").wait_for()
    assert there.spool().paused() is None


def test_files_are_dropped_and_chosen(dashboard: Dashboards, windows: Windows) -> None:
    """Each is queued under its own name, or it is said why not; the place shows it without a reload."""
    there = dashboard()
    page = windows(there.url)
    page.goto("/queue/photos")
    page.evaluate("""() => {
        const transfer = new DataTransfer();
        for (const name of ["walk.jpg", "walk.jpg", ".hidden"]) transfer.items.add(new File(["abc"], name));
        for (const name of ["dragenter", "dragover", "drop"])
            document.body.dispatchEvent(new DragEvent(name, {dataTransfer: transfer, bubbles: true, cancelable: true}));
    }""")
    page.get_by_text("walk.jpg is queued").wait_for()
    page.get_by_text("incoming/ has an item named walk.jpg already").wait_for()
    page.locator("#uploads li.bad").nth(1).wait_for()
    assert (there.spool().places.incoming / "walk.jpg").read_bytes() == b"abc"
    page.locator("input[type=file]").set_input_files({"name": "b.jpg", "mimeType": "image/jpeg", "buffer": b"b"})
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("b.jpg is queued").wait_for()
    shown_at(page, "document.querySelector('.place.incoming b').innerText === '2'")
    assert os.listdir(there.spool().places.tmp) == []


def test_without_javascript_everything_works(dashboard: Dashboards, windows: Windows) -> None:
    """Pause, resume, filter, retry of one, a group and some, with the question; upload; receipts."""
    there = dashboard()
    spool = there.spool()
    for number in range(120):
        trouble(spool, f"{number}.jpg", "is no JPEG")
    trouble(spool, "z.pdf", "is no PDF")
    page = windows(there.url, java_script_enabled=False)
    page.goto("/")
    page.get_by_role("button", name="Pause photos").click()
    page.get_by_role("button", name="Resume photos").click()
    page.get_by_role("link", name="121 failed").click()
    page.get_by_role("button", name="Retry 120").click()
    page.get_by_role("button", name="Retry 120").click()
    page.get_by_text("120 retried, 0 skipped").wait_for()
    page.get_by_label("select z.pdf").check()
    page.get_by_role("button", name="Retry selected").click()
    page.get_by_text("1 retried, 0 skipped").wait_for()
    page.locator("input[type=file]").set_input_files({"name": "b.jpg", "mimeType": "image/jpeg", "buffer": b"b"})
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("b.jpg is queued").wait_for()
    page.get_by_role("link", name="Receipts").click()
    page.get_by_text("Nothing was delivered by photos yet.").wait_for()
    assert len(os.listdir(spool.places.incoming)) == 122


def test_without_javascript_a_queue_that_was_resumed_is(
    dashboard: Dashboards, windows: Windows, work: Work, to: Path
) -> None:
    """The page that says so shows no pause any more, though its worker has not written of itself since."""
    there = dashboard()
    spool = there.spool()
    work(spool, "--to", to.as_uri())
    trouble(spool, "a.jpg", "is no JPEG")
    page = windows(there.url, java_script_enabled=False)
    for _ in range(3):
        page.goto("/queue/photos")
        page.get_by_label("Why").fill("nojs")
        page.get_by_role("button", name="Pause photos").click()
        head = page.locator("#part-head")
        assert "paused by hand: nojs" in head.inner_text() and "1 failed" in head.inner_text()
        until = time.monotonic() + 60
        while not page.locator(".pause").count():  # until its worker says so, too
            assert time.monotonic() < until
            page.goto("/queue/photos")
        page.get_by_role("button", name="Resume photos").click()
        page.get_by_text("photos goes on").wait_for()
        assert "paused" not in head.inner_text() and not page.locator(".pause").count()


@pytest.mark.parametrize("width", [360, 1024])
def test_a_sentence_breaks_where_it_may(dashboard: Dashboards, windows: Windows, width: int) -> None:
    """An option is on one line, and a long name fills no screen."""
    there = dashboard()
    name = f"{'long name ' * 20}.jpg"
    hint = "The credentials need s3:PutObject here, and s3:PutObjectAcl with --acl, or give --no-sign-request."
    for number in range(3):  # so that an option is at the end of a line somewhere
        trouble(there.spool(), f"{number} {name}", f"access denied: s3://b/{number} {name}: 403 AccessDenied", hint)
    page = windows(there.url, viewport={"width": width, "height": 700})
    for path in ("/", "/queue/photos"):
        page.goto(path)
        lines = page.evaluate("[...document.querySelectorAll('.whole')].map(one => one.getClientRects().length)")
        assert len(lines) >= 2 and set(lines) == {1}
        # In one go: the page goes on by itself, and puts others in their place.
        said, height = page.evaluate(
            "(one => [one.innerText, one.getBoundingClientRect().height])(document.querySelector('.why'))"
        )
        assert 0 < said.count("long name") < 8 and 0 < height < 350
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("place", ["failed", "incoming"])
def test_hostile_names_do_nothing(dashboard: Dashboards, windows: Windows, work: Work, place: str, to: Path) -> None:
    """All names of the corpus, as items, in errors and in receipts: shown, told apart, and nothing of them runs."""
    there = dashboard()
    spool = there.spool()
    page = windows(there.url)
    if place == "failed":
        for name in TEXT.values():
            trouble(spool, name, f"{os.fsencode(name)!r} <img src=x onerror=alert(1)>", "<script>alert(2)</script>")
        shown: set[str] = set()
        page.goto("/queue/photos")
        is_live(page)
        while True:
            shown |= set(page.locator("tbody td:nth-child(2) .name").all_inner_texts())
            older = page.get_by_role("link", name="older ones")
            if not older.count():
                break
            older.click()
        assert len(shown) >= len(TEXT) - 3  # blanks look like one another
    else:
        for name in TEXT.values():
            (spool.places.incoming / name).write_bytes(b"x")
        work(spool, "--to", f"file://{to}", "--settle", "0.1")
        page.goto("/")
        shown_at(page, f"document.querySelector('.place.finished b').innerText === '{len(TEXT) - 1}'")
        assert page.locator(".place.failed b").inner_text() == "1"  # its key is too long as a file's name
        page.goto("/receipts")
        page.get_by_label("Name, key").fill("<img")
        page.get_by_role("button", name="Search").click()
        page.get_by_text("<img src=x onerror=alert(1)>").first.wait_for()
    assert page.locator("main img").count() == 0 and page.locator("main script").count() == 0


def test_a_name_in_the_address_is_text(dashboard: Dashboards, windows: Windows) -> None:
    """Filters and searches are shown in their fields, and run nothing."""
    there = dashboard()
    page = windows(there.url)
    evil = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>"
    for path in ("/queue/photos?text=", "/receipts?text=", "/receipts?since=", "/queue/photos?group=", "/?told="):
        page.goto(path + evil)
        assert page.locator("main img").count() == 0


def test_troubles_are_told_apart_at_a_glance(
    dashboard: Dashboards, windows: Windows, work: Work, tmp_path: Path
) -> None:
    """A stopped server, a 403, a poisoned item, a full disk and a missing worker: each card says in its own words what
    it is, and beside it what to do."""
    with Server(_forbid) as forbid:
        _told_apart(dashboard, windows, work, tmp_path, f"http://127.0.0.1:{forbid.port}")


def _forbid(visit: Visit) -> None:
    """A store that refuses each request."""
    while head := visit.head():
        visit.body(head)
        visit.send(FORBIDDEN if not head.startswith(b"HEAD") else FORBIDDEN.partition(BODY)[0])


def _told_apart(dashboard: Dashboards, windows: Windows, work: Work, tmp_path: Path, forbidding: str) -> None:
    there = dashboard("stopped", "forbidden", "poisoned", "full", "nobody")
    for name in there.queues:
        for number in range(4):
            drop(there.spool(name), f"{number}.bin", b"x" * 400_000)
    work(there.spool("stopped"), "--to", "s3://bucket", "--endpoint-url", "http://127.0.0.1:9")
    work(there.spool("forbidden"), "--to", "s3://bucket", "--endpoint-url", forbidding)
    work(there.spool("poisoned"), "--exec", "sh -c 'echo not an invoice >&2; exit 1'")
    small = tmp_path / "small"
    small.mkdir()
    if private := private_mounts():
        mount = f'mount -t tmpfs -o size=200k none {shlex.quote(str(small))} && exec "$@"'
        work(there.spool("full"), "--to", f"file://{small}/out", before=(*private, "sh", "-c", mount, "sh"))
    page = windows(there.url)
    page.goto("/")
    wanted = {
        "stopped": ("refused", "Is the store running"),
        "forbidden": ("denied", "s3:PutObject"),
        "poisoned": ("failed", "jollyae retry"),
        "nobody": ("no worker", "as it was started"),
    }
    if private:
        wanted["full"] = ("No space left", "Free some room")
    for name, words in wanted.items():
        card = page.locator("article", has=page.get_by_role("heading", name=name, exact=True))
        for word in words:
            card.get_by_text(word).first.wait_for(timeout=30_000)
        assert card.locator(".level.ok").count() == 0, name

    def labels() -> list[str]:
        return [text.partition(":")[2] for text in page.locator("article .level").all_inner_texts()]

    for _ in range(300):  # a worker that starts late is no worker until it has
        if all(labels()) and len(set(labels())) == len(wanted):
            break
        page.wait_for_timeout(100)
    assert all(labels()) and len(set(labels())) == len(wanted), labels()


def test_one_logs_in_by_tls_and_out(
    dashboard: Dashboards, windows: Windows, tmp_path: Path, pem: Callable[[], str]
) -> None:
    """The token leads to the page that was asked for, which is live and acts; after the logout nothing is shown."""
    tokens = tmp_path / "tokens"
    tokens.write_text("a token of some letters\n")
    tokens.chmod(0o600)
    there = dashboard("photos", token_file=str(tokens), certificate=pem())
    assert there.url.startswith("https://")
    page = windows(there.url, ignore_https_errors=True)
    page.goto("/queue/photos")
    page.get_by_label("Token").fill("a token of some letters")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/queue/photos")
    (cookie,) = page.context.cookies()
    assert cookie.get("name", "").startswith("__Host-jollyae-") and cookie.get("secure") and cookie.get("httpOnly")
    is_live(page)
    drop(there.spool(), "a")
    shown_at(page, "document.querySelector('.place.incoming b').innerText === '1'")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("photos is paused").wait_for()
    assert there.spool().paused() is not None
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    page.goto("/")
    assert page.get_by_role("heading", name="Log in").count() == 1 and "photos" not in page.content()


@pytest.mark.slow
def test_on_a_telephone_labels_are_whole_and_apart(dashboard: Dashboards, windows: Windows) -> None:
    """None of a plot's texts is cut off or lies over another; what says where to drop files stays in its box; no
    option of a command is broken."""
    there = dashboard()
    spool, now = there.spool(), int(time.time()) // 60 * 60
    trouble(spool, "a.jpg", "no")
    counts = [0] * (len(DELIVERY_BOUNDS) + 1)
    counts[DELIVERY_BOUNDS.index(0.25)] = 12000
    lines = [msgspec.json.encode(Minute(now - 60 * ago, 12000, 1, 9, 0, counts)) for ago in range(55, 0, -1)]
    (spool.places.receipts / "w-20260101T000000Z.minutes").write_bytes(b"\n".join(lines))
    page = windows(there.url, viewport={"width": 360, "height": 740})
    page.goto("/queue/photos")
    page.wait_for_selector("svg.plot")
    for plot in page.locator("svg.plot").all():
        box = plot.bounding_box()
        labels = [label.bounding_box() for label in plot.locator("text").all()]
        assert box and len(labels) > 6
        for label in labels:
            assert label and label["x"] >= box["x"] - 1 and label["x"] + label["width"] <= box["x"] + box["width"] + 1
        times = [label.bounding_box() for label in plot.locator("text.plot-time").all()]
        for one, other in pairwise(times):
            assert one and other and one["x"] + one["width"] < other["x"]
    drop_box, text = page.locator(".drop").bounding_box(), page.locator(".drop label span").first.bounding_box()
    assert drop_box and text and text["x"] + text["width"] < drop_box["x"] + drop_box["width"]
    for word in page.locator(".command code span").all():
        if (word.text_content() or "").startswith("-"):
            assert word.evaluate("one => one.getClientRects().length == 1 && one.offsetHeight < 40")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1024), ("dark", 360), ("light", 1920)])
def test_axe_finds_no_serious_fault(
    dashboard: Dashboards, windows: Windows, work: Work, to: Path, scheme: str, width: int
) -> None:
    """On any page, light and dark, wide and narrow; none scrolls sideways."""
    there = dashboard("photos", "invoices")
    for number in range(120):
        trouble(there.spool("invoices"), f"{'x' * number}{number}.pdf", f"is no PDF ({number})", "Look at it")
    for number in range(60):
        drop(there.spool("photos"), f"{number}.jpg", b"x" * 1000)
    work(there.spool("photos"), "--to", f"file://{to}")
    page = windows(there.url, color_scheme=scheme, viewport={"width": width, "height": 740})
    page.goto("/")
    shown_at(page, "document.querySelector('#part-queue-1 .finished b').innerText === '60'")
    faults = []
    for path in ("/", "/queue/photos", "/queue/invoices", "/receipts", "/receipts?text=none"):
        page.goto(path)
        faults += [(path, *fault) for fault in serious_faults(page)]
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto("/queue/invoices")
    page.get_by_role("button", name="Retry 120").click()
    faults += [("sure", *fault) for fault in serious_faults(page)]
    assert faults == []
