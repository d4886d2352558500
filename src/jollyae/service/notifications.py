"""Notifications about deliveries: each target is a further queue, ``SPOOL/notify/TARGET``, of messages that wait to be
sent, with a team of its own; so they have retries, pauses, notes and a state as every queue has.
"""

import asyncio
import hashlib
import os
import re
import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ..processors.finding import Finding, failed, ok, warning
from ..processors.manifest.gather import Gather
from ..spool.outcomes import Temporary
from ..spool.places import Places
from ..spool.spool import Spool
from ..worker.outbox import Outbox
from . import credentials, manifests
from .deliveries import Destination
from .settings import MANIFEST, ConfigurationError, Queue, Settings, Target

if TYPE_CHECKING:
    from ..worker.attempt import Process

DIRECTORY = "notify"
"""In a spool: where its targets are."""
AT_ONCE = 8
"""Messages that are on their way to one target at a time."""
TOGETHER = 64
"""Messages that are brought to the disk together for a manifest."""
SECRET = "JOLLYAE_WEBHOOK_SECRET"
"""The secrets of all webhooks that have no file of their own."""
DEFAULT_REGION = "us-east-1"
FORMS = "https://…, http://…, sqs://QUEUE, sns://ARN, events://BUS, amqp://HOST/QUEUE, exec:COMMAND, spool:///DIR"
_LOCAL = ("exec", "spool")
_SCHEMES = ("https", "http", "sqs", "sns", "events", "amqp", "amqps", "exec", "spool")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def target(url: str) -> Target:
    """The target of a bare URL; its name is made of the URL, always the same. Raises :class:`ValueError`.

    >>> target("https://hooks.example/secret/path").name
    'hooks.example-0fc3df'
    """
    scheme, _, rest = url.partition(":")
    if scheme not in _SCHEMES or not rest.strip("/"):
        raise ValueError(f"it must be one of {FORMS}")
    if scheme == "exec":
        plain = rest.split()[0].rpartition("/")[2]
    else:
        hides = scheme.startswith(("http", "amqp"))  # a secret path, or a password before the host
        plain = str(urlsplit(url).hostname or "") if hides else rest.strip("/")
    stem = re.sub(r"[^a-z0-9.-]+", "-", plain.lower().rpartition(":")[2]).strip(".-")[:60] or scheme
    return Target(name=f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:6]}", url=url)


def places(spool: Places, target: Target) -> Places:
    """Where a target's messages are."""
    return Places.under(spool.control / DIRECTORY / target.name)


def existing(spool: Places) -> list[Places]:
    """The targets that a spool has, or had: those whose messages may wait there."""
    found = sorted((spool.control / DIRECTORY).glob("*/incoming"))
    return [Places.under(path.parent) for path in found if not path.parent.name.startswith(".")]


def queues(queue: Queue) -> tuple[Queue, ...]:
    """The queues of the messages about a queue's deliveries, and of the manifests that some of them become."""
    told = tuple(_queue(queue, target) for target in queue.settings.targets())
    about = f"{queue.name}/{MANIFEST}"
    return told + tuple(
        replace(one, name=f"{queue.name}/{one.name}", about=about)
        for one in manifests.queues(queue.places, queue.settings)
    )


def _queue(about: Queue, target: Target) -> Queue:
    own = about.settings
    if target.manifest is not None:
        target = manifests.placed(about.places, target)
    settings = Settings(
        target=target,
        once=own.once,
        grace=own.grace,
        on_done="delete",
        concurrency=AT_ONCE if target.manifest is None else TOGETHER,
        settle=0.0,
        idle_exit=own.idle_exit,
        shared=own.shared,
    )
    return Queue(f"{about.name}/{target.name}", places(about.places, target), settings, about=about.name)


def examine(spool: Places, settings: Settings) -> None:
    """See that each target can be what it says; nothing is made. Raises :class:`ConfigurationError` and
    :class:`~jollyae.spool.spool.SpoolError`."""
    manifests.check(settings)
    seen: set[str] = {manifests.OUT} if settings.manifest is not None else set()
    for one in settings.targets():
        if not _NAME.fullmatch(one.name):
            raise ConfigurationError(f"notify: {one.name!r} cannot be a target's name", "Use letters, digits and . _ -")
        if one.name in seen:
            raise ConfigurationError(f"notify: {one.name} is named twice", "Name each target once.")
        seen.add(one.name)
        destination(one).close()
        _refuse_circle(spool, one)
        Spool(places=places(spool, one), make=False).foresee()


def prepare(spool: Places, settings: Settings) -> None:
    """Make the targets' spools, which were looked at. Raises :class:`~jollyae.spool.spool.SpoolError`."""
    for one in settings.targets():
        places(spool, one).control.parent.mkdir(mode=0o700, exist_ok=True)
        Spool(places=places(spool, one)).prove()


def _refuse_circle(spool: Places, target: Target) -> None:
    if target.url.startswith("spool:"):
        there = _directory(target.url).resolve()
        mine = spool.control.resolve()
        if there == mine or there.is_relative_to(mine / DIRECTORY):
            raise ConfigurationError(f"notify {target.url}: that is this very spool", "Name another one.")


def outbox(spool: Places, settings: Settings) -> Outbox | None:
    """Where the messages about this queue's deliveries go; None where nobody wants any."""
    if not settings.targets():
        return None
    from ..processors.notify.message import message

    own = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    region = settings.region or own or DEFAULT_REGION
    made = partial(message, source=settings.event_source, region=region)
    return Outbox([places(spool, one) for one in settings.targets()], made, str(spool.control))


def destination(target: Target) -> Destination:
    """What sends a target's messages. Raises :class:`ConfigurationError`."""
    from ..processors.notify import UrlError
    from ..processors.notify.command import CommandError
    from ..processors.notify.signature import SecretError

    try:
        process, shown, close = _made(target)
    except (UrlError, CommandError, SecretError) as error:
        raise ConfigurationError(f"notify {target.name}: {error}", f"A target is one of {FORMS}.") from error

    async def describe() -> str:
        return "not signed: no secret" if target.url.startswith("http") and not _secret_text(target) else ""

    made = Destination(
        shown, process, lambda name, mtime: shown, describe, close, doing=f"sending notifications to {shown}"
    )
    if isinstance(process, Gather):
        return replace(made, doing=f"gathering {shown}", begin=process.recover, end=process.end)
    end = getattr(process, "end", None)  # what has a connection to close
    return replace(made, end=end) if end is not None else made


async def tried(target: Target, *, network: bool) -> Finding:
    """Whether messages could be sent there; none is."""
    subject = f"notify {target.name}"
    if target.manifest is not None:
        return ok(subject, f"manifests ({target.manifest.format}) go to {target.manifest.url}")
    try:
        found = destination(target)
    except ConfigurationError as error:
        return failed("settings", error.message, error.hint)
    try:
        said = await found.describe()
        text = f"{found.name}{f', {said}' if said else ''}"
        if not network and target.url.partition(":")[0] not in _LOCAL:
            return ok(subject, f"{text} (not tried)")
        reach: Any = found.process
        where = reach.reach()
        where = await where if asyncio.iscoroutine(where) else where
    except Temporary as error:
        # To look needs a right at Amazon's that sending does not.
        doubtful = error.reason == "denied" and target.url.startswith(("sqs:", "sns:", "events:"))
        return (warning if doubtful else failed)(subject, error.message, error.hint)
    finally:
        found.close()
    return ok(subject, f"{text} (there{f': {where}' if where else ''}; nothing was sent)")


def _made(target: Target) -> "tuple[Process, str, Any]":
    """The processor, what it is called, and what closes it."""
    scheme = target.url.partition(":")[0]
    if target.manifest is not None:
        return manifests.gather(target.manifest), f"manifests for {target.manifest.url}", _nothing
    if scheme in ("http", "https"):
        from ..processors.notify.signature import secrets
        from ..processors.notify.webhook import Webhook

        text = _secret_text(target)
        hook = Webhook(target.url, secrets(text) if text else (), allow_internal=target.allow_internal)
        return hook, hook.shown, hook.close
    if scheme in ("sqs", "sns", "events"):
        from ..processors.notify.aws import SERVICES, Access

        access = Access(
            region=target.region or "", profile=target.profile or "", endpoint_url=target.endpoint_url or ""
        )
        service = SERVICES[scheme](target.url, access)
        return service, service.shown, service.close
    if scheme in ("amqp", "amqps"):
        amqp = _amqp(target)
        return amqp, amqp.shown, _nothing
    if scheme == "exec":
        from ..processors.notify.command import Command

        command = Command(target.url.partition(":")[2])
        return command, command.shown, _nothing
    if scheme == "spool":
        from ..processors.notify.beside import Beside

        directory = _directory(target.url)
        beside = Beside(str(directory), lambda file, name: Spool(directory, make=False).submit(file, name))
        return beside, beside.shown, _nothing
    raise ConfigurationError(f"notify {target.name}: cannot send to {scheme}:", f"A target is one of {FORMS}.")


def _nothing() -> None:
    pass


def _amqp(target: Target) -> Any:
    try:
        from ..processors.notify.amqp import Amqp
    except ImportError as error:
        raise ConfigurationError(
            f"notify {target.name}: amqp:// needs the extra 'amqp': {error.name} is not installed",
            "Try: pip install '.[amqp]' in the checkout.",
        ) from error
    return Amqp(target.url)


def _directory(url: str) -> Path:
    """The directory of another spool. Raises :class:`ConfigurationError`."""
    parts = urlsplit(url)
    if parts.netloc or not parts.path.strip("/"):
        raise ConfigurationError(f"notify {url}: names no directory", "A spool is written spool:///absolute/path.")
    return Path(unquote(parts.path))


def _secret_text(target: Target) -> str:
    """The secrets of a webhook, as they are written. Raises :class:`ConfigurationError`."""
    if target.secret_file is None:
        return os.environ.get(SECRET, "")
    try:
        text = credentials.text(target.secret_file)
    except credentials.Unreadable as error:
        path = shlex.quote(target.secret_file)
        hint = _make_secret(path) if error.is_missing else "Give us the right to."
        raise ConfigurationError(f"notify {target.name}: secret_file {path}: {error}", hint) from error
    if not text.strip():
        path = shlex.quote(target.secret_file)
        raise ConfigurationError(f"notify {target.name}: secret_file {path} is empty", _make_secret(path))
    return text


def _make_secret(path: str) -> str:
    """How to make the file of a secret, which nobody else may read."""
    return (
        f'Make it: (umask 077; echo "whsec_$(openssl rand -base64 32)" > {path}), and tell the receiver what is in it.'
    )
