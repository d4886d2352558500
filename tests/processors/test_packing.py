"""Packing: the same bytes each time, what any tool unpacks, and never more room than there is."""

import asyncio
import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae import Permanent, Rules, Spool, Temporary, Worker
from jollyae.processors import packing
from jollyae.processors.packing import Packed, PackedKeys, Packing, PackingError, Unpacker
from jollyae.processors.s3.transport import StoreError
from jollyae.spool.item import Item
from tests.helpers import drop, whereabouts
from tests.processors.s3.fake import Bench

METHODS = ["gzip", "zstd"]
KiB, MiB = 1 << 10, 1 << 20


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Items in work."""
    with Bench(tmp_path / "work") as bench:
        yield bench


def bytes_of(item: Item) -> bytes:
    """What is sent."""
    return os.pread(item.fd, item.size, 0)


def packed(body: bytes, method: str) -> bytes:
    """Packed in one go."""
    packer = packing.packer(method)
    return packer.compress(body) + packer.flush()


def unpacked(body: bytes, method: str) -> bytes:
    """Unpacked again."""
    unpacker = Unpacker(method)
    found = b"".join(unpacker.pieces(body))
    unpacker.end()
    return found


@pytest.mark.parametrize("method", METHODS)
@given(body=st.binary(max_size=5000))
def test_there_and_back(method: str, body: bytes) -> None:
    """Whatever is packed is unpacked again; packed twice it is the same."""
    assert unpacked(packed(body, method), method) == body
    assert packed(body, method) == packed(body, method)


def test_gzip_is_gzip() -> None:
    """Other programs read it; there is no time in it, and no name."""
    body = b"hello" * 1000
    made = packed(body, "gzip")
    assert gzip.decompress(made) == body
    assert made[:10] == b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    found = subprocess.run(["gzip", "-dc"], input=made, capture_output=True, check=True)
    assert found.stdout == body


@pytest.mark.skipif(not shutil.which("zstd"), reason="the program zstd is not here")
def test_zstd_is_zstd() -> None:
    """Its own program reads it, and finds a checksum."""
    found = subprocess.run(["zstd", "-dc"], input=packed(b"hello" * 1000, "zstd"), capture_output=True, check=True)
    assert found.stdout == b"hello" * 1000


@pytest.mark.parametrize("method", METHODS)
def test_what_is_damaged_or_cut_off_is_told(method: str) -> None:
    """No wrong bytes, and no end before the end."""
    made = packed(os.urandom(5000), method)
    with pytest.raises(PackingError, match="cut off"):
        unpacked(made[:-5], method)
    with pytest.raises(PackingError, match="cannot be unpacked"):
        unpacked(made[:2000] + b"xxxx" + made[2004:], method)
    with pytest.raises(PackingError, match="cannot be unpacked"):
        unpacked(b"something else altogether", method)


@pytest.mark.parametrize("method", METHODS)
def test_a_bomb_comes_in_bounded_pieces(method: str) -> None:
    """However much a few bytes unpack to, it is given out by and by, so that whoever reads can stop."""
    bomb = packed(bytes(200 * MiB), method)
    pieces = Unpacker(method).pieces(bomb)
    assert max(len(next(pieces)) for _ in range(5)) <= 40 * MiB


def test_when_the_credentials_expire_is_passed_on() -> None:
    """What packs knows it from what delivers; where that has none, they do not."""

    class Delivery:
        def credentials_expiry(self) -> float:
            return 5.0

    assert Packed(Delivery(), Packing("gzip")).credentials_expiry() == 5.0
    assert Packed(object(), Packing("gzip")).credentials_expiry() == 0.0


def test_unknown_methods_are_refused() -> None:
    """At once, with what there is."""
    for make in (packing.packer, Unpacker):
        with pytest.raises(PackingError):
            make("rar")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [0, 1, 300 * KiB, 3 * MiB])
def test_the_item_that_is_sent(bench: Bench, method: str, size: int) -> None:
    """Its bytes, size and state are the packed ones; its name, times and note the source's, which is not touched."""
    body = os.urandom(100) * (size // 100) + bytes(size % 100)
    item = bench.item(body)
    sent = Packing(method).pack(item)
    assert unpacked(bytes_of(sent), method) == body and sent.size == os.fstat(sent.fd).st_size
    assert (sent.name, sent.mtime_ns, sent.mode, sent.owner_ids) == (
        item.name,
        item.mtime_ns,
        item.mode,
        item.owner_ids,
    )
    assert sent.form is not None and sent.form.sha256 == hashlib.sha256(body).hexdigest() == sent.source_digest("other")
    sent.remember(upload="x")
    assert item.memory == {"upload": "x"} == sent.memory
    sent.progress(sent.size)
    assert item.sent == size
    sent.close()
    assert os.pread(item.fd, size + 1, 0) == body


def test_a_file_that_grows_is_not_sent(bench: Bench) -> None:
    """What was read must be the whole file as it was claimed."""
    item = bench.item(b"x" * 1000)
    bench.grow(item)
    with pytest.raises(Temporary, match="changed"):
        Packing("gzip").pack(item)


def test_there_must_be_room(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the temporary directory has none for a large one it waits, and says which directory; nothing is left of
    it there, or of what was promised to it."""
    item = bench.item(b"x" * (2 * MiB))
    real = os.statvfs(tempfile.gettempdir())

    def little(path: Any) -> os.statvfs_result:
        return os.statvfs_result((*real[:4], 100, *real[5:]))

    monkeypatch.setattr(os, "statvfs", little)
    with pytest.raises(Temporary, match="no room to compress it") as caught:
        Packing("gzip").pack(item)
    assert "TMPDIR" in caught.value.hint and caught.value.reason == "full"
    assert packing._promised == 0
    small = Packing("gzip").pack(bench.item(b"small", "small"))
    small.close()


def test_a_full_disk_while_packing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fills up meanwhile: the same."""
    item = bench.item(os.urandom(2 * MiB))
    monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    monkeypatch.setattr(packing, "packer", lambda method: _Full())
    with pytest.raises(Temporary, match="no room"):
        Packing("zstd" if packing.packer("zstd") else "").pack(item)
    assert packing._promised == 0


class _Full:
    def compress(self, data: bytes) -> bytes:
        raise OSError(28, "No space left on device")

    def flush(self) -> bytes:
        return b""


def test_no_descriptor_is_left(bench: Bench) -> None:
    """After many, also such as failed or were cancelled."""

    async def fine(item: Item) -> dict[str, Any]:
        return {"url": "x"}

    async def never(item: Item) -> dict[str, Any]:
        await asyncio.sleep(600)
        return {}

    async def main() -> None:
        before = len(os.listdir("/proc/self/fd"))
        process, hanging = Packed(fine, Packing("gzip")), Packed(never, Packing("gzip"))
        for number in range(10):
            item = bench.item(b"x" * (number * MiB // 5))
            assert (await process(item))["url"] == "x"
            for turns in (0, 1, 3):
                task = asyncio.ensure_future(hanging(item))
                for _ in range(turns):
                    await asyncio.sleep(0.005)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            item.close()
        process.close()
        hanging.close()
        for _ in range(1000):
            if len(os.listdir("/proc/self/fd")) <= before:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("descriptors are left open")

    asyncio.run(main())


def test_a_key_too_long_for_its_suffix(bench: Bench) -> None:
    """With the suffix over 1,024 bytes: that item fails."""
    keys = PackedKeys("{path}", packing=Packing("gzip", suffix=True))
    assert keys.key("d/" * 500 + "x" * 21, 0.0).endswith(".gz")
    with pytest.raises(Permanent, match="no key"):
        keys.key("d/" * 500 + "x" * 22, 0.0)


def test_ordinary_items_keep_the_short_way(bench: Bench) -> None:
    """What is not packed is begun without a task, where the delivery can; what is packed is handed back."""

    class Direct:
        begun: list[str] = []  # noqa: RUF012 - of this test

        def begin(self, items: list[Item], ended: Any) -> list[Item]:
            self.begun += [item.name for item in items]
            return []

    items = [bench.item(b"", name) for name in ("a.jpg", "b.csv", "c.gz")]
    begin = Packed(Direct(), Packing("gzip")).begin
    assert begin is not None and [item.name for item in begin(items, None)] == ["b.csv"]
    assert Direct.begun == ["a.jpg", "c.gz"]
    assert Packed(object(), Packing("gzip")).begin is None


def test_on_the_whole_way(tmp_path: Path) -> None:
    """A worker, many items, some dense: all finished, all there, and nothing left in the temporary directory."""
    from jollyae.service.compose import destination
    from jollyae.service.settings import Settings

    spool, there = Spool(tmp_path / "spool"), tmp_path / "there"
    there.mkdir()
    for number in range(50):
        drop(spool, f"{number}.csv", b"row\n" * number * 100)
        drop(spool, f"{number}.jpg", b"jpg")
    where = destination(Settings(to=f"file://{there}", compress="zstd", compress_as="suffix"))
    assert Worker(spool, where.process, Rules(once=True, settle=0)).run().delivered == 100
    for number in range(50):
        assert unpacked((there / f"{number}.csv.zst").read_bytes(), "zstd") == b"row\n" * number * 100
        assert (there / f"{number}.jpg").read_bytes() == b"jpg"
    assert all(places == ["finished"] for places in whereabouts(spool).values())


# --- into S3


def s3(bench: Bench, **options: Any) -> Packed:
    """A delivery of packed items into the fake store."""
    return Packed(bench.delivery(part_size=5 * MiB, multipart_threshold=5 * MiB, **options), Packing("gzip"))


@pytest.mark.parametrize("size", [1000, 12 * MiB])
def test_proved_before_a_delete(bench: Bench, size: int) -> None:
    """With --on-done delete what is proved are the bytes that were sent."""
    body = os.urandom(size)
    receipt = asyncio.run(s3(bench, verify=True)(bench.item(body)))
    there = bench.store.objects["a/b.txt"]
    assert unpacked(there.body, "gzip") == body and receipt["size"] == len(there.body)
    assert there.attributes.content_encoding == "gzip" and there.attributes.content_type == "text/plain"
    assert there.attributes.metadata["jollyae-source-sha256"] == hashlib.sha256(body).hexdigest()


def test_an_upload_is_resumed(bench: Bench) -> None:
    """The second attempt packs to the same bytes, and sends only the parts that are missing."""
    body = os.urandom(17 * MiB)
    bench.store.script.append(("part 3", StoreError(503, "SlowDown")))
    with pytest.raises(Temporary):
        asyncio.run(s3(bench)(bench.item(body)))
    receipt = asyncio.run(s3(bench)(bench.again()))
    assert receipt["parts_resumed"] >= 1 and bench.store.calls["create"] == 1
    assert unpacked(bench.store.objects["a/b.txt"].body, "gzip") == body


def test_what_we_sent_before_it_changed_is_replaced(bench: Bench) -> None:
    """A file that was written to after it was sent goes over our own object, and over no other."""
    item = bench.item(b"first")
    receipt = asyncio.run(s3(bench)(item))
    bench.grow(item)
    assert item.changed()
    item.supersede(receipt)
    asyncio.run(s3(bench)(item))
    assert unpacked(bench.store.objects["a/b.txt"].body, "gzip") == b"firstmore"
    bench.store.add("a/b.txt", b"theirs")
    bench.grow(item)
    assert item.changed()
    with pytest.raises(Permanent, match="other content"):
        asyncio.run(s3(bench)(item))


def test_a_damaged_object_is_no_repeat(bench: Bench) -> None:
    """The metadata has our digest and our source's; the bytes are others: it is not taken for ours."""
    asyncio.run(s3(bench)(bench.item(b"hello" * 1000)))
    there = bench.store.objects["a/b.txt"]
    there.body += b"!"
    there.etag = hashlib.md5(there.body).hexdigest()
    with pytest.raises(Permanent, match="other bytes"):
        asyncio.run(s3(bench)(bench.again()))


@pytest.mark.parametrize("method", METHODS)
def test_packed_one_after_the_other(method: str) -> None:
    """What log rotation and parallel programs make of several is unpacked to its end, wherever the pieces are cut; what
    comes after it and is no such thing is an error, and no silent end."""
    bodies = [os.urandom(700), b"", b"x" * 5000, os.urandom(3)]
    made = b"".join(packed(body, method) for body in bodies)
    assert unpacked(made, method) == b"".join(bodies)
    unpacker = Unpacker(method)
    found = b"".join(piece for start in range(len(made)) for piece in unpacker.pieces(made[start : start + 1]))
    unpacker.end()
    assert found == b"".join(bodies)
    for litter in (b"x" * 30, made[:20]):
        with pytest.raises(PackingError):
            unpacked(made + litter, method)
