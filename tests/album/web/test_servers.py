"""The page of the servers: who may see it, what it says, and what to do."""

import re
import time
from collections.abc import Callable

import pytest

from jollyae.album.couch.replication import State
from jollyae.album.couch.watching import Health, Seen, Server, advice
from jollyae.album.web.servers import WORDS, ago, shown

from .conftest import Served
from .support import add_user

HOSTS = ("home.example", "attic.example", "cabin.example")


def link(source: int, target: int, state: str = "running", lag: int | None = 0, **more: object) -> Seen:
    """A link between two of them."""
    ends = (f"https://{HOSTS[source]}/album", f"https://{HOSTS[target]}/album")
    told = {"written": 1204, "refused": 0, "error": "", "held_by": f"https://admin@{HOSTS[source]}/album", **more}
    found = State(f"jollyae-{source}{target}", *ends, state, lag=lag, **told)  # type: ignore[arg-type]
    return Seen(found, source, target, time.time() - 130 if found.is_well else None, advice(found))


def servers(*troubles: str) -> tuple[Server, ...]:
    """All three, each with what is against asking it."""
    hints = ["Is it running, and is the host and port right?" if trouble else "" for trouble in troubles]
    return tuple(
        Server(f"https://{host}/album", host, f"uuid-{host}", "3.5.0", trouble, hint, number == 0)
        for number, (host, trouble, hint) in enumerate(zip(HOSTS, troubles, hints, strict=True))
    )


def well() -> Health:
    """A ring where nobody has to do anything."""
    ways = [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)]
    return Health("ring", time.time(), servers("", "", ""), tuple(link(*way) for way in ways))


def trouble() -> Health:
    """One server away, one link broken, one behind, one that is not there, one that refuses."""
    links = (
        link(0, 1, lag=12),
        link(1, 0, "unseen", None, error="cannot be reached", held_by="https://attic.example/album"),
        link(0, 2, refused=3),
        link(2, 1, "crashing", None, error="unauthorized: Name or password is incorrect."),
        link(1, 2, "missing", None, error="no server has it", held_by=""),
    )
    away = "the album's server cannot be reached: https://attic.example: All connection attempts failed"
    return Health("mesh", time.time() - 20, servers("", away, ""), links)


@pytest.fixture
def serve_servers(serve_album: Callable[..., Served]) -> Callable[[Health], Served]:
    """An album that tells that of its servers, with the users ann (editor) and ben (friend)."""

    def make(health: Health) -> Served:
        async def seen() -> Health:
            return health

        served = serve_album(servers=seen)
        for name, role in (("ann", "editor"), ("ben", "friend")):
            served.runner.run(add_user(served.store, name, role))
        return served

    return make


def test_it_is_for_editors(serve_servers: Callable[[Health], Served]) -> None:
    """A friend is told so, and who is not logged in is asked to."""
    served = serve_servers(well())
    answer = served.surfer().get("/servers")
    assert answer.status_code == 303 and "/login" in answer.headers["location"]
    assert served.surfer("ben").get("/servers").status_code == 403
    answer = served.surfer("ann").get("/servers")
    assert answer.status_code == 200 and "All 6 replications well" in answer.text
    assert 'href="/servers"' in answer.text


def test_an_album_that_replicates_with_nobody(album: Served) -> None:
    """Has no such page, and no way to it."""
    assert album.surfer("ann").get("/servers").status_code == 404
    assert "/servers" not in album.surfer("ann").get("/").text


def test_a_public_server_has_none(serve_album: Callable[..., Served]) -> None:
    """Whatever it was given."""

    async def seen() -> Health:
        return well()

    served = serve_album(public=True, servers=seen)
    assert served.surfer().get("/servers").status_code == 404


def test_trouble_is_said_with_what_to_do(serve_servers: Callable[[Health], Served]) -> None:
    """In words, for each link and each server, what is ill first; and no user or password."""
    text = serve_servers(trouble()).surfer("ann").get("/servers").text
    assert "4 replications of 5 not well; 1 server cannot be asked" in text
    for said in (
        "12 behind",
        "12 changes",
        "crashing",
        "fails, and is tried again",
        "Name or password is incorrect",
        "JOLLYAE_ALBUM_PASSWORD_FILE",
        "is not there",
        "cannot be seen from here",
        "attic.example</bdi> cannot be asked",
        "Is it running",
        "3 documents",
        "1,204 documents",
        "2 minutes ago",
        "this one",
    ):
        assert said in text, said
    assert "admin" not in text
    states = re.findall(r'<li id="link-\d" class="way (is-\w+)', text)
    assert states == sorted(states) == ["is-ill"] * 4 + ["is-well"]


def test_every_cell_says_what_it_is() -> None:
    """Also where nobody sees colours: each way between two servers, once."""
    rows = shown(trouble(), time.time())["rows"]
    cells = [[cell["text"] for cell in cells] for _, cells in rows]
    assert cells == [["", "12 behind", "refused"], ["not seen", "", "missing"], ["–", "crashing", ""]]
    empty = Health("", time.time(), servers("", "", "")[:1])
    assert shown(empty, time.time())["verdict"] == "This server replicates with nobody."


def test_every_state_has_words_and_advice() -> None:
    """All that CouchDB says, and what it does not say is said as it came."""
    for word in WORDS:
        found = link(0, 1, word, None, error="")
        assert found.is_well or found.advice, word
    strange = Health("mesh", time.time(), servers("", "", ""), (link(0, 1, "astonished", None),))
    assert shown(strange, time.time())["links"][0]["word"] == "astonished"
    assert [ago(seconds) for seconds in (0, 5, 60, 7200, 2 * 86_400)] == [
        "just now",
        "5 seconds ago",
        "1 minute ago",
        "2 hours ago",
        "2 days ago",
    ]
