"""Photos of 12 megapixels: digests, EXIF, renditions of 1600 and 320 pixels, on one core."""

import hashlib
import json
import os
import random
import sys
from pathlib import Path

from PIL import Image, ImageChops

from jollyae.processors.photo.samples import make_samples

from .. import HOME, ROOT
from ..figures import Run
from ..goals import NAIVE, OURS, VIPS
from ..lab import Contestant, Lab, need, remove
from ..programs import Failed
from ..programs import run as run_program

SIDE = 4032
DRAWN = 4
"""Photos that are drawn; the others are the same under other names, which none of the programs makes use of."""


def run(lab: Lab) -> None:
    """All three in turn; the slow one in fewer rounds."""
    directory = lab.memory / "photos"
    digest, size = _prepare(directory, lab.count(60, 300))
    ours = {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    peers = {"PYTHONPATH": str(ROOT)}
    python = HOME / "venv/bin/python"

    def contestant(who: str, interpreter: Path, module: str, env: dict[str, str], rounds: int = 0) -> Contestant:
        command = [str(interpreter), "-m", f"bench.photos.{module}", str(directory)]
        return Contestant(who, lambda number: _measure(lab, number, who, command, env, digest, size), rounds=rounds)

    mine = Path(sys.executable)
    contestants = [contestant(OURS, mine, "ours", ours), contestant(NAIVE, mine, "naive", peers, rounds=2)]
    if python.exists():
        contestants.append(contestant(VIPS, python, "vips", peers))
    else:
        lab.gap("pictures", VIPS, "the peers' venv is not there: make bench-setup")
    try:
        lab.compete("pictures", contestants, lab.rounds())
    finally:
        remove(directory)


def _prepare(directory: Path, count: int) -> tuple[str, int]:
    """So many photos; the digest of all their digests, and their bytes."""
    drawn = make_samples(directory, min(DRAWN, count), side=SIDE)
    for number, path in enumerate(drawn):
        roughen(path, number)
    for number in range(len(drawn), count):
        os.link(drawn[number % len(drawn)], directory / f"more-{number:06}.jpg")
    files = sorted(directory.iterdir())
    digests = "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return hashlib.sha256(digests.encode()).hexdigest(), sum(path.stat().st_size for path in files)


def roughen(path: Path, number: int) -> None:
    """Give a drawn photo the detail, and so the bytes, of a phone's: some 4 MB."""
    chance = random.Random(number)
    with Image.open(path) as image:
        exif = image.info["exif"]
        noise = Image.frombytes("L", image.size, chance.randbytes(image.width * image.height))
        noise = noise.point(lambda value: 128 + (value - 128) * 0.12)
        rough = ImageChops.add(image, Image.merge("RGB", [noise] * 3), offset=-128)
    rough.save(path, "JPEG", quality=90, exif=exif)


def _measure(lab: Lab, number: int, who: str, command: list[str], env: dict[str, str], digest: str, size: int) -> Run:
    usage = run_program(command, lab.environment(**env), lab.output(f"pictures {who}"))
    need(usage, {})
    told = json.loads(usage.told.strip().rpartition("\n")[2])
    if told["digest"] != digest or not told["bytes"]:
        raise Failed(f"it did not read what is there: {usage.told[-160:]}")
    photos = int(told["photos"])
    values = {
        "photos_per_s": photos / told["seconds"],
        "cpu_us_per_item": usage.cpu / photos * 1e6,
        "core_mb": told["peak"] / 1e6,
        "peak_mb": usage.peak / 1e6,
    }
    return Run("pictures", who, number, photos, size, values)
