"""The machine and the versions of everything that is measured."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import HOME, ROOT

_VERSIONS = {
    "s5cmd": ["version"],
    "rclone": ["version"],
    "aws": ["--version"],
    "inotifywait": ["--help"],
    "wrk": ["-v"],
    "nginx": ["-v"],
    "ceph-mon": ["--version"],
    "perf": ["--version"],
}


def find(program: str) -> str | None:
    """The path of a program: the peers' venv first, then ours, then this machine's."""
    places = (HOME / "venv/bin", Path(sys.executable).parent, os.environ.get("PATH", os.defpath), "/usr/sbin")
    return shutil.which(program, path=os.pathsep.join(map(str, places)))


def command(program: str) -> list[str] | None:
    """The words that run a program; None where it is not there. A Python script of the peers' venv is run by the venv's
    python: its first line cannot name that one where the checkout's path has a blank (aws-cli's has it as it is)."""
    path = find(program)
    if path is None:
        return None
    python = HOME / "venv/bin/python"
    with open(path, "rb") as file:
        first = file.readline(500)
    is_ours = first.startswith(b"#!") and os.fsencode(python.parent) in first
    return [str(python), path] if is_ours else [path]


def describe(paths: Sequence[Path]) -> dict[str, str]:
    """What a reader must know of the machine, for people; ``paths``: where files lie while it is measured."""
    memory = _first(r"MemTotal:\s*(\d+)", "/proc/meminfo")
    described = {
        "cores": str(len(os.sched_getaffinity(0))),
        "CPU": _first(r"model name\s*:\s*(.+)", "/proc/cpuinfo"),
        "memory": f"{int(memory or 0) / 2**20:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "system": _first(r'PRETTY_NAME="(.+)"', "/etc/os-release"),
    }
    for path in paths:
        described[f"files in {'memory' if path == paths[0] else 'the checkout or TMPDIR'}"] = filesystem(path)
    return described


def free_memory() -> int:
    """Bytes that programs may still take, as the kernel reckons."""
    return int(_first(r"MemAvailable:\s*(\d+)", "/proc/meminfo") or 0) * 1024


def _first(pattern: str, path: str) -> str:
    found = re.search(pattern, Path(path).read_text()) if Path(path).exists() else None
    return found[1].strip() if found else ""


def filesystem(path: Path) -> str:
    """The type of the file system that a path is on."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, type_, *_ = line.split()
        inside = point == "/" or f"{path.resolve()}/".startswith(f"{point}/")
        if inside and len(point) >= len(best):
            best, kind = point, type_
    return kind


def versions() -> dict[str, str]:
    """The versions of what is measured and of what it runs on; what is missing is said to be."""
    found = {"jollyae": _jollyae(), "Python": platform.python_version(), "OpenSSL": _openssl()}
    for program, words in _VERSIONS.items():
        known = command(program)
        found[program] = _told([*known, *words]) if known else "not there"
    peer = HOME / "venv/bin/python"
    asked = [str(peer), "-c", "import boto3; print(boto3.__version__)"]
    found["boto3"] = _told(asked) if peer.exists() else "not there"
    found["Pillow"] = _told([sys.executable, "-c", "import PIL; print(PIL.__version__)"])
    asked = [str(peer), "-c", "import pyvips; print(pyvips.__version__, 'with libvips', pyvips.version(0))"]
    found["pyvips"] = _told(asked) if peer.exists() else "not there"
    return found


def _jollyae() -> str:
    commit = _told(["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"])
    version = _first(r'__version__ = "(.+)"', str(ROOT / "src/jollyae/__init__.py"))
    return f"{version} ({commit})"


def _openssl() -> str:
    import ssl

    return ssl.OPENSSL_VERSION


def _told(command: list[str]) -> str:
    """The first line that a program tells of its version."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run: {error}"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"
