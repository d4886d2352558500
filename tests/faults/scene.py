"""What the fault suites share: a spool, a history, a store that can fail, and jollyae as processes of its own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jollyae.spool import names
from tests.faults import history, oracle, planted
from tests.faults.history import History
from tests.faults.store import Plan, Store
from tests.real.support import Done, Process, environment

BUCKET = "bucket"


class Scene:
    """One spool with its history and its store. ``bug``: what is planted into every jollyae that is started. ``disk``:
    where spool and history are to be, fsynced, if that is a disk which will lose its power."""

    def __init__(self, directory: Path, store: Store, bug: str = "", disk: Path | None = None) -> None:
        self.directory = directory
        self.spool = (disk or directory) / "spool"
        self.store = store
        self.bug = bug
        self.history = History((disk or directory) / "history.jsonl", durable=disk is not None)
        self.processes: list[Process] = []
        for place in ("home", "output"):
            (directory / place).mkdir(parents=True, exist_ok=True)
        for place in ("tmp", "incoming"):
            (self.spool / place).mkdir(parents=True, exist_ok=True)

    def submit(self, name: str, body: bytes) -> None:
        """Put an item into the spool, and remember it."""
        self.history.submit(self.spool, name, body)

    def command(self, *options: str) -> list[str]:
        """The command line of ``jollyae run`` on the spool."""
        return [*planted.command(self.bug), *self.words(*options)]

    def words(self, *options: str) -> list[str]:
        """The same without the program: for :meth:`tests.children.Forks.jollyae`."""
        return ["run", str(self.spool), "--to", f"s3://{BUCKET}", "--no-progress", *options]

    def environment(self) -> dict[str, str]:
        """The environment that jollyae gets: nothing of this machine's, and the store's."""
        return environment(self.directory / "home", **self.store.environment()) | {"PYTHONPATH": planted.path()}

    def start(self, *options: str, before: tuple[str, ...] = ()) -> Process:
        """Start ``jollyae run``; ``before``: a command that is to start it (strace, prlimit …)."""
        stem = self.directory / "output" / str(len(self.processes))
        self.processes.append(Process([*before, *self.command(*options)], self.environment(), stem))
        return self.processes[-1]

    def once(self, *options: str, before: tuple[str, ...] = (), seconds: float = 60) -> Done:
        """Run ``jollyae run --once --settle 0`` to its end."""
        return self.start("--once", "--settle", "0", *options, before=before).wait(seconds)

    def judge(
        self,
        *,
        deleted: bool = False,
        at_rest: bool = True,
        power_cut: bool = False,
        key_of: Callable[[str], str] = names.encode,
    ) -> list[str]:
        """What is wrong, in sentences; see :func:`tests.faults.oracle.judge`."""
        items, taken = history.read(self.history.path), self.store.accepted
        return oracle.judge(
            items, taken, self.spool, key_of=key_of, deleted=deleted, at_rest=at_rest, power_cut=power_cut
        )

    def close(self) -> None:
        """End what still runs."""
        for process in self.processes:
            process.kill()


@contextmanager
def scene(
    directory: Path, plan: Plan | None = None, bug: str = "", *, make: type[Scene] = Scene, verify: bool = True
) -> Iterator[Scene]:
    """A scene with a store of its own, for the length of a block. ``verify``: whether the store looks at digests."""
    with Store(plan, verify=verify) as store:
        made = make(directory, store, bug)
        try:
            yield made
        finally:
            made.close()
