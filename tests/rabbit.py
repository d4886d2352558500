"""RabbitMQ from Debian's package (3.10), as a child of ours: its own node, epmd, ports, cookie, data and logs, in one
directory. It can be killed and started again with its data. Everything ends with :meth:`Rabbit.stop`, and by itself
when the thread that started it is gone. Nothing of it listens anywhere but on the loopback and where it was told to.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

INSTALL = Path(__file__).parents[1] / "tools/apt-install.sh"
PATIENCE = 90.0
"""Seconds for a start: 4 s here where the machine is idle."""
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")


class Unavailable(Exception):
    """It cannot be had here; the text says why."""


class Rabbit:
    """One broker. ``addresses``: where it listens beside 127.0.0.1, on the same port."""

    def __init__(self, directory: Path, *addresses: str) -> None:
        self.directory = directory
        self.port, self._epmd_port, self._dist_port = free_ports(3)
        self._node = f"jollyae{os.getpid()}x{secrets.token_hex(3)}@localhost"
        self._addresses = ("127.0.0.1", *addresses)
        self._server: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Its own user at its own vhost, on the loopback."""
        return self.at("127.0.0.1")

    def at(self, address: str) -> str:
        """The URL by another of its addresses."""
        return f"amqp://guest:guest@{address}:{self.port}"

    @property
    def pid(self) -> int:
        """Of the server itself: it is Erlang's own process, no shell's."""
        assert self._server is not None
        return self._server.pid

    def start(self) -> None:
        """Start it, with what data there are, and wait until it answers. Raises :class:`Unavailable`."""
        program = _program()
        self._start_epmd()
        self._configure()
        with (self.directory / "rabbit.out").open("ab") as log:
            self._server = subprocess.Popen(
                [*DIES_WITH_US, program, "-noinput"],
                env=self._environment(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise Unavailable(f"RabbitMQ did not start; its logs are in {self.directory}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Whether it speaks AMQP: a wrong beginning is answered by the right one."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.settimeout(2)
            connection.sendall(b"AMQP\0\0\0\0")
            return connection.recv(4) == b"AMQP"
        return False

    def kill(self) -> None:
        """kill -9, if it runs: what it has on the disk stays."""
        _kill(self._server)
        self._server = None

    def control(self, *words: str) -> str:
        """What ``rabbitmqctl`` says: a second of CPU each time. Raises :class:`subprocess.CalledProcessError`."""
        program = Path(_program()).with_name("rabbitmqctl")
        command = [str(program), "-n", self._node, "--quiet", *words]
        environment = {name: value for name, value in self._environment().items() if "ARGS" not in name}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE)
        return done.stdout

    def settle(self) -> None:
        """Have on its disk which queues there are: one of the last seconds would be gone after a kill -9 (seen)."""
        self.control("eval", "mnesia:sync_log().")

    def stop(self) -> None:
        """End the server and its epmd, by their ids."""
        self.kill()
        _kill(self._epmd)
        self._epmd = None

    def _start_epmd(self) -> None:
        """The daemon by which Erlang's nodes find each other: our own, or the node would start one that stays."""
        if self._epmd is not None and self._epmd.poll() is None:
            return
        epmd = shutil.which("epmd")
        assert epmd is not None  # it comes with Erlang
        command = [*DIES_WITH_US, epmd, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
        self._epmd = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def _configure(self) -> None:
        lines = [f"listeners.tcp.{number} = {where}:{self.port}" for number, where in enumerate(self._addresses, 1)]
        lines += ["loopback_users = none", "log.file.level = warning", "disk_free_limit.absolute = 50MB"]
        (self.directory / "rabbit.conf").write_text("\n".join([*lines, ""]))
        (self.directory / "plugins").write_text("[].\n")

    def _environment(self) -> dict[str, str]:
        beam = "+S 2:2 +A 8 -kernel inet_dist_use_interface {127,0,0,1}"  # it would take 64 threads and all addresses
        found = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return found | {
            "HOME": str(self.directory),  # of the cookie
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_ALLOW_INPUT": "1",  # the script becomes the server instead of watching over it
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbit.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": beam,
        }


@contextmanager
def serve(directory: Path, *addresses: str) -> Iterator[Rabbit]:
    """A RabbitMQ of our own while the context lasts. Raises :class:`Unavailable`."""
    rabbit = Rabbit(directory, *addresses)
    try:
        rabbit.start()
        yield rabbit
    finally:
        rabbit.stop()


def _program() -> str:
    """The server's own script: the one in the path changes the user."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    if not found:
        done = subprocess.run([INSTALL, "rabbitmq-server"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"no RabbitMQ: {(done.stderr.strip().splitlines() or ['it cannot be installed'])[-1]}")
        return _program()
    return str(found[-1])


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses, all at once, so that they differ."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _kill(child: "subprocess.Popen[bytes] | None") -> None:
    if child is not None:
        child.kill()
        child.wait()
