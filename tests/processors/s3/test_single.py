"""Small items: one conditional PUT, and what 412, 409, 403 and a changed file mean."""

import asyncio
import hashlib
import os
from typing import Any

import pytest

from jollyae.processors.s3 import checksums
from jollyae.processors.s3.transport import Attributes, Found, Stored, StoreError
from jollyae.spool.item import Item
from jollyae.spool.outcomes import Permanent, Scope, Temporary

from .fake import Bench, Object, b64

BODY = b"hello"
SHA = hashlib.sha256(BODY).hexdigest()
LOST = StoreError(None, "closed", "the connection was closed")


def deliver(bench: Bench, item: Item, **options: Any) -> dict[str, Any]:
    """One attempt."""
    return asyncio.run(bench.delivery(**options)(item))


def test_the_receipt(bench: Bench) -> None:
    """It names the object, its size, digest and ETag, and nothing that does not apply."""
    receipt = deliver(bench, bench.item(BODY), prefix="in")
    etag = hashlib.md5(BODY).hexdigest()
    assert receipt == {"url": "s3://bucket/in/a/b.txt", "size": 5, "sha256": SHA, "etag": etag}


def test_what_is_sent(bench: Bench) -> None:
    """If-None-Match, the checksum as a header, and the metadata that brings a file back."""
    deliver(bench, bench.item(BODY))
    [(_, put)] = bench.store.asked
    assert put.if_none_match and not put.if_match
    assert (put.checksum.algorithm, put.checksum.value) == ("sha256", b64(bytes.fromhex(SHA)))
    assert put.attributes.metadata == {"mtime": "1795305598.1234567", "mode": "100640", "jollyae-sha256": SHA}
    assert put.attributes.content_type == "text/plain"
    assert put.attributes.acl == ""


def test_an_empty_file(bench: Bench) -> None:
    """0 bytes are an object too."""
    assert deliver(bench, bench.item(b""))["size"] == 0


@pytest.mark.parametrize("algorithm", ["md5", "crc32", "none"])
def test_checksum_algorithms(bench: Bench, algorithm: str) -> None:
    """The chosen checksum goes with the request and into the receipt."""
    receipt = deliver(bench, bench.item(BODY), checksum_algorithm=algorithm)
    [(_, put)] = bench.store.asked
    if algorithm == "none":
        assert put.checksum is None
    else:
        assert receipt[f"checksum_{algorithm}"] == put.checksum.value


def test_a_412_that_is_our_own_write(bench: Bench) -> None:
    """The answer to a PUT was lost; the next attempt finds the same bytes and is done."""
    bench.store.script.append(("put after", LOST))
    item = bench.item(BODY)
    with pytest.raises(Temporary) as caught:
        deliver(bench, item)
    assert caught.value.scope is Scope.DESTINATION
    assert deliver(bench, item)["already_there"] is True
    assert bench.store.calls == {"put": 2, "head": 1}


@pytest.mark.parametrize("kept", ["metadata", "checksum", "etag"])
def test_equal_bytes_of_anybody_are_ours(bench: Bench, kept: str) -> None:
    """Digest metadata, else the store's checksum, else an MD5-shaped ETag: any proves it, whoever wrote them."""
    bench.store.objects["a/b.txt"] = Object(
        BODY,
        hashlib.md5(BODY).hexdigest() if kept == "etag" else "0" * 32,
        Attributes(metadata={"jollyae-sha256": SHA} if kept == "metadata" else {}),
        {"sha256": b64(bytes.fromhex(SHA))} if kept == "checksum" else {},
    )
    assert deliver(bench, bench.item(BODY))["already_there"] is True


@pytest.mark.parametrize("body", [b"other", b"a longer one"])
def test_other_content_is_refused(bench: Bench, body: bytes) -> None:
    """Nothing is overwritten; the item fails with a hint that names the ways out."""
    bench.store.add("a/b.txt", body)
    with pytest.raises(Permanent, match=r"refused: s3://bucket/a/b\.txt: it exists with other content") as caught:
        deliver(bench, bench.item(BODY))
    assert "--if-exists overwrite, --if-exists keep-both" in caught.value.hint
    assert bench.store.objects["a/b.txt"].body == body


def test_overwrite(bench: Bench) -> None:
    """Asked for, it is an unconditional PUT."""
    bench.store.add("a/b.txt", b"other")
    deliver(bench, bench.item(BODY), if_exists="overwrite")
    assert bench.store.objects["a/b.txt"].body == BODY
    assert bench.store.calls == {"put": 1}


def test_keep_both(bench: Bench) -> None:
    """The second one gets a key of its own, the same at a repeat."""
    bench.store.add("a/b.txt", b"other")
    item = bench.item(BODY)
    first = deliver(bench, item, if_exists="keep-both")
    assert first["url"] == f"s3://bucket/a/b-{SHA[:8]}.txt"
    assert bench.store.objects[f"a/b-{SHA[:8]}.txt"].attributes.metadata["jollyae-name"] == "a/b.txt"
    assert deliver(bench, item, if_exists="keep-both") == {**first, "already_there": True}
    assert bench.store.objects["a/b.txt"].body == b"other"


def test_keep_both_where_both_are_taken(bench: Bench) -> None:
    """Even that key is never overwritten."""
    bench.store.add("a/b.txt", b"other")
    bench.store.add(f"a/b-{SHA[:8]}.txt", b"third")
    with pytest.raises(Permanent, match="refused"):
        deliver(bench, bench.item(BODY), if_exists="keep-both")


def test_409_is_again(bench: Bench) -> None:
    """A concurrent write is neither a collision nor the store's illness."""
    bench.store.script.append(("put", StoreError(409, "ConditionalRequestConflict")))
    with pytest.raises(Temporary) as caught:
        deliver(bench, bench.item(BODY))
    assert (caught.value.scope, caught.value.after) == (Scope.ITEM, 0.2)


def test_head_refused(bench: Bench) -> None:
    """A 412 that we may not look into defers that item alone and says which right is missing."""
    bench.store.add("a/b.txt", b"other")
    bench.store.head_forbidden = True
    with pytest.raises(Temporary) as caught:
        deliver(bench, bench.item(BODY))
    assert caught.value.scope is Scope.ITEM
    assert "s3:GetObject" in caught.value.hint


def test_gone_before_we_looked(bench: Bench) -> None:
    """Deleted between PUT and HEAD: again."""
    bench.store.add("a/b.txt", b"other")
    bench.store.hooks["head"] = bench.store.objects.clear
    with pytest.raises(Temporary, match="is gone"):
        deliver(bench, bench.item(BODY))


def changed_after_delivery(bench: Bench, **options: Any) -> tuple[Item, dict[str, Any]]:
    """The worker's part: delivered, seen to have changed, given again."""
    item = bench.item(BODY)
    receipt = deliver(bench, item, **options)
    bench.grow(item)
    assert item.changed()
    item.superseded = receipt
    return item, receipt


@pytest.mark.parametrize("unquoted", [False, True])
@pytest.mark.parametrize("head_first", [False, True])
def test_a_changed_file_replaces_what_we_sent(bench: Bench, unquoted: bool, head_first: bool) -> None:
    """It goes over our own object by If-Match, also where the store compares the ETag with its quotes (RGW 16)."""
    bench.store.unquoted_if_match = unquoted
    item, _ = changed_after_delivery(bench, head_first=head_first)
    deliver(bench, item, head_first=head_first)
    assert bench.store.objects["a/b.txt"].body == b"hellomore"


def test_a_changed_file_never_replaces_somebody_elses(bench: Bench) -> None:
    """If somebody overwrote ours meanwhile, theirs stays."""
    item, _ = changed_after_delivery(bench)
    bench.store.add("a/b.txt", b"theirs")
    with pytest.raises(Permanent, match="refused"):
        deliver(bench, item)
    assert bench.store.objects["a/b.txt"].body == b"theirs"


def test_a_changed_file_whose_object_was_deleted(bench: Bench) -> None:
    """Then it is put as new."""
    item, _ = changed_after_delivery(bench)
    bench.store.objects.clear()
    deliver(bench, item)
    assert bench.store.objects["a/b.txt"].body == b"hellomore"


def test_a_lost_answer_to_the_second_put(bench: Bench) -> None:
    """The repeat finds the new bytes and is done."""
    item, _ = changed_after_delivery(bench)
    bench.store.script.append(("put after", LOST))
    with pytest.raises(Temporary):
        deliver(bench, item)
    assert deliver(bench, item)["already_there"] is True


def test_what_was_there_before_us_is_not_ours_to_replace(bench: Bench) -> None:
    """The same bytes lay there already; our file changed then: a collision."""
    bench.store.add("a/b.txt", BODY)
    item, receipt = changed_after_delivery(bench)
    assert receipt["already_there"]
    with pytest.raises(Permanent, match="refused"):
        deliver(bench, item)


def test_a_file_that_grew_since_the_claim(bench: Bench) -> None:
    """What is read is not what was claimed: again, and nothing is sent."""
    item = bench.item(BODY)
    bench.grow(item)
    with pytest.raises(Temporary, match="changed while it was read") as caught:
        deliver(bench, item)
    assert caught.value.scope is Scope.ITEM and caught.value.after
    assert not bench.store.asked


def test_head_first(bench: Bench) -> None:
    """It asks before, sends no condition, and says that this is not atomic."""
    item = bench.item(BODY)
    assert deliver(bench, item, head_first=True)["atomic"] is False
    assert [name for name, _ in bench.store.asked] == ["head", "put"]
    assert not bench.store.asked[1][1].if_none_match
    assert deliver(bench, item, head_first=True)["already_there"] is True
    bench.store.add("a/b.txt", b"other")
    with pytest.raises(Permanent, match="refused"):
        deliver(bench, item, head_first=True)
    assert bench.store.calls["put"] == 1


def test_head_first_refused(bench: Bench) -> None:
    """As the first question a 403 may be the credentials' fault: three items in a row pause the destination."""
    bench.store.head_forbidden = True
    with pytest.raises(Temporary) as caught:
        deliver(bench, bench.item(BODY), head_first=True)
    assert caught.value.scope is Scope.UNSURE
    assert "credentials (access key, secret)" in caught.value.hint  # "keys" may be those of objects
    assert not bench.store.calls["put"]


def test_a_network_fault_while_we_look_is_no_collision(bench: Bench) -> None:
    """The same bytes, told only by a second HEAD, which fails: again, and nothing goes to failed/."""
    bench.store.objects["a/b.txt"] = Object(BODY, "opaque", Attributes(), {"sha256": b64(bytes.fromhex(SHA))})
    bench.store.hooks["head"] = lambda: bench.store.hooks.update(head=lambda: bench.store.script.append(("head", LOST)))
    item = bench.item(BODY)
    with pytest.raises(Temporary):
        deliver(bench, item)
    assert deliver(bench, item)["already_there"] is True


@pytest.mark.parametrize("etag", ["", "0" * 32])
def test_head_first_overwrites_nothing_by_an_etag_alone(bench: Bench, etag: str) -> None:
    """An object without an ETag is not what we put."""
    bench.store.objects["a/b.txt"] = Object(b"other", etag, Attributes())
    with pytest.raises(Permanent):
        deliver(bench, bench.item(BODY), head_first=True)


def test_a_store_without_conditions(bench: Bench) -> None:
    """501 pauses the destination with the option that helps."""
    bench.store.script.append(("put", StoreError(501, "NotImplemented")))
    with pytest.raises(Temporary) as caught:
        deliver(bench, bench.item(BODY))
    assert caught.value.scope is Scope.DESTINATION and "--head-first" in caught.value.hint


def test_a_returned_checksum_must_be_ours(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one means that the store has other bytes."""
    bench.store.stores_checksums = True
    monkeypatch.setattr(bench.store, "_checksums", lambda request: {"sha256": "AAAA"})
    with pytest.raises(Temporary, match="the store has other bytes"):
        deliver(bench, bench.item(BODY))


def spoil(bench: Bench, body: bytes) -> None:
    """The store keeps other bytes than it was sent, under their ETag and checksum."""
    there = bench.store.objects["a/b.txt"]
    there.body, there.etag = body, hashlib.md5(body).hexdigest()
    there.checksums = {"sha256": b64(hashlib.sha256(body).digest())}


@pytest.mark.parametrize("stored", [b"jello", b"hel"])
def test_what_the_store_damaged_is_replaced(bench: Bench, monkeypatch: pytest.MonkeyPatch, stored: bytes) -> None:
    """The checksum it returns is not ours. The next attempt, which meets the object under our own digest, puts the
    bytes over exactly that one."""
    put = bench.store.put

    async def damaging(request: Any) -> Stored:
        await put(request)
        spoil(bench, stored)
        there = bench.store.objects["a/b.txt"]
        return Stored(etag=there.etag, checksums=there.checksums)

    monkeypatch.setattr(bench.store, "put", damaging)
    with pytest.raises(Temporary, match="the store has other bytes"):
        deliver(bench, bench.item(BODY))
    monkeypatch.undo()
    assert deliver(bench, bench.again())["etag"] == hashlib.md5(BODY).hexdigest()
    assert bench.store.objects["a/b.txt"].body == BODY
    assert bench.store.asked[-1][1].if_match == f'"{hashlib.md5(stored).hexdigest()}"'


@pytest.mark.parametrize("stored", [b"jello", b"hel"])
def test_our_digest_does_not_prove_other_bytes(bench: Bench, stored: bytes) -> None:
    """The metadata tells what was sent, not what is there: the store damaged it unseen, or somebody edited it and kept
    the metadata. It is no delivery, and not ours to replace."""
    bench.store.script.append(("put after", LOST))
    item = bench.item(BODY)
    with pytest.raises(Temporary):
        deliver(bench, item)
    spoil(bench, stored)
    with pytest.raises(Permanent, match="it has this file's digest, but other bytes") as caught:
        deliver(bench, item)
    assert "jollyae retry" in caught.value.hint
    assert bench.store.objects["a/b.txt"].body == stored


def test_our_digest_is_believed_where_no_checksum_says_more(bench: Bench) -> None:
    """An ETag that is no MD5 (SSE-KMS) refutes nothing; the store's checksum is asked for once."""
    bench.store.kms = True
    bench.store.script.append(("put after", LOST))
    item = bench.item(BODY)
    with pytest.raises(Temporary):
        deliver(bench, item)
    assert deliver(bench, item)["already_there"] is True
    assert bench.store.calls == {"put": 2, "head": 2}


def test_a_store_that_contradicts_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our digest, our ETag, and another size: that is no collision. It is asked again."""
    deliver(bench, bench.item(BODY))
    head = bench.store.head

    async def lying(key: str, *, checksums: bool = False) -> Found:
        found = await head(key, checksums=checksums)
        return Found(size=found.size + 7, etag=found.etag, metadata=found.metadata)

    monkeypatch.setattr(bench.store, "head", lying)
    with pytest.raises(Temporary, match="contradicts itself") as caught:
        deliver(bench, bench.item(BODY))
    assert caught.value.scope is Scope.ITEM


def test_an_answer_without_an_etag(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no S3 store's: three items that meet it make it the destination's fault."""

    async def portal(request: Any) -> Stored:
        return Stored(etag="")

    monkeypatch.setattr(bench.store, "put", portal)
    with pytest.raises(Temporary, match="no acknowledgement") as caught:
        deliver(bench, bench.item(BODY))
    assert caught.value.scope is Scope.UNSURE


@pytest.mark.parametrize(("kms", "checksums", "heads"), [(False, False, 0), (True, True, 0), (True, False, 1)])
def test_proof_before_a_delete(bench: Bench, kms: bool, checksums: bool, heads: int) -> None:
    """The store's checksum, else an ETag that is our MD5, else HEAD with size and digest."""
    bench.store.kms, bench.store.stores_checksums = kms, checksums
    deliver(bench, bench.item(BODY), verify=True)
    assert bench.store.calls["head"] == heads


def test_no_proof_no_delete(bench: Bench) -> None:
    """Where HEAD tells another digest the item stays."""
    bench.store.kms = True
    bench.store.hooks["head"] = lambda: bench.store.add("a/b.txt", b"jello")
    with pytest.raises(Temporary, match="not proved"):
        deliver(bench, bench.item(BODY), verify=True)


@pytest.mark.parametrize("known", [True, False])
def test_an_etag_refutes_before_a_delete(bench: Bench, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """Size and digest in HEAD are what we sent. Where ETags have been MD5s, one that is not ours shows other bytes;
    where none was (SSE-KMS, it may be), HEAD must do."""
    put = bench.store.put

    async def damaging(request: Any) -> Stored:
        await put(request)
        spoil(bench, b"jello")
        return Stored(etag=hashlib.md5(b"jello").hexdigest())

    async def both() -> dict[str, Any]:
        delivery = bench.delivery(verify=True)
        if known:
            await delivery(bench.item(BODY, "a/first"))
        monkeypatch.setattr(bench.store, "put", damaging)
        return await delivery(bench.item(BODY))

    if known:
        with pytest.raises(Temporary, match="the store has other bytes"):
            asyncio.run(both())
        assert bench.again().memory["damaged"]["etag"] == hashlib.md5(b"jello").hexdigest()
    else:
        assert asyncio.run(both())["size"] == 5


def test_sha256_in_the_key(bench: Bench) -> None:
    """The content may be the key."""
    assert deliver(bench, bench.item(BODY), key="{sha256}{ext}")["url"] == f"s3://bucket/{SHA}.txt"


def test_bandwidth_is_asked_for_before_a_body_is_sent(bench: Bench) -> None:
    """The limiter hears of every byte, and first."""

    class Limiter:
        taken = 0

        async def take(self, n_bytes: int) -> None:
            assert not bench.store.asked
            self.taken += n_bytes

    limiter = Limiter()
    deliver(bench, bench.item(BODY), limiter=limiter)
    assert limiter.taken == 5


def test_progress(bench: Bench) -> None:
    """A delivered item is sent to its last byte."""
    item = bench.item(BODY * 100_000)
    deliver(bench, item)
    assert item.sent == 500_000


def test_a_store_that_honours_the_condition_is_asked_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Where it is to be proved, the first object is put twice; a 412 settles it, and nothing is said."""
    delivery = bench.delivery()
    delivery._target.is_unproved = True
    for name in ("a", "b"):
        asyncio.run(delivery(bench.item(BODY, name)))
    assert [put.key for _, put in bench.store.asked] == ["a", "a", "b"]
    assert caplog.text == ""


def test_a_store_that_ignores_the_condition_is_told(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the same bytes may be put again, the operator hears that other content would be overwritten too."""
    monkeypatch.setattr(bench.store, "_check_conditions", lambda request: None)
    delivery = bench.delivery()
    delivery._target.is_unproved = True
    assert asyncio.run(delivery(bench.item(BODY)))["size"] == len(BODY)
    assert "ignores If-None-Match" in caplog.text


def test_no_answer_proves_nothing(bench: Bench) -> None:
    """When the second PUT is lost, the item is delivered all the same, and the next one is asked with."""
    delivery = bench.delivery()
    delivery._target.is_unproved = True
    put = bench.store.put
    calls = []

    async def flaky(request: Any) -> Any:
        calls.append(request.key)
        if len(calls) == 2:
            raise LOST
        return await put(request)

    bench.store.put = flaky  # type: ignore[method-assign]
    asyncio.run(delivery(bench.item(BODY, "a")))
    asyncio.run(delivery(bench.item(BODY, "b")))
    assert calls == ["a", "a", "b", "b"]


@pytest.mark.parametrize("algorithm", ["auto", "sha256", "crc32", "md5", "none"])
@pytest.mark.parametrize("size", [262_144, 262_145, 524_288, 3_000_001])
def test_what_is_hashed_while_it_is_read(bench: Bench, size: int, algorithm: str) -> None:
    """Around the sizes at which it is read otherwise: the same bytes, digest and checksum."""
    body = os.urandom(size)
    receipt = deliver(bench, bench.item(body), checksum_algorithm=algorithm)
    [put] = [request for name, request in bench.store.asked if name == "put"]
    assert (put.body, receipt["sha256"]) == (body, hashlib.sha256(body).hexdigest())
    assert put.checksum == checksums.of(body, checksums.for_whole(algorithm))


@pytest.mark.parametrize("to", [0, 100_000, 3_000_001, 3_000_005])
def test_a_long_file_that_has_another_size(bench: Bench, to: int) -> None:
    """It is told before anything is sent."""
    item = bench.item(bytes(3_000_000))
    os.truncate(item.path, to)
    with pytest.raises(Temporary, match="changed while it was read"):
        deliver(bench, item)
    assert not bench.store.asked
