"""Raw files: the camera's own preview, upright, with the file's tags."""

import importlib.util

import pytest
from PIL import Image

from jollyae.spool.outcomes import Permanent
from tests.processors.photo.dng import dng
from tests.processors.photo.makers import Reading, decoded, difference, scene

pytestmark = pytest.mark.skipif(importlib.util.find_spec("rawpy") is None, reason="the extra raw is not installed")


def test_a_raw_file(read: Reading) -> None:
    """Its preview is shown; the file's own tags tell when and by what."""
    picture = read(dng(), "IMG_0001.jpg")
    assert (picture.extension, picture.mime, picture.kind) == ("dng", "image/x-adobe-dng", "image")
    assert (picture.width, picture.height, picture.trouble) == (320, 240, "")
    assert picture.taken == "2026-05-01T12:34:56"
    assert picture.camera["name"] == "Maker One"
    assert difference(decoded(picture), scene((320, 240))) < 4


@pytest.mark.parametrize(("orientation", "turn"), [(3, 3), (6, 4), (8, 2)])
def test_a_raw_file_is_turned_upright(read: Reading, orientation: int, turn: int) -> None:
    """As its tags say: its preview lies as the sensor did."""
    upright = scene((320, 240)).transpose(Image.Transpose(turn))
    picture = read(dng(orientation=orientation))
    assert (picture.width, picture.height) == upright.size
    assert difference(decoded(picture), upright) < 4


def test_a_raw_file_without_a_preview_is_kept(read: Reading) -> None:
    """Nothing is developed here: its trouble says so."""
    picture = read(dng(preview=False))
    assert not picture.renditions
    assert "no preview" in picture.trouble


def test_a_raw_file_that_was_cut_off(read: Reading) -> None:
    """Is refused, also where only the sensor's pixels are missing, which nobody here looks at."""
    content = dng()
    for place in (9, 100, 500, 2000, len(content) // 2, len(content) - 1):
        with pytest.raises(Permanent, match="cut off" if place > 400 else "decoded|cut off"):
            read(content[:place], "photo.dng")
