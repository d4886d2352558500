"""An NFS server of our own (nfs-ganesha, version 4 only), which can be killed and started again; and a line to it that
can lose its answers.

It needs no portmapper, shares one directory under the name /spool on this machine's loopback, and keeps all it has in
a directory of the test. What happens in the shared directory behind its back it looks up each time, so that producers
on this machine may use it as well.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.helpers import private_mounts
from tests.real.support import until

LEASE = 10
"""Seconds after which the server takes a client that is not heard of for dead, and gives its locks away."""
GRACE = 10
"""Seconds after a start in which it waits for the clients of its life before."""

_PROGRAM = "ganesha.nfsd"
_PLUGIN = "libfsalvfs.so"
_PLUGINS = ("/usr/lib/*/ganesha", "/usr/lib/ganesha", "/usr/lib64/ganesha")

_CONFIGURATION = """\
NFS_CORE_PARAM {{
    NFS_Protocols = 4;
    NFS_Port = {port};
    Bind_addr = 127.0.0.1;
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Enable_UDP = None;
}}
NFSV4 {{
    Lease_Lifetime = {lease};
    Grace_Period = {grace};
    RecoveryBackend = fs;
    RecoveryRoot = "{recovery}";
}}
MDCACHE {{
    Dir_Chunk = 0;
}}
EXPORT {{
    Export_Id = 1;
    Path = "{export}";
    Pseudo = "/spool";
    Access_Type = RW;
    Squash = No_Root_Squash;
    SecType = sys;
    Protocols = 4;
    Attr_Expiration_Time = 0;
    FSAL {{ Name = VFS; }}
}}
NFS_KRB5 {{ Active_krb5 = false; }}
LOG {{ Default_Log_Level = EVENT; }}
"""


def why_not() -> str:
    """Why there can be no server here; '' if there can."""
    if os.geteuid() != 0:
        return "needs root"
    if not private_mounts():
        return "root may not mount here (a container)"
    if shutil.which(_PROGRAM) is None:
        return f"{_PROGRAM}: not installed (tools/fault-tools.sh does it)"
    if not any(Path("/").glob(f"{place[1:]}/{_PLUGIN}") for place in _PLUGINS):
        return f"nfs-ganesha-vfs: {_PLUGIN} is not installed (tools/fault-tools.sh does it)"
    return ""


def mounting(port: int, *, at: str = "/mnt/spool") -> str:
    """The command of a guest that mounts the share ``at`` a directory; ``port``: of the server, or of a line to it."""
    options = f"vers=4.1,proto=tcp,port={port},addr=10.0.2.2,clientaddr=10.0.2.15,hard"
    return f"busybox mount -t nfs4 -o {options} 10.0.2.2:/spool {at}"


# The server looks its share up among the mounts. In a chroot the root is none, and /etc/mtab may be missing: there it
# says that there is no such directory.
_WITH_MOUNTS = """
mount --bind "$0" "$0"
[ -e /etc/mtab ] || [ -e "$1/etc" ] || { cp -a /etc "$1"; ln -s /proc/self/mounts "$1/etc/mtab"; }
[ ! -e "$1/etc" ] || mount --bind "$1/etc" /etc
shift
exec "$@"
"""


class Server:
    """The server of the directory ``export``; it is a context."""

    def __init__(self, directory: Path, export: Path) -> None:
        self.directory = directory
        self.port = _free_port()
        self.starts = 0
        self._export = export
        directory.mkdir(parents=True, exist_ok=True)
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        file = self.directory / "ganesha.conf"
        recovery = self.directory / "recovery"
        recovery.mkdir(exist_ok=True)
        file.write_text(
            _CONFIGURATION.format(port=self.port, lease=LEASE, grace=GRACE, recovery=recovery, export=self._export)
        )
        names = self.directory / "names"
        names.mkdir(exist_ok=True)
        command = [*private_mounts(), "sh", "-ec", _WITH_MOUNTS, str(self._export), str(names)]
        command += [_PROGRAM, "-F", "-f", str(file), "-L", f"{self.directory}/log", "-p", f"{self.directory}/pid"]
        with (self.directory / "output").open("ab") as output:
            self._popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.starts += 1
        until(self._listens, lambda: f"the NFS server: {self.tail()}")

    def _listens(self) -> bool:
        assert self._popen is not None and self._popen.poll() is None, f"it has ended: {self.tail()}"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def tail(self) -> str:
        """The end of its log, for messages."""
        files = [self.directory / "log", self.directory / "output"]
        return "\n".join(line for file in files if file.exists() for line in file.read_text().splitlines()[-10:])

    def forget(self) -> None:
        """Lose what it remembers of its clients: after the next start nobody gets a lock back that it had. To be called
        between a kill and a start."""
        shutil.rmtree(self.directory / "recovery")

    def kill(self) -> None:
        """kill -9."""
        if self._popen is not None:
            if self._popen.poll() is None:
                self._popen.send_signal(signal.SIGKILL)
            self._popen.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


# --- a line that can lose answers

LINK, REMOVE, RENAME = 11, 28, 29  # RFC 7530, 16
SILLY = ".nfs"
"""How the new name begins that a client gives to a file which is unlinked while it is open there."""
_BLOCK = 1 << 16
_LAST = 1 << 31  # RFC 5531, 11: the bit of a record's last fragment


def call(operation: int, name: str, to: str = "") -> re.Pattern[bytes]:
    """What to look for in a request: this operation on this name; ``to``: what its second name begins with."""
    data = name.encode()
    first = operation.to_bytes(4) + len(data).to_bytes(4) + data + bytes(-len(data) % 4)
    second = b"...." + re.escape(to.encode()) if to else b""
    return re.compile(re.escape(first) + second, re.DOTALL)


class Line:
    """A line to the server's ``port``; it is a context. Requests go through it whole; when one comes that is waited for
    (:meth:`lose`), it goes through as well, and from then on no answer does, until :meth:`heal`."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._wanted: re.Pattern[bytes] | None = None
        self._met = threading.Event()
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in [self._listener, *self._ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in [self._listener, *self._ends]:
            end.close()

    def lose(self, wanted: re.Pattern[bytes]) -> None:
        """Wait for this request, and lose the answer."""
        self._met.clear()
        self._wanted = wanted

    @property
    def met(self) -> bool:
        """Whether the request has come."""
        return self._met.is_set()

    def heal(self) -> None:
        """Answers go through again, on new connections."""
        self._wanted = None
        self._met.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._ends.append(client)
                try:
                    server = socket.create_connection(("127.0.0.1", self._upstream))
                except OSError:  # it is dead at the moment
                    client.shutdown(socket.SHUT_RDWR)
                    continue
                self._ends.append(server)
                for way in (self._ask, self._answer):
                    self._threads.append(threading.Thread(target=way, args=(client, server), daemon=True))
                    self._threads[-1].start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            for record in _records(client):
                if self._wanted is not None and self._wanted.search(record):
                    self._met.set()  # before it can be answered
                server.sendall(record)
        _hang_up(client, server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_BLOCK):
                if not self._met.is_set():
                    client.sendall(data)
        _hang_up(client, server)


def _records(sender: socket.socket) -> Iterator[bytes]:
    """Whole records of remote procedure calls, with their marks; until the sender hangs up."""
    with sender.makefile("rb") as stream:
        record = b""
        while len(mark := stream.read(4)) == 4:
            size = int.from_bytes(mark)
            record += mark + stream.read(size & ~_LAST)
            if size & _LAST:
                yield record
                record = b""


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
