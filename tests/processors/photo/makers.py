"""Pictures that the tests make, and what reads them."""

import asyncio
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageStat

from jollyae.processors.photo import Picture, Pictures

MTIME = 1_700_000_000.0


def scene(size: tuple[int, int] = (200, 120), mode: str = "RGB") -> Image.Image:
    """A picture that looks different however it is turned: four colours, and a mark in one corner."""
    image = Image.new("RGB", size, (200, 40, 40))
    draw, (width, height) = ImageDraw.Draw(image), size
    draw.rectangle((width // 2, 0, width, height // 2), fill=(40, 200, 40))
    draw.rectangle((0, height // 2, width // 2, height), fill=(40, 40, 200))
    draw.rectangle((width // 2, height // 2, width, height), fill=(220, 220, 60))
    draw.rectangle((0, 0, width // 4, height // 8), fill=(0, 0, 0))
    return image.convert(mode)


def encoded(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def exif(tags: dict[int, Any] | None = None, photo: dict[int, Any] | None = None, gps: Any = None) -> Image.Exif:
    """EXIF with these tags."""
    made = Image.Exif()
    made.update(tags or {})
    made.get_ifd(34665).update(photo or {})
    made.get_ifd(34853).update(gps or {})
    return made


def decoded(picture: Picture, name: str = "medium") -> Image.Image:
    """A rendition of it, decoded."""
    image = Image.open(io.BytesIO(picture.renditions[name]))
    image.load()
    return image


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of their pixels, 0 to 255; sizes must agree."""
    assert one.size == other.size
    return sum(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean) / 3


def png(width: int, height: int, body: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG that says that it is of this size, with this compressed body."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zeros, compressed."""
    packer, block = zlib.compressobj(9), bytes(1 << 20)
    parts = [packer.compress(block) for _ in range(count >> 20)]
    return b"".join([*parts, packer.compress(bytes(count & 0xFFFFF)), packer.flush()])


class Reading:
    """Reads files by one :class:`Pictures`, and looks at the memory of its children meanwhile."""

    def __init__(self, directory: Path, **limits: Any) -> None:
        self.pictures = Pictures(**limits)
        self.directory = directory
        self.peak = 0

    def __call__(self, content: bytes, name: str = "picture.jpg") -> Picture:
        """What is read from a file of these bytes."""
        path = self.directory / "picture"
        path.write_bytes(content)
        return self.path(path, name)

    def path(self, path: Path | int, name: str = "picture.jpg") -> Picture:
        """What is read from a file."""
        return asyncio.run(self._read(path if isinstance(path, int) else str(path), name))

    async def _read(self, path: str | int, name: str) -> Picture:
        watch = asyncio.create_task(self._watch())
        try:
            return await self.pictures.read(path, name, MTIME)
        finally:
            watch.cancel()
            self._look()

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(0.005)

    def _look(self) -> None:
        for pid in self.pictures.children:
            self.peak = max(self.peak, memory_of(pid, "VmHWM"))


def memory_of(pid: int, what: str) -> int:
    """Bytes of a process' memory, as /proc has it; 0 where it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith(f"{what}:")]
    return int(found[0]) * 1024 if found else 0


def reading(directory: Path, **limits: Any) -> Iterator[Reading]:
    """For fixtures: closed at the end."""
    made = Reading(directory, **limits)
    yield made
    made.pictures.close()


def alone(content: bytes, directory: Path, call: Callable[..., Picture], **more: Any) -> Picture:
    """Read in this process, without a child."""
    path = directory / "alone"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return call(descriptor, more.pop("extension", "jpg"), MTIME, lambda size, smallest: 1 << 30, 20.0)
    finally:
        os.close(descriptor)
