"""One file read: digests, kind, tags, renditions. This runs in a child: see :mod:`.child`.

Whose fault it is: what the file's own bytes make impossible is :class:`Permanent`; what the machine refuses (some error
numbers of the system's) is :class:`Temporary`. A library that is not installed, or a format's feature that nobody here
can show, is neither: the picture is kept as it is and its ``trouble`` says what to do.
"""

import errno
import hashlib
import importlib
import io
import os
import stat
import warnings
from collections.abc import Callable
from typing import IO, Any

from PIL import Image, UnidentifiedImageError

from ...spool.outcomes import Permanent, Temporary
from . import camera, captions, dates, gps, kinds, limits, raw, renditions, tags, video, whole
from .kinds import How, Kind
from .picture import MEDIUM, SIDES, Picture

KNOWN = "JPEG, PNG, WebP, GIF, TIFF, AVIF, HEIC, cameras' raw files and videos"
_BLOCK = 1 << 20
_MOST_TURNS = 8

_OF_THE_MACHINE = frozenset(
    {
        errno.EIO,
        errno.EAGAIN,
        errno.EACCES,
        errno.EPERM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOSPC,
        errno.ENXIO,
        errno.ENODEV,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.EHOSTDOWN,
        errno.EREMOTEIO if hasattr(errno, "EREMOTEIO") else errno.EIO,
    }
)
"""Error numbers that no content of a file can cause. EINVAL is not among them: a lying offset does."""

Allow = Callable[[int, int], int]
"""``allow(size, smallest)``: called once with the file's size and the memory that any file of its kind may take, when
all libraries are loaded and decoding begins: from then on it is limited, to as many bytes as are returned."""

_NOT_INSTALLED = {
    How.HEIF: ("pillow-heif is not installed", "Install jollyae[heic], then let the album make it again."),
    How.RAW: ("rawpy is not installed", "Install jollyae[raw], then let the album make it again."),
    How.VIDEO: ("ffmpeg is not installed", video.HINT),
}


def read(descriptor: int, extension: str, mtime: float, allow: Allow, seconds: float) -> Picture:
    """Read the file behind ``descriptor``. ``extension``: the one it came under; ``mtime``: its time, if it has no
    better one; ``seconds``: what a program that is asked for help may take. Raises :class:`Permanent`,
    :class:`Temporary` and MemoryError."""
    try:
        return _read(descriptor, extension, mtime, allow, seconds)
    except OSError as error:
        raise _judged(error) from error


def _read(descriptor: int, extension: str, mtime: float, allow: Allow, seconds: float) -> Picture:
    before = os.fstat(descriptor)
    _need_content(before)

    def read_at(offset: int, size: int) -> bytes:
        return os.pread(descriptor, size, offset)

    kind = _kind(read_at, extension)
    sha256, md5 = _digests(descriptor)
    picture = Picture(
        sha256=sha256,
        md5=md5,
        size=before.st_size,
        extension=kind.extension,
        mime=kind.mime,
        kind="video" if kind.is_video else "image",
        taken=dates.file_time(mtime),
    )
    if not whole.is_whole(kind, read_at, before.st_size):
        raise Permanent(
            f"the {kind.name} is cut off: its end is missing",
            hint="Copy it again from where it came from.",
            reason="content",
        )
    with open(os.dup(descriptor), "rb") as file:
        _Reader(kind, file, picture, mtime, allow, seconds).read()
    _need_unchanged(before, os.fstat(descriptor))
    return picture


def _need_content(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Permanent("it is no regular file", hint="Put files here.", reason="content")
    if found.st_size == 0:
        raise Permanent("it is empty: 0 bytes", hint="Copy it again from where it came from.", reason="content")


def _need_unchanged(before: os.stat_result, after: os.stat_result) -> None:
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Temporary(
            "it was written to while it was read", hint="Rename files in when they are whole.", reason="content"
        )


def _kind(read_at: kinds.Read, extension: str) -> Kind:
    kind = kinds.recognise(read_at, extension)
    if kind is None:
        looks = kinds.guess(read_at(0, 64))
        told = f"it is {looks}" if looks else "its content is of no kind that is known here"
        raise Permanent(f"no picture or video: {told}", hint=f"What can be shown: {KNOWN}.", reason="content")
    return kind


def _digests(descriptor: int) -> tuple[str, str]:
    """SHA-256 and MD5, from one read."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    place = 0
    block = memoryview(bytearray(_BLOCK))
    while count := os.preadv(descriptor, [block], place):
        sha256.update(block[:count])
        md5.update(block[:count])
        place += count
    return sha256.hexdigest(), md5.hexdigest()


def _judged(error: OSError) -> Permanent | Temporary:
    """Whose fault it is: the machine's, or the file's (Pillow's own errors have no number)."""
    if error.errno == errno.ENOMEM:
        raise MemoryError from error
    if error.errno in _OF_THE_MACHINE:
        return Temporary(f"it cannot be read: {error.strerror}", hint="Look at the disk it is on.", reason="machine")
    return _unreadable("it", error)


def _unreadable(what: str, error: BaseException) -> Permanent:
    said = tags.clean(str(error)) or type(error).__name__
    hint = "It is damaged. Copy it again from where it came from."
    return Permanent(f"{what} cannot be decoded: {said}", hint=hint, reason="content")


class _Unsupported(Exception):
    """It may well be whole, and nobody here can show it."""


_UNSUPPORTED = ("unknown pixel mode", "unknown data organization", "not available", "not supported", "unsupported")
"""What decoders say of what they do not know, as opposed to what is damaged."""
_DAMAGED = ("truncat", "corrupt", "broken")
"""Where they say this too, it is what counts."""


def _refused(what: str, error: BaseException) -> Exception:
    """What it means that a decoder refused a picture for this reason."""
    said = str(error).lower()
    is_whole = not any(one in said for one in _DAMAGED)
    if is_whole and any(one in said for one in _UNSUPPORTED):
        return _Unsupported(tags.clean(str(error)))
    return _unreadable(what, error)


class _Reader:
    """Fills a :class:`Picture`, by the kind of the file."""

    def __init__(
        self, kind: Kind, file: IO[bytes], picture: Picture, mtime: float, allow: Allow, seconds: float
    ) -> None:
        self._kind = kind
        self._file = file
        self._picture = picture
        self._mtime = mtime
        self._allow = allow
        self._seconds = seconds
        self._allowed = 0

    def read(self) -> None:
        """All that can be read. Raises :class:`Permanent`; where nobody here can show it: ``trouble``."""
        try:
            self._read()
        except _Unsupported as error:
            self._picture.trouble = f"this {self._kind.name} is of a sort that cannot be shown here: {error}"

    def _read(self) -> None:
        by = {How.PILLOW: self._image, How.HEIF: self._heif, How.RAW: self._raw, How.VIDEO: self._video}
        what = f"the {self._kind.name}"
        try:
            by[self._kind.how]()
        except ImportError:
            missing, hint = _NOT_INSTALLED.get(self._kind.how, (f"this Pillow reads no {self._kind.name}", ""))
            self._picture.trouble = f"{missing}. {hint}".strip()
        except (Permanent, Temporary, MemoryError, _Unsupported):
            raise
        except OSError as error:
            raise (_judged(error) if error.errno is not None else _refused(what, error)) from error
        except Image.DecompressionBombError as error:
            hint = f"Pictures of more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels are not decoded."
            raise Permanent(f"{what} is a bomb: {error}", hint=hint, reason="content") from error
        except Exception as error:  # decoders raise what they like on damaged bytes
            raise _refused(what, error) from error

    def _limit(self, smallest: int = limits.SMALLEST) -> None:
        self._allowed = self._allow(self._picture.size, smallest)

    # --- pictures

    def _image(self) -> None:
        name = self._kind.name.upper()
        _load_plugin(name)
        self._limit(limits.SMALLEST_WEBP if self._kind is kinds.WEBP else limits.SMALLEST)
        self._show(self._opened(name))

    def _heif(self) -> None:
        importlib.import_module("pillow_heif").register_heif_opener(thumbnails=False, decode_threads=1)
        self._limit()
        self._show(self._opened("HEIF"))

    def _opened(self, name: str) -> Image.Image:
        """Opened by this plugin alone, which tells why it refuses only if it is asked to, and by a warning."""
        Image.WARN_POSSIBLE_FORMATS = True
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                return Image.open(self._file, formats=(name,))
            except UnidentifiedImageError as error:
                told = "; ".join(str(one.message) for one in said).removeprefix(f"{name} opening failed. ")
                raise SyntaxError(told or "its header is damaged") from error

    def _show(self, image: Image.Image) -> None:
        """Tags first: they are there before the pixels are decoded, and decoding closes some formats' file."""
        if self._kind is not kinds.JPEG and image.width * image.height * self._least(image) > self._allowed:
            raise MemoryError  # said before it is tried: not all libraries say it themselves
        exif = _exif(image)
        orientation = 1 if self._kind is kinds.TIFF else _orientation(exif)  # Pillow turns TIFFs by itself
        self._tell(tags.read(exif), image)
        self._picture.width, self._picture.height = renditions.upright_size(image.size, orientation)
        self._picture.renditions = renditions.make(image, orientation, SIDES)

    def _least(self, image: Image.Image) -> int:
        """Bytes that each pixel takes at least while it is decoded."""
        return _LEAST.get(self._kind.name) or {"1": 1, "L": 1, "P": 1}.get(image.mode, 2 if "16" in image.mode else 4)

    def _tell(self, found: tags.Tags, image: Image.Image) -> None:
        """What the tags say. Should one of them be such that this code stumbles, a photo is no worse for it."""
        try:
            self._tell_all(found, image)
        except MemoryError:
            raise
        except Exception as error:
            self._picture.exif = {"Error": f"the tags cannot be read: {tags.clean(str(error))}"}

    def _tell_all(self, found: tags.Tags, image: Image.Image) -> None:
        picture = self._picture
        picture.taken = dates.taken(found, self._mtime)
        picture.camera = camera.camera(found)
        picture.gps = gps.position(found.gps)
        picture.exif = tags.as_texts(found)
        said = captions.captions(found, *_written(image))
        picture.title, picture.descr, picture.keywords = said.title, said.descr, list(said.keywords)

    # --- raw files and videos

    def _raw(self) -> None:
        importlib.import_module("rawpy")
        self._limit()
        try:
            found = raw.Raw(self._file)
        except raw.NoPreview as error:
            self._picture.trouble = f"the camera put no preview into it that can be shown: {error}"
            return
        self._tell(tags.read(raw.exif(self._file, found)), found.preview)
        self._picture.width, self._picture.height = renditions.upright_size(found.size, found.orientation)
        self._picture.renditions = renditions.make(found.preview, found.turn, SIDES)

    def _video(self) -> None:
        programs = video.programs()
        if programs is None:
            raise ImportError("ffmpeg")
        ffmpeg, ffprobe = programs
        self._allow(1 << 40, 0)  # the length of a video says nothing of the size of its frames
        descriptor, demuxer = self._file.fileno(), self._kind.demuxer
        try:
            self._know(video.probe(ffprobe, descriptor, demuxer, self._seconds / 4))
            shown = video.frame(ffmpeg, descriptor, demuxer, SIDES[MEDIUM], self._seconds / 4)
        except video.NoFrame as error:
            self._picture.trouble = f"no frame of it can be shown: {error}"
            return
        self._picture.renditions = renditions.make(Image.open(io.BytesIO(shown), formats=("PPM",)), 1, SIDES)

    def _know(self, found: video.Facts) -> None:
        picture = self._picture
        picture.width, picture.height = found.width, found.height
        picture.taken = found.taken or picture.taken
        picture.gps, picture.camera, picture.exif = found.gps, found.camera, found.texts


_LEAST = {"WebP": 12, "AVIF": 8, "HEIC": 8, "HEIF": 8}
_PLUGINS = {"JPEG": "Jpeg", "PNG": "Png", "GIF": "Gif", "WEBP": "WebP", "TIFF": "Tiff", "AVIF": "Avif"}


def _load_plugin(name: str) -> None:
    """Load the one plugin that is needed, and no others: each costs memory. Raises ImportError where Pillow was built
    without it."""
    module: Any = importlib.import_module(f"PIL.{_PLUGINS[name]}ImagePlugin")
    if not getattr(module, "SUPPORTED", True):
        raise ImportError(name)
    if name == "AVIF":
        module.DEFAULT_MAX_THREADS = 1  # each thread takes memory; there are other children for other cores


def _exif(image: Image.Image) -> Image.Exif:
    """Its tags; none where they are damaged. If it was the picture, decoding it will tell."""
    try:
        return image.getexif()
    except MemoryError:
        raise
    except Exception:
        return Image.Exif()


def _orientation(exif: Image.Exif) -> int:
    try:
        found = int(exif.get(274, 1))
    except (TypeError, ValueError, OverflowError, SyntaxError, ZeroDivisionError):
        return 1
    return found if 1 <= found <= _MOST_TURNS else 1


def _written(image: Image.Image) -> tuple[dict[tuple[int, int], Any], bytes | str]:
    """IPTC and XMP of a picture, as far as they can be read."""
    xmp = image.info.get("xmp") or b""
    try:
        from PIL import IptcImagePlugin

        iptc = IptcImagePlugin.getiptcinfo(image) if _may_have_iptc(image) else None  # type: ignore[arg-type]
    except Exception:  # a damaged block costs its words
        iptc = None
    return iptc or {}, xmp if isinstance(xmp, bytes | str) else b""


def _may_have_iptc(image: Image.Image) -> bool:
    return "photoshop" in image.info or image.format == "TIFF"
