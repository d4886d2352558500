"""A video: what ffprobe tells of it, and one frame by ffmpeg, where they are installed.

The programs are given the descriptor of the file and nothing else: the kind of container is told them, so that no
playlist is followed, and they may open no network.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import dates
from .tags import clean

HINT = "Install ffmpeg (with ffprobe), then let the album make it again."
_FRAME_AT = (1.0, 0.0)
"""Seconds from the beginning: the first frame is often black, and a very short video has no other."""
_LARGEST_ANSWER = 1 << 18
_MOST_SIDE = 16_384

_PLACE = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)([+-]\d{1,6}(?:\.\d+)?)?")


class NoFrame(Exception):
    """There is no frame to show; the text says why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a video: pixels (upright), when it was taken ('': unknown), where, by what, and all as texts."""

    width: int = 0
    height: int = 0
    taken: str = ""
    gps: dict[str, float] | None = None
    camera: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


def programs() -> tuple[str, str] | None:
    """The paths of ffmpeg and ffprobe; None where one is missing."""
    found = shutil.which("ffmpeg"), shutil.which("ffprobe")
    return (found[0], found[1]) if found[0] and found[1] else None


def probe(ffprobe: str, descriptor: int, demuxer: str, seconds: float) -> Facts:
    """What ffprobe tells. Raises :class:`NoFrame` where it says that there is no video in it."""
    command = [ffprobe, *_source(descriptor, demuxer), "-of", "json", "-show_format", "-show_streams"]
    try:
        told = json.loads(_run(command, descriptor, seconds)[:_LARGEST_ANSWER] or b"{}")
    except ValueError as error:
        raise NoFrame(f"ffprobe's answer is no JSON: {error}") from error
    return facts(told)


def facts(told: Mapping[str, Any]) -> Facts:
    """What ffprobe's answer says. Raises :class:`NoFrame`."""
    streams = [one for one in told.get("streams") or [] if isinstance(one, dict)]
    video = next((one for one in streams if one.get("codec_type") == "video"), None)
    if video is None:
        raise NoFrame("there is no video in it")
    container = told.get("format") or {}
    tags = {**_tags(video), **_tags(container)}
    width, height = _side(video.get("width")), _side(video.get("height"))
    if _is_turned(video):
        width, height = height, width
    make, model = tags.get("com.apple.quicktime.make", ""), tags.get("com.apple.quicktime.model", "")
    camera = {"name": clean(f"{make} {model}"), "make": make, "model": model}
    texts = {
        "Duration": _seconds(container.get("duration")),
        "VideoCodec": clean(str(video.get("codec_name") or "")),
        "FrameRate": clean(str(video.get("avg_frame_rate") or "")),
    }
    return Facts(
        width,
        height,
        dates.parse(tags.get("com.apple.quicktime.creationdate")) or dates.parse(tags.get("creation_time")),
        _place(tags.get("com.apple.quicktime.location.iso6709") or tags.get("location") or ""),
        {name: text for name, text in camera.items() if text},
        {name: text for name, text in texts.items() if text},
    )


def _tags(part: Mapping[str, Any]) -> dict[str, str]:
    found = part.get("tags")
    return {str(name).lower(): clean(str(value)) for name, value in found.items()} if isinstance(found, dict) else {}


def _side(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value <= _MOST_SIDE else 0


def _is_turned(video: Mapping[str, Any]) -> bool:
    """Whether it lies on its side: phones film so and write down how to turn it."""
    notes = [one for one in video.get("side_data_list") or [] if isinstance(one, dict)]
    rotations = [one["rotation"] for one in notes if isinstance(one.get("rotation"), int | float)]
    return any(round(abs(one)) % 180 == 90 for one in rotations)


def _seconds(value: Any) -> str:
    try:
        return f"{float(value):.1f} s"
    except (TypeError, ValueError):
        return ""


def _place(text: str) -> dict[str, float] | None:
    """A place as ISO 6709 writes it.

    >>> _place("+48.8582+002.2945+035.0/")
    {'latitude': 48.8582, 'longitude': 2.2945, 'altitude': 35.0}
    >>> _place("+00.0000+000.0000/")
    """
    match = _PLACE.match(text)
    if match is None:
        return None
    latitude, longitude = float(match[1]), float(match[2])
    if abs(latitude) > 90 or abs(longitude) > 180 or latitude == longitude == 0:
        return None
    found = {"latitude": latitude, "longitude": longitude}
    return found | {"altitude": float(match[3])} if match[3] else found


def frame(ffmpeg: str, descriptor: int, demuxer: str, side: int, seconds: float) -> bytes:
    """One frame as a PPM, upright, its longer side at most so long. Raises :class:`NoFrame`."""
    scale = f"scale=w='min({side},iw)':h='min({side},ih)':force_original_aspect_ratio=decrease"
    shown = ["-map", "0:v:0", "-frames:v", "1", "-vf", scale, "-f", "image2pipe", "-c:v", "ppm", "-"]
    for at in _FRAME_AT:
        command = [ffmpeg, "-nostdin", "-threads", "1", "-ss", str(at), *_source(descriptor, demuxer), *shown]
        if found := _run(command, descriptor, seconds):
            return found
    raise NoFrame("ffmpeg found no frame in it")


def _source(descriptor: int, demuxer: str) -> list[str]:
    return ["-v", "error", "-protocol_whitelist", "file", "-f", demuxer, "-i", f"/dev/fd/{descriptor}"]


def _run(command: list[str], descriptor: int, seconds: float) -> bytes:
    """The program's output. Raises :class:`NoFrame` with what it said."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, pass_fds=(descriptor,), timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoFrame(f"it took more than {seconds:.0f} s") from error
    if done.returncode != 0:
        said = clean(done.stderr[-2000:].decode("utf-8", "replace").strip().rpartition("\n")[2])
        raise NoFrame(said or f"the program ended with {done.returncode}")
    return done.stdout
