"""What is known of a picture or video once it was read."""

from dataclasses import dataclass, field

MEDIUM, THUMB = "medium", "thumb"
"""The names of the renditions."""
SIDES = {MEDIUM: 1600, THUMB: 320}
"""The longer side of each rendition in pixels; a smaller picture stays as small as it is."""


@dataclass(slots=True)
class Picture:
    """All that is read from one file.

    - ``sha256`` and ``md5`` (hexadecimal), ``size`` (bytes): the original's
    - ``extension`` (no dot), ``mime`` and ``kind`` ('image' or 'video'): what it is, whatever it is called
    - ``taken``: ISO 8601 to the second, local time as taken, with an offset only where the file says so
    - ``width`` and ``height`` (pixels): upright; 0 where they could not be read
    - ``camera``: texts, those that are known: ``name`` (what lists show), ``make``, ``model``, ``lens``, ``exposure``
      ('1/250 s'), ``aperture`` ('f/2.8'), ``iso`` ('100'), ``focal`` ('50 mm')
    - ``gps``: ``latitude``, ``longitude`` (degrees, WGS 84) and, where known, ``altitude`` (m)
    - ``exif``: the readable tags as text, by their names; nothing of the position, which is in ``gps`` alone, so that
      who removes that has removed all of it
    - ``title``, ``descr``, ``keywords``: what people or programs wrote into the file
    - ``renditions``: JPEGs by name, upright, with the original's colour profile and nothing else of it
    - ``trouble``: why there are no renditions, and what to do; '' where there are
    """

    sha256: str
    md5: str
    size: int
    extension: str
    mime: str
    kind: str
    taken: str
    width: int = 0
    height: int = 0
    camera: dict[str, str] = field(default_factory=dict)
    gps: dict[str, float] | None = None
    exif: dict[str, str] = field(default_factory=dict)
    title: str = ""
    descr: str = ""
    keywords: list[str] = field(default_factory=list)
    renditions: dict[str, bytes] = field(default_factory=dict, repr=False)
    trouble: str = ""
