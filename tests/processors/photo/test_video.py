"""Videos: what ffprobe tells, one frame by ffmpeg; and what becomes of them without these programs."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jollyae.processors.photo import reading, video
from jollyae.processors.photo.dates import file_time
from jollyae.spool.outcomes import Permanent
from tests.processors.photo.makers import MTIME, Reading, alone, decoded, difference, encoded, scene

needs_ffmpeg = pytest.mark.skipif(video.programs() is None, reason="ffmpeg is not installed")
QUARTERS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
MP4 = b"\0\0\0\x18ftypisom\0\0\0\0isommp41" + b"\0\0\0\x08moov"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of two seconds: four colours, black at its very beginning, turned by a quarter."""
    directory = tmp_path_factory.mktemp("film")
    (directory / "scene.png").write_bytes(encoded(scene((640, 360)), "PNG"))
    still = ["-loop", "1", "-t", "2", "-i", directory / "scene.png", "-vf", "fade=in:st=0:d=0.5", "-r", "10"]
    _ffmpeg(*still, "-c:v", "mpeg4", "-q:v", "2", directory / "lies.mp4")
    told = ["-metadata", "creation_time=2026-05-01T10:00:00Z", "-metadata", "location=+48.8582+002.2945/"]
    turn = ["-metadata:s:v:0", "rotate=90"]
    _ffmpeg("-i", directory / "lies.mp4", *told, *turn, "-c", "copy", directory / "film.mp4")
    return directory / "film.mp4"


def _ffmpeg(*words: Any) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, words)], check=True, timeout=60)


@pytest.mark.real
@needs_ffmpeg
def test_a_film(read: Reading, film: Path) -> None:
    """A frame after its dark beginning, upright; its time, its place, its size as people see it."""
    picture = read.path(film, "film.jpg")
    assert (picture.kind, picture.extension, picture.mime, picture.trouble) == ("video", "mp4", "video/mp4", "")
    assert (picture.width, picture.height) == (360, 640)
    assert picture.taken == "2026-05-01T10:00:00+00:00"
    assert picture.gps == {"latitude": 48.8582, "longitude": 2.2945}
    assert picture.exif["VideoCodec"] == "mpeg4"
    shown = decoded(picture)
    assert shown.size == (360, 640)
    assert any(difference(shown, scene((640, 360)).transpose(turn)) < 10 for turn in QUARTERS)


@pytest.mark.real
@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "codec", "mime"),
    [
        ("film.mov", "mpeg4", "video/quicktime"),
        ("film.mkv", "mpeg4", "video/x-matroska"),
        ("film.webm", "libvpx", "video/webm"),
        ("film.avi", "mpeg4", "video/x-msvideo"),
        ("film.ts", "mpeg2video", "video/mp2t"),
        ("film.mpg", "mpeg2video", "video/mpeg"),
        ("film.wmv", "wmv2", "video/x-ms-wmv"),
        ("film.flv", "flv", "video/x-flv"),
    ],
)
def test_every_container(read: Reading, film: Path, tmp_path: Path, name: str, codec: str, mime: str) -> None:
    """By its content; a film so short that there is no second second has its first frame."""
    _ffmpeg("-i", film, "-t", "0.6", "-r", "25", "-c:v", codec, tmp_path / name)
    picture = read.path(tmp_path / name)
    assert (picture.kind, picture.mime, picture.extension, picture.trouble) == ("video", mime, name[5:], "")
    assert set(picture.renditions) == {"medium", "thumb"}


@pytest.mark.real
@needs_ffmpeg
def test_sound_in_a_films_container(read: Reading, tmp_path: Path) -> None:
    """Is kept, and its trouble says that there is nothing to see."""
    _ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac", tmp_path / "sound.mp4")
    picture = read.path(tmp_path / "sound.mp4")
    assert not picture.renditions
    assert "no video" in picture.trouble


@pytest.mark.real
@needs_ffmpeg
def test_a_damaged_film_is_kept(read: Reading, film: Path) -> None:
    """Its trouble says why nothing is shown."""
    content = film.read_bytes()
    place = content.index(b"moov") + 4
    picture = read(content[:place] + bytes(len(content) - place))
    assert picture.kind == "video" and not picture.renditions
    assert picture.trouble.startswith("no frame of it can be shown: ")
    assert picture.taken == file_time(MTIME)


@pytest.mark.real
@needs_ffmpeg
def test_a_film_that_was_cut_off_is_refused(read: Reading, film: Path) -> None:
    """It can be copied again."""
    with pytest.raises(Permanent, match="cut off"):
        read(film.read_bytes()[:-100])


@pytest.mark.real
@needs_ffmpeg
def test_a_film_that_names_another_file_does_not_show_it(read: Reading, film: Path, tmp_path: Path) -> None:
    """A playlist with a film's beginning, or in its place, leads nowhere."""
    playlist = f"#EXTM3U\n#EXTINF:1,\nfile://{film}\n#EXT-X-ENDLIST\n".encode()
    with pytest.raises(Permanent):
        read(playlist, "film.mp4")
    assert not read(MP4 + playlist.rjust(64)[:0] + b"\0\0\0\0mdat" + playlist, "film.mp4").renditions


def test_without_ffmpeg_a_film_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trouble says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("ffmpeg") is None
    picture = alone(MP4, tmp_path, reading.read)
    assert (picture.kind, picture.mime, picture.size) == ("video", "video/mp4", len(MP4))
    assert "Install ffmpeg" in picture.trouble


# --- what ffprobe says


def _told(**more: Any) -> dict[str, Any]:
    stream = {"codec_type": "video", "codec_name": "h264", "width": 1920, "height": 1080, **more.pop("stream", {})}
    return {"streams": [{"codec_type": "audio"}, stream], "format": {"duration": "12.34", "tags": {}, **more}}


def test_what_a_phone_writes() -> None:
    """Its own time with the zone before the common one in UTC; camera and place."""
    tags = {
        "creation_time": "2026-05-01T10:00:00.000000Z",
        "com.apple.quicktime.creationdate": "2026-05-01T12:00:00+0200",
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 15",
        "com.apple.quicktime.location.ISO6709": "+48.8582+002.2945+035.000/",
    }
    found = video.facts(_told(tags=tags, stream={"side_data_list": [{"rotation": -90}]}))
    assert (found.width, found.height, found.taken) == (1080, 1920, "2026-05-01T12:00:00+02:00")
    assert found.camera["name"] == "Apple iPhone 15"
    assert found.gps == {"latitude": 48.8582, "longitude": 2.2945, "altitude": 35.0}
    assert found.texts["Duration"] == "12.3 s"


@pytest.mark.parametrize(
    "told",
    [
        _told(tags=None, duration="x"),
        _told(tags=[1, 2], duration=None),
        _told(tags={"creation_time": 5, "location": "somewhere"}),
        _told(stream={"width": "wide", "height": -1, "side_data_list": [None, {"rotation": "x"}]}),
        {"streams": [None, 5, {"codec_type": "video"}], "format": None},
    ],
)
def test_rubbish_is_passed_over(told: dict[str, Any]) -> None:
    """What is not known is left out."""
    found = video.facts(told)
    assert found.gps is None and not found.taken and not found.camera


@pytest.mark.parametrize("told", [{}, {"streams": []}, {"streams": [{"codec_type": "audio"}]}])
def test_no_video_in_it(told: dict[str, Any]) -> None:
    """Sound alone shows nothing."""
    with pytest.raises(video.NoFrame):
        video.facts(told)
