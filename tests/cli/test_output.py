"""What people see: on a terminal lines fit it, in a pipe they are whole."""

import fcntl
import io
import logging
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from jollyae.cli import output, terminal
from jollyae.worker.state import Flight, Paused, Snapshot

LONG = "paused: connection refused: s3://uploads: http://127.0.0.1:19431: [Errno 111] Connection refused"


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


def _record(text: str, hint: str = "", level: int = logging.WARNING, at: float = 0.0) -> logging.LogRecord:
    record = logging.LogRecord("jollyae", level, "", 0, text, None, None)
    record.created = at
    record.hint = hint
    return record


def _snapshot(paused: Paused | None = None) -> Snapshot:
    return Snapshot(
        worker="w",
        pid=1,
        started=0.0,
        destination="d",
        watch="inotify",
        delivered=1234,
        delivered_bytes=5678,
        failed=0,
        deferred=0,
        unready=0,
        limit=1,
        in_flight=[Flight("large", 100 << 20, 50 << 20)],
        held=0,
        paused=paused,
    )


def test_a_terminal_breaks_lines_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns no word is broken, colours take no room, and what follows is indented."""
    monkeypatch.setenv("COLUMNS", "80")
    text = output.TextFormatter(True, Terminal()).format(_record(LONG, hint="Is the store running? " * 6))
    bare = text.replace("\x1b[33m", "").replace("\x1b[0m", "")
    assert bare != text and all(len(line) <= 80 for line in bare.splitlines())
    assert set(" ".join(bare.split()).split()) >= set(LONG.split())
    assert all(line.startswith("    ") for line in bare.splitlines()[1:])


def test_a_pipe_has_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read those: a line a record, another for its hint; the time is UTC with its date."""
    monkeypatch.setenv("COLUMNS", "40")
    assert output.TextFormatter(False).format(_record(LONG, "Try.")) == f"1970-01-01T00:00:00Z warning {LONG}\n    Try."


def test_a_hint_is_told_once_in_a_row() -> None:
    """The next record with the same hint leaves it out; after another one it is told again."""
    form = output.TextFormatter(False)
    told = [form.format(_record("x", hint)) for hint in ("one", "one", "two", "one", "", "one")]
    assert [text.partition("\n    ")[2] for text in told] == ["one", "", "two", "one", "", "one"]


@pytest.mark.parametrize(
    ("zone", "shown"), [("UTC0", "00:00:00Z"), ("XYZ-1", "01:00:00+01"), ("XYZ+3:30", "20:30:00-0330")]
)
def test_the_time_of_day_says_its_zone(monkeypatch: pytest.MonkeyPatch, zone: str, shown: str) -> None:
    """On a terminal the time is local, with its distance from UTC, which `jollyae log` has."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert output.local(0.0) == shown
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_the_live_line_ends_in_an_ellipsis_where_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never longer than the terminal is wide, and says where something is missing."""
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", "40")
    output.Live(stream, lambda: "7").show(_snapshot())
    line = stream.getvalue().removeprefix("\r").removesuffix("\x1b[K")
    assert line == "waiting 7 · in flight 1 · delivered …"
    monkeypatch.setenv("COLUMNS", "80")
    output.Live(stream, lambda: "7").show(_snapshot())
    assert "large 50 %" in stream.getvalue()


def test_paused_says_since_when() -> None:
    """How long ago it began, which cannot be read as when it ends."""
    paused = Paused("destination", "connection refused: s3://b", since=time.time() - 3)
    assert output.render(_snapshot(paused), "0", 0.0).startswith("PAUSED 3 s ago: connection refused · ")


def test_a_real_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width is that of the terminal the stream writes to, whatever stdout is; no terminal: 80."""
    monkeypatch.delenv("COLUMNS", raising=False)
    control, side = pty.openpty()
    try:
        with os.fdopen(side, "w") as stream:
            fcntl.ioctl(control, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 57, 0, 0))
            assert terminal.columns(stream) == 57
    finally:
        os.close(control)
    assert terminal.columns(io.StringIO()) == 80


@pytest.mark.parametrize("verb", [[], ["run"], ["check"], ["status"], ["init"], ["submit"]])
def test_the_help_fits_80_columns(verb: list[str], tmp_path: Path) -> None:
    """So that no terminal breaks its words."""
    command = [sys.executable, "-m", "jollyae", *verb, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "80"})
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
