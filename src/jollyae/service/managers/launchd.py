"""A property list for launchd (macOS): started when something lands and now and then, ends by itself; with a queue that
takes from a broker it runs all the time.

``WatchPaths`` and ``StartInterval``, never ``QueueDirectories``: launchd starts that one again and again as long as the
directory is not empty, and a file that is not ready, or litter, keeps it so.
"""

import plistlib
from pathlib import Path
from typing import Any

from .job import Job

THROTTLE = 10
"""Seconds between two starts at the least: launchd's own default, said aloud."""
_MORE_THAN_GRACE = 30


def label(job: Job) -> str:
    """The name by which launchd knows it.

    >>> label(Job(program=("jollyae",), run=(), check=(), about="", spools=()))
    'local.jollyae'
    """
    return f"local.{job.name}"


def description(job: Job) -> dict[str, Any]:
    """The keys and values of the property list, see launchd.plist(5)."""
    log = str(Path.home() / "Library" / "Logs" / f"{job.name}.log") if job.is_users else f"/var/log/{job.name}.log"
    found: dict[str, Any] = {
        "Label": label(job),
        **(_always(job) if job.endless else _on_arrival(job)),
        "RunAtLoad": True,
        "ThrottleInterval": THROTTLE,
        "ExitTimeOut": int(job.grace + _MORE_THAN_GRACE),
        "ProcessType": "Background",
        "Umask": 0o077,
        "StandardErrorPath": log,
    }
    environment = dict(job.environment)
    if job.credentials is not None:
        environment["AWS_SHARED_CREDENTIALS_FILE"] = job.credentials
    if environment:
        found["EnvironmentVariables"] = environment
    if not job.is_users:
        found["UserName"] = job.user
    return found


def _on_arrival(job: Job) -> dict[str, Any]:
    return {
        "ProgramArguments": [*job.program, *job.run, "--idle-exit", f"{job.idle_exit:g}"],
        "WatchPaths": list(job.incoming),
        "StartInterval": int(job.every),
    }


def _always(job: Job) -> dict[str, Any]:
    """For queues that take from a broker: nothing lands that could start it."""
    return {"ProgramArguments": [*job.program, *job.run], "KeepAlive": True}


def text(job: Job) -> str:
    """The property list."""
    return plistlib.dumps(description(job), sort_keys=False).decode()


def steps(job: Job, file: str) -> list[str]:
    """The commands that come after it is installed as ``file``."""
    domain, sudo = ("gui/$(id -u)", "") if job.is_users else ("system", "sudo ")
    return [
        f"{sudo}launchctl bootstrap {domain} '{file}'",
        f"{sudo}launchctl print {domain}/{label(job)}",
    ]
