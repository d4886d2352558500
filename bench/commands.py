"""The command lines that are measured: jollyae's with everything on, the peers' as people write them."""

import sys
from pathlib import Path

from . import HOME, ROOT, machine

ENVIRONMENT = {"PYTHONPATH": str(ROOT / "src")}
"""What jollyae gets beside the peers' environment: this checkout."""


def program(name: str) -> list[str]:
    """The words that run a peer."""
    return machine.command(name) or [name]


def peers_python() -> list[str]:
    """The peers' python."""
    return [str(HOME / "venv/bin/python")]


def jollyae(spool: Path, url: str, endpoint: str, *more: str) -> list[str]:
    """Deliver what the spool holds or gets, with the default checks."""
    quiet = ["--no-progress", "-q"]
    return [*entry(), "run", str(spool), "--to", url, "--endpoint-url", endpoint, *quiet, *more]


def entry() -> list[str]:
    """The command `jollyae` as it is installed, else the module."""
    script = Path(sys.executable).with_name("jollyae")
    return [str(script)] if script.exists() else [sys.executable, "-m", "jollyae"]


def jollyae_once(spool: Path, url: str, endpoint: str, *more: str) -> list[str]:
    """Deliver what the spool holds, and exit."""
    return jollyae(spool, url, endpoint, "--once", "--settle", "0", *more)


def s5cmd(directory: Path, url: str, endpoint: str) -> list[str]:
    """All files of a directory, 256 workers (its default)."""
    return [*program("s5cmd"), "--endpoint-url", endpoint, "--log", "error", "cp", f"{directory}/", f"{url}/"]


def rclone(directory: Path, url: str, endpoint: str, verb: str = "copy") -> list[str]:
    """All files of a directory, 64 at a time; it neither looks at the destination before nor checks after."""
    store = ["--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", endpoint, "--s3-no-check-bucket"]
    unchecked = ["--no-check-dest", "--s3-no-head", "--ignore-checksum", "--transfers", "64", "--checkers", "64"]
    # One file in many streams ends with a HEAD that a null sink cannot answer; its parts go four at a time either way.
    unchecked += ["--multi-thread-streams", "0"]
    return [*program("rclone"), verb, str(directory), f":s3:{url.removeprefix('s3://')}", *store, *unchecked, "-q"]


def aws(directory: Path, url: str, endpoint: str) -> list[str]:
    """All files of a directory, with the default settings."""
    words = ["s3", "cp", "--recursive", "--only-show-errors", str(directory), url]
    return [*program("aws"), "--endpoint-url", endpoint, *words]


def boto3(directory: Path, url: str, endpoint: str) -> list[str]:
    """All files of a directory, 16 threads."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    script = Path(__file__).with_name("boto3_script.py")
    return [str(HOME / "venv/bin/python"), str(script), str(directory), bucket, prefix, endpoint]
