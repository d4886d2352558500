"""What every destination promises: one suite, run over each of them with what is at hand.

``tests/processors/test_conformance.py`` runs it where no server is needed, ``tests/real/test_conformance.py`` against
real servers. A module that runs it has a class that inherits :class:`Promises`, and a fixture ``place``.
"""

import asyncio
import hashlib
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jollyae import Permanent, Scope, Spool, Temporary
from jollyae.processors import packing
from jollyae.processors.keys import KeyTemplate
from jollyae.processors.packing import Packed, PackedCopy, PackedKeys, Packing, Unpacker
from jollyae.service.fetch import Fetched, Wishes, fetch
from jollyae.service.settings import Settings
from jollyae.spool import names
from jollyae.spool.item import Item
from jollyae.spool.owner import items_below
from tests import corpus
from tests.helpers import drop, once, tells, whereabouts
from tests.processors.s3.fake import Bench

MiB = 1 << 20
BODY = b"hello"
SHA = hashlib.sha256(BODY).hexdigest()
Delivery = Callable[[Item], Any]

HOSTILE = {**corpus.TEXT, "in a directory": "🎄/🎁.jpg", "xml in a directory": "<Key>&amp;]]></Key>"}
"""The names of the corpus, and some with subdirectories."""


class Place:
    """One destination. ``url``: of what is at the key ''; ``endpoint``: its server's, where there is one; ``lacks``:
    what it cannot do or show, and why."""

    url = ""
    endpoint = ""
    lacks: dict[str, str] = {}  # noqa: RUF012 - only read

    def delivery(self, template: KeyTemplate, **options: Any) -> Delivery:
        """A new processor. Options as :class:`~jollyae.processors.s3.S3Options` has them."""
        raise NotImplementedError

    def there(self) -> dict[str, bytes]:
        """Everything that is at the destination, read without the code under test."""
        raise NotImplementedError

    def put(self, key: str, body: bytes) -> None:
        """Somebody else's object."""
        raise NotImplementedError

    def unreachable(self) -> Delivery:
        """A delivery to where nobody answers."""
        raise NotImplementedError

    def wrong_keys(self) -> Delivery:
        """A delivery with credentials that the store does not take."""
        raise NotImplementedError

    def needs(self, what: str) -> None:
        """Skip what it lacks."""
        if what in self.lacks:
            pytest.skip(f"{type(self).__name__}: {self.lacks[what]}")


async def call(delivery: Delivery, item: Item) -> dict[str, Any]:
    """One attempt, as the worker makes it."""
    if inspect.iscoroutinefunction(type(delivery).__call__):
        fields: dict[str, Any] = await delivery(item)
        return fields
    return await asyncio.to_thread(delivery, item)


def run(make: Callable[[], Delivery], *items: Item) -> list[dict[str, Any]]:
    """All at the same time, by one delivery."""

    async def deliver() -> list[dict[str, Any]]:
        delivery = make()
        try:
            return list(await asyncio.gather(*(call(delivery, item) for item in items)))
        finally:
            close(delivery)

    return asyncio.run(deliver())


def close(delivery: Delivery) -> None:
    """Close it where that is a thing to do."""
    getattr(delivery, "close", lambda: None)()


def one(place: Place, item: Item, key: str = "{path}", **options: Any) -> dict[str, Any]:
    """One attempt at one item by a delivery of its own."""
    [receipt] = run(lambda: place.delivery(KeyTemplate(key), **options), item)
    return receipt


def packed(place: Place, item: Item, how: Packing, key: str = "{path}", **options: Any) -> dict[str, Any]:
    """One attempt at one item that is compressed on the way."""

    def make() -> Delivery:
        delivery = place.delivery(PackedKeys(key, packing=how), **options)
        waits = inspect.iscoroutinefunction(type(delivery).__call__)
        return Packed(delivery, how) if waits else PackedCopy(delivery, how)

    [receipt] = run(make, item)
    return receipt


def fetched(place: Place, urls: list[str], target: Path, wishes: Wishes) -> list[Fetched]:
    """What was fetched; what was not is an error."""
    told: list[Fetched] = []

    def warn(url: str, error: Exception) -> None:
        raise AssertionError(f"{url}: {error}")

    settings = Settings(endpoint_url=place.endpoint or None)
    outcome = asyncio.run(fetch(urls, f"{target}/", settings, wishes, told.append, warn))
    assert outcome.exit_code == 0 and outcome.done == len(told)
    return told


def unpacked(body: bytes, method: str) -> bytes:
    """What was packed."""
    unpacker = Unpacker(method)
    found = b"".join(unpacker.pieces(body))
    unpacker.end()
    return found


LARGE: dict[str, Any] = {"multipart_threshold": 5 * MiB, "part_size": 5 * MiB}
"""Options by which a file of 11 MiB goes in three parts."""


class Promises:
    """Inherit it, and give a fixture ``place``."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        """Items in work."""
        with Bench(tmp_path / "work") as bench:
            yield bench

    def test_the_receipt(self, place: Place, bench: Bench) -> None:
        """The bytes are at the key; the receipt has the URL and the digest of what is there."""
        receipt = one(place, bench.item(BODY, "a/b.txt"))
        assert (receipt["url"], receipt["sha256"]) == (f"{place.url}a/b.txt", SHA)
        assert "already_there" not in receipt
        assert place.there() == {"a/b.txt": BODY}

    def test_an_empty_file(self, place: Place, bench: Bench) -> None:
        """0 bytes are an object too, and are there already at a repeat."""
        assert one(place, bench.item(b"", "empty"))["sha256"] == hashlib.sha256(b"").hexdigest()
        assert one(place, bench.item(b"", "empty"))["already_there"] is True
        assert place.there() == {"empty": b""}

    def test_hostile_names(self, place: Place, bench: Bench) -> None:
        """Each name has its own key, from which it can be taken back; none is lost, none meets another."""
        wanted = {name for what, name in HOSTILE.items() if what not in place.lacks}
        items = [bench.item(os.fsencode(name), name) for name in wanted]
        run(lambda: place.delivery(KeyTemplate()), *items)
        assert {names.decode(key): body for key, body in place.there().items()} == {
            name: os.fsencode(name) for name in wanted
        }

    def test_the_content_in_the_key(self, place: Place, bench: Bench) -> None:
        """The digest may be the key."""
        assert one(place, bench.item(BODY, "b.txt"), "{sha256}{ext}")["url"] == f"{place.url}{SHA}.txt"

    @pytest.mark.parametrize("if_exists", ["refuse", "keep-both"])
    def test_a_repeat_is_told_from_a_collision(self, place: Place, bench: Bench, if_exists: str) -> None:
        """The same bytes again, after a crash or a lost answer, are done, and the receipt says that they were there."""
        first = one(place, bench.item(BODY), if_exists=if_exists)
        again = one(place, bench.again(), if_exists=if_exists)
        assert (again["already_there"], again["url"]) == (True, first["url"])
        assert place.there() == {"a/b.txt": BODY}

    def test_the_same_bytes_of_another_program(self, place: Place, bench: Bench) -> None:
        """Whoever wrote them: equal bytes are done, although nothing beside them tells their digest."""
        place.put("a/b.txt", BODY)
        assert one(place, bench.item(BODY))["already_there"] is True

    @pytest.mark.parametrize("body", [b"other", b"jello", b"a longer one", b""])
    def test_other_content_is_refused(self, place: Place, bench: Bench, body: bytes) -> None:
        """It is never overwritten; the item fails for ever, with the ways out."""
        place.put("a/b.txt", body)
        with pytest.raises(Permanent, match="other content") as caught:
            one(place, bench.item(BODY))
        assert "--if-exists" in caught.value.hint and "keep-both" in caught.value.hint
        assert place.there() == {"a/b.txt": body}

    def test_overwrite(self, place: Place, bench: Bench) -> None:
        """Asked for, it replaces."""
        place.put("a/b.txt", b"other")
        one(place, bench.item(BODY), if_exists="overwrite")
        assert place.there() == {"a/b.txt": BODY}

    def test_keep_both(self, place: Place, bench: Bench) -> None:
        """The second gets a key of its own, the same at a repeat; where that is taken too, it fails."""
        place.put("a/b.txt", b"other")
        second = f"a/b-{SHA[:8]}.txt"
        for _ in range(2):
            assert one(place, bench.item(BODY), if_exists="keep-both")["url"] == place.url + second
            assert place.there() == {"a/b.txt": b"other", second: BODY}
        third = b"third"
        place.put(f"a/b-{hashlib.sha256(third).hexdigest()[:8]}.txt", b"in the way")
        with pytest.raises(Permanent, match="other content"):
            one(place, bench.item(third), if_exists="keep-both")

    def test_many_at_once(self, place: Place, bench: Bench) -> None:
        """Forty items by one delivery, two of one key: each is there, byte for byte."""
        bodies = {f"{number}.bin": os.urandom(number * 1000) for number in range(40)}
        items = [bench.item(body, name) for name, body in bodies.items()]
        run(lambda: place.delivery(KeyTemplate()), *items)
        assert place.there() == bodies

    def test_two_workers_deliver_one_key(self, place: Place, bench: Bench) -> None:
        """Of several with other content at the same time one wins, whole, and the others are refused."""
        place.needs("atomic")
        items = [bench.item(bytes([number]) * 100_000, f"{number}/same") for number in range(8)]

        async def race() -> list[Any]:
            delivery = place.delivery(KeyTemplate("{name}"))
            try:
                return list(await asyncio.gather(*(call(delivery, item) for item in items), return_exceptions=True))
            finally:
                close(delivery)

        told = asyncio.run(race())
        [(winner, receipt)] = [(n, found) for n, found in enumerate(told) if isinstance(found, dict)]
        assert place.there() == {"same": bytes([winner]) * 100_000}
        assert all(isinstance(found, Permanent | Temporary) for found in told if found is not receipt)

    def test_a_large_file(self, place: Place, bench: Bench) -> None:
        """Over the threshold: the same bytes, a repeat is told, other content is refused and stays."""
        body = os.urandom(11 * MiB)
        receipt = one(place, bench.item(body, "large"), **LARGE)
        assert tells(receipt, body)
        if "parts" in receipt:
            assert (receipt["parts"], receipt["part_size"]) == (3, 5 * MiB)
        assert place.there() == {"large": body}
        assert one(place, bench.item(body, "large"), **LARGE)["already_there"] is True
        with pytest.raises(Permanent, match="other content"):
            one(place, bench.item(body[::-1], "large"), **LARGE)
        assert place.there() == {"large": body}
        one(place, bench.item(body[::-1], "large"), **LARGE, if_exists="overwrite")
        assert place.there() == {"large": body[::-1]}

    @pytest.mark.parametrize("size", [5, 6 * MiB])
    def test_a_file_that_grew_since_the_claim(self, place: Place, bench: Bench, size: int) -> None:
        """It is not delivered in part: nothing is there and it is tried again, or all of it is there."""
        item = bench.item(bytes(size))
        bench.grow(item)
        try:
            one(place, item, **LARGE)
        except Temporary as error:
            assert error.scope is Scope.ITEM
            assert place.there() == {}
        else:
            assert place.there() == {"a/b.txt": bytes(size) + b"more"}

    def test_what_we_put_there_ourselves_is_replaced(self, place: Place, spool: Spool) -> None:
        """A file that changed after it was delivered is delivered again, over our own first copy."""
        place.needs("conditional replace")
        path = drop(spool, "f", "x")
        rounds: list[int] = []

        async def process(item: Item) -> dict[str, Any]:
            delivery = place.delivery(KeyTemplate())
            try:
                fields = await call(delivery, item)
            finally:
                close(delivery)
            rounds.append(1)
            if len(rounds) == 1:
                with open(item.path, "a") as file:
                    file.write("more")
            return fields

        assert once(spool, process).exit_code == 0
        assert not path.exists() and whereabouts(spool) == {"f": ["finished"]}
        assert place.there() == {"f": b"xmore"} and len(rounds) == 2

    def test_nothing_else_is_replaced(self, place: Place, bench: Bench) -> None:
        """If somebody overwrote ours meanwhile, theirs stays."""
        place.needs("conditional replace")
        item = bench.item(BODY)
        receipt = one(place, item)
        bench.grow(item)
        assert item.changed()
        item.superseded = receipt
        place.put("a/b.txt", b"theirs")
        with pytest.raises(Permanent, match="other content"):
            one(place, item)
        assert place.there() == {"a/b.txt": b"theirs"}

    def test_unreachable(self, place: Place, bench: Bench) -> None:
        """Nobody answers: the destination is paused, with a hint; nothing goes to failed/."""
        place.needs("network")
        with pytest.raises(Temporary) as caught:
            run(place.unreachable, bench.item(BODY))
        assert caught.value.scope is Scope.DESTINATION
        assert caught.value.state in ("unreachable", "missing") and caught.value.hint

    def test_wrong_credentials(self, place: Place, bench: Bench) -> None:
        """Credentials that the store does not take are the world's fault, and never the item's alone."""
        place.needs("credentials")
        with pytest.raises(Temporary) as caught:
            run(place.wrong_keys, bench.item(BODY))
        assert caught.value.scope in (Scope.DESTINATION, Scope.UNSURE) and caught.value.hint
        assert place.there() == {}

    @pytest.mark.parametrize("size", [100, 11 * MiB])
    def test_cancelled(self, place: Place, bench: Bench, size: int) -> None:
        """Cancelled at any time, the next attempt delivers it, and there is one object with the right bytes."""
        body = os.urandom(size)
        item = bench.item(body)

        async def cancel(turns: int) -> None:
            delivery = place.delivery(KeyTemplate(), **LARGE)
            task = asyncio.ensure_future(call(delivery, item))
            for _ in range(turns):
                await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            close(delivery)

        for turns in range(4):
            asyncio.run(cancel(turns))
        assert set(place.there()) <= {"a/b.txt"}
        receipt = one(place, bench.again(), **LARGE)
        assert tells(receipt, body) or receipt["already_there"]
        assert place.there() == {"a/b.txt": body}

    @pytest.mark.parametrize("method", ["gzip", "zstd"])
    @pytest.mark.parametrize("as_suffix", [True, False])
    def test_compressed(self, place: Place, bench: Bench, method: str, as_suffix: bool) -> None:
        """What is there unpacks to the file, by its key or one with a suffix; the receipt has both sizes; a repeat is
        told from a collision; what is dense already goes as it is."""
        how = Packing(method, suffix=as_suffix)
        if not as_suffix:
            place.needs("encoding")
        body = b"hello, " * 10_000
        key = "a/b.txt" + packing.SUFFIXES[method] * as_suffix
        item = bench.item(body)
        receipt = packed(place, item, how)
        [(there, sent)] = place.there().items()
        assert there == key and receipt["url"] == place.url + key
        assert unpacked(sent, method) == body and len(sent) < 2000
        assert (receipt["size"], receipt["source_size"], receipt["compressed"]) == (len(sent), len(body), method)
        assert receipt["source_sha256"] == hashlib.sha256(body).hexdigest()
        assert tells(receipt, sent) and item.sent == item.size
        assert packed(place, bench.again(), how)["already_there"] is True
        with pytest.raises(Permanent, match="other content"):
            packed(place, bench.item(body + b"!"), how)
        assert packed(place, bench.item(body, "c.JPG"), how)["url"] == f"{place.url}c.JPG"
        assert place.there() == {key: sent, "c.JPG": body}

    def test_the_sources_digest_in_a_compressed_objects_key(self, place: Place, bench: Bench) -> None:
        """{sha256} is the file's, whatever packs it."""
        how = Packing("gzip", suffix=True)
        assert packed(place, bench.item(BODY, "b.txt"), how, "{sha256}{ext}")["url"] == f"{place.url}{SHA}.txt.gz"

    def test_a_large_file_compressed(self, place: Place, bench: Bench) -> None:
        """What is packed into a file goes in parts as well; a repeat is told."""
        how = Packing("gzip", suffix=True)
        body = os.urandom(11 * MiB)
        receipt = packed(place, bench.item(body, "large"), how, **LARGE)
        [(key, sent)] = place.there().items()
        assert key == "large.gz" and unpacked(sent, "gzip") == body and tells(receipt, sent)
        assert packed(place, bench.item(body, "large"), how, **LARGE)["already_there"] is True
        with pytest.raises(Permanent, match="other content"):
            packed(place, bench.item(body[::-1], "large"), how, **LARGE)
        assert place.there() == {"large.gz": sent}

    @pytest.mark.parametrize("size", [50_000, 8 * MiB])
    @pytest.mark.parametrize("if_exists", ["refuse", "keep-both"])
    def test_another_library_packs_to_other_bytes(
        self, place: Place, bench: Bench, monkeypatch: pytest.MonkeyPatch, size: int, if_exists: str
    ) -> None:
        """After an update in the middle of a delivery the repeat has other bytes, and is told all the same."""
        place.needs("metadata")
        how = Packing("gzip", suffix=True)
        body = (b"%d " * 1000 % tuple(range(1000)) + os.urandom(4000)) * (size // 8000)
        packed(place, bench.item(body, "f"), how, if_exists=if_exists, **LARGE)
        [sent] = place.there().values()
        monkeypatch.setattr(packing, "GZIP_LEVEL", 1)
        assert packed(place, bench.again("f"), how, if_exists=if_exists, **LARGE)["already_there"] is True
        assert place.there() == {"f.gz": sent}
        with pytest.raises(Permanent, match="other content"):
            packed(place, bench.item(body[::-1], "f"), how, **LARGE)

    @pytest.mark.parametrize("form", ["", "gzip", "zstd.suffix"])
    @pytest.mark.parametrize("size", [0, 3000, 11 * MiB])
    def test_fetched_again(self, place: Place, bench: Bench, tmp_path: Path, form: str, size: int) -> None:
        """What was delivered comes back as the file that it was: bytes, name, mode, time, as root the owner; not over
        another."""
        place.needs("fetching")
        method, _, suffix = form.partition(".")
        if method and not suffix:
            place.needs("encoding")
        body = os.urandom(1000) * (size // 1000) + bytes(size % 1000)
        item = bench.item(body, "d/some report.csv")
        owner = (1234, 4321) if os.geteuid() == 0 else item.owner_ids
        os.chown(item.path, *owner)
        item = bench.again("d/some report.csv")
        if method:
            packed(place, item, Packing(method, suffix=bool(suffix)), preserve=True, **LARGE)
        else:
            one(place, item, preserve=True, **LARGE)
        [key] = place.there()
        there = tmp_path / "back"
        wishes = Wishes(unpack="suffix" if "proof" in place.lacks else "auto")
        for was_there in (False, True):
            told = fetched(place, [place.url + key], there, wishes)
            assert [one.was_there for one in told] == [was_there]
            assert told[0].proof or "proof" in place.lacks
        found = there / "some report.csv"
        assert found.read_bytes() == body and [path.name for path in there.iterdir()] == ["some report.csv"]
        assert (found.stat().st_mode, found.stat().st_mtime_ns) == (item.mode, item.mtime_ns)
        assert (found.stat().st_uid, found.stat().st_gid) == owner
        found.write_bytes(b"other")
        with pytest.raises(AssertionError, match="other content"):
            fetched(place, [place.url + key], there, wishes)
        assert found.read_bytes() == b"other"

    def test_hostile_names_fetched_again(self, place: Place, bench: Bench, tmp_path: Path) -> None:
        """All below a prefix, under the names that they had, whatever these were."""
        place.needs("fetching")
        wanted = {f"in/{name}" for what, name in HOSTILE.items() if what not in place.lacks}
        items = [bench.item(os.fsencode(name), name) for name in wanted]
        run(lambda: place.delivery(KeyTemplate()), *items)
        there = tmp_path / "back"
        fetched(place, [f"{place.url}in"], there, Wishes(recursive=True))
        assert {f"in/{name}" for name in items_below(str(there))} == wanted
        for name in wanted:
            assert (there / name[3:]).read_bytes() == os.fsencode(name)

    def test_progress(self, place: Place, bench: Bench) -> None:
        """A delivered item is sent to its last byte."""
        item = bench.item(b"x" * 300_000)
        one(place, item)
        assert item.sent == 300_000
