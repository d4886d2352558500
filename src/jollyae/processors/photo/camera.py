"""The camera and how it was set, as photographers write it."""

import re

from .tags import Tags, clean, fraction

_MAKE, _MODEL = 271, 272
_EXPOSURE_TIME, _F_NUMBER, _ISO, _FOCAL_LENGTH, _LENS = 33434, 33437, 34855, 37386, 42036

_COMPANY = re.compile(
    r"(?:[ ,.]+(?:corporation|corp|company|co|ltd|inc|gmbh|ag|kg|imaging|optical|electric|electronics|techwin|"
    r"communications|camera|digital)\.?)+[ ,.]*$",
    re.IGNORECASE,
)


def camera(tags: Tags) -> dict[str, str]:
    """What is known of it: ``name``, ``make``, ``model``, ``lens``, ``exposure``, ``aperture``, ``iso``, ``focal``.

    >>> camera(Tags({271: "Canon", 272: "Canon EOS R5"}, {33434: 0.004, 33437: 2.8, 34855: 100, 37386: 50.0}))
    ... # doctest: +NORMALIZE_WHITESPACE
    {'name': 'Canon EOS R5', 'make': 'Canon', 'model': 'Canon EOS R5', 'exposure': '1/250 s', 'aperture': 'f/2.8',
     'iso': '100', 'focal': '50 mm'}
    """
    make, model = tags.text(_MAKE), tags.text(_MODEL)
    found = {
        "name": name(make, model),
        "make": make,
        "model": model,
        "lens": tags.text(_LENS).strip("-"),
        "exposure": _with("", fraction(tags.number(_EXPOSURE_TIME)), " s"),
        "aperture": _with("f/", _short(tags.number(_F_NUMBER), 0.1, 1000), ""),
        "iso": _short(tags.number(_ISO), 1, 1e8),
        "focal": _with("", _short(tags.number(_FOCAL_LENGTH), 0.1, 1e5), " mm"),
    }
    return {what: text for what, text in found.items() if text}


def name(make: str, model: str) -> str:
    """What lists show: make and model, the make once.

    >>> name("NIKON CORPORATION", "NIKON D750"), name("OLYMPUS IMAGING CORP.", "E-M10"), name("", "X100")
    ('NIKON D750', 'OLYMPUS E-M10', 'X100')
    """
    short = _COMPANY.sub("", make).strip() or make
    first = short.split()[0] if short else ""
    if first and model.lower().startswith(first.lower()):
        return model
    return clean(f"{short} {model}")


def _short(number: float, least: float, most: float) -> str:
    """A number with at most one digit after the point; '' outside of what can be."""
    return f"{number:.1f}".removesuffix(".0") if least <= number <= most else ""


def _with(before: str, text: str, after: str) -> str:
    return f"{before}{text}{after}" if text else ""
