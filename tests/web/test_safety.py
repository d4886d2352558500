"""What must not be possible: actions without token and origin, other hosts, guessed tokens, scripts in names, a
dashboard that is open to others."""

import http.client
import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.routing import Route

from jollyae.http import throttle
from jollyae.service.observing.status import look
from jollyae.service.settings import ConfigurationError
from jollyae.web.app import ROUTES
from jollyae.web.queue import identify
from jollyae.web.serving import Serving, allowed
from tests.web.conftest import Dashboards, Running
from tests.web.spools import trouble

TOKEN = "a token of thirty-two letters or so"
LOOKER = "another one that may only look at it"
OWN = {"Sec-Fetch-Site": "same-origin"}
POSTS = [str(route.path) for route in ROUTES if isinstance(route, Route) and "POST" in (route.methods or ())]


class Answer:
    """What came back."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()


def ask(there: Running, method: str, path: str, headers: dict[str, str] | None = None, **form: object) -> Answer:
    """A request as a program makes it: nothing but what is given here."""
    wire = http.client.HTTPConnection(there.url.partition("//")[2].partition("/")[0], timeout=20)
    try:
        body = urlencode(form, doseq=True) if method == "POST" else None
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
        wire.request(method, path, body, kind | (headers or {}))
        return Answer(wire.getresponse())
    finally:
        wire.close()


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    """A file with both kinds of token."""
    path = tmp_path / "tokens"
    path.write_text(f"# ours\n{TOKEN}\nread-only {LOOKER}\n")
    path.chmod(0o600)
    return str(path)


def login(there: Running, token: str) -> dict[str, str]:
    """Log in; the cookie."""
    answer = ask(there, "POST", "/login", OWN, token=token)
    assert answer.status == 303, answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    return {"Cookie": cookie.partition(";")[0]}


def _actions() -> list[str]:
    return [path.replace("{name}", "photos") for path in POSTS if path not in ("/login", "/logout")]


def _nothing_happened(there: Running) -> bool:
    spool = there.spool()
    return spool.paused() is None and (spool.places.failed / "a.jpg").exists()


def _form() -> dict[str, Any]:
    return {"item": identify("a.jpg"), "reason": "forged", "sure": "1"}


def test_what_is_no_item_has_no_button(dashboard: Dashboards) -> None:
    """A broker's message that nobody could read is told apart; the item beside it can be retried."""
    there = dashboard()
    trouble(there.spool(), "message-1.json", "cannot be read as an event", is_message=True)
    trouble(there.spool(), "a.jpg", "no")
    page = ask(there, "GET", "/queue/photos").text
    assert 'aria-label="Retry a.jpg"' in page and 'aria-label="Retry message-1.json"' not in page
    assert "no item but a message: nothing to retry" in page and "no item: look at it, and remove it" in page


def test_no_action_without_saying_where_it_comes_from(dashboard: Dashboards) -> None:
    """Without a token too: what curl sends, another site's page, its sub-domain, a page of no origin."""
    there = dashboard()
    trouble(there.spool(), "a.jpg", "no")
    host = there.url.partition("//")[2]
    for headers in (
        {},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": f"http://{host}.evil.test"},
        {"Origin": "http://[evil"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": f"http://{host}"},
        {"Authorization": "Bearer x", "Sec-Fetch-Site": "cross-site"},
        {"Referer": there.url},
    ):
        for path in _actions():
            assert ask(there, "POST", path, headers, **_form()).status == 403, (path, headers)
        assert _nothing_happened(there), headers
    assert ask(there, "POST", "/queue/photos/pause", {"Origin": f"http://{host}"}, reason="ours").status == 303
    assert there.spool().paused() == "ours"
    assert ask(there, "POST", "/queue/photos/resume", OWN).status == 303
    assert there.spool().paused() is None


def test_no_other_method_does_anything(dashboard: Dashboards) -> None:
    """An action is a POST; what asks for it otherwise gets 404 or 405."""
    there = dashboard()
    trouble(there.spool(), "a.jpg", "no")
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "LOCK"):
        for path in _actions():
            assert ask(there, method, path, OWN).status in (404, 405), (method, path)
    assert _nothing_happened(there)


def test_nobody_gets_in_without_the_token(dashboard: Dashboards, tokens: str) -> None:
    """No page, no event, no API, no action; a browser is led to the login, a program is told."""
    there = dashboard(token_file=tokens)
    trouble(there.spool(), "a.jpg", "no")
    for path in ("/api/queues", "/metrics"):
        answer = ask(there, "GET", path, {"Accept": "*/*"})
        assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), path
    for path in ("/", "/queue/photos", "/receipts"):
        answer = ask(there, "GET", path)
        assert answer.status == 303 and answer.headers["location"].startswith("/login?next="), path
        assert ask(there, "GET", path, {"Accept": "application/json"}).status == 401
        assert ask(there, "GET", path, {"Cookie": "jollyae-00000000=forged"}).status == 303
    assert ask(there, "GET", "/events/").status == 401
    for path in _actions():
        assert ask(there, "POST", path, OWN, **_form()).status == 403, path
    assert _nothing_happened(there)
    assert [ask(there, "GET", path).status for path in ("/livez", "/readyz", "/login")] == [200, 200, 200]
    assert "photos" not in ask(there, "GET", "/login").text


def test_the_token_gets_in_by_form_and_by_header(dashboard: Dashboards, tokens: str) -> None:
    """A cookie for a person, a header for a program, which needs no origin then."""
    there = dashboard(token_file=tokens)
    cookie = login(there, TOKEN)
    assert ask(there, "GET", "/", cookie).status == 200
    assert ask(there, "POST", "/queue/photos/pause", cookie | OWN, reason="a").status == 303
    assert ask(there, "POST", "/queue/photos/resume", cookie).status == 403  # a cookie comes by itself: who sent it?
    bearer = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
    answer = ask(there, "POST", "/queue/photos/resume", bearer)
    assert answer.status == 200 and json.loads(answer.text)["done"] is True
    found = json.loads(ask(there, "GET", "/api/queues", bearer).text)["queues"][0]
    status = look(there.spool())
    shared = ("spool", "why", "level", "try", "paused_by_hand", "ignored", "unready", "below_floor")
    assert found["name"] == "photos" and {name: found[name] for name in shared} == {
        name: status[name] for name in shared
    }
    for name, place in status["places"].items():
        assert place.keys() <= found["places"][name].keys() and found["places"][name]["items"] == place["items"]
    assert ask(there, "GET", "/api/queues", {"Authorization": f"Bearer {TOKEN[:-1]}"}).status == 401


def test_a_token_that_is_read_only_looks_and_does_nothing(dashboard: Dashboards, tokens: str) -> None:
    """Each action is refused, whatever brings it; no page has a form for one."""
    there = dashboard(token_file=tokens)
    trouble(there.spool(), "a.jpg", "no")
    cookie = login(there, LOOKER)
    for headers in (cookie | OWN, {"Authorization": f"Bearer {LOOKER}"}):
        assert ask(there, "GET", "/queue/photos", headers).status == 200
        for path in _actions():
            assert ask(there, "POST", path, headers, **_form()).status == 403, path
    page = ask(there, "GET", "/queue/photos", cookie).text
    assert re.findall(r'method="post" action="([^"]+)"', page) == ["/logout"] and "read-only" in page
    assert _nothing_happened(there)


def test_read_only_is_so_for_all(dashboard: Dashboards, tokens: str) -> None:
    """``--read-only`` without a token, and for the token that else may act."""
    there = dashboard("photos", is_read_only=True)
    trouble(there.spool(), "a.jpg", "no")
    for path in _actions():
        assert ask(there, "POST", path, OWN, **_form()).status == 403
    assert _nothing_happened(there) and '<form method="post"' not in ask(there, "GET", "/queue/photos").text
    other = dashboard("photos", is_read_only=True, token_file=tokens)
    assert ask(other, "POST", "/queue/photos/pause", {"Authorization": f"Bearer {TOKEN}"}).status == 403


def test_a_login_ends_with_the_token(dashboard: Dashboards, tokens: str) -> None:
    """It lasts over a new start, and not over a new token; logging out takes the cookie away."""
    cookie = login(dashboard(token_file=tokens), TOKEN)
    again = dashboard(token_file=tokens)
    assert ask(again, "GET", "/", cookie).status == 200
    left = ask(again, "POST", "/logout", cookie | OWN)
    assert left.status == 303 and "Max-Age=0" in left.headers["set-cookie"]
    Path(tokens).write_text(f"{TOKEN[::-1]}\nread-only {LOOKER}\n")
    assert ask(dashboard(token_file=tokens), "GET", "/", cookie).status == 303


def test_guessing_gets_slower(dashboard: Dashboards, tokens: str) -> None:
    """By the form and by the header: after some wrong ones the right one has to wait, too."""
    there = dashboard(token_file=tokens)
    for number in range(throttle.FREE):
        if number % 2:
            assert ask(there, "POST", "/login", OWN, token="wrong").status == 403
        else:
            assert ask(there, "GET", "/", {"Authorization": "Bearer wrong"}).status == 401
    assert ask(there, "POST", "/login", OWN, token=TOKEN).status == 429
    assert ask(there, "GET", "/", {"Authorization": f"Bearer {TOKEN}"}).status == 429


def test_a_login_leads_nowhere_else(dashboard: Dashboards, tokens: str) -> None:
    """``next`` is a page of this dashboard, or the first one."""
    there = dashboard(token_file=tokens, prefix="/jollyae")
    for wanted, then in (
        ("/jollyae/queue/photos?text=a", "/jollyae/queue/photos?text=a"),
        ("//evil.test/", "/jollyae/"),
        ("https://evil.test/", "/jollyae/"),
        ("/other", "/jollyae/"),
        ("/jollyae/\\evil.test", "/jollyae/"),
        ("javascript:alert(1)", "/jollyae/"),
    ):
        answer = ask(there, "POST", "/jollyae/login", OWN, token=TOKEN, next=wanted)
        assert answer.headers["location"] == then, wanted


def test_it_answers_under_no_other_name(dashboard: Dashboards) -> None:
    """DNS rebinding: a name that is not ours is answered 421, and told what to do; nothing is done for it."""
    there = dashboard("photos", hosts=("ops.example.org",))
    for host, status in (
        ("evil.test", 421),
        ("ops.example.org.evil.test", 421),
        ("ops.example.org", 200),
        ("OPS.example.org:8420", 200),
        ("localhost:1", 200),
        ("192.0.2.1", 200),
        ("[::1]:8420", 200),
    ):
        answer = ask(there, "GET", "/", {"Host": host})
        assert answer.status == status and ("--allow-host" in answer.text) == (status == 421), host
    assert ask(there, "POST", "/queue/photos/pause", {"Host": "evil.test", "Origin": "http://evil.test"}).status == 421
    assert there.spool().paused() is None


def test_every_answer_has_the_headers_that_protect(dashboard: Dashboards) -> None:
    """Errors and files too; nothing on a page stands against the policy."""
    there = dashboard()
    trouble(there.spool(), "a.jpg", "no", "do")
    text = ask(there, "GET", "/queue/photos").text
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', text)
    assert len(files) >= 3
    for path in ("/", "/queue/photos", "/queue/nowhere", "/nowhere", "/receipts", "/api/queues", "/livez", *files):
        headers = ask(there, "GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin", path
    for path in ("/", "/queue/photos", "/receipts", "/nowhere"):
        text = ask(there, "GET", path).text
        assert not re.search(r"<[^>]*\s(style|on\w+)=", text) and not re.search(r"<(script|style)[^>]*>[^<]", text)
    for path in files:
        assert "immutable" in ask(there, "GET", path).headers["cache-control"]
    assert "no-store" in ask(there, "GET", "/").headers["cache-control"]


def test_what_is_no_address_of_ours_is_told(dashboard: Dashboards) -> None:
    """Queues and items that are not there, filters that are none, forms that say nothing: a sentence, never a fault."""
    there = dashboard()
    for path, status in (
        ("/queue/other", 404),
        ("/queue/..%2Fphotos", 404),
        ("/events/queue/other", 404),
        ("/queue/photos?place=finished", 400),
        ("/queue/photos?after=nonsense", 400),
        ("/receipts?queue=other", 404),
        ("/receipts?since=yesterday-ish", 200),
        ("/queue/photos?told=nothing", 200),
        ("/static/0/web.css", 404),
    ):
        assert ask(there, "GET", path).status == status, path
    for form, status in (
        ({"item": "../../etc/passwd"}, 303),
        ({"item": "%%%"}, 303),
        ({"matching": "1", "place": "finished"}, 400),
        ({}, 303),
    ):
        assert ask(there, "POST", "/queue/photos/retry", OWN, **form).status == status, form


def _refusal(**options: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as found:
        allowed(Serving(**options))
    return found.value


def test_beyond_this_machine_it_needs_token_and_tls(tokens: str, pem: Callable[[], str]) -> None:
    """Each is asked for by name; with both it may listen anywhere, and on this machine it needs none."""
    both = pem()
    for host in ("0.0.0.0", "::", "", "192.0.2.7", "example.org"):
        assert "no token and no TLS" in _refusal(host=host).message
        assert "no TLS" in _refusal(host=host, token_file=tokens).message
        assert "no token" in _refusal(host=host, certificate=both).message
        assert allowed(Serving(host=host, token_file=tokens, certificate=both)).tokens
    for host in ("127.0.0.1", "::1", "localhost", "127.3.2.1"):
        assert not allowed(Serving(host=host)).tokens


def test_a_token_or_certificate_that_is_none_is_refused(tmp_path: Path, pem: Callable[[], str]) -> None:
    """Missing, empty, too short, no text; a key that does not belong to the certificate."""
    path = tmp_path / "token"
    assert "cannot read" in _refusal(token_file=str(path)).message
    for text, said in ((b"", "no token"), (b"# none\n", "no token"), (b"short\n", "line 1"), (b"\xff\xfe", "no text")):
        path.write_bytes(text)
        assert said in _refusal(token_file=str(path)).message
    certificate, other = pem(), pem()
    assert "cannot use the certificate" in _refusal(certificate=certificate, key=other).message
    assert "cannot use the certificate" in _refusal(certificate=str(path)).message
    assert "--certificate" in _refusal(key=other).message


def test_a_token_that_others_can_read_is_warned_of(tokens: str, caplog: pytest.LogCaptureFixture) -> None:
    """It works, and the log says how to mend it."""
    allowed(Serving(token_file=tokens))
    assert not caplog.records
    Path(tokens).chmod(0o600 | stat.S_IROTH)
    allowed(Serving(token_file=tokens))
    assert "chmod 600" in caplog.text


def test_a_prefix_is_before_all_addresses(dashboard: Dashboards) -> None:
    """Whether the proxy leaves it in the request or not; every address on a page has it."""
    there = dashboard("photos", prefix="/jollyae")
    assert there.url.endswith("/jollyae")
    for before in ("", "/jollyae"):
        for path in ("/", "/queue/photos", "/receipts"):
            answer = ask(there, "GET", before + path)
            assert answer.status == 200
            for address in re.findall(r'(?:href|src|action)="(/[^"]*)"', answer.text):
                assert address.startswith("/jollyae/"), address
    answer = ask(there, "POST", "/jollyae/queue/photos/pause", OWN, next="/jollyae/")
    assert answer.headers["location"].startswith("/jollyae/?told=")
