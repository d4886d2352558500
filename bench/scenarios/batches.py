"""What is there is delivered, from start to exit: small files and large ones, jollyae beside the peers."""

from collections.abc import Callable
from pathlib import Path

from .. import commands, spools
from ..figures import Run
from ..goals import AWS, OURS, S5CMD, TWO
from ..lab import Contestant, Lab, need, remove
from ..programs import Usage, run
from ..rgw import BUCKET

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
FEW = 1_000
"""Files for the slow peers (aws-cli, boto3): their start, below 1.5 s, is then less than half of it."""

Command = Callable[[Path, str, str], list[str]]


def small_http(lab: Lab) -> None:
    """4 KiB files on tmpfs, http."""
    _Batch(lab, "small-http", lab.memory, lab.count(20_000, 100_000), 4 * KIB, lab.sink.http).run()


def small_https(lab: Lab) -> None:
    """4 KiB files on tmpfs, https."""
    _Batch(lab, "small-https", lab.memory, lab.count(20_000, 100_000), 4 * KIB, lab.sink.https).run()


def small_disk(lab: Lab) -> None:
    """4 KiB files on disk, http; the two fastest only."""
    count = lab.count(20_000, 100_000)
    _Batch(lab, "small-disk", lab.disk, count, 4 * KIB, lab.sink.http, slow_peers=False).run()


def small_rgw(lab: Lab) -> None:
    """10 KiB files to Ceph RGW."""
    count = lab.count(2_000, 10_000)
    _Batch(lab, "small-rgw", lab.memory, count, 10 * KIB, lab.rgw.endpoint, slow_peers=False).run()


def one_http(lab: Lab) -> None:
    """One file of 1 GiB, http."""
    _Batch(lab, "one-http", lab.memory, 1, GIB, lab.sink.http).run()


def one_https(lab: Lab) -> None:
    """One file of 1 GiB, https."""
    _Batch(lab, "one-https", lab.memory, 1, GIB, lab.sink.https).run()


def sixteen_http(lab: Lab) -> None:
    """16 files of 64 MiB, http."""
    _Batch(lab, "sixteen-http", lab.memory, 16, 64 * MIB, lab.sink.http).run()


def sixteen_https(lab: Lab) -> None:
    """16 files of 64 MiB, https."""
    _Batch(lab, "sixteen-https", lab.memory, 16, 64 * MIB, lab.sink.https).run()


class _Batch:
    """One spool; jollyae drains it, and before or after each drain the peers copy the same files from ``incoming/``."""

    def __init__(
        self, lab: Lab, scenario: str, base: Path, count: int, size: int, endpoint: str, *, slow_peers: bool = True
    ) -> None:
        self.lab, self.scenario, self.count, self.size, self.endpoint = lab, scenario, count, size, endpoint
        self.spool = base / scenario / "spool"
        self.few = base / scenario / "few"
        self.slow_peers = slow_peers
        self.rgw = lab.rgw if scenario == "small-rgw" else None

    def run(self) -> None:
        """All rounds."""
        spools.make(self.spool)
        try:
            spools.fill(self.spool, self.count, self.size)
            if self.slow_peers and self.count > FEW:
                spools.fill_directory(self.few, FEW, self.size)
            spools.sync()
            self.lab.compete(self.scenario, self._contestants(), self.lab.rounds())
        finally:
            remove(self.spool.parent)

    def _contestants(self) -> list[Contestant]:
        fast = [
            Contestant(TWO, lambda number: self._jollyae(number, TWO, "--processes", "2"), "--processes"),
            Contestant(OURS, lambda number: self._jollyae(number, OURS)),
            self._peer(S5CMD, "s5cmd", commands.s5cmd),
        ]
        # aws-cli has a goal of its own where the files are large.
        slow = [
            self._peer(AWS, "aws", commands.aws, rounds=0 if self.count < FEW else 3, few=True),
            self._peer("rclone", "rclone", commands.rclone, rounds=3),
            self._peer("boto3 script", "aws", commands.boto3, rounds=3, few=True),
        ]
        fast = fast[1:] if self.size >= MIB else fast  # the goals of large files are one process's
        return fast + slow if self.slow_peers else fast

    def _peer(self, who: str, program: str, command: Command, rounds: int = 0, few: bool = False) -> Contestant:
        few = few and self.few.parent.exists() and self.count > FEW
        return Contestant(who, lambda number: self._copy(number, who, command, few), program, rounds)

    def _url(self, who: str, number: int) -> tuple[str, str]:
        prefix = f"{self.scenario}-{who.replace(' ', '')}-{number}"
        return f"s3://{BUCKET}/{prefix}", prefix

    def _environment(self, **more: str) -> dict[str, str]:
        keys = self.rgw.keys if self.rgw else {}
        ca = {"AWS_CA_BUNDLE": str(self.lab.sink.ca)} if self.endpoint.startswith("https") else {}
        trusted = ca | ({"SSL_CERT_FILE": ca["AWS_CA_BUNDLE"]} if ca else {})
        return self.lab.environment(**keys, **trusted, **more)

    def _jollyae(self, number: int, who: str, *more: str) -> Run:
        url, prefix = self._url(who, number)
        command = commands.jollyae_once(self.spool, url, self.endpoint, *more)
        try:
            usage = self._measured(command, self._environment(**commands.ENVIRONMENT), who)
            self._check(usage, prefix, self.count)
            spools.check(self.spool, self.count)
        finally:
            spools.put_back(self.spool)
        return self._run(who, number, usage, self.count)

    def _copy(self, number: int, who: str, command: Command, few: bool) -> Run:
        url, prefix = self._url(who, number)
        directory = self.few if few else self.spool / "incoming"
        count = FEW if few else self.count
        usage = self._measured(command(directory, url, self.endpoint), self._environment(), who)
        self._check(usage, prefix, count)
        return self._run(who, number, usage, count)

    def _measured(self, command: list[str], env: dict[str, str], who: str) -> Usage:
        if not self.rgw:
            self.lab.sink.reset()
        return run(command, env, self.lab.output(who))

    def _check(self, usage: Usage, prefix: str, count: int) -> None:
        """Every object is there, with all its bytes."""
        if self.rgw:
            objects, nbytes = self.rgw.holds(prefix)
            self.rgw.clear(prefix)
        else:
            counts = self.lab.sink.counts()
            objects, nbytes = counts.objects, counts.nbytes
        need(usage, {"objects at the sink": (objects, count), "bytes at the sink": (nbytes, count * self.size)})

    def _run(self, who: str, number: int, usage: Usage, count: int) -> Run:
        nbytes = count * self.size
        values = {"seconds": usage.seconds, "peak_mb": usage.peak / 1e6}
        if self.size >= MIB:
            values |= {"gb_per_s": nbytes / 1e9 / usage.seconds, "cpu_s_per_gb": usage.cpu / (nbytes / 1e9)}
        else:
            values |= {"items_per_s": count / usage.seconds, "cpu_us_per_item": usage.cpu / count * 1e6}
        return Run(self.scenario, who, number, count, nbytes, values)
