"""A file system of which every write is written down: QEMU's storage daemon between the loop device and the image."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults import disks

PROGRAM = "qemu-storage-daemon"
_LOG_BYTES = 4 << 30  # sparse


@contextmanager
def recorded(base: Path, kind: str, directory: Path, at: Path) -> Iterator[Path]:
    """Mount a copy of ``base`` at ``at``; in the end, the log of all writes to it is ``directory/log``."""
    disk, log, export = directory / "disk", directory / "log", directory / "export"
    disks.copy(base, disk)
    with log.open("wb") as file:
        file.truncate(_LOG_BYTES)
    with _exported(disk, log, export), disks.mounted(export, kind, at):
        yield at
    disk.unlink()


@contextmanager
def _exported(disk: Path, log: Path, export: Path) -> Iterator[None]:
    """The disk as the file ``export``, through the daemon."""
    export.touch()
    command = [PROGRAM]
    for option in (
        f"driver=file,node-name=f,filename={disk}",
        f"driver=file,node-name=l,filename={log}",
        "driver=blklogwrites,node-name=b,file=f,log=l,log-sector-size=512",
    ):
        command += ["--blockdev", option]
    command += ["--export", f"type=fuse,id=e,node-name=b,mountpoint={export},writable=on"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            _until_there(export, disk.stat().st_size, daemon)
            yield
        finally:
            daemon.terminate()  # it writes the log's head, and unmounts
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                subprocess.run(["umount", "-l", str(export)], check=False, capture_output=True)
                raise


def _until_there(export: Path, size: int, daemon: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 20
    while export.stat().st_size != size:
        if daemon.poll() is not None:
            raise OSError(f"{PROGRAM}: {daemon.stderr.read().strip() if daemon.stderr else daemon.returncode}")
        if time.monotonic() > deadline:
            raise OSError(f"{PROGRAM} did not export in 20 s")
        time.sleep(0.01)
