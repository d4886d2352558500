"""Programs that are measured: run to their end, or left running; wall time, CPU and memory of their process trees."""

import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SAMPLING = 0.05
"""Seconds between two looks at the memory of a process tree."""


class Failed(Exception):
    """A program did not do what it was measured for; the text says what."""


@dataclass(frozen=True)
class Usage:
    """What a program cost: seconds from start to exit, seconds of CPU (user + system), peak memory in bytes.

    CPU is that of the whole tree, as far as it was waited for. Memory: the sum over its processes of each one's
    peak; 0: it ended before it was looked at.
    """

    seconds: float
    cpu: float
    peak: int
    code: int
    told: str


def ends_with_us(command: Sequence[str]) -> list[str]:
    """The command, told by the kernel to end when the benchmark does, however that ends."""
    return [*(["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []), *command]


def run(command: Sequence[str], env: Mapping[str, str], output: Path, timeout: float = 600) -> Usage:
    """Run the command to its end; after so many seconds it is killed and :class:`Failed` raised. Its output is kept."""
    with output.open("wb") as file:
        start = time.monotonic()
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
        memory = _Memory(process.pid)
        clock = threading.Timer(timeout, _kill, [process.pid])
        clock.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
    clock.cancel()
    process.returncode = code = os.waitstatus_to_exitcode(status)
    peak = memory.end(usage.ru_maxrss * 1024)
    told = output.read_text(errors="replace")[-2000:]
    if code == -signal.SIGKILL and seconds >= timeout:
        raise Failed(f"not done after {timeout:.0f} s")
    return Usage(seconds, usage.ru_utime + usage.ru_stime, peak, code, told)


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


class Daemon:
    """A program that is left running until the context ends."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                ends_with_us(command),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.memory = _Memory(self.process.pid)

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cpu(self) -> float:
        """Seconds of CPU of the processes that now are in its tree, to the nanosecond."""
        return sum(_cpu(pid) for pid in tree(self.process.pid))

    def told(self) -> str:
        """The end of its output."""
        return self._output.read_text(errors="replace")[-2000:]

    def stop(self) -> int:
        """End it and what it started; its peak memory in bytes."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                _kill(self.process.pid)
                self.process.wait()
        _kill(self.process.pid)  # what of its group outlived it
        return self.memory.end(0)


class _Memory:
    """Samples the peak memory of a process tree.

    The kernel's own figure for a child (ru_maxrss) starts at the size of the process that forked it, so it is believed
    only where it is more than that.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peaks: dict[int, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLING):
            for pid in tree(self._pid):
                self._peaks[pid] = max(self._peaks.get(pid, 0), _high_water(pid))

    def end(self, told: int) -> int:
        """Stop; the peak in bytes. ``told``: the kernel's ru_maxrss."""
        self._stop.set()
        self._thread.join()
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return max(sum(self._peaks.values()), told if told > own else 0)


def tree(session: int) -> list[int]:
    """The processes of a session: what was started with it and has not made a session of its own."""
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.getsid(int(name)) == session:
                found.append(int(name))
    return found


def _high_water(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _cpu(pid: int) -> float:
    """Linux: a process id, inverted and shifted, names the clock of that process's CPU time; 2: as the scheduler has it
    (clock_getcpuclockid(3))."""
    with suppress(OSError):
        return time.clock_gettime_ns(~pid << 3 | 2) / 1e9
    return 0.0
