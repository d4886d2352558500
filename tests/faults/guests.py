"""Guests: machines of their own, with a kernel of Debian's that has what this one may lack (NFS), under qemu.

A guest sees this machine's files read-only, so it runs this very checkout with this very Python; it has a network of
its own, in which 10.0.2.2 is this machine's loopback; and it has one directory of this machine for what it writes. It
does one thing, the script that it is given, and then it is gone. Everything is made here but the kernel and the
programs, which tools/fault-tools.sh gets. The processor is emulated (TCG): a KVM device may be there and yet hang.
"""

import lzma
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tests.real.support import until

HOST = "10.0.2.2"
"""This machine, as a guest sees it."""
KERNEL = Path(sys.prefix) / "guest"
"""Where tools/fault-tools.sh puts the kernel (``boot/``, ``lib/modules/``)."""
MEMORY = 512
"""MiB of a guest."""
PATIENCE = 300.0
"""Seconds that a guest may take to boot, or to end."""
OUT = "/mnt/out"
"""Where a guest has :attr:`Guest.directory`."""

_QEMU = "qemu-system-x86_64"
_BUSYBOX = "busybox"
_MODULES = ("virtio_pci", "virtio_net", "9pnet_virtio", "9p", "nfsv4", "virtio_rng")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")

# What the kernel does not know of its command line becomes the environment of init: $guest is the name.
_INIT = f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod /modules/$module || echo "no $module"; done
hostname $guest
ip link set lo up; ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via {HOST}
shared=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o ro,cache=loose,$shared root /host
mount -t proc proc /host/proc; mount -t sysfs sysfs /host/sys; mount --bind /dev /host/dev
mount -t tmpfs tmpfs /host/mnt
mkdir /host{OUT} /host/mnt/spool /host/mnt/tmp /host/mnt/home
mount -t 9p -o $shared out /host{OUT}
chroot /host /bin/sh {OUT}/script >/host{OUT}/log.out 2>/host{OUT}/log.err &
script=$!
while kill -0 $script; do
    [ ! -e /host{OUT}/stop ] || {{ rm /host{OUT}/stop; kill -TERM $script; }}
    sleep 0.3
done 2>/dev/null
wait $script
echo $? >/host{OUT}/code.new; mv /host{OUT}/code.new /host{OUT}/code
poweroff -f
"""


def why_not() -> str:
    """Why no guest can be had here; '' if one can."""
    missing = [name for name in (_QEMU, _BUSYBOX) if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)}: not installed (tools/fault-tools.sh does it)"
    if not _kernels():
        return f"no kernel for guests in {KERNEL} (tools/fault-tools.sh gets Debian's)"
    known = {_name_of(path) for path in _modules()}
    if lacking := [name for name in _MODULES if name not in known]:
        return f"the kernel in {KERNEL} lacks {', '.join(lacking)}"
    return ""


def _kernels() -> list[Path]:
    return sorted(KERNEL.glob("boot/vmlinuz-*"))


@cache
def _modules() -> list[Path]:
    return [path for path in KERNEL.glob("lib/modules/**/*.ko*") if path.suffix in (".ko", ".xz")]


def _name_of(path: Path) -> str:
    return path.name.partition(".ko")[0].replace("-", "_")


def _needed() -> dict[str, bytes]:
    """The modules that are to be loaded, in an order in which that works."""
    found: dict[str, bytes] = {}
    files = {_name_of(path): path for path in _modules()}

    def need(name: str) -> None:
        if name in found or name not in files:  # not a file: built in
            return
        data = files[name].read_bytes()
        data = lzma.decompress(data) if files[name].suffix == ".xz" else data
        for other in _DEPENDS.findall(data)[0].decode().split(",") if _DEPENDS.search(data) else []:
            need(other.replace("-", "_"))
        found[name] = data

    for name in _MODULES:
        need(name)
    return found


def make_initramfs(target: Path) -> None:
    """Write what a guest begins with: busybox, the modules and what to do."""
    busybox = shutil.which(_BUSYBOX)
    assert busybox is not None
    modules = _needed()
    files = {"bin/busybox": Path(busybox).read_bytes(), "init": _INIT.encode()}
    files |= {f"modules/{name}.ko": data for name, data in modules.items()}
    files["modules/order"] = "".join(f"{name}.ko\n" for name in modules).encode()
    directories = ("bin", "dev", "host", "modules", "proc", "sys")
    target.write_bytes(b"".join(_archive(directories, files)))


def _archive(directories: Iterable[str], files: dict[str, bytes]) -> Iterator[bytes]:
    """An archive as the kernel unpacks it (Documentation/driver-api/early-userspace/buffer-format.rst: newc)."""
    entries = [(name, 0o040755, b"") for name in directories]
    entries += [(name, 0o100755, data) for name, data in files.items()]
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        yield head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


class Guest:
    """A guest that runs ``script`` (sh). ``name``: its hostname; ``directory``: of this machine, for what it writes."""

    def __init__(self, name: str, directory: Path, initramfs: Path, script: str) -> None:
        self.name = name
        self.directory = directory
        directory.mkdir(parents=True)
        (directory / "script").write_text(script)
        local = "local,security_model=passthrough,multidevs=remap"
        command = [
            *(_QEMU, "-accel", "tcg", "-m", str(MEMORY), "-nodefaults", "-no-user-config", "-no-reboot"),
            *("-display", "none", "-serial", f"file:{directory}/console"),
            *("-kernel", str(_kernels()[-1]), "-initrd", str(initramfs)),
            # no_timer_check: on a busy host the emulated timer is too slow for the kernel's test of it, and it panics
            *("-append", f"console=ttyS0 quiet loglevel=4 panic=-1 no_timer_check guest={name}"),
            *("-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile="),
            *("-virtfs", f"{local},path=/,mount_tag=root,readonly=on"),
            *("-virtfs", f"{local},path={directory},mount_tag=out"),
            *("-device", "virtio-rng-pci"),
        ]
        with (directory / "qemu").open("wb") as log:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def err(self) -> str:
        """What its script wrote to stderr so far."""
        return self._text("log.err")

    def out(self) -> str:
        """What it wrote to stdout so far."""
        return self._text("log.out")

    def lines(self, *words: str) -> list[str]:
        """The lines on stderr that hold all these words."""
        return [line for line in self.err().splitlines() if all(word in line for word in words)]

    def tail(self) -> str:
        """The end of all that is known of it, for messages."""
        ends = (("qemu", 5), ("console", 10), ("log.err", 15))
        return "\n".join(
            [f"{self.name}:", *(line for file, most in ends for line in self._text(file).splitlines()[-most:])]
        )

    def _text(self, file: str) -> str:
        path = self.directory / file
        return path.read_text(errors="replace") if path.exists() else ""

    def until_says(self, *words: str, seconds: float = PATIENCE) -> None:
        """Wait for a line on stderr with all these words."""
        until(lambda: self.lines(*words) or self._ended(), lambda: f"{words} from {self.tail()}", seconds)
        assert self.lines(*words), f"it ended before {words}: {self.tail()}"

    def _ended(self) -> bool:
        return self.popen.poll() is not None

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait until it is gone; what its script ended with."""
        until(self._ended, lambda: f"the end of {self.tail()}", seconds)
        code = self._text("code")
        assert code, f"it went without a word: {self.tail()}"
        return int(code)

    def ask(self, *command: str) -> str:
        """What this command says in the guest, beside its script: all output, and a last line with its exit code."""
        answer = self.directory / "answer"
        answer.unlink(missing_ok=True)
        (self.directory / "ask.new").write_text(shlex.join(command))
        (self.directory / "ask.new").rename(self.directory / "ask")
        until(answer.exists, lambda: f"an answer to {command} from {self.tail()}", PATIENCE)
        return answer.read_text()

    def stop(self) -> None:
        """SIGTERM to its script."""
        (self.directory / "stop").touch()

    def kill(self) -> None:
        """Cut its power."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()


_ANSWERING = f"""\
while sleep 0.5; do
    [ -e {OUT}/ask ] && mv {OUT}/ask {OUT}/asked || continue
    sh {OUT}/asked >{OUT}/answer.new 2>&1; echo $? >>{OUT}/answer.new; mv {OUT}/answer.new {OUT}/answer
done &
"""


def script(
    mounts: Iterable[str], environment: dict[str, str], command: Iterable[str], beside: Iterable[str] = ()
) -> str:
    """A script: the ``mounts``, then in this environment what runs ``beside``, and ``command`` in the script's own
    place."""
    settings = {**environment, "HOME": "/mnt/home", "TMPDIR": "/mnt/tmp", "PYTHONDONTWRITEBYTECODE": "1"}
    lines = ["set -e", *mounts]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
    return "\n".join([*lines, *beside, _ANSWERING, f"exec {shlex.join(command)}", ""])
