"""Sample photos for demos and tests: landscapes that are drawn, with what cameras write into their files.

The same count gives the same bytes. Each is drawn upright and stored as a camera would have stored it: turned by its
EXIF orientation, of which all eight are used.
"""

import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter
from PIL.TiffImagePlugin import IFDRational

Colour = tuple[int, int, int]

SIDE = 1920
"""Pixels of the longer side."""
_FIRST, _LAST = datetime(2021, 3, 14), datetime(2026, 10, 25)
_FINE = 2600  # from this width on edges are drawn at once, below it at twice the size

_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What makes of an upright picture the one that is stored with this orientation."""


def make_samples(directory: Path, count: int, *, side: int = SIDE) -> list[Path]:
    """Make so many photos in ``directory`` (which is made); their paths, oldest photo first."""
    directory.mkdir(parents=True, exist_ok=True)
    return [_make(directory, number, count, side) for number in range(count)]


def _make(directory: Path, number: int, count: int, side: int) -> Path:
    chance = random.Random(number)
    scene = SCENES[number % len(SCENES)]
    camera = CAMERAS[(number * 5 + number // len(SCENES)) % len(CAMERAS)]
    taken = _time(scene, number, count, chance)
    orientation = number % 8 + 1
    is_portrait = number % 5 == 3
    size = (side * 3 // 4, side) if is_portrait else (side, side * 3 // 4)
    image = _grained(scene.draw(size, chance), chance)
    if orientation in _STORED:
        image = image.transpose(_STORED[orientation])
    path = directory / f"{camera.prefix}{taken:%Y%m%d}_{number + 1:04}.jpg"
    image.save(path, "JPEG", quality=90, exif=_exif(scene, camera, taken, orientation, chance))
    os.utime(path, (taken.timestamp(), taken.timestamp()))
    return path


def _time(scene: "Scene", number: int, count: int, chance: random.Random) -> datetime:
    """Spread over the years, at the scene's time of day."""
    days = (_LAST - _FIRST).days * number // max(1, count - 1)
    day = _FIRST + timedelta(days=days)
    return day.replace(hour=scene.hour, minute=chance.randrange(60), second=chance.randrange(60))


# --- what cameras write


@dataclass(frozen=True)
class Camera:
    """A camera as its files name it; ``prefix`` is how it names them."""

    make: str
    model: str
    lens: str
    prefix: str
    focals: tuple[float, ...]
    apertures: tuple[float, ...]
    has_zone: bool
    has_gps: bool


CAMERAS = (
    Camera("Canon", "Canon EOS R6", "RF24-105mm F4 L IS USM", "IMG_", (24, 35, 70, 105), (4, 8, 11), False, False),
    Camera("NIKON CORPORATION", "NIKON Z 6", "NIKKOR Z 24-70mm f/4 S", "DSC_", (24, 50, 70), (4, 5.6, 8), False, False),
    Camera("FUJIFILM", "X-T4", "XF23mmF2 R WR", "DSCF", (23,), (2, 5.6, 8), False, True),
    Camera("Google", "Pixel 8", "Pixel 8 back camera 6.9mm f/1.68", "PXL_", (6.9,), (1.68,), True, True),
    Camera("Apple", "iPhone 15", "iPhone 15 back dual wide camera 5.96mm f/1.6", "IMG_", (5.96,), (1.6,), True, True),
    Camera("SONY", "ILCE-7M4", "FE 20mm F1.8 G", "DSC", (20,), (1.8, 4, 8), True, False),
)


def _exif(scene: "Scene", camera: Camera, taken: datetime, orientation: int, chance: random.Random) -> Image.Exif:
    exif = Image.Exif()
    exif[271], exif[272], exif[305] = camera.make, camera.model, "jollyae samples"
    exif[274], exif[306] = orientation, f"{taken:%Y:%m:%d %H:%M:%S}"
    if chance.random() < 0.6:
        exif[270] = scene.descr
        exif[40091] = scene.title.encode("utf-16-le") + bytes(2)
        exif[40094] = ";".join(scene.keywords).encode("utf-16-le") + bytes(2)
    photo = exif.get_ifd(34665)
    photo[36867] = photo[36868] = f"{taken:%Y:%m:%d %H:%M:%S}"
    if camera.has_zone:
        photo[36881] = scene.zone
    photo[33434] = IFDRational(*chance.choice(scene.exposures))
    photo[33437] = IFDRational(round(chance.choice(camera.apertures) * 100), 100)
    photo[34855] = chance.choice(scene.isos)
    photo[37386] = IFDRational(round(chance.choice(camera.focals) * 100), 100)
    photo[42036] = camera.lens
    if camera.has_gps:
        _place(exif.get_ifd(34853), scene, chance)
    return exif


def _place(gps: dict[int, object], scene: "Scene", chance: random.Random) -> None:
    latitude, longitude = (degrees + chance.uniform(-0.02, 0.02) for degrees in scene.place)
    gps[1], gps[2] = "N" if latitude >= 0 else "S", _sexagesimal(latitude)
    gps[3], gps[4] = "E" if longitude >= 0 else "W", _sexagesimal(longitude)
    gps[5], gps[6] = b"\0", IFDRational(round(scene.altitude * 10), 10)


def _sexagesimal(degrees: float) -> tuple[IFDRational, ...]:
    seconds = round(abs(degrees) * 3600 * 100)
    whole, rest = divmod(seconds, 360_000)
    return IFDRational(whole, 1), IFDRational(rest // 6000, 1), IFDRational(rest % 6000, 100)


# --- drawing

Size = tuple[int, int]
Stops = Sequence[tuple[float, Colour]]


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _gradient(size: Size, stops: Stops) -> Image.Image:
    """From top to bottom, through these colours at these heights (0 to 1)."""
    column = Image.new("RGB", (1, 256))
    for row in range(256):
        height = row / 255
        below = next((index for index, (at, _) in enumerate(stops) if at >= height), len(stops) - 1)
        (low, first), (high, second) = stops[max(0, below - 1)], stops[below]
        share = (height - low) / (high - low) if high > low else 0.0
        column.putpixel((0, row), _mix(first, second, min(1.0, max(0.0, share))))
    return column.resize(size, Image.Resampling.BICUBIC)


def _glow(image: Image.Image, centre: tuple[float, float], radius: float, colour: Colour, power: float = 1.0) -> None:
    """Light around a point (in shares of the width and height; the radius of the width), added to what is there."""
    across = max(2, round(radius * image.width * 2))
    # Pillow's gradient has 255 in the corners; at the middle of an edge, where light shall end, it has 181.
    light = Image.radial_gradient("L").point(lambda value: 255 * max(0.0, 1 - value / 181) ** (2 / power))
    light = light.resize((across, across), Image.Resampling.BICUBIC)
    left, top = round(centre[0] * image.width - across / 2), round(centre[1] * image.height - across / 2)
    box = (max(0, left), max(0, top), min(image.width, left + across), min(image.height, top + across))
    if box[0] >= box[2] or box[1] >= box[3]:
        return
    part = light.crop((box[0] - left, box[1] - top, box[2] - left, box[3] - top))
    lit = Image.composite(Image.new("RGB", part.size, colour), Image.new("RGB", part.size), part)
    image.paste(ImageChops.screen(image.crop(box), lit), box[:2])


def _disc(image: Image.Image, centre: tuple[float, float], radius: float, colour: Colour) -> None:
    """A round thing with a soft edge."""
    across = max(4, round(radius * image.width * 2))
    mask = Image.new("L", (across * 2, across * 2))
    ImageDraw.Draw(mask).ellipse((4, 4, across * 2 - 5, across * 2 - 5), fill=255)
    mask = mask.resize((across, across), Image.Resampling.BICUBIC)
    place = round(centre[0] * image.width - across / 2), round(centre[1] * image.height - across / 2)
    image.paste(Image.new("RGB", mask.size, colour), place, mask)


def _ridge(chance: random.Random, points: int, rough: float) -> list[float]:
    """A line of hills between -1 and 1: waves of waves, each half as high as the one before."""
    waves = [(2.0**octave, rough**octave, chance.uniform(0, 2 * math.pi)) for octave in range(7)]
    base = chance.uniform(0.7, 1.5)
    total = sum(height for _, height, _ in waves)
    return [
        sum(height * math.sin(base * often * point / points * math.tau + at) for often, height, at in waves) / total
        for point in range(points + 1)
    ]


def _land(
    image: Image.Image, line: Sequence[float], level: float, height: float, colours: tuple[Colour, Colour]
) -> None:
    """All below a line of hills, from one colour at its top to another at the bottom."""
    scale = 1 if image.width > _FINE else 2
    mask = Image.new("L", (image.width * scale, image.height * scale))
    last = len(line) - 1
    outline = [(x * mask.width / last, (level - height * y) * mask.height) for x, y in enumerate(line)]
    ImageDraw.Draw(mask).polygon([(0, mask.height), *outline, (mask.width, mask.height)], fill=255)
    if scale > 1:
        mask = mask.resize(image.size, Image.Resampling.BOX)
    top = max(0.0, level - height)
    fill = _gradient(image.size, [(0, colours[0]), (top, colours[0]), (1, colours[1])])
    image.paste(fill, (0, 0), mask)


def _range(
    image: Image.Image,
    chance: random.Random,
    layers: int,
    levels: tuple[float, float],
    height: float,
    colours: tuple[Colour, Colour],
    rough: float = 0.5,
) -> None:
    """Ridges behind each other: the farther, the more of the air's colour they have."""
    for layer in range(layers):
        share = layer / max(1, layers - 1)
        near = _mix(colours[0], colours[1], share)
        level = levels[0] + (levels[1] - levels[0]) * share
        line = _ridge(chance, 400, rough)
        _land(image, line, level, height * (0.7 + 0.5 * share), (near, _mix(near, colours[0], 0.35 * (1 - share))))


def _clouds(image: Image.Image, chance: random.Random, count: int, band: tuple[float, float], colour: Colour) -> None:
    """Long thin clouds, the lower the thinner."""
    small = Image.new("L", (480, 480 * image.height // image.width))
    draw = ImageDraw.Draw(small)
    for _ in range(count):
        x, y = chance.uniform(-60, 480), chance.uniform(*band) * small.height
        for _ in range(chance.randrange(6, 14)):
            wide, thick = chance.uniform(20, 90), chance.uniform(2, 8) * (1.2 - y / small.height)
            left, top = x + chance.uniform(-50, 50), y + chance.uniform(-6, 6)
            draw.ellipse((left, top, left + wide, top + thick), fill=chance.randrange(60, 170))
    mask = small.filter(ImageFilter.GaussianBlur(5)).resize(image.size, Image.Resampling.BICUBIC)
    image.paste(Image.new("RGB", image.size, colour), (0, 0), mask)


def _stars(image: Image.Image, chance: random.Random, count: int, lowest: float) -> None:
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        x, y = chance.random() * image.width, chance.random() ** 1.3 * lowest * image.height
        size, light = image.width / 1920 * chance.choice((0.7, 0.7, 1, 1.6)), chance.randrange(110, 255)
        draw.ellipse((x - size, y - size, x + size, y + size), fill=(light, light, min(255, light + 15)))


def _glints(image: Image.Image, chance: random.Random, x: float, horizon: float, colour: Colour) -> None:
    """The sun's path on the water: short strokes, wider and longer towards us."""
    layer = Image.new("L", image.size)
    draw = ImageDraw.Draw(layer)
    for _ in range(900):
        depth = chance.random() ** 1.5
        y = (horizon + (1 - horizon) * depth) * image.height
        spread = (0.02 + 0.13 * depth) * image.width
        middle = x * image.width + chance.gauss(0, spread)
        half, thick = (0.004 + 0.02 * depth) * image.width * chance.random(), max(1.0, image.height * 0.0022 * depth)
        draw.ellipse((middle - half, y, middle + half, y + thick), fill=chance.randrange(60, 230))
    layer = layer.filter(ImageFilter.GaussianBlur(max(0.6, image.width / 2400)))
    image.paste(Image.new("RGB", image.size, colour), (0, 0), layer)


def _waves(image: Image.Image, chance: random.Random, horizon: float, dark: Colour) -> None:
    layer = Image.new("L", image.size)
    draw = ImageDraw.Draw(layer)
    for _ in range(1400):
        depth = chance.random() ** 1.4
        y = (horizon + (1 - horizon) * depth) * image.height
        half = (0.01 + 0.05 * depth) * image.width * chance.random()
        middle = chance.random() * image.width
        draw.line((middle - half, y, middle + half, y), fill=chance.randrange(20, 80), width=1 + round(3 * depth))
    image.paste(Image.new("RGB", image.size, dark), (0, 0), layer.filter(ImageFilter.GaussianBlur(1.2)))


def _pines(image: Image.Image, chance: random.Random, level: float, colour: Colour, count: int) -> None:
    """Trees along the lower edge, with their tips at about that height."""
    scale = 1 if image.width > _FINE else 2
    mask = Image.new("L", (image.width * scale, image.height * scale))
    draw = ImageDraw.Draw(mask)
    for _ in range(count):
        x, tall = chance.random() * mask.width, chance.uniform(0.5, 1.1) * (1 - level) * mask.height
        top = mask.height - tall
        for step in range(7):
            y, wide = top + tall * 0.13 * step, tall * (0.025 + 0.021 * step) * chance.uniform(0.9, 1.1)
            draw.polygon([(x, y - tall * 0.04), (x - wide, y + tall * 0.15), (x + wide, y + tall * 0.15)], fill=255)
    draw.rectangle((0, mask.height * (0.97), mask.width, mask.height), fill=255)
    image.paste(Image.new("RGB", image.size, colour), (0, 0), mask.resize(image.size, Image.Resampling.BOX))


def _mirrored(image: Image.Image, horizon: float, tint: Colour) -> None:
    """Still water below the horizon: what is above it, upside down, softer and darker."""
    line = round(horizon * image.height)
    water = image.height - line
    above = image.crop((0, max(0, line - water), image.width, line)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    above = above.resize((image.width, water)).filter(ImageFilter.GaussianBlur(image.width / 700))
    shade = _gradient(above.size, [(0, _mix(tint, (255, 255, 255), 0.5)), (1, tint)])
    image.paste(ImageChops.multiply(above, shade), (0, line))


def _grained(image: Image.Image, chance: random.Random) -> Image.Image:
    """With a little of a sensor's grain, without which skies show bands, and darker corners."""
    width, height = image.size
    grain = Image.frombytes("L", image.size, chance.randbytes(width * height)).point(lambda value: 120 + value / 16)
    grain = grain.filter(ImageFilter.BoxBlur(0.6))
    vignette = Image.radial_gradient("L").point(lambda value: 255 - (value / 255) ** 3 * 70).resize(image.size)
    image = ImageChops.multiply(image, Image.merge("RGB", [vignette] * 3))
    return ImageChops.add(image, Image.merge("RGB", [grain] * 3), offset=-128)


# --- scenes


def _sunset_sea(size: Size, chance: random.Random) -> Image.Image:
    x, horizon = chance.uniform(0.3, 0.7), chance.uniform(0.56, 0.66)
    sky = [(0, (38, 44, 92)), (0.25, (122, 76, 122)), (0.45, (228, 122, 92)), (horizon, (255, 208, 130))]
    image = _gradient(size, [*sky, (1, (255, 208, 130))])
    _clouds(image, chance, 9, (0.08, horizon - 0.12), (255, 170, 140))
    _glow(image, (x, horizon - 0.06), 0.5, (255, 150, 70), 1.2)
    _disc(image, (x, horizon - 0.06), 0.028, (255, 244, 214))
    _land(image, _ridge(chance, 300, 0.5), horizon + 0.01, 0.04, ((104, 62, 86), (104, 62, 86)))
    line = round(horizon * size[1])
    water = [(0, (214, 128, 98)), (0.3, (110, 74, 98)), (1, (24, 30, 60))]
    image.paste(_gradient((size[0], size[1] - line), water), (0, line))
    _waves(image, chance, horizon, (22, 26, 54))
    _glints(image, chance, x, horizon, (255, 222, 160))
    return image


def _misty_mountains(size: Size, chance: random.Random) -> Image.Image:
    image = _gradient(size, [(0, (96, 138, 186)), (0.5, (202, 214, 224)), (1, (240, 226, 208))])
    _glow(image, (chance.uniform(0.2, 0.8), 0.35), 0.45, (255, 226, 170))
    _range(image, chance, 7, (0.46, 0.92), 0.17, ((168, 186, 206), (22, 40, 58)), rough=0.56)
    _pines(image, chance, 0.86, (12, 24, 34), 70)
    return image


def _green_hills(size: Size, chance: random.Random) -> Image.Image:
    image = _gradient(size, [(0, (58, 126, 206)), (0.6, (182, 216, 240)), (1, (214, 232, 240))])
    _clouds(image, chance, 12, (0.05, 0.4), (255, 255, 255))
    _range(image, chance, 6, (0.58, 0.95), 0.1, ((148, 182, 168), (58, 118, 44)), rough=0.35)
    return image


def _aurora(size: Size, chance: random.Random) -> Image.Image:
    image = _gradient(size, [(0, (6, 10, 30)), (0.7, (14, 40, 62)), (1, (20, 52, 66))])
    _stars(image, chance, 900, 0.7)
    small = Image.new("L", (320, 320 * size[1] // size[0]))
    draw = ImageDraw.Draw(small)
    for _ in range(3):
        line, foot = _ridge(chance, 320, 0.45), chance.uniform(0.42, 0.62)
        for x, y in enumerate(line):
            bottom = (foot + 0.12 * y) * small.height
            tall = small.height * (0.16 + 0.14 * abs(math.sin(x / 9 + 5 * y)))
            for step in range(20):
                light = round(150 * (1 - step / 20) ** 1.4)
                draw.line((x, bottom - tall * step / 20, x, bottom - tall * (step + 1) / 20), fill=light)
    curtain = small.filter(ImageFilter.GaussianBlur(2.4)).resize(size, Image.Resampling.BICUBIC)
    light = _gradient(size, [(0, (130, 60, 190)), (0.35, (70, 190, 160)), (0.7, (90, 255, 150)), (1, (90, 255, 150))])
    image = ImageChops.screen(image, Image.composite(light, Image.new("RGB", size), curtain))
    _range(image, chance, 3, (0.72, 0.8), 0.12, ((22, 46, 62), (6, 14, 24)), rough=0.58)
    _mirrored(image, 0.82, (110, 130, 140))
    return image


def _dunes(size: Size, chance: random.Random) -> Image.Image:
    image = _gradient(size, [(0, (66, 134, 196)), (0.55, (236, 210, 170)), (1, (250, 220, 170))])
    _glow(image, (chance.uniform(0.1, 0.9), 0.2), 0.3, (255, 240, 200))
    _range(image, chance, 5, (0.55, 0.9), 0.12, ((226, 178, 126), (168, 86, 40)), rough=0.3)
    return image


def _lake(size: Size, chance: random.Random) -> Image.Image:
    image = _gradient(
        size, [(0, (62, 96, 160)), (0.35, (226, 158, 150)), (0.56, (255, 220, 170)), (1, (255, 220, 170))]
    )
    _clouds(image, chance, 8, (0.05, 0.35), (255, 200, 180))
    _range(image, chance, 4, (0.4, 0.55), 0.16, ((150, 138, 168), (38, 46, 66)), rough=0.57)
    _mirrored(image, 0.58, (130, 140, 170))
    _pines(image, chance, 0.9, (16, 20, 28), 26)
    return image


def _winter(size: Size, chance: random.Random) -> Image.Image:
    image = _gradient(size, [(0, (120, 160, 206)), (0.6, (224, 232, 244)), (1, (248, 240, 240))])
    _glow(image, (chance.uniform(0.2, 0.8), 0.3), 0.25, (255, 244, 224))
    _range(image, chance, 5, (0.5, 0.84), 0.15, ((196, 208, 228), (236, 242, 250)), rough=0.52)
    _land(image, _ridge(chance, 300, 0.3), 0.88, 0.05, ((250, 252, 255), (206, 218, 238)))
    _pines(image, chance, 0.82, (44, 66, 76), 18)
    return image


def _city(size: Size, chance: random.Random) -> Image.Image:
    image = _gradient(size, [(0, (20, 26, 60)), (0.45, (92, 70, 122)), (0.75, (244, 148, 110)), (1, (255, 196, 140))])
    _stars(image, chance, 120, 0.35)
    _disc(image, (chance.uniform(0.15, 0.85), 0.18), 0.022, (250, 244, 228))
    draw = ImageDraw.Draw(image)
    for layer, colour in enumerate(((96, 72, 112), (56, 46, 84), (22, 22, 44))):
        x = -0.02
        while x < 1:
            wide, tall = chance.uniform(0.03, 0.08), chance.uniform(0.12, 0.42 - 0.06 * layer)
            left, right, top = x * size[0], (x + wide) * size[0], (0.86 + 0.04 * layer - tall) * size[1]
            draw.rectangle((left, top, right, size[1]), fill=colour)
            if layer:
                _windows(draw, chance, (left, top, right, size[1]), size[0] / 260)
            x += wide + chance.choice((0, 0, 0.01))
    return image


def _windows(draw: ImageDraw.ImageDraw, chance: random.Random, house: tuple[float, ...], step: float) -> None:
    left, top, right, bottom = house
    y = top + step * 1.5
    while y < bottom:
        x = left + step
        while x < right - step:
            if chance.random() < 0.28:
                warm = chance.choice(((255, 214, 130), (255, 236, 190), (255, 190, 96)))
                draw.rectangle((x, y, x + step * 0.55, y + step * 0.8), fill=warm)
            x += step * 1.2
        y += step * 1.9


def _bokeh(size: Size, chance: random.Random) -> Image.Image:
    """A flower before lights that are out of focus."""
    image = _gradient(size, [(0, (34, 66, 52)), (0.6, (74, 116, 68)), (1, (28, 52, 40))])
    for _ in range(46):
        light = chance.choice(((255, 214, 150), (190, 240, 170), (255, 250, 214), (240, 190, 200)))
        _glow(image, (chance.random(), chance.random()), chance.uniform(0.03, 0.1), _mix((0, 0, 0), light, 0.55), 6)
    middle, petals = (chance.uniform(0.4, 0.6), 0.5), chance.randrange(11, 17)
    white, yellow, violet = (
        ((255, 250, 250), (236, 226, 240)),
        ((255, 206, 90), (240, 140, 50)),
        ((230, 150, 210), (170, 80, 170)),
    )
    inner, outer = chance.choice((white, yellow, violet))
    long = min(size) * 0.3
    for petal in range(petals):
        leaf = Image.new("L", (round(long * 2.4), round(long * 2.4)))
        centre = leaf.width / 2
        ImageDraw.Draw(leaf).ellipse((centre, centre - long * 0.17, centre + long, centre + long * 0.17), fill=255)
        leaf = leaf.rotate(360 / petals * petal + chance.uniform(-6, 6), Image.Resampling.BICUBIC)
        colour = _mix(inner, outer, chance.random())
        place = round(middle[0] * size[0] - centre), round(middle[1] * size[1] - centre)
        shadow = leaf.filter(ImageFilter.GaussianBlur(long / 30)).point(lambda value: value * 0.4)
        image.paste(Image.new("RGB", leaf.size, _mix(colour, (40, 30, 50), 0.7)), place, shadow)
        image.paste(Image.new("RGB", leaf.size, colour), place, leaf)
    _disc(image, middle, long * 0.3 / size[0], (214, 158, 40))
    _glow(image, middle, long * 0.3 / size[0], (90, 60, 10))
    return image


@dataclass(frozen=True)
class Scene:
    """What is drawn, and what a camera and its owner would have written of it."""

    title: str
    descr: str
    keywords: tuple[str, ...]
    hour: int
    zone: str
    place: tuple[float, float]
    altitude: float
    exposures: tuple[tuple[int, int], ...]
    isos: tuple[int, ...]
    draw: Callable[[Size, random.Random], Image.Image]


_BRIGHT: tuple[tuple[int, int], ...] = ((1, 250), (1, 500), (1, 1000))
_DIM: tuple[tuple[int, int], ...] = ((1, 30), (1, 60), (1, 125))
_DARK: tuple[tuple[int, int], ...] = ((2, 1), (8, 1), (15, 1))

SCENES = (
    Scene("Last light", "The sun goes into the sea.", ("beach", "sunset", "sea"), 20, "+01:00",
          (37.0850, -8.6690), 6, _DIM, (100, 200), _sunset_sea),
    Scene("Ridges", "Seven ridges before breakfast.", ("mountains", "morning", "mist"), 6, "+02:00",
          (46.6190, 12.3020), 2200, _DIM, (200, 400), _misty_mountains),
    Scene("Green hills", "A walk after the rain.", ("hills", "walk"), 14, "+01:00",
          (54.4600, -3.0900), 310, _BRIGHT, (100,), _green_hills),
    Scene("Northern lights", "Minus twelve, and nobody wanted to go in.", ("night", "aurora", "winter"), 23, "+01:00",
          (68.2340, 14.5680), 12, _DARK, (1600, 3200), _aurora),
    Scene("Dunes", "Sand, as far as one can see.", ("desert", "dunes"), 9, "+02:00",
          (-24.7380, 15.3430), 570, _BRIGHT, (100, 125), _dunes),
    Scene("Still water", "Not a breath of wind.", ("lake", "evening"), 19, "+02:00",
          (46.6940, 12.0850), 1490, _DIM, (100, 400), _lake),
    Scene("First snow", "The first tracks are ours.", ("winter", "snow", "walk"), 10, "+09:00",
          (43.6640, 142.8540), 1100, _BRIGHT, (100,), _winter),
    Scene("Blue hour", "Lights go on.", ("city", "night"), 21, "-07:00",
          (37.8270, -122.4990), 90, _DIM, (800, 1600), _city),
    Scene("In the garden", "", ("flower", "garden"), 11, "+02:00",
          (52.4560, 13.3030), 45, _BRIGHT, (100, 200), _bokeh),
)  # fmt: skip
