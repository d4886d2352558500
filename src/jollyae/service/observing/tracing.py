"""Traces for OpenTelemetry, with the extra ``otel``: one span for each attempt at an item.

It is off, and then costs nothing, until the standard environment (``OTEL_EXPORTER_OTLP_ENDPOINT`` and the like) says
where spans go. The names of the attributes promise nothing: the conventions for messaging are not stable. Spans are
made when an attempt is over and are sent by a thread; what cannot be sent is dropped, for nothing here may hold up an
item.
"""

import asyncio
import inspect
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ... import __version__
from ...spool import names
from ...spool.item import Item
from ...spool.outcomes import Permanent, Scope, Temporary
from ...worker.attempt import Begin, Ended, Fields, Process, begin_of
from ...worker.receipts import delivery_id
from ...worker.telling import warn
from ..deliveries import Destination
from ..settings import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

SPAN = "jollyae.attempt"
LAST = 5.0
"""Seconds at the end for what was not sent yet."""
TELL_AGAIN = 300.0
"""Seconds until it is told again that spans cannot be sent."""
_WHERE = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_LOG = "opentelemetry"


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment says that traces are wanted.

    >>> is_wanted({}), is_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    (False, True)
    >>> is_wanted({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    False
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").lower()
    return exporter == "otlp" or (not exporter and any(environment.get(name) for name in _WHERE))


def traced(where: Destination, queue: str = "") -> Destination:
    """The destination, with a span for each attempt where that is wanted; to be called in the process that works, since
    it starts a thread. Raises :class:`ConfigurationError` where the extra is missing."""
    if not is_wanted():
        return where
    provider = _provider()
    tracer = provider.get_tracer("jollyae", __version__)
    recorder = Recorder(tracer, where, {"jollyae.queue": queue} if queue else {})

    async def end() -> None:
        await where.end()
        await asyncio.to_thread(_finish, provider)

    return replace(where, process=wrapped(where.process, recorder), end=end)


def _provider() -> "TracerProvider":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        hint = "Install jollyae[otel], or unset OTEL_EXPORTER_OTLP_ENDPOINT (or set OTEL_SDK_DISABLED=true)."
        raise ConfigurationError("the environment asks for traces, and OpenTelemetry is not installed", hint) from error
    _tell_seldom()
    given = Resource.create()  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
    name = str(given.attributes.get(SERVICE_NAME, ""))
    if not name or name.startswith("unknown_service"):
        given = given.merge(Resource({SERVICE_NAME: "jollyae"}))
    provider = TracerProvider(resource=given, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _finish(provider: "TracerProvider") -> None:
    """Send the rest, within :data:`LAST` seconds."""
    provider.force_flush(int(LAST * 1000))
    provider.shutdown()


class _Seldom(logging.Handler):
    """What the exporter complains of, as one line of our log now and then."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._again = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it, if that was not done lately."""
        if time.monotonic() >= self._again:
            self._again = time.monotonic() + TELL_AGAIN
            text = names.printable(record.getMessage().splitlines()[0]) if record.getMessage() else record.levelname
            warn(f"traces: {text}", "Delivery goes on. Look at OTEL_EXPORTER_OTLP_ENDPOINT and what listens there.")


def _tell_seldom() -> None:
    log = logging.getLogger(_LOG)
    if not any(isinstance(handler, _Seldom) for handler in log.handlers):
        log.addHandler(_Seldom())
        log.propagate = False


class Recorder:
    """Makes spans of attempts. ``fields``: what each has besides."""

    def __init__(self, tracer: "Tracer", where: Destination, fields: Mapping[str, str]) -> None:
        self._tracer = tracer
        self._where = where
        self._fields = {"jollyae.destination": where.name, **fields}

    def record(self, item: Item, outcome: Fields | BaseException | None, began: int) -> None:
        """One attempt, which began at ``began`` (nanoseconds since 1970), is over."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        found: dict[str, str | int | bool] = {
            **self._fields,
            "jollyae.item": names.encode(item.name),
            "jollyae.size_bytes": item.size,
            "jollyae.attempt": item.attempt,
            "jollyae.outcome": _outcome(outcome),
        }
        status = Status(StatusCode.OK)
        if isinstance(outcome, BaseException):
            message = getattr(outcome, "message", None) or f"{type(outcome).__name__}: {outcome}"
            status = Status(StatusCode.ERROR, names.printable(str(message)))
            found["error.type"] = getattr(outcome, "reason", "") or type(outcome).__name__
            with suppress(Permanent):
                found["jollyae.url"] = names.printable(self._where.key_of(item.name, item.mtime_ns / 1e9))
        else:
            fields = outcome or {}
            url, digest = str(fields.get("url", "")), str(fields.get("sha256", ""))
            found["jollyae.delivery_id"] = delivery_id(url, digest, item.inode, item.mtime_ns)
            if url:
                found["jollyae.url"] = names.printable(url)
            if fields.get("already_there"):
                found["jollyae.already_there"] = True
        span = self._tracer.start_span(SPAN, kind=SpanKind.PRODUCER, attributes=found, start_time=began)
        span.set_status(status)
        span.end()


def _outcome(outcome: Fields | BaseException | None) -> str:
    """What it looks like from here: three items in a row may make the destination's what is told as one item's."""
    if isinstance(outcome, Permanent):
        return "fail"
    if isinstance(outcome, Temporary):
        return "hold" if outcome.scope is Scope.DESTINATION else "defer"
    if isinstance(outcome, asyncio.CancelledError):
        return "left"  # the grace time ran out
    return "defer" if isinstance(outcome, BaseException) else "done"


def wrapped(process: Process, recorder: Recorder) -> Process:
    """The processor, with its attempts recorded."""
    called = process if inspect.isroutine(process) else type(process).__call__
    kind = _Coroutine if inspect.iscoroutinefunction(called) else _Plain
    return cast(Process, kind(process, recorder))


class _Wrapped:
    """What has the processor's other attributes too. Its ``begin`` it has only where the processor has one."""

    def __init__(self, process: Process, recorder: Recorder) -> None:
        self._process: Callable[[Item], Any] = process
        self._record = recorder.record
        begin = begin_of(process)
        if begin is not None:
            self.begin = self._traced(begin)

    def __getattr__(self, name: str) -> Any:
        if name in ("begin", "_process"):
            raise AttributeError(name)
        return getattr(self._process, name)

    def _traced(self, begin: Begin) -> Begin:
        def begin_traced(items: list[Item], ended: Ended) -> list[Item]:
            began = time.time_ns()

            def ended_traced(item: Item, outcome: Fields | Exception) -> None:
                self._record(item, outcome, began)
                ended(item, outcome)

            return begin(items, ended_traced)

        return begin_traced


class _Coroutine(_Wrapped):
    async def __call__(self, item: Item) -> Fields | None:
        began = time.time_ns()
        try:
            fields = await cast(Awaitable[Fields | None], self._process(item))
        except BaseException as error:
            self._record(item, error, began)
            raise
        self._record(item, fields, began)
        return fields


class _Plain(_Wrapped):
    def __call__(self, item: Item) -> Fields | None:
        began = time.time_ns()
        try:
            fields: Fields | None = self._process(item)
        except BaseException as error:
            self._record(item, error, began)
            raise
        self._record(item, fields, began)
        return fields
