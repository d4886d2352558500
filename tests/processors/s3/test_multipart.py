"""Large items: in parts, resumed after a crash, and every refusal of Complete."""

import asyncio
import hashlib
import os
from typing import Any

import pytest

from jollyae.processors.s3.checksums import composite
from jollyae.processors.s3.transport import Attributes, StoreError
from jollyae.spool import notes
from jollyae.spool.item import Item
from jollyae.spool.outcomes import Permanent, Scope, Temporary

from .fake import Bench, MiB, Object, b64

PART = 5 * MiB
BODY = os.urandom(22 * MiB)  # five parts
SHA = hashlib.sha256(BODY).hexdigest()
LOST = StoreError(None, "closed", "the connection was closed")
KEY = "a/b.txt"


def deliver(bench: Bench, item: Item, **options: Any) -> dict[str, Any]:
    """One attempt, in parts of 5 MiB."""
    options = {"part_size": PART, "multipart_threshold": PART, **options}
    return asyncio.run(bench.delivery(**options)(item))


def fail(bench: Bench, item: Item, *script: tuple[str, Exception], **options: Any) -> Temporary:
    """One attempt that ends as temporary because of what is scripted."""
    bench.store.script += script
    with pytest.raises(Temporary) as caught:
        deliver(bench, item, **options)
    assert not bench.store.script
    return caught.value


def mark(bench: Bench) -> str:
    """Our id in the object's metadata."""
    return bench.store.objects[KEY].attributes.metadata["jollyae-upload"]


def test_the_whole_way(bench: Bench) -> None:
    """Looked first, created, five parts, completed under a condition; the note is on the disk before the first part."""
    item = bench.item(BODY)
    seen: list[Any] = []
    bench.store.hooks["part"] = lambda: seen.append(notes.read(item.where))
    receipt = deliver(bench, item)
    assert bench.store.calls == {"head": 1, "create": 1, "part": 5, "complete": 1}
    assert seen[0].memory["upload"] == {
        "id": "upload-1",
        "mark": mark(bench),
        "bucket": "bucket",
        "key": KEY,
        "part_size": PART,
        "algorithm": "sha256",
    }
    etag = composite([hashlib.md5(BODY[start : start + PART]).hexdigest() for start in range(0, len(BODY), PART)])
    digests = [hashlib.sha256(BODY[start : start + PART]).digest() for start in range(0, len(BODY), PART)]
    assert receipt == {
        "url": "s3://bucket/a/b.txt",
        "size": len(BODY),
        "etag": etag,
        "parts": 5,
        "part_size": PART,
        "checksum_sha256": f"{b64(hashlib.sha256(b''.join(digests)).digest())}-5",
    }
    assert bench.store.objects[KEY].body == BODY
    assert bench.store.asked[-1][1].if_none_match
    assert item.sent == len(BODY)


@pytest.mark.parametrize("algorithm", ["crc32", "md5", "none"])
def test_checksum_algorithms(bench: Bench, algorithm: str) -> None:
    """A CRC is kept for the whole object; md5 and none are the parts' own affair."""
    deliver(bench, bench.item(BODY), checksum_algorithm=algorithm)
    complete = bench.store.asked[-1][1]
    part = next(request for name, request in bench.store.asked if name == "part")
    assert (complete.checksum is not None) == (algorithm == "crc32")
    assert (part.checksum.algorithm if part.checksum else "none") == algorithm


@pytest.mark.parametrize(("secure", "name"), [(False, "checksum_sha256"), (True, "checksum_crc")])
def test_a_file_in_parts_is_hashed_once(bench: Bench, secure: bool, name: str) -> None:
    """Without TLS by the SHA-256 that is signed, with it by a CRC; and the parts' make the whole's."""
    bench.store.secure = secure
    receipt = deliver(bench, bench.item(BODY))
    parts = [request for kind, request in bench.store.asked if kind == "part"]
    assert [bool(part.sha256) for part in parts] == [not secure] * 5
    assert "sha256" not in receipt and [field for field in receipt if field.startswith(name)]
    if secure and "checksum_crc32" in receipt:
        assert receipt["checksum_crc32"] == checksum(BODY)


def test_another_kind_of_checksum_gives_the_old_upload_up(bench: Bench) -> None:
    """The parts of one upload bear the same: when TLS comes or goes, it begins again."""
    fail(bench, bench.item(BODY), ("part 3", LOST))
    bench.store.secure = True
    deliver(bench, bench.again())
    assert bench.store.aborted == ["upload-1"]
    assert bench.store.objects[KEY].body == BODY


def test_what_was_hashed_before_is_what_is_sent(bench: Bench) -> None:
    """The key says the digest: other bytes than those it was made of are not sent to their end, whatever fstat says."""
    item = bench.item(BODY)
    before = item.stat

    def rewrite() -> None:
        with item.path.open("r+b") as file:
            file.write(b"other")
        item.stat = os.stat_result(os.fstat(item.fd))  # as if the clock had stood still

    bench.store.hooks["create"] = rewrite
    with pytest.raises(Temporary, match="changed while it was read"):
        deliver(bench, item, key="{sha256}")
    assert item.stat != before and not bench.store.objects


def test_an_answer_without_an_etag_is_no_object(bench: Bench) -> None:
    """What says 200 to every HEAD tells nothing; Complete is conditional."""
    bench.store.objects[KEY] = Object(b"", "", Attributes())
    with pytest.raises(Permanent, match="refused"):
        deliver(bench, bench.item(BODY))
    assert bench.store.calls["create"] == 1


def test_a_crash_sends_only_what_is_missing(bench: Bench) -> None:
    """The adopter knows nothing but the note, and the store knows the rest."""
    fail(bench, bench.item(BODY), ("part 4", LOST))
    there = len(bench.store.uploads["upload-1"].parts)
    assert there >= 1
    bench.store.asked.clear()
    receipt = deliver(bench, bench.again())
    assert receipt["parts_resumed"] == there
    assert bench.store.calls == {"head": 1, "parts": 1, "part": 5 - there, "complete": 1}
    assert bench.store.objects[KEY].body == BODY


def test_a_damaged_part_is_sent_again(bench: Bench) -> None:
    """A part of the right size with other bytes is not taken for ours."""
    fail(bench, bench.item(BODY), ("complete", LOST))
    bench.store.uploads["upload-1"].parts[2] = b"x" * PART
    receipt = deliver(bench, bench.again())
    assert receipt["parts_resumed"] == 4
    assert bench.store.objects[KEY].body == BODY


def test_a_forgotten_upload_begins_again(bench: Bench) -> None:
    """NoSuchUpload at ListParts: from Create, in the same attempt."""
    fail(bench, bench.item(BODY), ("part 3", LOST))
    bench.store.uploads.clear()
    assert "parts_resumed" not in deliver(bench, bench.again())
    assert bench.store.objects[KEY].body == BODY


def test_forgotten_while_parts_are_sent(bench: Bench) -> None:
    """NoSuchUpload from a part is the item's affair alone, and the next attempt begins again."""
    told = fail(bench, bench.item(BODY), ("part 2", StoreError(404, "NoSuchUpload")))
    assert told.scope is Scope.ITEM
    bench.store.uploads.clear()
    deliver(bench, bench.again())
    assert bench.store.objects[KEY].body == BODY


@pytest.mark.parametrize("if_exists", ["refuse", "overwrite"])
def test_the_answer_to_complete_is_lost(bench: Bench, if_exists: str) -> None:
    """The next attempt finds our mark and sends nothing."""
    fail(bench, bench.item(BODY), ("complete after", LOST), if_exists=if_exists)
    bench.store.asked.clear()
    receipt = deliver(bench, bench.again(), if_exists=if_exists)
    assert receipt["already_there"] is True and receipt["size"] == len(BODY)
    assert bench.store.calls == {"head": 1}


def test_a_collision_is_found_before_anything_is_sent(bench: Bench) -> None:
    """HEAD first; other content is refused at once."""
    bench.store.add(KEY, b"other")
    with pytest.raises(Permanent, match="refused"):
        deliver(bench, bench.item(BODY))
    assert bench.store.calls == {"head": 1}


@pytest.mark.parametrize("how", ["digest", "single etag", "part etag", "aws-cli etag", "checksum"])
def test_the_same_bytes_are_there(bench: Bench, how: str) -> None:
    """Whoever sent them, and in which parts."""
    size = {"part etag": PART, "aws-cli etag": 8 * MiB}.get(how, 0)
    etags = [hashlib.md5(BODY[start : start + size]).hexdigest() for start in range(0, len(BODY), size)] if size else []
    etag = composite(etags) if size else hashlib.md5(BODY).hexdigest() if how == "single etag" else "opaque"
    metadata = {"jollyae-sha256": SHA} if how == "digest" else {}
    checksums = {"crc32": checksum(BODY)} if how == "checksum" else {}
    bench.store.objects[KEY] = Object(BODY, etag, Attributes(metadata=metadata), checksums)
    assert deliver(bench, bench.item(BODY))["already_there"] is True
    assert not bench.store.calls["create"]


@pytest.mark.parametrize("key", ["{path}", "{sha256}"])
def test_a_repeat_has_the_digest_that_the_first_had(bench: Bench, key: str) -> None:
    """The delivery id is made of it: whoever completed it, and whether the repeat compares or knows the mark."""
    first = deliver(bench, bench.item(BODY), key=key)
    again = deliver(bench, bench.again(), key=key)
    notes.forget(str(bench.directory / KEY))
    compared = deliver(bench, bench.again(), key=key)
    assert again["already_there"] and compared["already_there"]
    assert {receipt.get("sha256") for receipt in (first, again, compared)} == {SHA if "sha256" in key else None}


def checksum(data: bytes) -> str:
    """CRC32 as S3 writes it."""
    from jollyae.processors.s3 import checksums

    made = checksums.of(data, "crc32")
    assert made
    return made.value


def test_keep_both(bench: Bench) -> None:
    """The other key is used, and after a crash its upload goes on."""
    bench.store.add(KEY, b"other")
    fail(bench, bench.item(BODY), ("part 4", LOST), if_exists="keep-both")
    receipt = deliver(bench, bench.again(), if_exists="keep-both")
    assert receipt["url"] == f"s3://bucket/a/b-{SHA[:8]}.txt"
    assert receipt["parts_resumed"] >= 1
    assert bench.store.objects[KEY].body == b"other"


def test_overwrite(bench: Bench) -> None:
    """No question before, no condition at the end."""
    bench.store.add(KEY, b"other")
    deliver(bench, bench.item(BODY), if_exists="overwrite")
    assert bench.store.objects[KEY].body == BODY
    assert not bench.store.calls["head"]


@pytest.mark.parametrize("status", [403, 400])
def test_a_refused_head_is_no_answer(bench: Bench, status: int) -> None:
    """Without the right to look it goes on: Complete is conditional."""
    bench.store.script.append(("head", StoreError(status, "")))
    deliver(bench, bench.item(BODY))
    assert bench.store.objects[KEY].body == BODY


def test_412_on_complete_is_a_collision(bench: Bench) -> None:
    """Somebody was quicker: refused, and our parts are removed."""
    bench.store.hooks["complete"] = lambda: bench.store.add(KEY, b"other")
    with pytest.raises(Permanent, match="refused"):
        deliver(bench, bench.item(BODY))
    assert bench.store.objects[KEY].body == b"other"
    assert bench.store.aborted == ["upload-1"]
    assert bench.again().memory == {}


def test_412_on_complete_with_keep_both(bench: Bench) -> None:
    """Then it goes beside, in the same attempt."""
    bench.store.hooks["complete"] = lambda: bench.store.add(KEY, b"other")
    receipt = deliver(bench, bench.item(BODY), if_exists="keep-both")
    assert receipt["url"].endswith(f"b-{SHA[:8]}.txt")
    assert bench.store.aborted == ["upload-1"]


def test_409_on_complete_begins_from_create(bench: Bench) -> None:
    """The upload is given up; nothing of it is used again."""
    told = fail(bench, bench.item(BODY), ("complete", StoreError(409, "ConditionalRequestConflict")))
    assert told.scope is Scope.ITEM
    assert bench.store.aborted == ["upload-1"]
    deliver(bench, bench.again())
    assert bench.store.calls["create"] == 2


def test_complete_of_a_forgotten_upload(bench: Bench) -> None:
    """404 and no object of ours: the next attempt begins again."""
    told = fail(bench, bench.item(BODY), ("complete", StoreError(404, "NoSuchUpload")))
    assert told.scope is Scope.ITEM
    assert bench.again().memory == {}


def test_our_upload_of_another_size(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our mark and not our size: the store lies or lost bytes, and that is no collision."""
    fail(bench, bench.item(BODY), ("complete after", LOST))
    there = bench.store.objects["a/b.txt"]
    monkeypatch.setattr(there, "body", there.body[:-7])
    told = fail(bench, bench.again())
    assert "contradicts itself" in told.message and told.scope is Scope.ITEM


def test_an_empty_etag_is_looked_up(bench: Bench) -> None:
    """Ceph RGW 16 acknowledges Complete without an ETag: HEAD must show our mark."""
    bench.store.no_complete_etag = True
    receipt = deliver(bench, bench.item(BODY))
    assert receipt["etag"].endswith("-5")
    assert bench.store.calls["head"] == 2


@pytest.mark.parametrize("name", ["create", "part"])
def test_a_file_that_changes_meanwhile(bench: Bench, name: str) -> None:
    """It is not completed, and our parts are removed."""
    item = bench.item(BODY)
    bench.store.hooks[name] = lambda: bench.grow(item)
    with pytest.raises(Temporary, match="changed while it was read"):
        deliver(bench, item)
    assert not bench.store.objects and not bench.store.uploads
    assert bench.store.aborted == ["upload-1"]


def test_a_truncated_file(bench: Bench) -> None:
    """A part that cannot be read to its end ends the attempt."""
    item = bench.item(BODY)
    bench.store.hooks["create"] = lambda: os.truncate(item.path, 7 * MiB)
    with pytest.raises(Temporary, match="changed while it was read"):
        deliver(bench, item)
    assert bench.store.aborted == ["upload-1"]


def test_another_configuration_gives_the_old_upload_up(bench: Bench) -> None:
    """An upload for another key or part size is aborted by the id we wrote down, and a new one begins."""
    fail(bench, bench.item(BODY), ("part 3", LOST))
    deliver(bench, bench.again(), part_size=6 * MiB)
    assert bench.store.aborted == ["upload-1"]
    assert bench.store.objects[KEY].body == BODY


def test_another_file_never_gets_the_parts_of_the_first(bench: Bench) -> None:
    """The state is the file's: a new file under the name starts anew."""
    fail(bench, bench.item(BODY), ("part 3", LOST))
    body = os.urandom(len(BODY))
    (bench.directory / KEY).unlink()
    (bench.directory / "other").write_bytes(body)
    (bench.directory / "other").rename(bench.directory / KEY)
    deliver(bench, bench.again())
    assert bench.store.calls["parts"] == 0
    assert bench.store.objects[KEY].body == body


def test_a_changed_file_replaces_what_we_sent(bench: Bench) -> None:
    """Complete with If-Match on our own ETag."""
    item = bench.item(BODY)
    receipt = deliver(bench, item)
    bench.grow(item)
    assert item.changed()
    item.superseded = receipt
    deliver(bench, item)
    assert bench.store.objects[KEY].body == BODY + b"more"
    assert bench.store.asked[-1][1].if_match == f'"{receipt["etag"]}"'


def test_head_first(bench: Bench) -> None:
    """It asks before Create and before Complete, and sends no condition."""
    assert deliver(bench, bench.item(BODY), head_first=True)["atomic"] is False
    assert [name for name, _ in bench.store.asked if name != "part"] == ["head", "create", "head", "complete"]
    assert not bench.store.asked[-1][1].if_none_match


def test_head_first_refused(bench: Bench) -> None:
    """Nothing is sent blindly, nothing is overwritten."""
    bench.store.head_forbidden = True
    with pytest.raises(Temporary) as caught:
        deliver(bench, bench.item(BODY), head_first=True)
    assert caught.value.scope is Scope.UNSURE
    assert not bench.store.calls["create"]


def test_head_first_sees_what_came_meanwhile(bench: Bench) -> None:
    """Refused, not overwritten."""
    bench.store.hooks["part"] = lambda: bench.store.add(KEY, b"other")
    with pytest.raises(Permanent, match="refused"):
        deliver(bench, bench.item(BODY), head_first=True)
    assert bench.store.objects[KEY].body == b"other"


@pytest.mark.parametrize("kms", [False, True])
def test_proof_before_a_delete(bench: Bench, kms: bool) -> None:
    """The ETag that our own MD5 of the parts make; else HEAD with size and our mark."""
    bench.store.no_complete_etag = kms
    deliver(bench, bench.item(BODY), verify=True)
    assert bench.store.calls["head"] == 1 + kms


def test_sha256_in_the_key(bench: Bench) -> None:
    """The file is read once more, before."""
    assert deliver(bench, bench.item(BODY), key="{sha256}")["url"] == f"s3://bucket/{SHA}"


def test_a_permanent_refusal_gives_up(bench: Bench) -> None:
    """EntityTooLarge at Complete: the parts are removed."""
    bench.store.script.append(("complete", StoreError(400, "EntityTooLarge")))
    with pytest.raises(Permanent):
        deliver(bench, bench.item(BODY))
    assert bench.store.aborted == ["upload-1"]


def test_too_large_for_s3(bench: Bench) -> None:
    """Known before anything is asked."""
    item = bench.item(b"x")
    os.truncate(item.path, 0)
    item.size = 10_001 * (5 << 30)
    with pytest.raises(Permanent, match="too large"):
        deliver(bench, item)
    assert not bench.store.asked


def test_four_parts_at_a_time_and_bounded_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files share the lanes, and no more bodies are held than the budget says."""
    flying, most = 0, 0
    original = bench.store.part

    async def slow(request: Any) -> Any:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.15)
        flying -= 1
        return await original(request)

    monkeypatch.setattr(bench.store, "part", slow)
    items = [bench.item(BODY, "one"), bench.item(BODY, "two")]

    async def both(memory: int) -> None:
        delivery = bench.delivery(part_size=PART, multipart_threshold=PART, memory=memory)
        await asyncio.gather(*map(delivery, items))

    asyncio.run(both(256 * MiB))
    assert most == 4
    most = 0
    bench.store.objects.clear()
    for item in items:
        item.remember()
    asyncio.run(both(2 * PART))
    assert most == 2


def test_many_large_files_ask_a_few_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen that arrive together need no dozen connections for their questions."""
    asking, most = 0, 0

    def slowly(original: Any) -> Any:
        async def ask(*args: Any, **more: Any) -> Any:
            nonlocal asking, most
            asking += 1
            most = max(most, asking)
            try:
                await asyncio.sleep(0.01)
                return await original(*args, **more)
            finally:
                asking -= 1

        return ask

    monkeypatch.setattr(bench.store, "head", slowly(bench.store.head))
    monkeypatch.setattr(bench.store, "create", slowly(bench.store.create))
    items = [bench.item(BODY[: PART + number], str(number)) for number in range(12)]

    async def run() -> None:
        delivery = bench.delivery(part_size=PART, multipart_threshold=PART)
        await asyncio.gather(*map(delivery, items))

    asyncio.run(run())
    assert most == 4 and len(bench.store.objects) == 12


def test_cancelled_at_shutdown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: the note stays, lanes and memory are free again, and the adopter goes on."""
    item = bench.item(BODY)

    async def stuck(request: Any) -> Any:
        await asyncio.sleep(3600)

    async def interrupted() -> None:
        delivery = bench.delivery(part_size=PART, multipart_threshold=PART, memory=3 * PART)
        with monkeypatch.context() as patch:
            patch.setattr(bench.store, "part", stuck)
            task = asyncio.create_task(delivery(item))
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await delivery(bench.again())

    asyncio.run(interrupted())
    assert bench.store.calls["create"] == 1
    assert bench.store.objects[KEY].body == BODY
