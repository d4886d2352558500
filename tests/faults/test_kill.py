"""kill -9 at random, while items flow."""

import hashlib
import os
import random
import signal
import time
from pathlib import Path

from jollyae import Spool
from jollyae.spool import notes
from jollyae.worker import receipts
from tests.children import Forks
from tests.helpers import drop, whereabouts

ITEMS = 300
KILLS = 30


def test_random_kills(spool: Spool, to: Path, forks: Forks) -> None:
    """Thirty kills while three hundred items flow: each is delivered whole, is in one place, and has its receipt."""
    chance = random.Random(4)
    content = {f"{index % 7}/{index}": os.urandom(chance.choice((0, 10, 5000, 200_000))) for index in range(ITEMS)}
    waiting = list(content.items())
    rules = {"settle": 0}
    for _ in range(KILLS):
        for name, data in waiting[: ITEMS // KILLS]:
            drop(spool, name, data)
        del waiting[: ITEMS // KILLS]
        begun = _lines(to / ".begun")
        pid = forks.start(spool.places.control, to, rules=rules, delay=0.002)
        goal = begun + chance.randrange(1, 20)
        while _lines(to / ".begun") < goal and _in_work(spool):
            time.sleep(0.002)
        assert forks.kill(pid, signal.SIGKILL) == -9
    for name, data in waiting:
        drop(spool, name, data)
    code = forks.run(spool.places.control, to, rules={"once": True, "settle": 0})
    victims = [name for name, places in whereabouts(spool).items() if places == ["failed"]]
    assert code in (0, 1)
    for name in victims:  # three of the thirty deaths were while the worker had this one: it looks like the cause
        note = notes.read(str(spool.places.failed / name))
        assert note and note.adoptions == 3 and "died three times" in note.error
    assert [how for _, how in spool.retry()] == ["retried"] * len(victims)
    assert forks.run(spool.places.control, to, rules={"once": True, "settle": 0}) == 0
    assert whereabouts(spool) == {name: ["finished"] for name in content}
    assert list(spool.places.working.iterdir()) == []
    ids: dict[str, set[str]] = {}
    for one in receipts.read(spool.places.receipts):
        assert one["sha256"] == hashlib.sha256(content[one["name"]]).hexdigest()
        ids.setdefault(one["name"], set()).add(one["id"])
    assert ids.keys() == content.keys() and all(len(one) == 1 for one in ids.values())
    for name, data in content.items():
        assert (to / name).read_bytes() == data
    assert not list(to.rglob(".jollyae-*"))


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def _in_work(spool: Spool) -> bool:
    return any(places != ["finished"] for places in whereabouts(spool).values())
