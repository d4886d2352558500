"""The sample photos: what they show, and what is written in them."""

from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from jollyae.processors.photo import Picture
from jollyae.processors.photo.samples import CAMERAS, SCENES, make_samples
from tests.processors.photo.makers import Reading, decoded, difference

COUNT = 24


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Some, small."""
    return make_samples(tmp_path_factory.mktemp("samples") / "made", COUNT, side=480)


@pytest.fixture(scope="module")
def pictures(samples: list[Path], read: Reading) -> list[Picture]:
    """What is read of them."""
    return [read.path(path, path.name) for path in samples]


def test_they_are_the_same_each_time(samples: list[Path], tmp_path: Path) -> None:
    """Byte for byte: a demo that is run twice adds no photo twice."""
    again = make_samples(tmp_path, COUNT, side=480)
    assert [path.name for path in again] == [path.name for path in samples]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in samples]
    assert len({path.read_bytes() for path in again}) == COUNT


def test_they_have_what_cameras_write(pictures: list[Picture]) -> None:
    """Dates over some years in order, several cameras, positions, time zones, titles and keywords, but not on all."""
    taken = [datetime.fromisoformat(picture.taken) for picture in pictures]
    assert [one.replace(tzinfo=None) for one in taken] == sorted(one.replace(tzinfo=None) for one in taken)
    assert taken[-1].year - taken[0].year >= 4
    assert len({picture.camera["name"] for picture in pictures}) == len(CAMERAS)
    assert {"lens", "exposure", "aperture", "iso", "focal"} <= set(pictures[0].camera)
    for is_there in (
        [picture.gps is not None for picture in pictures],
        [one.tzinfo is not None for one in taken],
        [bool(picture.title) for picture in pictures],
        [bool(picture.keywords) for picture in pictures],
    ):
        assert 0 < sum(is_there) < COUNT


def test_all_orientations_stand_upright(samples: list[Path], pictures: list[Picture]) -> None:
    """Skies are above: a scene that lies on its side would look like no other of its kind."""
    assert {_orientation(path) for path in samples} == set(range(1, 9))
    dunes = [picture for number, picture in enumerate(pictures) if SCENES[number % len(SCENES)].title == "Dunes"]
    for picture in dunes:
        shown = decoded(picture, "thumb").convert("RGB")
        top, bottom = shown.crop((0, 0, shown.width, 9)), shown.crop((0, shown.height - 9, *shown.size))
        assert ImageStat.Stat(top).mean[2] > ImageStat.Stat(top).mean[0]  # blue
        assert ImageStat.Stat(bottom).mean[0] > ImageStat.Stat(bottom).mean[2]  # sand


def _orientation(path: Path) -> int:
    with Image.open(path) as image:
        return int(image.getexif()[274])


def test_they_lie_and_stand(pictures: list[Picture]) -> None:
    """Some of each, whatever way they are stored."""
    standing = [picture for picture in pictures if picture.height > picture.width]
    assert 0 < len(standing) < COUNT
    assert {(picture.width, picture.height) for picture in pictures} == {(480, 360), (360, 480)}


def test_no_two_scenes_look_alike(pictures: list[Picture]) -> None:
    """Nine scenes are nine pictures."""
    shown = [decoded(picture, "thumb").convert("RGB").resize((64, 64)) for picture in pictures[: len(SCENES)]]
    assert all(difference(one, other) > 10 for one in shown for other in shown if one is not other)
