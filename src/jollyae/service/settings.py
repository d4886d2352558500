"""What ``run`` is told: its options by their names, from the command line, the environment or a file."""

from dataclasses import dataclass, field, replace

from ..processors import applicable
from ..processors.keys import DEFAULT
from ..spool.places import Places
from ..spool.sharing import Shared
from ..worker.rules import OnDone, Rules, Share
from . import machine
from .bandwidth import Limiter
from .units import floor, limit, timetable

DELIVERIES, COMMANDS = 64, 32
"""The most items in flight where nobody says another number. With 64 a small file costs a tenth less CPU than with 32,
for more of them are dealt with in one turn of the loop; more than that gave nothing (docs/PERFORMANCE.md)."""


MANIFEST = "manifest"
"""The target that gathers messages for manifests."""


class ConfigurationError(Exception):
    """The settings cannot work; exit code 78. ``hint`` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """How manifests of what was delivered are made (:mod:`.manifests`). ``url``: where they go; ``root``: with what the
    URLs in them begin; ``directory``: where the batches are, '' where that is not known yet."""

    url: str
    format: str
    items: int
    every: float
    key: str
    root: str
    directory: str = ""
    out: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where messages about deliveries go (:mod:`.notifications`). ``url`` in one of its forms; ``secret_file``: of a
    webhook, a secret a line; ``allow_internal``: a webhook may be in this network; the next three: of Amazon's, where
    the environment is not to decide; ``manifest``: where what it gathers them into goes."""

    name: str
    url: str
    secret_file: str | None = None
    allow_internal: bool = False
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of ``run``, by their names. '' and None: not given. ``share``: what of it is for one of several
    processes; ``target``: what comes here are messages for it; ``source``: the broker's queue that the items
    come from (its URL may have a password), ``from_password_file``: where that is instead; ``on_done``: None is
    :attr:`deletes`'s to say."""

    to: str | None = None
    exec: str | None = None
    exec_timeout: float | None = None
    call: str | None = None
    album: str | None = None
    originals: str | None = None
    addedby: str | None = None
    once: bool = False
    concurrency: int | None = None
    settle: float | None = None
    grace: float = 30.0
    on_done: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    prune_empty: float | None = None
    idle_exit: float | None = None
    copy: bool = False
    shared: str = "auto"
    finished_by_date: bool = False
    keep_finished: tuple[str, ...] = ()
    receipts_keep: str | None = None
    min_free: str | None = None
    min_free_inodes: str | None = None
    bandwidth: str | None = None
    key: str = DEFAULT
    if_exists: str = "refuse"
    head_first: bool = False
    storage_class: str | None = None
    acl: str | None = None
    sse: str | None = None
    sse_kms_key_id: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    tag: tuple[tuple[str, str], ...] = ()
    content_type: str | None = None
    no_guess_mime_type: bool = False
    content_encoding: str | None = None
    compress: str | None = None
    compress_as: str = "encoding"
    preserve: bool = False
    cache_control: str | None = None
    checksum_algorithm: str = "auto"
    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False
    ca_bundle: str | None = None
    no_verify_ssl: bool = False
    transport: str = "auto"
    processes: int = 1
    notify: tuple[Target, ...] = ()
    notify_secret_file: str | None = None
    notify_internal: bool = False
    event_source: str = "jollyae:s3"
    manifest: str | None = None
    manifest_format: str = "redshift"
    manifest_items: int = 1000
    manifest_every: float = 300.0
    manifest_key: str = "{date}/{name}"
    target: Target | None = None
    source: str | None = field(default=None, repr=False)
    from_password_file: str | None = None
    prefetch: int | None = None
    prefetch_bytes: int | None = None
    from_endpoint_url: str | None = None
    from_region: str | None = None
    from_profile: str | None = None
    share: Share = field(default_factory=Share)

    @property
    def most_in_flight(self) -> int:
        """As told; else 64, with a command for each 32; but no more than there may be files open for."""
        return min(self._wished, machine.items(machine.file_limit()) or self._wished)

    @property
    def _wished(self) -> int:
        if self.concurrency is None and self.album is not None:
            return 2 * machine.processors() + 2  # those that are decoded, and as many that are sent or next
        return self.concurrency or (COMMANDS if self.exec is not None else DELIVERIES)

    @property
    def is_short_of_files(self) -> bool:
        """Whether fewer items are in flight than wished, for want of open files."""
        return self.most_in_flight < self._wished

    @property
    def deletes(self) -> bool:
        """Whether a delivered file is removed: as told, else what came from a broker, for that is in its bucket."""
        return self.source is not None if self.on_done is None else self.on_done == "delete"

    def rules(self) -> Rules:
        """What of it the worker must know."""
        return Rules(
            once=self.once,
            concurrency=self.most_in_flight,
            settle=self.settle,
            grace=self.grace,
            on_done=OnDone.DELETE if self.deletes else OnDone.KEEP,
            include=self.include,
            exclude=self.exclude,
            prune_empty=self.prune_empty,
            finished_by_date=self.finished_by_date,
            keep_finished=limit(",".join(self.keep_finished)),
            keep_receipts=limit(self.receipts_keep or ""),
            floor=floor(self.min_free, self.min_free_inodes),
            idle_exit=self.idle_exit,
            shared=Shared(self.shared),
            share=self.share,
        )

    def targets(self) -> tuple[Target, ...]:
        """Where messages about deliveries go, with what is told for all of them."""
        gathered = () if self.manifest is None else (Target(name=MANIFEST, url="manifest:", manifest=self._manifest()),)
        return gathered + tuple(
            replace(
                one,
                secret_file=one.secret_file or self.notify_secret_file,
                allow_internal=one.allow_internal or self.notify_internal,
            )
            for one in self.notify
        )

    def _manifest(self) -> Manifest:
        return Manifest(
            url=self.manifest or "",
            format=self.manifest_format,
            items=self.manifest_items,
            every=self.manifest_every,
            key=self.manifest_key,
            root=self.to or "",
        )

    def divided(self, share: Share) -> "Settings":
        """The settings of one of several processes."""
        return replace(self, share=share, concurrency=share.part(self.most_in_flight))

    @property
    def kind(self) -> str:
        """What it delivers to: the URL's scheme, ``exec``, ``call`` or ``album``; '' where that is not said."""
        others = [name for name in ("exec", "call", "album") if getattr(self, name) is not None]
        return others[0] if others else (self.to or "").partition("://")[0]

    def refuse_what_does_not_apply(self) -> None:
        """Raise :class:`ConfigurationError` for an option that this destination cannot use: none is left out in
        silence."""
        default = Settings()
        for name in applicable.without_meaning(self.kind, manifests=self.manifest is not None):
            if (given := getattr(self, name)) and given != getattr(default, name):
                raise ConfigurationError(applicable.why(applicable.flag(name), self.kind))

    def limiter(self) -> Limiter | None:
        """What bounds the bandwidth of this process, where it is bounded."""
        return Limiter(timetable(self.bandwidth).divided(self.share.of)) if self.bandwidth else None


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue: what it is called, where it is, and what is told about it. ``about``: the name of the queue about
    whose deliveries its items are; with ``once`` it begins when that one is drained."""

    name: str
    places: Places
    settings: Settings
    about: str = ""
