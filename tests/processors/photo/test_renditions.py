"""What becomes of the pixels: every format and mode, upright, plain, of the right size, in the right colours."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageCms, ImageOps

from jollyae.processors.photo import renditions
from jollyae.processors.photo.picture import SIDES
from tests.processors.photo.dng import floating
from tests.processors.photo.makers import Reading, decoded, difference, encoded, exif, scene

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP", "TIFF", "AVIF"])
def test_every_orientation_stands_upright(read: Reading, orientation: int, format: str) -> None:
    """As Pillow's exif_transpose turns it, pixel by pixel, and no other way; width and height as people see them."""
    original = scene((400, 240))
    picture = read(encoded(original, format, exif=exif({274: orientation})))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(original, "PNG", exif=exif({274: orientation})))))
    assert (picture.width, picture.height) == upright.size
    assert difference(decoded(picture), upright) < 4
    turns = {turn: upright.transpose(turn) for turn in Image.Transpose}
    assert all(difference(decoded(picture), one) > 20 for one in turns.values() if one.size == upright.size)
    assert decoded(picture, "thumb").size == renditions.fitted(upright.size, 320)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_impossible_orientation_is_none(read: Reading, orientation: int) -> None:
    """Such a picture is shown as it is stored."""
    picture = read(encoded(scene(), "JPEG", exif=exif({274: orientation})))
    assert difference(decoded(picture), scene()) < 4


@pytest.mark.parametrize(
    ("format", "extension", "mime"),
    [
        ("JPEG", "jpg", "image/jpeg"),
        ("PNG", "png", "image/png"),
        ("WebP", "webp", "image/webp"),
        ("GIF", "gif", "image/gif"),
        ("TIFF", "tif", "image/tiff"),
        ("AVIF", "avif", "image/avif"),
    ],
)
def test_every_format(read: Reading, format: str, extension: str, mime: str) -> None:
    """By content: all of them are called .heic here."""
    picture = read(encoded(scene((2000, 1200)), format), "a picture.heic")
    assert (picture.extension, picture.mime, picture.kind, picture.trouble) == (extension, mime, "image", "")
    assert (picture.width, picture.height) == (2000, 1200)
    assert {name: decoded(picture, name).size for name in SIDES} == {"medium": (1600, 960), "thumb": (320, 192)}
    assert difference(decoded(picture), scene((1600, 960))) < 4


def test_heic(read: Reading) -> None:
    """With its extra: turned by the container's own way to say so."""
    heif = pytest.importorskip("pillow_heif", reason="the extra heic is not installed")
    heif.register_heif_opener()
    original = scene((320, 240))
    upright = original.transpose(Image.Transpose.ROTATE_270)
    original.info["exif"] = exif({271: "Maker", 274: 6}).tobytes()
    picture = read(encoded(original, "HEIF"), "IMG_0001.JPG")
    assert (picture.extension, picture.mime, picture.width, picture.height) == ("heic", "image/heic", 240, 320)
    assert difference(decoded(picture), upright) < 6
    assert picture.camera == {"name": "Maker", "make": "Maker"}


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((4032, 3024), 1600, (1600, 1200)),
        ((100, 50), 320, (100, 50)),
        ((1, 9000), 320, (1, 320)),
        ((1, 1), 320, (1, 1)),
    ],
)
def test_sizes(size: tuple[int, int], side: int, expected: tuple[int, int]) -> None:
    """The longer side is what is asked for, and nothing is made larger than it was."""
    assert renditions.fitted(size, side) == expected


@pytest.mark.parametrize("size", [(1, 1), (5000, 3), (3, 5000), (1601, 1600), (3217, 2413)])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_odd_sizes(read: Reading, size: tuple[int, int], format: str) -> None:
    """One pixel, lines, and what is divisible by nothing."""
    picture = read(encoded(Image.new("RGB", size, (90, 160, 40)), format))
    for name, side in SIDES.items():
        shown = decoded(picture, name)
        assert shown.size == renditions.fitted(size, side)
        assert difference(shown, Image.new("RGB", shown.size, (90, 160, 40))) < 3


# --- colours


def _transparent(mode: str) -> Image.Image:
    """Blue, and clear from the middle on."""
    image = Image.new("RGBA", (100, 60), (0, 0, 255, 255))
    image.paste((255, 0, 0, 0), (50, 0, 100, 60))
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
@pytest.mark.parametrize("scale", [1, 40])
def test_what_is_clear_becomes_white(read: Reading, mode: str, scale: int) -> None:
    """Whatever colour is behind it; in large pictures too, which are reduced first."""
    image = _transparent("RGBA").resize((100 * scale, 60 * scale), Image.Resampling.NEAREST)
    if mode == "P":
        content = encoded(image.convert("RGBA").quantize(8), "PNG")
    else:
        content = encoded(image.convert(mode), "TIFF" if mode == "PA" else "PNG")
    shown = decoded(read(content)).convert("RGB")
    assert min(_pixel(shown, shown.width - 5, 30)) > 245
    assert max(_pixel(shown, 5, 30)[:2]) < 60


def test_a_clear_colour_becomes_white(read: Reading) -> None:
    """PNG without an alpha channel can name one."""
    image = Image.new("RGB", (100, 60), (10, 200, 10))
    image.paste((1, 2, 3), (50, 0, 100, 60))
    shown = decoded(read(encoded(image, "PNG", transparency=(1, 2, 3))))
    assert min(_pixel(shown, 90, 30)) > 245


def _pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    found = image.getpixel((x, y))
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize(
    ("mode", "format"),
    [("1", "PNG"), ("L", "PNG"), ("P", "GIF"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF")],
)
@pytest.mark.parametrize("scale", [1, 20])
def test_every_mode(read: Reading, mode: str, format: str, scale: int) -> None:
    """Is shown as Pillow converts it."""
    image = scene((200 * scale, 120 * scale))
    image = image.quantize(16, dither=Image.Dither.NONE) if mode == "P" else image.convert(mode)
    content = encoded(image, format)
    expected = Image.open(io.BytesIO(content)).convert("RGB").resize(renditions.fitted(image.size, 1600))
    assert difference(decoded(read(content)), expected) < (12 if mode == "1" else 5)


@pytest.mark.parametrize("scale", [1, 20])
def test_sixteen_bits(read: Reading, scale: int) -> None:
    """The upper half of the bits is what is seen, not white."""
    gradient = Image.linear_gradient("L").resize((256 * scale, 256 * scale))
    deep = gradient.convert("I").point(lambda value: value * 257).convert("I;16")
    for format in ("PNG", "TIFF"):
        assert (
            difference(decoded(read(encoded(deep, format))), gradient.resize(decoded(read(encoded(deep, format))).size))
            < 3
        )


@pytest.mark.parametrize("scale", [1 / 255, 1, 1000])
def test_floats(read: Reading, scale: float) -> None:
    """From the least to the most that is in it."""
    gradient = Image.linear_gradient("L")
    shown = decoded(read(encoded(gradient.convert("F").point(lambda value: value * scale), "TIFF")))
    assert difference(shown, gradient) < 3


def test_what_nobody_here_can_show_is_kept(read: Reading) -> None:
    """It is not damaged: its trouble says what is strange about it."""
    picture = read(floating((20, 10)))
    assert (picture.extension, picture.renditions) == ("tif", {})
    assert picture.trouble == "this TIFF is of a sort that cannot be shown here: unknown pixel mode"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WebP", "TIFF", "AVIF"])
def test_the_colour_profile_is_kept(read: Reading, format: str) -> None:
    """In both renditions, as it was."""
    picture = read(encoded(scene((2000, 1200)), format, icc_profile=SRGB))
    for name in SIDES:
        assert decoded(picture, name).info["icc_profile"] == SRGB


def test_a_profile_for_other_colours_is_not(read: Reading) -> None:
    """Nor one for RGB with a grey picture, nor rubbish."""
    for image, profile in ((scene(mode="L"), SRGB), (scene(), b"rubbish" * 9)):
        assert "icc_profile" not in decoded(read(encoded(image, "JPEG", icc_profile=profile))).info


def test_a_lab_picture_is_converted(read: Reading) -> None:
    """There are no such JPEGs."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.applyTransform(scene(), ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    assert image is not None
    assert difference(decoded(read(encoded(image, "TIFF"))), scene()) < 8


def test_nothing_else_of_the_original_is_in_a_rendition(read: Reading) -> None:
    """Neither EXIF with its position, nor XMP, nor a comment."""
    secret = b"where we live"
    tags = exif({270: secret.decode()}, {37510: b"ASCII\0\0\0" + secret}, {1: "N", 2: (48.0, 51.0, 29.6)})
    picture = read(encoded(scene(), "JPEG", exif=tags, comment=secret, xmp=secret))
    assert picture.descr == secret.decode()
    for body in picture.renditions.values():
        assert secret not in body
        assert set(Image.open(io.BytesIO(body)).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("format", ["GIF", "PNG", "WebP", "TIFF"])
def test_the_first_frame_is_shown(read: Reading, format: str) -> None:
    """Of an animation, or of several pages."""
    others = [Image.new("RGB", (200, 120), colour) for colour in ("black", "white")]
    picture = read(encoded(scene(), format, save_all=True, append_images=others))
    assert picture.kind == "image"
    assert difference(decoded(picture), scene()) < 5


def test_a_photo_of_two_pictures(read: Reading) -> None:
    """Phones put a second one behind the first (MPO): the first is the photo."""
    picture = read(encoded(scene((1800, 1200)), "MPO", save_all=True, append_images=[Image.new("RGB", (300, 200))]))
    assert (picture.extension, picture.width) == ("jpg", 1800)
    assert difference(decoded(picture), scene((1600, 1067))) < 4


def test_a_progressive_jpeg_that_names_its_colours_rgb(read: Reading) -> None:
    """Which few do."""
    assert difference(decoded(read(encoded(scene(), "JPEG", keep_rgb=True, progressive=True))), scene()) < 4


def test_bands_make_no_seams() -> None:
    """A picture that is scaled in bands is the one that is scaled at once."""
    image = Image.effect_noise((4000, 3000), 60).convert("RGB")
    whole = image.resize((1600, 1200), Image.Resampling.BICUBIC, reducing_gap=2.0)
    assert difference(renditions._scaled(image, (1600, 1200)), whole) < 0.02


def test_a_large_jpeg_is_decoded_at_half_its_size(tmp_path: Path) -> None:
    """Whichever way it lies: that is where the speed comes from."""
    for size in ((4032, 3024), (3024, 4032)):
        image = Image.open(io.BytesIO(encoded(scene(size))))
        image.draft(None, renditions.fitted(image.size, 1600))
        assert image.size == (size[0] // 2, size[1] // 2)
