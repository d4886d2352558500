"""Reading a picture in a child: what comes out of it, and what happens to children."""

import asyncio
import errno
import hashlib
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL.PngImagePlugin import PngInfo

from jollyae.processors.photo import Pictures, decoder, reading, renditions
from jollyae.processors.photo import pictures as pictures_module
from jollyae.processors.photo.dates import file_time
from jollyae.spool.outcomes import Permanent, Scope, Temporary
from tests.helpers import until
from tests.processors.photo.makers import MTIME, Reading, alone, encoded, exif, memory_of, scene
from tests.processors.photo.makers import reading as reading_with

PHOTO = encoded(
    scene((640, 480)),
    exif=exif(
        {271: "Canon", 272: "Canon EOS R6", 274: 8, 270: "A walk"},
        {36867: "2026:05:01 12:34:56", 36881: "+02:00", 33434: 0.004, 33437: 2.8, 34855: 100, 37386: 50.0},
        {1: "N", 2: (48.0, 51.0, 29.6), 3: "E", 4: (2.0, 17.0, 40.2), 6: 35.0},
    ),
)


def test_a_photo(read: Reading) -> None:
    """All that is known of it."""
    picture = read(PHOTO, "a walk/DSC_1.PNG")
    assert set(picture.renditions) == {"medium", "thumb"}
    assert picture.exif.pop("ExifOffset", None) is None
    assert replace(picture, renditions={}, exif={}) == replace(
        picture,
        sha256=hashlib.sha256(PHOTO).hexdigest(),
        md5=hashlib.md5(PHOTO).hexdigest(),
        size=len(PHOTO),
        extension="jpg",
        mime="image/jpeg",
        kind="image",
        taken="2026-05-01T12:34:56+02:00",
        width=480,
        height=640,
        camera={
            "name": "Canon EOS R6",
            "make": "Canon",
            "model": "Canon EOS R6",
            "exposure": "1/250 s",
            "aperture": "f/2.8",
            "iso": "100",
            "focal": "50 mm",
        },
        gps={"latitude": 48.858222, "longitude": 2.2945, "altitude": 35.0},
        descr="A walk",
        title="",
        keywords=[],
        renditions={},
        exif={},
        trouble="",
    )
    assert picture.exif["ExposureTime"] == "1/250"
    assert not [name for name in picture.exif if "GPS" in name]


def test_a_descriptor_is_read_wherever_it_stands(read: Reading, tmp_path: Path) -> None:
    """And also where the file has no name any more."""
    path = tmp_path / "photo"
    path.write_bytes(PHOTO)
    with path.open("rb") as file:
        file.seek(1000)
        path.unlink()
        assert read.path(file.fileno()).sha256 == hashlib.sha256(PHOTO).hexdigest()


def test_a_picture_without_a_date_has_its_files(read: Reading) -> None:
    """As the clock on the wall showed it."""
    assert read(encoded(scene(), "PNG")).taken == file_time(MTIME)


@pytest.mark.parametrize(
    ("content", "name", "word"),
    [
        (b"", "empty.jpg", "empty: 0 bytes"),
        (b"hello", "note.jpg", "no picture or video"),
        (b"%PDF-1.7 ...", "scan.jpg", "a PDF"),
        (b"PK\3\4", "photo.png", "ZIP"),
        (bytes(5000), "zeros.jpg", "no picture or video"),
    ],
)
def test_what_is_no_picture(read: Reading, content: bytes, name: str, word: str) -> None:
    """Fails with the reason and what to do."""
    with pytest.raises(Permanent, match=word) as caught:
        read(content, name)
    assert caught.value.hint


def test_a_directory_is_no_picture(read: Reading, tmp_path: Path) -> None:
    """Nor is a pipe, and nobody waits for one."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(Permanent, match="regular"):
            read.path(path)


def test_a_file_that_is_not_there_is_no_pictures_fault(read: Reading, tmp_path: Path) -> None:
    """It may come back."""
    with pytest.raises(Temporary, match="cannot be opened"):
        read.path(tmp_path / "gone")


def test_a_file_that_is_written_to_meanwhile(tmp_path: Path) -> None:
    """Is read again: what was read may be half of this and half of that."""
    path = tmp_path / "growing"
    path.write_bytes(PHOTO)

    def grow(size: int, smallest: int) -> int:
        path.write_bytes(PHOTO + b"more")
        return 1 << 30

    descriptor = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(Temporary, match="written to"):
            reading.read(descriptor, "jpg", MTIME, grow, 20.0)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EIO, "Input/output error"), Temporary),
        (OSError(errno.ESTALE, "Stale file handle"), Temporary),
        (OSError(errno.EMFILE, "Too many open files"), Temporary),
        (OSError(errno.EINVAL, "Invalid argument"), Permanent),
        (OSError("image file is truncated"), Permanent),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), MemoryError),
        (ZeroDivisionError(), Permanent),
    ],
)
def test_whose_fault_an_error_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception]
) -> None:
    """The machine's is tried again; what a file's bytes can cause is the file's."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(renditions, "make", fail)
    with pytest.raises(kind):
        alone(PHOTO, tmp_path, reading.read)


# --- what is written in it

XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt><rdf:li>Dusk</rdf:li></rdf:Alt></dc:title>
<dc:subject><rdf:Bag><rdf:li>sea</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize("format", ["JPEG", "WebP", "AVIF", "TIFF", "PNG"])
def test_xmp_is_read(read: Reading, format: str) -> None:
    """From every format that has it."""
    options: dict[str, Any] = {"xmp": XMP}
    if format == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    if format == "PNG":
        options = {"pnginfo": PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    picture = read(encoded(scene(), format, **options))
    assert (picture.title, picture.keywords) == ("Dusk", ["sea"])


def test_iptc_is_read(read: Reading) -> None:
    """As Photoshop and its like write it into JPEGs."""
    words = ((5, b"Dusk"), (25, b"sea"), (25, b"sand"), (120, "Am Meer, früh".encode()))
    records = b"".join(struct.pack(">BBBH", 0x1C, 2, number, len(word)) + word for number, word in words)
    block = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(records)) + records
    segment = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
    content = encoded(scene())
    picture = read(content[:2] + segment + content[2:])
    assert (picture.title, picture.descr, picture.keywords) == ("Dusk", "Am Meer, früh", ["sea", "sand"])


# --- what is not installed


@pytest.mark.parametrize(
    ("module", "content", "word"),
    [
        ("pillow_heif", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"jollyae\[heic\]"),
        ("rawpy", b"II*\0\x10\0\0\0CR\2\0" + bytes(64), r"jollyae\[raw\]"),
        ("PIL.AvifImagePlugin", encoded(scene(), "AVIF"), "reads no AVIF"),
    ],
)
def test_an_extra_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, content: bytes, word: str
) -> None:
    """Costs the renditions, not the picture: its trouble says what to install."""
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    picture = alone(content, tmp_path, reading.read)
    assert picture.sha256 == hashlib.sha256(content).hexdigest()
    assert not picture.renditions
    assert re.search(word, picture.trouble)


# --- children


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Reading]:
    """Reads by a child of its own."""
    yield from reading_with(tmp_path)


def _child(read: Reading) -> int:
    (pid,) = read.pictures.children
    return pid


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().split()[2]


def test_a_child_reads_many(fresh: Reading) -> None:
    """One start for all."""
    fresh(PHOTO)
    first = _child(fresh)
    for _ in range(3):
        fresh(PHOTO)
    assert _child(fresh) == first


def test_a_child_is_renewed(fresh: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many pictures."""
    monkeypatch.setattr(pictures_module, "RENEWED_AFTER", 2)
    fresh(PHOTO)
    first = _child(fresh)
    fresh(PHOTO)
    assert fresh.pictures.children == []
    until(lambda: not memory_of(first, "VmRSS"), "the old child's end")
    fresh(PHOTO)
    assert _child(fresh) != first


def test_a_refused_picture_costs_no_child(fresh: Reading) -> None:
    """It says no, and goes on."""
    fresh(PHOTO)
    first = _child(fresh)
    with pytest.raises(Permanent):
        fresh(PHOTO[:3000])
    assert fresh(PHOTO).width == 480
    assert _child(fresh) == first


def test_a_child_that_died_waiting_is_replaced(fresh: Reading) -> None:
    """Nobody's picture pays for it."""
    fresh(PHOTO)
    pid = _child(fresh)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert fresh(PHOTO).width == 480


def test_closing_ends_the_children(fresh: Reading) -> None:
    """All of them, and a second time nothing happens."""
    fresh(PHOTO)
    pid = _child(fresh)
    fresh.pictures.close()
    fresh.pictures.close()
    until(lambda: not memory_of(pid, "VmRSS"), "the child's end")


def test_a_child_ends_with_its_parent(fresh: Reading) -> None:
    """Also a parent that was killed: the line is closed then."""
    fresh(PHOTO)
    pid = _child(fresh)
    fresh.pictures._idle[0]._line.close()
    until(lambda: _state(pid) == "Z", "the child's end")
    fresh.pictures.close()


def test_a_child_ends_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """In the middle of a picture."""
    (tmp_path / "slow").write_bytes(encoded(scene((5000, 5000)), "PNG", compress_level=1))
    program = """if True:
        import asyncio, sys
        from jollyae.processors.photo import Pictures

        async def main():
            pictures = Pictures()
            task = asyncio.create_task(pictures.read(sys.argv[1], "slow.png", 0.0))
            while not pictures.children and not task.done():
                await asyncio.sleep(0.001)
            print(pictures.children[0], flush=True)
            await asyncio.sleep(60)

        asyncio.run(main())
    """
    command = [sys.executable, "-c", program, str(tmp_path / "slow")]
    environment = os.environ | {"PYTHONPATH": decoder._ROOT}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert memory_of(child, "VmRSS")
        parent.kill()
    until(lambda: not memory_of(child, "VmRSS"), "the child's end")


def test_on_the_workers_own_loop(tmp_path: Path) -> None:
    """uvloop has sockets of its own."""
    uvloop = pytest.importorskip("uvloop")
    (tmp_path / "photo").write_bytes(PHOTO)
    pictures = Pictures()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(pictures.read(str(tmp_path / "photo"), "photo.jpg", MTIME)).width == 480
    pictures.close()


def test_as_many_at_a_time_as_there_are_children(tmp_path: Path) -> None:
    """No more, however many are asked for; all are read."""
    (tmp_path / "photo").write_bytes(PHOTO)
    pictures = Pictures(children=2)
    most = 0

    async def one() -> int:
        nonlocal most
        picture = await pictures.read(str(tmp_path / "photo"), "photo.jpg", MTIME)
        most = max(most, len(pictures.children))
        return picture.width

    async def all_of_them() -> list[int]:
        return list(await asyncio.gather(*(one() for _ in range(8))))

    try:
        assert asyncio.run(all_of_them()) == [480] * 8
    finally:
        pictures.close()
    assert most == 2


def test_a_cancelled_read_ends_its_child(tmp_path: Path) -> None:
    """It is busy with what nobody wants any more; the next one has another."""
    (tmp_path / "photo").write_bytes(PHOTO)
    pictures = Pictures()

    async def cancelled() -> None:
        task = asyncio.create_task(pictures.read(str(tmp_path / "photo"), "photo.jpg", MTIME))
        while not pictures.children:
            await asyncio.sleep(0.001)
        os.kill(pictures.children[0], signal.SIGSTOP)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pictures.children == []
        assert (await pictures.read(str(tmp_path / "photo"), "photo.jpg", MTIME)).width == 480

    try:
        asyncio.run(cancelled())
    finally:
        pictures.close()


# --- deaths over a picture


async def _read_and_kill(pictures: Pictures, path: Path, number: int) -> None:
    """Read, and send the child a signal as soon as it has the picture."""
    task = asyncio.create_task(pictures.read(str(path), "photo.jpg", MTIME))
    while not pictures._busy:
        await asyncio.sleep(0.001)
    (child,) = pictures._busy
    os.kill(child.pid, number)
    await task


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A picture that takes a while to decode."""
    path = tmp_path / "slow"
    path.write_bytes(encoded(scene((6000, 4000)), "PNG", compress_level=1))
    return path


def test_a_child_killed_from_outside_costs_one_attempt(tmp_path: Path, slow: Path) -> None:
    """However often: it was not the picture."""
    pictures = Pictures()
    try:
        for _ in range(pictures_module.CRASHES + 1):
            with pytest.raises(Temporary, match="ended from outside"):
                asyncio.run(_read_and_kill(pictures, slow, signal.SIGKILL))
        assert asyncio.run(pictures.read(str(slow), "photo.png", MTIME)).width == 6000
    finally:
        pictures.close()


def test_a_codec_that_crashes_three_times_over_a_picture(tmp_path: Path, slow: Path) -> None:
    """The first times the machine may be at fault; the third time the picture is. Another picture has its own count."""
    other = tmp_path / "other"
    other.write_bytes(slow.read_bytes())
    pictures = Pictures()
    try:
        for path in (slow, other, slow, other):
            with pytest.raises(Temporary, match="crashed"):
                asyncio.run(_read_and_kill(pictures, path, signal.SIGSEGV))
        with pytest.raises(Permanent, match=r"crashed over it \(SIGSEGV\), 3 times"):
            asyncio.run(_read_and_kill(pictures, slow, signal.SIGSEGV))
        assert asyncio.run(pictures.read(str(slow), "photo.png", MTIME)).width == 6000
    finally:
        pictures.close()


def test_a_child_that_hangs_is_killed(tmp_path: Path, slow: Path) -> None:
    """At the deadline; it computed nothing, so the machine is at fault and the picture is tried again."""
    pictures = Pictures(seconds=0.5)
    try:
        begun = time.monotonic()
        with pytest.raises(Temporary, match="waited"):
            asyncio.run(_read_and_kill(pictures, slow, signal.SIGSTOP))
        assert time.monotonic() - begun < 20
        assert pictures.children == []
    finally:
        pictures.close()


def test_a_picture_that_takes_too_long(slow: Path) -> None:
    """Ends its child at the deadline, and nothing is left of it."""
    pictures = Pictures(seconds=0.05)
    with pytest.raises((Permanent, Temporary), match=r"takes more than 0 s|not read within 0 s"):
        asyncio.run(pictures.read(str(slow), "slow.png", MTIME))
    assert pictures.children == []


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (5.0, 64.9, Permanent),
        (5.0, 36.0, Permanent),
        (5.0, 34.0, Temporary),
        (5.0, 5.1, Temporary),
        (None, None, Permanent),
    ],
)
def test_whose_fault_a_deadline_is(before: float | None, after: float | None, kind: type[Exception]) -> None:
    """Of a picture that was computed on for most of the time: it would be tomorrow. Of the machine, where its child
    waited."""
    assert type(pictures_module._late(60.0, before, after)) is kind


def test_a_child_has_a_limit_of_its_own(fresh: Reading) -> None:
    """The kernel ends it where the parent cannot: after so much CPU."""
    fresh(PHOTO)
    limits = Path(f"/proc/{_child(fresh)}/limits").read_text()
    seconds = next(int(line.split()[3]) for line in limits.splitlines() if line.startswith("Max cpu time"))
    assert 0 < seconds < 70
    core = next(line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core == ["0", "0"]


def test_a_child_knows_no_secret(fresh: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads what strangers made: its environment has none of the parent's keys."""
    monkeypatch.setenv("JOLLYAE_ALBUM_PASSWORD", "swordfish")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "swordfish")
    fresh(PHOTO)
    pid = _child(fresh)
    assert b"swordfish" not in Path(f"/proc/{pid}/environ").read_bytes()
    links = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
    assert sorted(link.partition(":")[0] for link in links) == ["/dev/null", "/dev/null", "/dev/null", "socket"]


def test_a_decoder_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is nobody's picture's fault: the destination is paused."""
    (tmp_path / "photo").write_bytes(PHOTO)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    pictures = Pictures()
    with pytest.raises(Temporary, match="does not start") as caught:
        asyncio.run(pictures.read(str(tmp_path / "photo"), "photo.jpg", MTIME))
    assert caught.value.scope is Scope.DESTINATION


def test_a_decoder_without_pillow_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    (tmp_path / "photo").write_bytes(PHOTO)
    (tmp_path / "PIL.py").write_text("raise ImportError('no Pillow here')")
    monkeypatch.setattr(decoder, "_ROOT", f"{tmp_path}{os.pathsep}{decoder._ROOT}")
    pictures = Pictures()
    with pytest.raises(Temporary, match="no Pillow here") as caught:
        asyncio.run(pictures.read(str(tmp_path / "photo"), "photo.jpg", MTIME))
    assert "jollyae[album]" in caught.value.hint


@pytest.mark.parametrize(
    "said", ["b''", "b'x'", "b'\\xff' * 100", "b'\\0\\0\\0\\2\\0\\0\\0\\0{}' + b'\\0\\0\\0\\1\\0\\0\\0\\0['"]
)
def test_a_child_that_talks_rubbish_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """What it says is checked before it is believed: strangers' bytes may have taken it over."""
    program = tmp_path / "child.py"
    program.write_text(
        "#!/usr/bin/env python3\nimport os, sys, time\n"
        f"os.write(int(sys.argv[-1]), {said})\ntime.sleep(60 if {said} else 0)\n"
    )
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nfor last; do :; done\nexec "{sys.executable}" "{program}" "$last"\n')
    wrapper.chmod(0o755)
    (tmp_path / "photo").write_bytes(PHOTO)
    monkeypatch.setattr(sys, "executable", str(wrapper))
    monkeypatch.setattr(decoder, "_START", 1.0)
    pictures = Pictures(seconds=2.0)
    with pytest.raises((Temporary, Permanent)):
        asyncio.run(pictures.read(str(tmp_path / "photo"), "photo.jpg", MTIME))
    assert pictures.children == []


def test_memory_stays_flat(fresh: Reading) -> None:
    """Over some hundreds of photos of all sizes and formats: a child has at the end what it had after the first."""
    photos = [encoded(scene((200 + 331 * step, 150 + 217 * step)), format) for step in range(4) for format in FORMATS]
    for content in photos * 2:
        fresh(content)
    first, ours = _resident(fresh), memory_of(os.getpid(), "VmRSS")
    for _ in range(300 // len(photos)):
        for content in photos:
            fresh(content)
    assert _resident(fresh) < first + (12 << 20)
    assert memory_of(os.getpid(), "VmRSS") < ours + (12 << 20)


FORMATS = ("JPEG", "PNG", "WebP", "GIF", "TIFF", "AVIF")


def _resident(read: Reading) -> int:
    return memory_of(_child(read), "VmRSS")


def test_the_peak_for_a_photo_of_twelve_megapixels(fresh: Reading) -> None:
    """At most 60 MB, and no more for the hundredth."""
    content = encoded(scene((4032, 3024)), exif=exif({274: 6}))
    for _ in range(5):
        fresh(content)
    assert 0 < fresh.peak < 60e6
