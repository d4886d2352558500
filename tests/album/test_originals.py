"""Originals: their keys are functions of the content, and what is at a key can be read back, from anywhere."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jollyae.album import originals
from jollyae.album.originals import DirectoryOriginals, Kept
from jollyae.album.store import Missing, StoreError

ID = "0123456789abcdef" * 4
KEY = f"originals/01/{ID}.jpg"


@given(st.binary(min_size=32, max_size=32), st.from_regex(r"[a-z0-9]{1,10}", fullmatch=True))
def test_a_key_tells_digest_and_extension(digest: bytes, extension: str) -> None:
    """What a key is made of can be read from it."""
    assert originals.parse(originals.key(digest.hex(), extension)) == (digest.hex(), extension)


@pytest.mark.parametrize(
    ("sha256", "extension"),
    [("", "jpg"), (ID[:-1], "jpg"), (ID.upper(), "jpg"), (ID, ""), (ID, "../x"), (ID, "JPG"), ("../" + ID[3:], "jpg")],
)
def test_no_key_leads_elsewhere(sha256: str, extension: str) -> None:
    """What is no digest or no extension makes no key: a document from another server leads nowhere else."""
    with pytest.raises(ValueError, match="no original"):
        originals.key(sha256, extension)
    with pytest.raises(ValueError, match="no original"):
        originals.key_of({"_id": sha256, "extension": extension})


def _filled(root: Path) -> DirectoryOriginals:
    (root / "originals" / "01").mkdir(parents=True)
    (root / KEY).write_bytes(b"0123456789" * 300_000)
    (root / "originals" / "01" / ".jollyae-x.tmp").write_bytes(b"half")
    (root / "originals" / "litter").write_bytes(b"")
    return DirectoryOriginals(str(root))


async def _read(place: DirectoryOriginals, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in place.read(key, start, end)])


def test_a_directory_is_read(tmp_path: Path) -> None:
    """Sizes, whole files, parts of them, and the list of what is there, without what is no original."""

    async def look() -> None:
        place = _filled(tmp_path)
        assert await place.size(KEY) == 3_000_000
        assert await place.size(KEY.replace("jpg", "png")) is None
        assert await _read(place, KEY) == b"0123456789" * 300_000
        assert await _read(place, KEY, 5, 12) == b"5678901"
        assert await _read(place, KEY, 2_999_999, 9_000_000) == b"9"
        assert [kept async for kept in place.listed()] == [Kept(KEY, 3_000_000)]
        with pytest.raises(Missing):
            await _read(place, KEY.replace("jpg", "png"))

    asyncio.run(look())


def test_a_directory_that_is_gone_is_the_worlds_fault(tmp_path: Path) -> None:
    """An unmounted disk does not make all originals missing."""

    async def look() -> None:
        place = DirectoryOriginals(str(tmp_path / "gone"))
        for ask in (place.size(KEY), _read(place, KEY)):
            with pytest.raises(StoreError) as caught:
                await ask
            assert caught.value.is_temporary and not isinstance(caught.value, Missing)
        with pytest.raises(StoreError):
            [kept async for kept in place.listed()]

    asyncio.run(look())
