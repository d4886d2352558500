"""Points at which a worker is killed: just before, or just after, one system call that changes something.

strace counts the calls, and kills. SIGKILL, sent when the worker enters a call, ends it before the call is done. A
signal that nobody handles and whose default is death is delivered when the call is over, before the program learns of
it. Each killed worker's trace proves which of the two it was. (Never with --seccomp-bpf: then strace sends no signal.)
"""

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGUSR2

PATHS = {
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "chmod",
}
FILES = {"write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "fchmod", "utimensat", "flock", "fcntl"}
SOCKETS = {
    *("connect", "sendto", "sendmsg", "write", "writev", "shutdown"),
    *("recvfrom", "recvmsg", "read", "readv"),
}
CALLS = sorted({"openat", *PATHS, *FILES, *SOCKETS})
_ENTERED = re.compile(r"(?:(\d+) +)?(\w+)\(")
_RESUMED = re.compile(r"(?:(\d+) +)?<\.\.\. \w+ resumed>(.*)")
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True)
class Point:
    """The ``number``-th time that a thread makes the system call ``call``; ``after`` it, or before. ``followed``: of
    any thread, whichever is first; else of the main one."""

    call: str
    number: int
    after: bool
    followed: bool = False

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.call} {self.number}{' of any thread' * self.followed}"


class Tracer:
    """strace, attached to a process that waits at its beginning. ``point``: where it is to kill; None: it looks on.
    ``lease_kept_for``: seconds for which the process is stopped whenever it asks for a lease or gives one back."""

    def __init__(self, pid: int, into: Path, point: Point | None = None, *, lease_kept_for: float = 0) -> None:
        self._into = into
        calls = point.call if point else ",".join(CALLS)
        options = ["-o", str(into), "-e", f"trace={calls}"]
        if point is None or point.followed:
            options.append("-f")
        if point is not None:
            name = "USR2" if point.after else "KILL"
            options.append(f"--inject={point.call}:signal={name}:when={point.number}")
        if lease_kept_for:
            options.append(f"--inject=fcntl:delay_exit={lease_kept_for * 1e6:.0f}")
        self._strace = subprocess.Popen(
            ["strace", "-yy", *options, "-p", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert self._strace.stderr is not None
        first = self._strace.stderr.readline()
        assert "attached" in first, f"strace: {first}{self._strace.stderr.read()}"

    def end(self) -> str:
        """Wait until the traced process is gone; what strace wrote."""
        assert self._strace.stderr is not None
        self._strace.stderr.read()
        self._strace.stderr.close()
        self._strace.wait()
        return self._into.read_text(errors="replace")


def why_not() -> str:
    """Why there can be no tracer here; '' if there can."""
    if shutil.which("strace") is None:
        return "strace is not there"
    with subprocess.Popen(["sleep", "30"]) as victim:
        tried = subprocess.Popen(["strace", "-p", str(victim.pid)], stderr=subprocess.PIPE, text=True)
        assert tried.stderr is not None
        said = tried.stderr.readline()
        victim.kill()
        tried.wait()
        tried.stderr.close()
    return "" if "attached" in said else f"strace may not be attached: {said.strip()}"


def points(trace: str, spool: Path) -> list[Point]:
    """Every point of a life that was looked on: before and after each call that changed something, in their order.
    Those of the main thread, and, each once, the n-th of any thread."""
    counts: Counter[tuple[str, str]] = Counter()
    found: dict[Point, None] = {}
    main = ""
    for thread, call, line in _calls(trace):
        main = main or thread
        counts[thread, call] += 1
        if changes(call, line, spool):
            for after in (False, True):
                found[Point(call, counts[thread, call], after, thread != main)] = None
    return list(found)


def changes(call: str, line: str, spool: Path) -> bool:
    """Whether this line of a trace is a call that changed the spool, or said something to the store or heard it."""
    if " = -1 E" in line and "EINPROGRESS" not in line:
        return False
    if "<TCP" in line:
        return call in SOCKETS
    if str(spool) not in line:
        return False
    if call == "openat":
        return "O_CREAT" in line
    if call == "fcntl":
        return "F_SETLEASE" in line
    return call in PATHS or call in FILES


def is_proved(point: Point, trace: str, code: int, spool: Path) -> bool:
    """Whether the killed process's end and its trace prove that it died at such a point, and on which side of it."""
    if code != -(SIGUSR2 if point.after else SIGKILL):
        return False
    if not point.after:
        return any(line.rstrip().endswith("= ?") and changes(call, line, spool) for _, call, line in _calls(trace))
    for thread in re.findall(r"^(?:(\d+) +)?--- SIGUSR2", trace, re.MULTILINE):
        until = trace[: trace.index("--- SIGUSR2")]
        last = [(call, line) for one, call, line in _calls(until) if one == thread][-1:]
        return any(" = " in line and " = ?" not in line and changes(call, line, spool) for call, line in last)
    return False


def _calls(trace: str) -> list[tuple[str, str, str]]:
    """The calls of a trace in the order in which they were entered: thread, name, and the line; one that strace tells
    in two lines, since another thread had its turn between, is put together."""
    found: list[tuple[str, str, str]] = []
    unfinished: dict[str, int] = {}
    for line in trace.splitlines():
        if match := _ENTERED.match(line):
            thread = match[1] or ""
            if line.endswith(_UNFINISHED):
                unfinished[thread] = len(found)
            found.append((thread, match[2], line.removesuffix(_UNFINISHED)))
        elif (match := _RESUMED.match(line)) and (at := unfinished.pop(match[1] or "", None)) is not None:
            thread, call, begun = found[at]
            found[at] = thread, call, begun + match[2]
    return found
