"""A queue as JSON: what ``jollyae status --json`` says, in its words, and what the dashboard knows besides."""

from dataclasses import asdict
from typing import Any

from .views import PlaceView, QueueView


def told(view: QueueView) -> dict[str, Any]:
    """The queue as values. Ages (``…_s``) in seconds, times in seconds since 1970, rates for each second."""
    more = asdict(view)
    for name in ("sentence", "command", "places"):
        del more[name]
    return {
        "name": view.name,
        "why": view.sentence,
        "try": view.command,
        "places": {place.name: _place(place, view.at) for place in view.places},
        **more,
    }


def _place(place: PlaceView, at: float) -> dict[str, Any]:
    return {
        "items": place.items,
        "bytes": place.bytes,
        "oldest_s": None if place.oldest is None else max(at - place.oldest, 0.0),
        "counted_s": max(at - place.as_of, 0.0) if place.as_of else None,
        "at_least": place.at_least,
        "error": place.error,
    }
