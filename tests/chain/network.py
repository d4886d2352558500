"""Hosts that are network namespaces on one bridge: each has an address and a cable that can be pulled.

Only root on Linux with iproute2 can have them. Elsewhere :func:`network` gives plain hosts, which are processes on the
loopback and cannot be cut off; :attr:`Network.why_plain` says why. All that is made bears our pid in its name and goes
at the end; what a killed run left is taken away by the next one.
"""

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BASE = (198, 18)
"""198.18.0.0/15 is for tests of networks alone (RFC 2544): no machine has it for anything else."""
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_NAME = re.compile(r"\bjac(\d+)[bh]")


@dataclass(frozen=True)
class Host:
    """A machine, as far as the network goes. ``address``: where others reach it; ``space``: '' for a plain one."""

    name: str
    address: str
    space: str = ""

    def command(self, *words: str) -> list[str]:
        """The command that runs these words on it. It is the process itself that runs, and it ends when we do."""
        inside = ("ip", "netns", "exec", self.space) if self.space else ()
        return [*DIES_WITH_US, *inside, *words]

    def processes(self) -> list[int]:
        """The ids of all that runs on it; a plain host cannot tell."""
        return [int(pid) for pid in _ip("netns", "pids", self.space).split()] if self.space else []

    def pull(self) -> None:
        """Pull its cable: packets go nowhere, and nobody is told."""
        assert self.space, "a plain host has no cable"
        _ip("link", "set", f"{self.space}v", "down")

    def plug(self) -> None:
        """Plug it in again."""
        _ip("link", "set", f"{self.space}v", "up")


@dataclass
class Network:
    """The hosts. ``address``: the machine itself, where all of them reach its servers."""

    address: str = "127.0.0.1"
    why_plain: str = ""
    hosts: list[Host] = field(default_factory=list)

    def host(self, name: str) -> Host:
        """The host of this name."""
        return next(host for host in self.hosts if host.name == name)


@contextmanager
def network(*names: str, plain: bool = False) -> Iterator[Network]:
    """A network with these hosts, as long as the context lasts."""
    why = "asked for" if plain else _why_not()
    if why:
        yield Network(why_plain=why, hosts=[Host(name, "127.0.0.1") for name in names])
        return
    _sweep()
    prefix = f"jac{os.getpid()}"
    try:
        yield _wired(prefix, names)
    except _Refused as error:
        _remove(prefix)
        yield Network(why_plain=str(error), hosts=[Host(name, "127.0.0.1") for name in names])
    finally:
        _remove(prefix)


class _Refused(Exception):
    """The kernel does not let us."""


def _why_not() -> str:
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [one for one in ("ip", "setpriv") if shutil.which(one) is None]:
        return f"{missing[0]} is not installed (iproute2, util-linux)"
    return ""


def _wired(prefix: str, names: tuple[str, ...]) -> Network:
    net = _free_net()
    bridge = f"{prefix}b"
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        made = Network(f"{net}.1")
        for number, name in enumerate(names):
            made.hosts.append(_host(name, f"{prefix}h{number}", bridge, f"{net}.{number + 10}"))
    except subprocess.CalledProcessError as error:
        raise _Refused(f"no network namespaces here: {error.stderr.strip()}") from error
    return made


def _host(name: str, space: str, bridge: str, address: str) -> Host:
    """A namespace with a pair of interfaces: ours is plugged into the bridge, and pulling it is pulling the cable."""
    ours, theirs = f"{space}v", f"{space}w"
    _ip("netns", "add", space)
    _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", space)
    _ip("link", "set", ours, "master", bridge, "up")
    _ip("-n", space, "addr", "add", f"{address}/24", "dev", theirs)
    for link in (theirs, "lo"):
        _ip("-n", space, "link", "set", link, "up")
    return Host(name, address, space)


def _free_net() -> str:
    """The first three numbers of addresses that no interface here has."""
    taken = _ip("-4", "addr")
    nets = (".".join(map(str, (*BASE, third))) for third in itertools.chain(range(os.getpid() % 200, 255), range(200)))
    return next(net for net in nets if f" {net}." not in taken)


def _sweep() -> None:
    """Take away what runs left that were killed."""
    found = {int(pid) for pid in _NAME.findall(_ip("netns", "list") + _ip("-o", "link"))}
    for pid in found:
        if not os.path.exists(f"/proc/{pid}"):
            _remove(f"jac{pid}")


def _remove(prefix: str) -> None:
    for space in re.findall(rf"^{prefix}h\d+\b", _ip("netns", "list"), re.MULTILINE):
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", space)
    for link in re.findall(rf"\b({prefix}(?:h\d+v|b))[@:]", _ip("-o", "link")):
        with suppress(subprocess.CalledProcessError):  # the cables went with their namespaces, or just now
            _ip("link", "del", link)


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=True)
    return done.stdout
