"""``make demo-cluster``: the chain live, for about a minute. Every few seconds something is killed, and comes back.

On a terminal a picture that is drawn anew, without one a line now and then. Exit code 0: nothing was lost, and nothing
is visible twice; 1: something was; 2: usage; 3: a server cannot be had here, and which.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from jollyae.spool.owner import items_below
from tests.chain import broker, judge, season, trouble
from tests.chain.chain import WAYS, Chain, Place, Service, chain, servers
from tests.chain.screen import Line, View, brief, clock, screen
from tests.rabbit import Unavailable

LOOK = 0.5  # seconds between two looks
LINES = 5.0  # seconds between two lines, where there is no terminal
PATIENCE = 240.0
"""Seconds until it must have drained."""
_AWAY = (BotoCoreError, ClientError, OSError)


class Watcher(threading.Thread):
    """Looks at the chain again and again, and shows it. It only reads."""

    def __init__(self, seen: Chain, show: Callable[[View], None]) -> None:
        super().__init__(daemon=True)
        self._chain = seen
        self._show = show
        self._over = threading.Event()
        self._began = time.monotonic()
        self._events: list[str] = []
        self._last_told = ""
        self._last = View(0, 0, 0, 0, 0)

    def tell(self, text: str) -> None:
        """Something happened; or what was told last goes on, and is told anew."""
        if self._last_told and text.startswith(f"{self._last_told}:"):
            self._events.pop()
        self._last_told = text
        self._events.append(f"{clock(time.monotonic() - self._began)}  {text}")

    def run(self) -> None:
        """Until :meth:`end`."""
        while not self._over.wait(LOOK):
            self._show(self.look())

    def end(self) -> None:
        """Show it a last time."""
        self._over.set()
        self.join()
        self._show(self.look())

    def look(self) -> View:
        """What there is now; of a server that is away, what was there before."""
        it, last = self._chain, self._last
        uploads, processed, answers = Counter({line.name: line.done for line in last.producers}), last.processed, True
        try:
            uploads = Counter(key.partition("/")[0] for key in it.servers.store.objects(it.uploads))
            processed = len(it.servers.store.objects(it.results))
        except _AWAY:
            answers = False
        try:
            queue = it.queue.waiting()
        except broker.AWAY:
            queue = -1
        producers = [
            Line(
                one.host.name,
                _count(one.spool.places.incoming) + _count(one.spool.places.working),
                uploads[one.host.name],
                _trouble(one.services[0], it),
            )
            for one in it.producers
        ]
        self._last = View(
            time.monotonic() - self._began,
            len(it.submitted),
            uploads.total(),
            processed,
            queue,
            answers,
            producers,
            [line for place in it.places for line in _workers(place, it)],
            list(self._events),
        )
        return self._last


def _workers(place: Place, it: Chain) -> list[Line]:
    return [
        Line(service.name, _in_hand(workdir), _lines(log), _trouble(service, it))
        for service, workdir, log in zip(place.services, place.workdirs, place.logs, strict=False)
    ]


def _trouble(service: Service, it: Chain) -> str:
    if service.host.name in it.cut:
        return "CUT OFF"
    return "" if service.runs() else "KILLED"


def _in_hand(workdir: Path) -> int:
    return sum(_count(workdir / place) for place in ("incoming", "working", "deferred"))


def _count(directory: Path) -> int:
    with suppress(OSError):
        return sum(1 for _ in items_below(str(directory)))
    return 0


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


class Terminal:
    """Draws each view over the last one."""

    def __init__(self) -> None:
        self._drawn = 0

    def __call__(self, view: View) -> None:
        lines = screen(view, shutil.get_terminal_size().columns - 1)
        up = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        sys.stdout.write(up + "".join(f"{line}\x1b[K\n" for line in lines))
        sys.stdout.flush()
        self._drawn = len(lines)


class Lines:
    """Prints what happened, and every few seconds how it stands."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._next = 0.0

    def __call__(self, view: View) -> None:
        for event in view.events[max(len(self._told) - 1, 0) :]:  # the last one may be another by now
            if event not in self._told[-1:]:
                print(event, flush=True)
        self._told = view.events
        if view.seconds >= self._next:
            print(brief(view), flush=True)
            self._next = view.seconds + LINES


def at_least(least: int) -> Callable[[str], int]:
    """For an option: a whole number from there on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, {least} or more")
        return int(text)

    return read


def main() -> int:
    """Show it; the exit code."""
    parser = argparse.ArgumentParser(prog="make demo-cluster", description=__doc__)
    parser.add_argument("--items", type=at_least(1), default=1500, help="how many (%(default)s)")
    parser.add_argument("--strikes", type=at_least(0), default=10, help="how often something is struck (%(default)s)")
    parser.add_argument("--announce", choices=WAYS, default="rgw", help="who tells the broker (%(default)s)")
    parser.add_argument("--plain", action="store_true", help="no hosts of their own, processes only")
    wishes = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="jollyae-cluster-"))
    try:
        with ExitStack() as stack:
            return _show(wishes, directory, stack)
    except Unavailable as error:
        print(f"demo-cluster: {error}. Install it, or run as root on Debian.", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print()
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        print("Nothing is left running, and nothing on the disk.")


def _show(wishes: argparse.Namespace, directory: Path, stack: ExitStack) -> int:
    print("Starting Ceph RGW and RabbitMQ …", flush=True)
    on = stack.enter_context(servers(directory, plain=wishes.plain))
    it = stack.enter_context(chain(on, directory, announce=wishes.announce))
    if on.net.why_plain:
        print(f"All on one host, and none is cut off: {on.net.why_plain}.")
    kinds = [kind for kind in trouble.possible(it) if not (kind == "store" and wishes.announce == "rgw")]
    if wishes.announce == "rgw":
        print("RGW tells RabbitMQ of each object. It sees a new topic within half a minute …", flush=True)
        _warm_up(it)
        print("RGW itself is not killed: its next one would wait 90 s for the dead one's lock.")
        print("With --announce jollyae it is.")
    print(_PICTURES[wishes.announce], flush=True)
    watcher = Watcher(it, Terminal() if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else Lines())
    chance = random.Random()
    it.start()
    watcher.start()
    run = season.Season(it, chance, watcher.tell, pause=(1.0, 3.0))
    run.run(wishes.items, season.kinds(wishes.strikes, kinds, chance))
    watcher.tell("all is submitted; now it drains")
    run.drain(PATIENCE)
    watcher.end()
    it.stop()
    return _judge(it, run)


_TAKEN = "  RabbitMQ ─▶ jollyae run --from amqp:// --exec ─▶ spool ─▶ a second bucket\n"
_PICTURES = {
    "rgw": f"\n  spool ─ jollyae run --to s3:// ─▶ Ceph RGW ─ its notifications ─▶ RabbitMQ\n{_TAKEN}",
    "jollyae": f"\n  spool ─ jollyae run --to s3:// --notify amqp:// ─▶ Ceph RGW, RabbitMQ\n{_TAKEN}",
}


def _warm_up(it: Chain) -> None:
    """Wait until RGW tells of an object, and forget both."""
    it.servers.store.client.put_object(Bucket=it.uploads, Key="first", Body=b"")
    while not it.queue.waiting():
        time.sleep(LOOK)
    it.servers.store.client.delete_object(Bucket=it.uploads, Key="first")
    it.queue.purge()


def _judge(it: Chain, run: season.Season) -> int:
    found = judge.judge(it)
    print()
    if run.swept:
        print(f"{len(run.swept)} objects were never announced by RGW: found by comparing the buckets.")
    if found.repeated:
        print(f"{found.repeated} items were worked on again after a death, to the same result.")
    for what in (*found.wrong, *found.left):
        print(f"wrong: {what}")
    print(
        f"{found.submitted:,} submitted, {found.delivered:,} delivered, {found.processed:,} processed, "
        f"{len(found.lost):,} lost, {len(found.twice):,} visible twice"
    )
    return 0 if found.is_well else 1


if __name__ == "__main__":
    sys.exit(main())
