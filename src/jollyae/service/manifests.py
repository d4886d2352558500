"""Manifests of what was delivered (``--manifest``): the messages about deliveries go to one more target,
``SPOOL/notify/manifest``, which gathers them into batches; each batch's manifest is an item of one more spool,
``SPOOL/notify/manifests``, that is delivered as any. So a manifest has the promises that every item has.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..processors.applicable import OF_MANIFESTS
from ..processors.keys import KeyTemplate, TemplateError
from ..processors.manifest.batches import Batches
from ..processors.manifest.formats import FORMATS, Entry
from ..processors.manifest.gather import Gather
from ..spool.places import Places
from ..spool.spool import Spool
from .settings import ConfigurationError, Manifest, Queue, Settings, Target

DIRECTORY = "notify"
OUT = "manifests"
"""Beside the targets: the spool of the manifests themselves."""
BATCHES = "batches"
"""In the target's spool: what is gathered."""
AT_ONCE = 4
"""Manifests that are on their way at a time."""
_STORE = ("endpoint_url", "region", "profile", "no_sign_request", "ca_bundle", "no_verify_ssl", "transport")


def check(settings: Settings) -> None:
    """Raise :class:`ConfigurationError` where manifests are wanted that cannot be."""
    if settings.manifest is None:
        return
    if settings.to is None:
        raise ConfigurationError("--manifest goes with --to", "Only what has a URL can be in a manifest.")
    schemes = FORMATS[settings.manifest_format].schemes
    if schemes and settings.to.partition("://")[0] not in schemes:
        raise ConfigurationError(
            f"--manifest-format {settings.manifest_format} can tell of s3:// only, and --to is {settings.to}",
            "Try: --manifest-format symlink (a URL a line), or emr (JSON)",
        )
    try:
        KeyTemplate(settings.manifest_key)
    except TemplateError as error:
        raise ConfigurationError(f"--manifest-key: {error}") from error
    if not any(field in settings.manifest_key for field in ("{name}", "{path}", "{stem}", "{sha256}")):
        hint = "Put {name} into it."
        raise ConfigurationError(f"--manifest-key {settings.manifest_key}: all manifests would have one key", hint)


def places(spool: Places) -> Places:
    """Where the manifests wait that are made and not yet delivered."""
    return Places.under(spool.control / DIRECTORY / OUT)


def queues(spool: Places, settings: Settings) -> tuple[Queue, ...]:
    """The queue of the manifests, where any are wanted; its name is to be completed."""
    if settings.manifest is None:
        return ()
    told = {name: getattr(settings, name) for name in (*_STORE, *OF_MANIFESTS, "once", "grace", "idle_exit")}
    own = Settings(
        to=settings.manifest,
        key=settings.manifest_key,
        on_done="delete",
        settle=0.0,
        concurrency=AT_ONCE,
        **told,
    )
    return (Queue(OUT, places(spool), own),)


def placed(spool: Places, target: Target) -> Target:
    """The target, with where its batches are."""
    assert target.manifest is not None
    directory = spool.control / DIRECTORY / target.name / BATCHES
    out = str(places(spool).control)
    return replace(target, manifest=replace(target.manifest, directory=str(directory), out=out))


def gather(manifest: Manifest) -> Gather:
    """What gathers messages for manifests."""
    form = FORMATS[manifest.format]

    def submit(file: str, name: str) -> None:
        Spool(manifest.out).submit(file, name)

    def render(entries: Sequence[Entry]) -> bytes:
        return form.render(entries, manifest.root)

    batches = Batches(manifest.directory, render, form.suffix, submit)
    return Gather(batches, manifest.items, manifest.every)
